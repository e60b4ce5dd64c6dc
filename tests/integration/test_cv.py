"""``imgtrain cv``: folds, their ensemble, and one honest test."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import warm
from blocks import blocks_folder, cv_settings
from scipy.stats import t
from test_continuing import wait_for
from test_train import rows, same_weights, steady

from imgtrain import load
from imgtrain.crossval.each import score_by_folds
from imgtrain.crossval.members import in_common
from imgtrain.crossval.whole import cross_validate
from imgtrain.data.index import read_index
from imgtrain.engine.world import World
from imgtrain.errors import RunError
from imgtrain.events import EpochEnded
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.shelf import Shelf
from imgtrain.opening import origins_of
from imgtrain.rundir import RunDir

FLAGS = [
    "--model", "test_resnet", "--no-pretrained", "--epochs", "2", "--batch-size", "8", "--device",
    "cpu", "--threads", "1", "--workers", "1", "--image-size", "24", "--lr", "0.005", "--folds",
    "3",
]  # fmt: skip
"""The same as blocks.SETTINGS."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes of 14 pictures, and four copies of one of them."""
    root = blocks_folder(tmp_path_factory.mktemp("cv") / "photos", 14)
    for i in range(4):
        shutil.copy(root / "a/000.png", root / f"a/copy{i}.png")
    return root


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """A cross-validation from beginning to end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMGTRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        return cross_validate(cv_settings(photos, tmp_path_factory.mktemp("runs"))).run


def probs(path):
    """Paths, and probabilities (N, C)."""
    found = rows(path)
    return [r["path"] for r in found], np.array(
        [[float(v) for k, v in r.items() if k.startswith("prob_")] for r in found]
    )


def test_every_file_is_there(whole):
    """What the guide promises of a cross-validation's folder."""
    names = {p.name for p in whole.iterdir()}
    assert names >= {
        "folds.csv", "oof_predictions.csv", "ensemble_predictions.csv", "best_fold_info.txt",
        "test_set_evaluation.txt", "cv_summary.json", "ensemble.json", "metrics.json",
        "config.yaml", "provenance.json", "status.json", "classes.json", "plots", "report.html",
        *(f"fold_{k}{end}" for k in (1, 2, 3) for end in ("", "_history.csv", "_best.pt")),
    }  # fmt: skip
    assert json.loads((whole / "status.json").read_text())["kind"] == "cv"
    assert (whole / "fold_1_history.csv").read_text() == (
        whole / "fold_1" / "history.csv"
    ).read_text()
    assert (whole / "fold_2" / "report.html").exists()


def test_no_fold_is_given_the_test_part(whole):
    """Their parts are train and val of the folds; what is held out is unused, and never scored."""
    folds = {row["path"]: int(row["fold"]) for row in rows(whole / "folds.csv")}

    for k in (1, 2, 3):
        run = whole / f"fold_{k}"
        for row in rows(run / "splits.csv"):
            fold = folds[row["path"]]
            assert row["part"] == ("unused" if fold == 0 else "val" if fold == k else "train")
        assert "test" not in json.loads((run / "metrics.json").read_text())
        assert not (run / "predictions_test.csv").exists()


def test_copies_are_in_one_fold(whole):
    """Pictures that are the same are never on both sides, of a fold or of the test part."""
    there = {r["fold"] for r in rows(whole / "folds.csv") if r["path"] in
             {"a/000.png", *(f"a/copy{i}.png" for i in range(4))}}  # fmt: skip

    assert len(there) == 1


def test_out_of_fold_predictions_are_each_folds_own(whole):
    """Every picture outside of test stands there once, as the fold that validated it saw it."""
    found = rows(whole / "oof_predictions.csv")
    assert list(found[0]) == ["path", "label", "pred", "prob", "prob_a", "prob_b", "prob_c", "fold"]
    own = {
        row["path"]: {**row, "fold": str(k)}
        for k in (1, 2, 3)
        for row in rows(whole / f"fold_{k}" / "predictions_val.csv")
    }

    assert {row["path"]: row for row in found} == own
    outside = [r["path"] for r in rows(whole / "folds.csv") if r["fold"] != "0"]
    assert [row["path"] for row in found] == outside


def test_the_summary_is_what_the_folds_say(whole):
    """Mean, deviation, both intervals (by hand), and the best fold by the monitored metric."""
    summary = json.loads((whole / "cv_summary.json").read_text())
    vals = [
        json.loads((whole / f"fold_{k}" / "metrics.json").read_text())["val"] for k in (1, 2, 3)
    ]
    top1 = np.array([val["top1"] for val in vals])
    sizes = [(fold["n_train"], fold["n_val"]) for fold in summary["folds"]]

    assert summary["mean"]["top1"] == pytest.approx(top1.mean())
    assert summary["std"]["top1"] == pytest.approx(top1.std(ddof=1))
    ratio = sum(v for _, v in sizes) / sum(n for n, _ in sizes)
    assert ratio == pytest.approx(1 / 2)
    reach = t.ppf(0.975, 2) * top1.std(ddof=1)
    for key, factor in (("intervals", 1 / 3 + ratio), ("intervals_uncorrected", 1 / 3)):
        low, high = summary[key]["top1"]
        assert low == pytest.approx(max(0, top1.mean() - reach * factor**0.5))
        assert high == pytest.approx(min(1, top1.mean() + reach * factor**0.5))
    name = {"val_top1": "top1", "val_macro_f1": "macro_f1"}[summary["monitor"]]
    best = vals[summary["best_fold"] - 1]
    assert best[name] == max(val[name] for val in vals)
    assert [fold["val"]["log_loss"] for fold in summary["folds"]] == [v["log_loss"] for v in vals]


def test_the_ensemble_on_test_is_the_mean_of_what_each_model_predicts(whole, photos):
    """Scored from the models' files by the path that predict takes; the best fold alone, too."""
    paths, found = probs(whole / "ensemble_predictions.csv")
    members = [
        [p.probs for p in load(whole / f"fold_{k}").predict([photos / path for path in paths])]
        for k in (1, 2, 3)
    ]

    np.testing.assert_allclose(found, np.mean(members, axis=0), atol=2e-6)
    summary = json.loads((whole / "cv_summary.json").read_text())
    labels = np.array(["abc".index(path[0]) for path in paths])
    alone = np.array(members[summary["best_fold"] - 1]).argmax(axis=1)
    assert summary["best_fold_test"]["top1"] == pytest.approx((alone == labels).mean())
    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["test"]["top1"] == pytest.approx((found.argmax(axis=1) == labels).mean())
    assert f"best fold: {summary['best_fold']} of 3" in (whole / "best_fold_info.txt").read_text()


def test_the_whole_answers_as_its_table_says(whole, photos):
    """``load`` and ``predict`` of a cross-validation give its ensemble_predictions.csv."""
    paths, found = probs(whole / "ensemble_predictions.csv")

    model = load(whole)

    answers = np.stack([p.probs for p in model.predict([photos / path for path in paths])])
    assert len(model.members) == 3
    np.testing.assert_allclose(answers, found, atol=1.5e-6)


def start(*arguments):
    """The command in a process of its own."""
    return warm.Popen(
        [sys.executable, "-m", "imgtrain", "cv", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
        text=True,
    )


def same_result(a, b):
    """Weights, curves and predictions of every fold, and what they make together, to the bit."""
    for k in (1, 2, 3):
        assert same_weights(a / f"fold_{k}", b / f"fold_{k}"), k
        assert steady(a / f"fold_{k}") == steady(b / f"fold_{k}"), k
    for name in ("folds.csv", "oof_predictions.csv", "ensemble_predictions.csv", "metrics.json"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    return True


@pytest.mark.slow
def test_folds_trained_apart_and_joined_are_those_of_one_command(imgtrain, whole, photos, tmp_path):
    """Two processes at once share one folder; what is missing is named; joined, all is the same."""
    told = [*FLAGS, "--data", photos, "-o", tmp_path / "apart"]
    both = [start(*told, "--fold", k) for k in (1, 2)]
    for child in both:
        _, err = child.communicate(timeout=120)
        assert child.returncode == 0, err
    (run,) = [p for p in (tmp_path / "apart").iterdir() if not p.name.startswith(".")]

    missing = imgtrain("cv", "--collect", run)
    again = imgtrain("cv", *told, "--fold", 2)
    third = imgtrain("cv", *told, "--fold", 3, "--json")
    joined = imgtrain("cv", "--collect", "-o", tmp_path / "apart", "--json")

    assert missing.code == 6
    assert f"{run} lacks fold 3 of 3" in missing.words
    assert again.code == 0
    assert third.json["run"] == str(run / "fold_3")
    assert "all folds are there" in third.words
    assert joined.code == 0, joined.err
    assert joined.json["run"] == str(run)
    assert same_result(whole, run)
    assert imgtrain("cv", "--collect", run, "--ensemble", "vote").code == 0
    votes = probs(run / "ensemble_predictions.csv")[1]
    assert set((3 * votes).round(3).ravel().tolist()) <= {0, 1, 2, 3}


@pytest.mark.slow
def test_killed_in_a_fold_the_same_command_goes_on(imgtrain, whole, photos, tmp_path):
    """Kill -9 in the second fold: finished folds stay, the rest comes to the same bits."""
    told = [*FLAGS, "--data", photos, "-o", tmp_path / "killed", "--checkpoint-minutes", "0.0005"]
    child = start(*told)
    run = tmp_path / "killed" / "photos-test_resnet-cv"
    wait_for(run / "fold_2" / "checkpoints" / "last.pt")
    child.send_signal(signal.SIGKILL)
    child.communicate()
    first = (run / "fold_1" / "model.safetensors").stat().st_mtime_ns
    assert not (run / "metrics.json").exists()

    ended = imgtrain("cv", *told)

    assert ended.code == 0, ended.err
    assert "going on with" in ended.words
    assert (run / "fold_1" / "model.safetensors").stat().st_mtime_ns == first
    assert same_result(whole, run)


@pytest.mark.slow
def test_folds_at_once_are_those_one_after_the_other(imgtrain, whole, photos, tmp_path):
    """--parallel 2 on the CPU: each fold in its own process, the same bits, their lines named."""
    ended = imgtrain("cv", *FLAGS, "--data", photos, "-o", tmp_path, "--parallel", 2)
    if len(os.sched_getaffinity(0)) < 2:
        assert "more than the 1 cores" in ended.words
        return

    assert ended.code == 0, ended.err
    assert "fold 2 | epoch 2/2" in ended.words
    run = tmp_path / "photos-test_resnet-cv"
    assert same_result(whole, run)
    alone = imgtrain("cv", "--resume", run, "--fold", 2)  # how many at once is each command's own
    assert "is finished; nothing to do" in alone.words


def test_a_picture_that_vanishes_between_two_members_is_left_out():
    """Every member's rows are of the same pictures, in the first one's order."""
    five, four = np.array([4, 0, 1, 2, 3]), np.array([4, 0, 2, 3])
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)

    found, (first, second) = in_common([(five, rows), (four, rows[:4])])

    assert found.tolist() == [4, 0, 2, 3]
    assert first[:, 0].tolist() == [0, 2, 6, 8]
    assert second[:, 0].tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_each_file_is_decoded_once_over_all_folds(photos, tmp_path, monkeypatch, kind):
    """Also that of the test part, and the search for copies counts in."""
    decoded, lock = [], threading.Lock()
    real = Preprocess.decoded

    def counted(self, data):
        with lock:
            decoded.append(data)
        return real(self, data)

    monkeypatch.setattr(Preprocess, "decoded", counted)
    cross_validate(cv_settings(photos, tmp_path, data__cache=kind, train__epochs=1, cv__folds=2))

    files = len(list(photos.glob("*/*.png")))
    assert files == len(decoded)


@pytest.mark.slow
def test_no_training_and_no_choice_reads_the_test_part(tmp_path):
    """With test pictures that are none, and other labels, folds and best fold are the same.

    Only the join opens them, and says so.
    """
    found = {}
    for kind in ("sound", "broken"):
        root = tmp_path / kind / "photos"
        blocks_folder(root / "train", 8)
        blocks_folder(root / "test", 4, first=100)
        if kind == "broken":
            for file in (root / "test").glob("*/*.png"):
                file.write_text("no picture")
            (root / "test/a/100.png").rename(root / "test/c/999.png")
        settings = cv_settings(
            root, tmp_path / kind, data__on_bad_image="error", data__on_leak="off", cv__folds=2
        )
        if kind == "sound":
            found[kind] = cross_validate(settings).run
            continue
        with pytest.raises(Exception, match=r"cannot read .*test/"):
            cross_validate(settings)
        found[kind] = tmp_path / kind / "photos-test_resnet-cv"

    for k in (1, 2):
        a, b = (found[kind] / f"fold_{k}" for kind in ("sound", "broken"))
        assert same_weights(a, b)
        assert steady(a) == steady(b)
        assert (a / "predictions_val.csv").read_text() == (b / "predictions_val.csv").read_text()


@pytest.mark.slow
def test_repeats_greedy_members_and_own_folds(photos, tmp_path):
    """Two repeats count their folds on; members are picked on a part that no fold has."""
    settings = cv_settings(
        photos,
        tmp_path,
        cv__folds=2,
        cv__repeats=2,
        cv__ensemble="greedy",
        train__epochs=1,
        data__normalize_mean="auto",
        data__normalize_std="auto",
    )
    run = cross_validate(settings).run

    listed = rows(run / "folds.csv")
    aside = {row["path"] for row in listed if row["fold"] == "-1"}
    assert aside
    assert {row["fold"] for row in listed if row["repeat"] == "2"} == {"0", "-1", "3", "4"}
    oof = rows(run / "oof_predictions.csv")
    assert list(oof[0])[-2:] == ["fold", "repeat"]
    assert not aside & {row["path"] for row in oof}
    members = json.loads((run / "ensemble.json").read_text())
    assert members["how"] == "greedy"
    assert {m["run"] for m in members["members"]} <= {f"fold_{k}" for k in range(1, 5)}
    seeds = [_saved(run / f"fold_{k}")["train.seed"] for k in range(1, 5)]
    assert seeds == [0, 0, 1, 1]
    means = {tuple(_saved(run / f"fold_{k}")["data.normalize_mean"]) for k in range(1, 5)}
    assert len(means) == 4  # each fold's own training part

    again = cross_validate(
        cv_settings(photos, tmp_path / "b", cv__folds_file=run / "folds.csv", train__epochs=1)
    )
    assert (again.run / "folds.csv").read_text() == (run / "folds.csv").read_text()
    assert (again.run / "fold_4").is_dir()


def _saved(run):
    return json.loads((Path(run) / "provenance.json").read_text())["settings"]


def test_a_search_can_judge_a_trial_by_folds(photos, tmp_path):
    """The mean of the monitored metric over folds; listeners hear each; test is never scored."""
    settings = cv_settings(photos, tmp_path, cv__folds=2, train__monitor="val_loss")
    index, heard = read_index(str(photos)), []
    told = {
        "folder": RunDir(tmp_path),
        "world": World(),
        "origins": origins_of(settings),
        "hears": (lambda event: heard.append(type(event)),),
    }

    with Shelf(index) as shelf:
        score = score_by_folds(settings, index, shelf=shelf, **told)
        first = len(heard)
        assert score_by_folds(settings, index, shelf=shelf, **told) == score  # nothing to train

    assert heard.count(EpochEnded) == 4
    assert len(heard) == first
    losses = [
        json.loads((tmp_path / f"fold_{k}" / "metrics.json").read_text())["val"]["log_loss"]
        for k in (1, 2)
    ]
    assert score == pytest.approx(np.mean(losses))
    assert not list(tmp_path.rglob("*test*"))


def test_classical_models_are_cross_validated(photos, tmp_path):
    """--model sklearn:NAME: no weights and curves; a fold that is lost is trained again."""
    settings = cv_settings(
        photos,
        tmp_path,
        model__name="sklearn:logreg",
        model__features="pixels",
        train__epochs=30,
        train__batch_size=64,
        optim__lr="auto",
        cv__folds=2,
        hardware__threads="auto",
    )
    run = cross_validate(settings).run

    assert len(rows(run / "oof_predictions.csv")) + len(
        rows(run / "ensemble_predictions.csv")
    ) == len(list(photos.glob("*/*.png")))
    assert not (run / "fold_1_best.pt").exists()
    assert "model.safetensors" in (run / "best_fold_info.txt").read_text()

    before = (run / "oof_predictions.csv").read_bytes()
    shutil.rmtree(run / "fold_2")
    named = settings.run.model_copy(update={"resume": str(run)})
    cross_validate(settings.model_copy(update={"run": named}))
    assert (run / "fold_2" / "model.safetensors").is_file()
    assert (run / "oof_predictions.csv").read_bytes() == before


def test_fast_dev_goes_through_everything(photos, tmp_path):
    """Two tiny epochs a fold, a tiny test, and all the files."""
    ended = cross_validate(cv_settings(photos, tmp_path, train__fast_dev=True, cv__folds=2))

    assert ended.run.name == "photos-test_resnet-fast-dev-cv"
    assert ended.metrics["test"]["n"] == len(rows(ended.run / "ensemble_predictions.csv")) <= 8
    assert len(rows(ended.run / "fold_2_history.csv")) == 2


MISTAKES = [
    (["--folds", "1"], 2, "--folds 1 is a single training: nothing is cut, nothing compared"),
    (["--folds", "20"], 3, "class 'c' has 12 pictures outside of test, 20 folds need 20"),
    (["--folds", "3", "--fold", "4"], 2, "--fold 4 is beyond the last, 3"),
    (["--parallel", "9"], 2, "--parallel 9 is more than there are folds, 5"),
    (["--fold", "1", "--parallel", "2"], 2, "--fold 1 trains one fold, --parallel 2 several"),
    (["--fold", "1", "--fresh"], 2, "--fresh begins a new folder, and --fold 1 joins"),
    (["--budget", "10m"], 2, "--budget fits a training to the clock"),
    (["--lr", "find"], 2, "--lr find tests rates on a split of its own"),
    (["--parallel", "2", "--processes", "2"], 2, "--processes 2 several"),
    (["--parallel", "2", "--gpus", "0,1,2"], 2, "one GPU a fold, --gpus names 3"),
    (["--collect", "--fold", "1"], 2, "--collect joins folds that are trained, --fold is about"),
    (["somewhere"], 2, "somewhere names a run, and only --collect takes one"),
    (["--collect"], 6, "no run with a folds.csv in runs"),
    (["--folds-file", "absent.csv"], 3, "cannot read absent.csv"),
    (["--folds-file", "x.csv", "--on-leak", "error"], 2, "--on-leak error looks for copies before"),
    (["--folds-file", "x.csv", "--folds", "3"], 2, "--folds has an effect only with folds that"),
    (
        ["--ensemble", "greedy", "--split-ratio", "0.9,0,0.1"],
        2,
        "--ensemble greedy picks its members on pictures outside the folds",
    ),
]


@pytest.mark.parametrize(("flags", "code", "words"), MISTAKES, ids=lambda v: str(v)[:40])
def test_mistakes_end_before_work_begins(imgtrain, photos, flags, code, words):
    """One sentence, the flag or the class, a way out; no folder is made."""
    ended = imgtrain("cv", "--data", photos, "--model", "test_resnet", *flags)

    assert ended.code == code, ended.err
    assert words in ended.words
    assert not list(Path("runs").glob("*"))


def test_a_run_that_goes_on_keeps_its_folds(imgtrain, whole, photos):
    """Other folds or epochs are refused with both values; a training is no cross-validation."""
    for flags, words in (
        (["--folds", "4"], "cv.folds (run: 3, now: 4)"),
        (["--epochs", "9"], "train.epochs (run: 2, now: 9)"),
        (["--lr", "0.1"], "optim.lr (run: 0.005, now: 0.1)"),
        (["--ensemble", "vote"], "--ensemble vote joins them anew"),
    ):
        ended = imgtrain("cv", "--resume", whole, *flags)
        assert ended.code == 6
        assert words in ended.words

    picking = imgtrain("cv", "--collect", whole, "--ensemble", "greedy")
    assert "picks members on pictures kept aside" in picking.words
    assert json.loads((whole / "status.json").read_text())["state"] == "finished"

    ended = imgtrain("cv", "--resume", whole / "fold_1")
    assert "fold_1 is no cross-validation" in ended.words
    ended = imgtrain("cv", "--resume", whole)
    assert ended.code == 0
    assert "is finished; nothing to do" in ended.words
    with pytest.raises(RunError, match="fold_1 is no cross-validation"):
        cross_validate(cv_settings(photos, whole.parent, run__resume=str(whole / "fold_1")))
