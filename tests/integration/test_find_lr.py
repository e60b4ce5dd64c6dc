"""``imgtrain find-lr`` and ``--lr find``, on real files and in real processes."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import TINY, make_folder
from test_train import rows, same_weights, steady

ALONE = [*TINY, "--device", "cpu", "--threads", "1", "--optimizer", "adamw"]


@pytest.fixture
def bars(tmp_path):
    """Two classes of 20 small pictures."""
    return make_folder(tmp_path / "bars", {"left": 20, "right": 20}, size=32)


def test_a_rate_is_suggested_and_its_curve_written(imgtrain, bars):
    """JSON on stdout, a table and a picture in a folder that is no run, rates that rise."""
    span = ["--from", "1e-6", "--to", "1", "--steps", "80"]
    ran = imgtrain("find-lr", "-d", bars, *ALONE, *span, "--json")
    assert ran.code == 0, ran.err
    folder = Path(ran.json["folder"])
    with (folder / "lr_find.csv").open(encoding="utf-8") as file:
        curve = list(csv.DictReader(file))

    rates = [float(row["lr"]) for row in curve]
    assert rates == sorted(set(rates))
    assert rates[0] == 1e-6
    assert 1e-6 < ran.json["begin"] < ran.json["lr"] < ran.json["lowest"] <= 1
    assert ran.json["batch"] == 8
    assert ran.json["optimizer"] == "adamw"
    assert str(folder) == "runs/find-lr-bars-test_resnet"
    assert sorted(p.name for p in folder.iterdir()) == [
        "lr_find.csv", "lr_find.json", "lr_find.png",
    ]  # fmt: skip
    assert "no run" in imgtrain("report").words


def test_no_clear_minimum_is_an_answer(imgtrain, bars):
    """Exit code 0, null for programs, a sentence for people."""
    low = ["--from", "1e-12", "--to", "1e-9", "--steps", "20"]
    ran = imgtrain("find-lr", "-d", bars, *ALONE, *low, "--json", "--processes", "2")

    assert (ran.code, ran.json["lr"], ran.json["lowest"]) == (0, None, None)
    assert ran.json["batch"] == 16  # of two processes, by accumulation in one
    assert json.loads(Path(ran.json["folder"], "lr_find.json").read_text())["sentence"].startswith(
        "no clear minimum: the loss did not fall"
    )


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (["--lr", "0.1"], 2, "--lr 0.1 sets the rate that find-lr looks for"),
        (["--from", "1", "--to", "0.1"], 2, "--from 1 and --to 0.1 are no rising rates"),
        (["--steps", "5"], 2, "--steps 5 are too few to tell a fall from noise"),
    ],
)
def test_contradictions_are_refused(imgtrain, given, code, says):
    """Before any data is read."""
    ran = imgtrain("find-lr", "-d", "nowhere", *given)
    assert (ran.code, says in ran.words) == (code, True), ran.err


def test_what_goes_wrong_in_the_child_is_said_here(imgtrain):
    """The child's error is the command's, with its exit code, and nothing is left."""
    ran = imgtrain("find-lr", "-d", "nowhere")
    assert ran.code == 3
    assert "nowhere" in ran.words
    assert not Path("runs").exists()


@pytest.mark.slow
def test_training_takes_the_rate_that_is_found(imgtrain, bars):
    """``--lr find`` twice: the same rate, the same bits; the curve is in the run and its report."""
    command = ["train", "-d", bars, *ALONE, "--lr", "find", "--epochs", "2", "--json"]
    first, second = (imgtrain(*command) for _ in range(2))
    assert (first.code, second.code) == (0, 0), first.err + second.err
    one, two = Path(first.json["run"]), Path(second.json["run"])

    assert one != two
    rate = yaml.safe_load((one / "config.yaml").read_text())["optim"]["lr"]
    found = json.loads((one / "lr_find.json").read_text())
    assert rate == found["lr"] or math.isclose(rate, found["lr"])
    assert "--lr find: learning rate" in first.words
    assert max(float(row["lr"]) for row in rows(one / "history.csv")) <= rate
    assert same_weights(one, two)
    assert steady(one) == steady(two)
    assert "Range test</h2>" in (one / "report.html").read_text(encoding="utf-8")
    assert (one / "plots" / "lr_find.png").exists()
    provenance = json.loads((one / "provenance.json").read_text())
    assert provenance["asked"]["optim.lr"] == "find"
    assert provenance["origins"]["optim.lr"] == "flag --lr, decided"


def test_a_stopped_test_leaves_nothing(bars, tmp_path):
    """After Ctrl-C to the parent alone: exit code 130, no child, no folder, no temporary file."""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    command = ["find-lr", "-d", str(bars), *ALONE, "--steps", "100000", "-o", str(tmp_path / "o")]
    parent = subprocess.Popen(
        [sys.executable, "-m", "imgtrain", *command],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    end = time.monotonic() + 120
    while not list((tmp_path / "tmp").glob("imgtrain-*/said.txt")) or not children.read_text():
        assert time.monotonic() < end
        assert parent.poll() is None
        time.sleep(0.05)
    child = int(children.read_text().split()[0])
    parent.send_signal(signal.SIGINT)
    _, said = parent.communicate(timeout=120)

    assert parent.returncode == 130, said
    assert not Path(f"/proc/{child}").exists()
    assert not list((tmp_path / "tmp").glob("imgtrain-*"))
    assert not (tmp_path / "o").exists()
