"""Processes that die and start again, on one machine and on two; and other numbers of them."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import make_folder
from test_several_processes import children, wait_for_epoch
from test_train import rows, same_weights, steady

NAME = "photos-test_vit"
COMMAND = [
    "--model", "test_vit", "--image-size", "32", "--batch-size", "4", "--no-pretrained",
    "--device", "cpu", "--precision", "fp32", "--epochs", "10", "--checkpoint-minutes", "0.0005",
    "--on-leak", "off", "--threads", "1",
]  # fmt: skip
"""No batch normalisation: any number of processes learns the same."""


def begun(work, launcher, *more):
    """``imgtrain train`` under a launcher, in the folder ``work``."""
    work.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, "train", "--data", work.parent / "photos", *COMMAND]
        + [str(word) for word in more],
        cwd=work,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def alone(work, *more):
    return begun(work, ["imgtrain"], "--processes", "2", *more)


def ended(process, seconds=180):
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, out + err
    return err


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Pictures, and what two processes that nobody disturbs make of them, in ``whole``."""
    folder = tmp_path_factory.mktemp("home")
    make_folder(folder / "photos", {"left": 20, "middle": 20, "right": 20}, size=40)
    ended(alone(folder / "whole"))
    return folder


def same_run(work, home):
    """Weights, predictions and history are those of the undisturbed run."""
    assert [path.name for path in (work / "runs").iterdir()] == [NAME]
    run, other = work / "runs" / NAME, home / "whole" / "runs" / NAME
    assert same_weights(run, other)
    assert steady(run) == steady(other)
    for name in ("predictions_val.csv", "predictions_test.csv"):
        assert (run / name).read_bytes() == (other / name).read_bytes()
    return True


@pytest.mark.long
def test_a_group_that_lost_a_process_starts_again_by_itself(home):
    """Kill -9 of one of two: --max-restarts goes on, --fresh or not, to the same bits."""
    work = home / "restarted"
    process = alone(work, "--max-restarts", "1", "--fresh")
    wait_for_epoch(work, process)
    os.kill(children(process)[1], signal.SIGKILL)
    err = ended(process)

    assert "was ended by SIGKILL: all start again (0 more times)" in err
    assert "going on with" in err
    assert same_run(work, home)


def machine(work, number, port):
    """One of two launchers that meet on this machine's loopback."""
    launcher = [
        "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "2",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test",
        "--local-addr", "127.0.0.1", "-m", "imgtrain",
    ]  # fmt: skip
    return begun(work, launcher, "--output", "none" if number else "runs")


@pytest.mark.long
def test_two_launchers_make_one_run_and_survive_the_loss_of_a_process(home):
    """Two machines, the run's folder on the first alone: torchrun restarts both, the same bits."""
    work = home / "two"
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    machines = [machine(work, number, port) for number in range(2)]
    wait_for_epoch(work, machines[0])
    os.kill(children(machines[1])[0], signal.SIGKILL)
    said = [ended(process) for process in machines]

    assert not (work / "none").exists()
    assert "going on with" in said[0] + said[1]
    assert same_run(work, home)


@pytest.mark.long
def test_a_run_goes_on_with_another_number_of_processes(home):
    """Two, then one: the same pictures a step, the same learning curve to 1e-5."""
    work = home / "fewer"
    process = alone(work)
    wait_for_epoch(work, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    run = work / "runs" / NAME
    done = len(rows(run / "history.csv"))
    assert done < 10
    again = subprocess.run(
        [sys.executable, "-m", "imgtrain", "train", "--resume", "latest", "--processes", "1"],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert again.returncode == 0, again.stderr

    words = " ".join(again.stderr.split())
    assert "begun with 2 process(es), going on with 1: 8 pictures a step as before" in words
    assert "batch 8 = 4 x 2 accumulated x 1 process" in words
    for row, other in zip(
        rows(run / "history.csv"), rows(home / "whole/runs" / NAME / "history.csv"), strict=True
    ):
        for key in ("train_loss", "val_loss", "val_top1", "lr"):
            assert float(row[key]) == pytest.approx(float(other[key]), abs=1e-5), key
    begin = json.loads((run / "provenance.json").read_text())
    assert (begin["batches"]["world_size"], begin["batches"]["effective"]) == (2, 8)
    assert Path(run / "report.html").exists()
