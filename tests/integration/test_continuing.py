"""Interrupted and continued by the same command."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import warm
from conftest import TINY
from test_train import rows, same_weights, steady

LONG = ["--epochs", "4", "--checkpoint-minutes", "0.0005", "--dropout", "0.2"]


def start(work, *arguments):
    """The command in a process of its own."""
    return warm.Popen(
        [sys.executable, "-m", "imgtrain", *map(str, arguments)],
        cwd=work,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    )


def finished(child, seconds=120):
    """The exit code, once the process has ended."""
    _, err = child.communicate(timeout=seconds)
    assert child.returncode == 0, err
    return True


def wait_for(path, seconds=60):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_twice_and_continued_the_run_is_the_same_to_the_bit(photos, tmp_path):
    """Kill -9 at random moments of training: weights, predictions and history are unharmed."""
    command = ["train", "--data", photos, *TINY, *LONG, "--epochs", "12"]
    whole, work = tmp_path / "whole", tmp_path / "work"
    for folder in (whole, work):
        folder.mkdir(exist_ok=True)
    assert finished(start(whole, *command))
    run = work / "runs" / "photos-test_resnet"
    rng = random.Random(4)
    for kills in range(2):
        child = start(work, *command)
        last = run / "checkpoints" / "last.pt"
        before = last.stat().st_mtime_ns if kills else 0
        end = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < end:
            if last.exists() and last.stat().st_mtime_ns != before:
                break
            time.sleep(0.002)
        time.sleep(rng.random() * 0.3)
        child.kill()
        child.communicate()
        assert child.returncode == -signal.SIGKILL, "it ended before it could be killed"
    assert finished(start(work, *command))
    other = whole / "runs" / "photos-test_resnet"

    assert sorted(p.name for p in (work / "runs").iterdir()) == ["photos-test_resnet"]
    assert same_weights(run, other)
    assert steady(run) == steady(other)
    assert (run / "predictions_test.csv").read_bytes() == (
        other / "predictions_test.csv"
    ).read_bytes()
    assert not list(run.rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(photos, tmp_path, number, code):
    """130 and 143; the state is interrupted; the same command finishes."""
    command = ["train", "--data", photos, *TINY, *LONG, "--epochs", "200"]
    child = start(tmp_path, *command)
    run = tmp_path / "runs" / "photos-test_resnet"
    wait_for(run / "checkpoints" / "last.pt")
    child.send_signal(number)
    _, err = child.communicate(timeout=60)

    assert child.returncode == code
    assert "the same command goes on" in err
    assert json.loads((run / "status.json").read_text())["state"] == "interrupted"

    shorter = start(tmp_path, "train", "--resume", "latest", "--epochs", "4")
    _, err = shorter.communicate(timeout=120)
    assert shorter.returncode == 6
    assert "was begun with 200 epochs" in err


def test_a_finished_run_says_so(imgtrain, photos):
    """--resume of a finished run does nothing, and exits with 0."""
    assert imgtrain("train", "--data", photos, *TINY, "--epochs", "1").code == 0
    ran = imgtrain("train", "--resume", "latest", "--json")

    assert ran.code == 0
    assert "is finished; nothing to do" in ran.words
    assert ran.json["metrics"]["best_epoch"] == 1


def test_more_epochs_go_on_with_the_same_run(imgtrain, photos, tmp_path):
    """--resume with more epochs: the first rows stay, the rest is added."""
    assert imgtrain("train", "--data", photos, *TINY, "--epochs", "2").code == 0
    run = tmp_path / "work" / "runs" / "photos-test_resnet"
    before = rows(run / "history.csv")
    ran = imgtrain("train", "--resume", "photos-test_resnet", "--epochs", "4")

    assert ran.code == 0, ran.err
    assert rows(run / "history.csv")[:2] == before
    assert len(rows(run / "history.csv")) == 4


def test_another_setting_is_refused_on_resume(imgtrain, photos):
    """The message names the key and both values; exit code 6."""
    assert imgtrain("train", "--data", photos, *TINY, "--epochs", "1").code == 0
    ran = imgtrain("train", "--resume", "latest", "--lr", "0.5", "--epochs", "3")

    assert ran.code == 6
    assert "optim.lr (run: 0.0007" in ran.words
    assert "now: 0.5)" in ran.words


def test_fresh_starts_anew(imgtrain, photos, tmp_path):
    """An unfinished run stays as it is."""
    command = ["train", "--data", photos, *TINY, "--epochs", "2"]
    assert imgtrain(*command).code == 0
    runs = tmp_path / "work" / "runs"
    status = runs / "photos-test_resnet" / "status.json"
    status.write_text(json.dumps({"format": 1, "state": "interrupted", "pid": 1, "epochs": 2}))
    again = imgtrain(*command)
    assert "going on with runs/photos-test_resnet" in again.words
    status.write_text(json.dumps({"format": 1, "state": "interrupted", "pid": 1, "epochs": 2}))
    fresh = imgtrain(*command, "--fresh")

    assert fresh.code == 0
    assert sorted(p.name for p in runs.iterdir()) == ["photos-test_resnet", "photos-test_resnet-2"]


def test_a_run_in_use_is_not_shared(imgtrain, photos, tmp_path):
    """A second process with the same command is refused while the first works."""
    command = ["train", "--data", photos, *TINY, "--epochs", "300"]
    work = tmp_path / "work"
    child = start(work, *command)
    try:
        wait_for(work / "runs" / "photos-test_resnet" / "checkpoints" / "last.pt")
        ran = imgtrain(*command)
    finally:
        child.kill()
        child.communicate()

    assert ran.code == 6
    assert "being worked on by another process" in ran.words


def test_a_later_format_is_refused(imgtrain, photos, tmp_path):
    """A run folder of a newer version: one sentence."""
    assert imgtrain("train", "--data", photos, *TINY, "--epochs", "1").code == 0
    status = tmp_path / "work" / "runs" / "photos-test_resnet" / "status.json"
    status.write_text(json.dumps({"format": 99, "state": "finished"}))
    ran = imgtrain("train", "--resume", "latest")

    assert ran.code == 6
    assert "later version of imgtrain" in ran.words


def unfinished(run):
    """As a killed process would leave it."""
    status = run / "status.json"
    status.write_text(json.dumps({**json.loads(status.read_text()), "state": "running"}))


def test_the_plain_command_finds_a_run_that_was_extended(imgtrain, photos, tmp_path):
    """Begun with 1 epoch, extended to 3 and killed: the command with 3 epochs goes on with it."""
    assert imgtrain("train", "--data", photos, *TINY, "--epochs", "1").code == 0
    run = tmp_path / "work" / "runs" / "photos-test_resnet"
    begun = json.loads((run / "provenance.json").read_text())
    assert imgtrain("train", "--resume", "latest", "--epochs", "3").code == 0
    unfinished(run)
    ran = imgtrain("train", "--data", photos, *TINY, "--epochs", "3")
    now = json.loads((run / "provenance.json").read_text())

    assert ran.code == 0, ran.err
    assert [p.name for p in (tmp_path / "work" / "runs").iterdir()] == ["photos-test_resnet"]
    assert now["argv"] == begun["argv"]
    assert now["origins"]["optim.lr"] == "default, decided"
    assert now["origins"]["model.name"] == "flag --model"
    assert len(now["continued"]) == 2


def test_other_pictures_are_refused_on_resume(imgtrain, photos, tmp_path):
    """One more file would move pictures between parts: code 6, nothing is overwritten."""
    assert imgtrain("train", "--data", photos, *TINY, "--epochs", "1").code == 0
    splits = tmp_path / "work" / "runs" / "photos-test_resnet" / "splits.csv"
    before = splits.read_bytes()
    (photos / "left" / "000.png").rename(photos / "left" / "new.png")
    ran = imgtrain("train", "--resume", "latest", "--epochs", "2")

    assert ran.code == 6
    assert "the pictures in" in ran.words
    assert splits.read_bytes() == before


def test_patience_starts_again_with_more_epochs(imgtrain, photos, tmp_path):
    """A run that patience ended and that is given more epochs trains on."""
    still = ["--lr", "1e-30", "--weight-decay", "0", "--patience", "2", "--monitor", "val_top1"]
    assert imgtrain("train", "--data", photos, *TINY, *still, "--epochs", "6").code == 0
    run = tmp_path / "work" / "runs" / "photos-test_resnet"
    before = len(rows(run / "history.csv"))
    ran = imgtrain("train", "--resume", "latest", "--epochs", "9")

    assert ran.code == 0, ran.err
    assert len(rows(run / "history.csv")) > before


def test_the_start_is_not_needed_to_go_on(imgtrain, photos, tmp_path):
    """--weights FILE may be gone once there is a checkpoint."""
    assert imgtrain("train", "--data", photos, *TINY, "--epochs", "1").code == 0
    weights = tmp_path / "w.safetensors"
    run = tmp_path / "work" / "runs" / "photos-test_resnet"
    weights.write_bytes((run / "model.safetensors").read_bytes())
    command = ["train", "--data", photos, *TINY[:6], "--epochs", "2", "--weights", weights]
    assert imgtrain(*command, "--name", "second").code == 0
    unfinished(tmp_path / "work" / "runs" / "second")
    weights.unlink()
    ran = imgtrain(*command, "--name", "second")

    assert ran.code == 0, ran.err
    assert "going on with" in ran.words
