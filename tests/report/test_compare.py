"""``imgtrain compare``: what it says of two runs and more, and what it says nothing about."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from imgtrain import console
from imgtrain.cli import run as run_cli

CLASSES = ["cat", "dog"]


def table(path, header, rows):
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(header)
        writer.writerows(rows)


def answers(right, labels=None):
    """Rows of predictions: picture i is recognised where ``right`` says so."""
    labels = labels or [CLASSES[i % 2] for i in range(len(right))]
    other = {"cat": "dog", "dog": "cat"}
    taken = [label if good else other[label] for label, good in zip(labels, right, strict=True)]
    return [(f"{i}.png", a, b, 0.9) for i, (a, b) in enumerate(zip(labels, taken, strict=True))]


def make(folder, *, test=None, classes=CLASSES, top1=None, losses=None, shift=0, kind=None):
    """A run, or with ``top1`` of each fold a cross-validation."""
    folder.mkdir(parents=True)
    kind = kind or ("train" if top1 is None else "cv")
    (folder / "classes.json").write_text(json.dumps(classes))
    (folder / "status.json").write_text(
        json.dumps({"format": 1, "state": "finished"} | ({"kind": "cv"} if kind == "cv" else {}))
    )
    if test is not None:
        name = "ensemble_predictions.csv" if kind == "cv" else "predictions_test.csv"
        table(folder / name, ["path", "label", "pred", "prob"], test)
    if top1 is not None:
        losses = losses or [0.1] * len(top1)
        folds = [
            {"fold": k, "repeat": 1, "n_train": 40, "n_val": 10, "val": {"top1": a, "log_loss": b}}
            for k, (a, b) in enumerate(zip(top1, losses, strict=True), start=1)
        ]
        (folder / "cv_summary.json").write_text(json.dumps({"format": 1, "folds": folds}))
        rows = [(f"p{i}.png", "cat", 1, (i + (i < shift)) % len(top1) + 1, "") for i in range(50)]
        table(folder / "folds.csv", ["path", "label", "repeat", "fold", "group"], rows)
    return folder


@pytest.fixture
def compare(tmp_path, monkeypatch, capfd):
    """Run ``imgtrain compare``; returns code, stdout and the words of stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        capfd.readouterr()
        code = run_cli(["compare", *map(str, arguments)])
        console.set_verbosity(0)
        out, err = capfd.readouterr()
        return code, out, " ".join(err.split())

    return command


A = [0.90, 0.92, 0.94, 0.91, 0.93]
B = [0.88, 0.91, 0.91, 0.90, 0.90]
"""Differences 0.02, 0.01, 0.03, 0.01, 0.03: mean 0.02, variance 0.0001."""


def pictures(first, second, both, neither):
    """Who recognises what, for two runs."""
    one = [True] * first + [False] * second + [True] * both + [False] * neither
    two = [False] * first + [True] * second + [True] * both + [False] * neither
    return answers(one), answers(two)


def test_two_cross_validations(compare, tmp_path):
    """The corrected t test worked out by hand, McNemar's exact one, and what they mean."""
    one, two = pictures(9, 1, 80, 10)
    make(tmp_path / "runs" / "a", top1=A, test=one)
    make(tmp_path / "runs" / "b", top1=B, test=two, losses=[0.1, 0.2, 0.1, 0.2, 0.1])
    error = (0.0001 * (1 / 5 + 1 / 4)) ** 0.5

    code, out, err = compare("a", "b", "--json")
    found = json.loads(out)["pairs"][0]
    folds, loss, test = found["scores"]

    assert (code, err) == (0, "")
    assert (folds["on"], folds["metric"], folds["count"]) == ("folds", "top1", 5)
    assert folds["difference"] == pytest.approx(0.02)
    assert folds["p"] == folds["p_adjusted"] == pytest.approx(2 * stats.t.sf(0.02 / error, 4))
    reach = stats.t.ppf(0.975, 4) * error
    assert folds["interval"] == pytest.approx([0.02 - reach, 0.02 + reach])
    assert (loss["metric"], loss["difference"]) == ("log_loss", pytest.approx(-0.04))
    assert (test["first"], test["second"], test["difference"]) == (0.89, 0.81, 0.08)
    assert (test["only_first"], test["only_second"]) == (9, 1)
    assert test["p"] == pytest.approx(2 * (1 + 10) / 2**10)
    assert test["interval"][0] > 0
    assert found["words"] == [
        f"{verdict} ({inside})."
        for verdict, inside in (
            (
                "a is better than b: top-1 over 5 folds is higher by 2.00 points",
                "95 % interval 0.14 to 3.86, p = 0.041",
            ),
            (
                "No evidence of a difference in log loss over 5 folds",
                "-0.0400, 95 % interval -0.1420 to +0.0620, p = 0.34",
            ),
            (
                "a is better than b: top-1 on 100 test pictures is higher by 8.00 points",
                "95 % interval 2.00 to 14.00, p = 0.021",
            ),
        )
    ]


def test_the_table_for_people(compare, tmp_path):
    """Who is who, a line a score, and the words of --json; nothing on stderr."""
    one, two = pictures(30, 28, 0, 42)
    make(tmp_path / "runs" / "first", top1=A, test=one)
    make(tmp_path / "elsewhere" / "first", top1=A, test=two)
    words = json.loads(compare("first", "elsewhere/first", "--json")[1])["pairs"][0]["words"]

    code, out, err = compare("first", "elsewhere/first")

    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[:3] == [
        "A  runs/first  (cross-validation, 5 folds)",
        "B  elsewhere/first  (cross-validation, 5 folds)",
        "",
    ]
    assert lines[3].split() == ["A", "B", "A", "-", "B", "95", "%", "interval", "p", "by"]
    assert lines[4].split("  ")[0] == "top-1 over 5 folds"
    assert lines[6].endswith("McNemar, chi-squared (30 and 28 alone)")
    assert lines[7:] == ["", *words]
    assert words[0] == "No evidence of a difference in top-1 over 5 folds (+0.00 points, p = 1)."


def test_single_trainings_are_compared_on_test(compare, tmp_path):
    """Matched by path whatever the order of rows, and of classes; a lower log loss is better."""
    one, two = pictures(40, 10, 40, 10)
    make(tmp_path / "runs" / "a", test=one)
    make(tmp_path / "runs" / "b", test=two[::-1], classes=CLASSES[::-1])
    make(tmp_path / "runs" / "cv", test=two, top1=A)

    for other in ("b", "cv"):
        (test,) = json.loads(compare("a", other, "--json")[1])["pairs"][0]["scores"]
        assert (test["only_first"], test["only_second"], test["count"]) == (40, 10, 100)
        assert test["p"] == pytest.approx(stats.chi2.sf(29**2 / 50, 1))


def test_several_runs_are_adjusted(compare, tmp_path):
    """All pairs; the smallest of three probabilities is multiplied by three, and so on."""
    one, two = pictures(9, 1, 80, 10)
    three = answers([True] * 10 + [True] * 80 + [False] * 10)
    for name, rows in {"a": one, "b": two, "c": three}.items():
        make(tmp_path / "runs" / name, test=rows)

    code, out, _ = compare("a", "b", "c", "--json")

    pairs = json.loads(out)["pairs"]
    assert code == 0
    assert [(pair["first"], pair["second"]) for pair in pairs] == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]
    (ab, ac, bc) = (pair["scores"][0] for pair in pairs)
    assert [s["p"] for s in (ab, ac, bc)] == pytest.approx([22 / 2**10, 1, 2 / 2**9])
    assert [s["p_adjusted"] for s in (ab, ac, bc)] == pytest.approx([44 / 2**10, 1, 6 / 2**9])
    assert "p = 0.043 adjusted for all pairs" in pairs[0]["words"][0]
    assert compare("a", "b", "c")[1].splitlines()[-1] == (
        "p is adjusted for 3 comparisons of each score (Holm); intervals are of one by itself."
    )


def test_a_lower_log_loss_is_better(compare, tmp_path):
    """The sign of the difference is not the winner."""
    make(tmp_path / "runs" / "a", top1=A, losses=[0.5, 0.6, 0.5, 0.6, 0.5])
    make(tmp_path / "runs" / "b", top1=A, losses=[0.1, 0.2, 0.1, 0.1, 0.1])

    words = json.loads(compare("a", "b", "--json")[1])["pairs"][0]["words"]

    assert words[1].startswith(
        "b is better than a: log loss over 5 folds is lower, which is better, by 0.4200 "
        "(95 % interval 0.3"
    )
    assert len(words) == 2  # no test part in either: the folds are compared all the same


def test_what_cannot_be_tested_says_so(compare, tmp_path):
    """The same difference in every fold has no spread; equal answers have no interval."""
    same = answers([True] * 8 + [False] * 2)
    make(tmp_path / "runs" / "a", top1=A, test=same)
    make(tmp_path / "runs" / "b", top1=[a - 0.25 for a in A], test=same)

    code, out, _ = compare("a", "b")

    assert code == 0
    untested = "cannot be tested: the difference is the same in every fold."
    assert f"Whether top-1 over 5 folds differs {untested}" in out
    assert "No evidence of a difference in top-1 on 10 test pictures (+0.00 points, p = 1)." in out


@pytest.fixture
def odd(tmp_path):
    """Runs of which each differs from ``a`` or ``cv`` in one thing."""
    runs = tmp_path / "runs"
    good = answers([True] * 10)
    make(runs / "a", test=good)
    make(runs / "others", test=good, classes=["cat", "bird", "fish"])
    make(runs / "fewer", test=good[3:])
    make(runs / "relabelled", test=answers([True] * 10, ["dog"] * 4 + ["cat"] * 6))
    make(runs / "untested")
    make(runs / "cv", top1=A, test=good)
    make(runs / "recut", top1=A, test=good, shift=7)
    make(runs / "short", top1=A, test=good)
    summary = json.loads((runs / "short" / "cv_summary.json").read_text())
    summary["folds"].pop(2)
    (runs / "short" / "cv_summary.json").write_text(json.dumps(summary))
    make(runs / "open", kind="cv")
    return runs


REFUSED = {
    "a others": """6 error: runs/others knows other classes than runs/a: it lacks 'dog',
        it alone has 'bird', 'fish' only runs that tell the same classes apart can be compared""",
    "a fewer": """3 error: runs/a and runs/fewer were tested on different pictures: 3 of 10 are in
        one of them only (for example 0.png) train both on the same data with the same --split-seed
        and --split-ratio""",
    "a relabelled": """3 error: runs/a and runs/relabelled were tested with different labels: 5 of
        10 pictures (for example 0.png)""",
    "a untested": "6 error: runs/untested has no scored test part",
    "cv recut": """3 error: runs/cv and runs/recut have different folds: 7 of 50 pictures are
        elsewhere validate the second one on the folds of the first: imgtrain cv --folds-file
        runs/cv/folds.csv""",
    "cv short": """3 error: runs/cv and runs/short have not the same folds joined: one lacks 3
        join all of them: imgtrain cv --collect""",
    "cv open": "6 error: runs/open is not finished: there is nothing to compare yet",
    "a a": "2 error: runs/a is named twice",
    "a": "2 error: a comparison is between two runs or more",
    "a nobody": "6 error: no run 'nobody' here or in runs",
}


@pytest.mark.parametrize("asked", REFUSED)
def test_what_is_not_comparable_is_refused_in_a_sentence(compare, odd, asked):
    """Named, counted, with a way out; nothing on stdout."""
    code, out, err = compare(*asked.split())

    assert out == ""
    assert f"{code} {err}".startswith(" ".join(REFUSED[asked].split()))


def test_comparing_needs_no_torch(tmp_path):
    """Neither does its help, nor a comparison; and it is there in the table of commands."""
    one, two = pictures(9, 1, 80, 10)
    make(tmp_path / "runs" / "a", top1=A, test=one)
    make(tmp_path / "runs" / "b", top1=B, test=two)
    program = (
        "import sys; from imgtrain.cli import run; assert run(['compare', 'a', 'b']) == 0; "
        "assert not {'torch', 'timm', 'torchvision', 'matplotlib'} & sys.modules.keys()"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert "a is better than b" in done.stdout


def test_holm_leaves_no_pair_out(compare, tmp_path):
    """Seven runs make 21 pairs; letters, names and sentences for each."""
    rng = np.random.default_rng(0)
    for i in range(7):
        make(tmp_path / "runs" / f"run-{i}", test=answers((rng.random(60) < 0.5).tolist()))

    code, out, _ = compare(*(f"run-{i}" for i in range(7)))

    assert code == 0
    assert "F - G" in out
    assert out.count("95 % interval  ") == 21
