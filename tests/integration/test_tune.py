"""imgtrain tune: many short trainings, to find settings worth a long one."""

import csv
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from conftest import TINY, make_folder

from imgtrain.cli import run as run_cli

SPACE = ["--space", "optim.lr=1e-3..1e-1,log", "--space", "loss.label_smoothing=0,0.1"]
SHORT = [*TINY, "--tune-epochs", "2", "--pruner", "none", "--trials", "4", "--name", "study"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    """Three classes; the test pictures are no pictures: who opens one fails."""
    root = tmp_path_factory.mktemp("bars")
    for part, count in (("train", 16), ("val", 8), ("test", 4)):
        make_folder(root / part, dict.fromkeys(("left", "middle", "right"), count))
    for path in (root / "test").rglob("*.png"):
        path.write_bytes(b"nobody may read this")
    return root


def rows_of(study):
    """``trials.csv`` without what a clock says."""
    with (study / "trials.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    for row in found:
        row.pop("seconds")
    return found


opened = []
"""Paths that this process opened, while it is told to look."""
is_looking = False


def _look(event, arguments):
    if is_looking and event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        opened.append(os.fsdecode(arguments[0]))


@functools.cache
def _hook_once():
    """An audit hook stays for ever, and a stolen test may set this module up a second time."""
    sys.addaudithook(_look)


@pytest.fixture(scope="module")
def study(bars, tmp_path_factory):
    """A study by one worker, and the files that it opened."""
    global is_looking  # noqa: PLW0603  # what the hook asks
    out = tmp_path_factory.mktemp("out")
    cache = tmp_path_factory.mktemp("cache")
    os.environ["IMGTRAIN_CACHE"] = str(cache)
    _hook_once()
    opened.clear()
    is_looking = True
    try:
        code = run_cli(["tune", "-d", str(bars), *SHORT, *SPACE, "-o", str(out), "--cache", "ram"])
    finally:
        is_looking = False
    assert code == 0
    return out / "study"


def test_a_study_leaves_runs_a_table_and_what_was_found(study, imgtrain):
    """Each trial is a run with its report; the best settings are a file that train takes."""
    rows = rows_of(study)

    assert [row["number"] for row in rows] == ["0", "1", "2", "3"]
    assert {row["state"] for row in rows} == {"finished"}
    for row in rows:
        run = study / f"trial_{int(row['number']):04d}"
        metrics = json.loads((run / "metrics.json").read_text())
        assert float(row["val_top1"]) == metrics["val"]["top1"]
        assert "test" not in metrics
        assert json.loads((run / "status.json").read_text())["state"] == "finished"
        assert {"report.html", "model.safetensors", "config.yaml"} <= {
            p.name for p in run.iterdir()
        }
        assert not (run / "checkpoints").exists()
    found = json.loads((study / "study.json").read_text())
    best = max(rows, key=lambda row: float(row["val_top1"]))
    assert found["best"]["trial"] == int(best["number"])
    ran = imgtrain("config", "show", "-c", study / "best_config.yaml")
    assert ran.code == 0
    assert (study / "report.html").stat().st_size > 10_000
    leaks = (study / "leaks.csv").read_text(encoding="utf-8")
    assert "train/left/000.png" in leaks
    assert "test" not in leaks


def test_the_test_part_is_never_opened(study, bars):
    """Not a byte of it; others are read for one training, and their headers once a trial."""
    read = [path for path in opened if path.startswith(str(bars)) and path.endswith(".png")]

    assert not [path for path in read if path.startswith(str(bars / "test"))]
    trained = {path for path in read if path.startswith(str(bars / "train"))}
    assert len(trained) == 48
    assert max(map(read.count, trained)) <= 3 + 4
    splits = (study / "trial_0000" / "splits.csv").read_text(encoding="utf-8")
    assert ",test," not in splits


def _command(bars, out, *more):
    return [sys.executable, "-m", "imgtrain", "tune", "-d", bars, *SHORT, *SPACE, "-o", out, *more]


def _wait_for(path, seconds=60):
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"no {path}"
        time.sleep(0.01)


def test_killed_in_a_trial_the_same_command_ends_with_the_same_numbers(study, bars, tmp_path):
    """Kill -9 after an epoch of the second trial; no trial is lost, stuck, or other than before."""
    child = subprocess.Popen(_command(bars, tmp_path), stderr=subprocess.DEVNULL)
    _wait_for(tmp_path / "study" / "trial_0001" / "checkpoints" / "last.pt")
    child.kill()
    child.wait()
    assert len(rows_of(tmp_path / "study")) < 4

    assert run_cli(list(map(str, _command(bars, tmp_path)[3:]))) == 0

    assert rows_of(tmp_path / "study") == rows_of(study)
    log = (tmp_path / "study" / "trial_0001" / "log.txt").read_text(encoding="utf-8")
    assert "restored" in log


def test_more_trials_add_and_a_finished_study_is_left_alone(study, bars, imgtrain):
    """The same command says what there is; --trials 5 runs one more."""
    before = rows_of(study)
    command = ["tune", "-d", bars, *SHORT, *SPACE, "-o", study.parent]

    same = imgtrain(*command, "--json", "--from", study)
    assert same.json["trials"] == {"finished": 4, "pruned": 0, "failed": 0, "taken_over": 0}
    assert "going on with" in same.err
    assert "is this study: its trials are there already" in same.words

    more = imgtrain(*command, "--trials", "5", "--json")
    assert more.json["trials"]["finished"] == 5
    assert rows_of(study)[:4] == before


def test_a_study_begins_from_another_and_from_a_run(study, bars, imgtrain, tmp_path):
    """Of a run, the settings are tried first; comparable trials count with their numbers."""
    ran = imgtrain(
        "tune", "-d", bars, *SHORT, *SPACE, "-o", tmp_path / "o", "--tune-seed", "1",
        "--trials", "1", "--from", study / "trial_0001", "--from", study, "--json",
    )  # fmt: skip

    assert ran.code == 0, ran.err
    earlier, (first, *taken) = rows_of(study), rows_of(tmp_path / "o" / "study")
    assert first["optim.lr"] == earlier[1]["optim.lr"]
    assert [r["val_top1"] for r in taken] == [r["val_top1"] for r in earlier]
    assert ran.json["trials"] == {
        "finished": 1, "pruned": 0, "failed": 0, "taken_over": len(earlier)
    }  # fmt: skip
    assert f"{len(earlier)} of {len(earlier)} trials fit the space and are taken over" in ran.words


@pytest.mark.long
def test_two_workers_share_a_study_and_one_may_die(bars, tmp_path):
    """--jobs 2: kill -9 of one worker; every trial is accounted for, none is left running."""
    command = _command(bars, tmp_path, "--jobs", "2", "--threads", "1", "--trials", "6")
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    _wait_for(tmp_path / "study" / "trial_0001" / "history.csv")
    workers = _children(child.pid)
    os.kill(workers[0], signal.SIGKILL)
    _, said = child.communicate(timeout=120)

    assert child.returncode == 0, said
    assert "was ended by SIGKILL" in said
    states = [row["state"] for row in rows_of(tmp_path / "study")]
    assert states == ["finished"] * 6


def _children(pid):
    """Processes that this one started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    more = [int(child) for child in text.split()]
    for task in Path(f"/proc/{pid}/task").iterdir():
        more += map(int, (task / "children").read_text(encoding="ascii").split())
    return sorted(set(more))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--method", "grid"], "--method grid tries every value, and optim.lr has no end of them"),
        (["--method", "cmaes", "--objective", "val+size"], "knows one goal"),
        (["--objective", "val+size", "--pruner", "median"], "cannot weigh the two goals"),
        (["--processes", "2"], "take --jobs 2"),
        (["--storage", "nonsense"], "is no URL"),
        (["--from", "nowhere"], "no run 'nowhere'"),
        (["--folds", "3"], "--folds has an effect only with --objective cv"),
        (["--budget", "1m"], "--timeout ends the search"),
        (["--resume", "latest"], "type the same command again"),
    ],
)
def test_what_cannot_be_is_refused_before_work(imgtrain, more, words):
    """One sentence that names the flag; no data is read, and no folder made."""
    ran = imgtrain("tune", "-d", "nowhere", *TINY, *SPACE, *more)

    assert ran.code in (2, 6), ran.err
    assert words in ran.words
    assert not Path("runs").exists()


def test_a_grid_larger_than_the_trials_is_refused_with_its_size(imgtrain):
    """Leaving points out would be no grid."""
    ran = imgtrain(
        "tune", "--method", "grid", "--trials", "5",
        "--space", "optim.lr=0.1,0.01", "--space", "loss.label_smoothing=0,0.1,0.2",
    )  # fmt: skip

    assert ran.code == 2
    assert "the grid has 6 points, --trials 5 would leave some out" in ran.words


def test_a_grid_with_two_goals_lists_what_none_beats(imgtrain, bars, tmp_path):
    """Every point once; a trial that cannot be fails alone; the best is by accuracy."""
    ran = imgtrain(
        "tune", "-d", bars, *SHORT, "-o", tmp_path, "--method", "grid", "--objective", "val+size",
        "--space", "optim.lr=0.01,1e20", "--space", "model.head=linear,mlp", "--json",
        "--tune-epochs", "1",
    )  # fmt: skip

    assert ran.code == 0, ran.err
    rows = rows_of(tmp_path / "study")
    points = sorted((row["optim.lr"], row["model.head"]) for row in rows)
    assert len(points) == len(set(points)) == 4
    failed = [row for row in rows if row["state"] == "failed"]
    assert {row["optim.lr"] for row in failed} == {"1e+20"}
    assert re.search(r"failed: training diverged", ran.words)
    sizes = [each["values"]["size_mb"] for each in ran.json["pareto"]]
    assert sizes == sorted(sizes, reverse=True)
    assert ran.json["best"]["trial"] == ran.json["pareto"][0]["trial"]


def test_what_all_trials_fail_of_ends_the_study(imgtrain, bars, tmp_path):
    """With the reason of the last, and its exit code."""
    ran = imgtrain(
        "tune", "-d", bars, *SHORT, "-o", tmp_path, "--space", "optim.lr=1e20,2e20,3e20",
        "--trials", "2", "--tune-epochs", "1", "--method", "random",
    )  # fmt: skip

    assert ran.code == 7
    assert "all 2 trials failed, the last: training diverged" in ran.words


def test_those_that_fall_behind_are_ended_within_an_epoch(imgtrain, bars, tmp_path):
    """A pruned trial is neither failed nor finished; its last epoch is on disk."""
    rates = "optim.lr=1e-5,2e-5,3e-5,4e-5,5e-5,0.05"  # the last one blows the loss up
    ran = imgtrain(
        "tune", "-d", bars, *SHORT, "-o", tmp_path, "--method", "grid", "--space", rates,
        "--monitor", "val_loss", "--pruner", "median", "--trials", "6", "--tune-epochs", "3",
    )  # fmt: skip

    assert ran.code == 0, ran.err
    rows = rows_of(tmp_path / "study")
    assert [row["state"] for row in rows] == ["finished"] * 5 + ["pruned"]
    run = tmp_path / "study" / "trial_0005"
    assert json.loads((run / "status.json").read_text())["state"] == "pruned"
    lines = (run / "history.csv").read_text().splitlines()
    assert len(lines) - 1 == int(rows[5]["epochs"]) < 3
    assert "trial 5 pruned: val_loss " in ran.words
    assert "fell behind" not in ran.err  # what ended it is no message


def test_optuna_sees_the_study(study):
    """study.db is Optuna's: its own tools open it."""
    storage = f"sqlite:///{study / 'study.db'}"
    there = optuna.storages.RDBStorage(storage)
    (name,) = optuna.get_all_study_names(there)
    loaded = optuna.load_study(study_name=name, storage=there)

    assert [t.number for t in loaded.trials][:4] == [0, 1, 2, 3]
    assert loaded.metric_names == ["val_top1"]
    there.engine.dispose()


def test_trials_may_be_judged_by_cross_validation(imgtrain, bars, tmp_path):
    """The mean over folds, each a run of its own; the test part is in none, and is not opened."""
    ran = imgtrain(
        "tune", "-d", bars, *SHORT, "-o", tmp_path, "--objective", "cv", "--folds", "2",
        "--method", "grid", "--space", "optim.lr=0.003,0.01", "--tune-epochs", "1", "--trials", "2",
    )  # fmt: skip

    assert ran.code == 0, ran.err
    rows = rows_of(tmp_path / "study")
    assert len(rows) == 2
    for row in rows:
        trial = tmp_path / "study" / f"trial_{int(row['number']):04d}"
        runs = [trial / "fold_1", trial / "fold_2"]
        found = [json.loads((run / "metrics.json").read_text()) for run in runs]
        mean = sum(metrics["val"]["top1"] for metrics in found) / 2
        assert float(row["val_top1"]) == pytest.approx(mean, abs=1e-12)
        assert [metrics["val"]["n"] for metrics in found] == [36, 36]
        assert row["epochs"] == "2"
        assert not list(trial.rglob("checkpoints"))
