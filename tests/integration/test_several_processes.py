"""``torchrun -m imgtrain train``: several processes make one run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY


def launched(work, *arguments):
    """Two processes on the CPU, as torchrun starts them."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, *launcher, "-m", "imgtrain", "train", *map(str, arguments)],
        cwd=work,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.slow
def test_two_processes_make_one_run(photos, tmp_path):
    """One folder, one voice, every test picture scored once, JSON from the first alone."""
    ran = launched(tmp_path, "--data", photos, *TINY, "--epochs", "2", "--device", "cpu", "--json")
    assert ran.returncode == 0, ran.stderr

    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["photos-test_resnet"]
    assert json.loads(ran.stdout)["metrics"]["test"]["n"] == 6
    assert "batch 16 = 8 x 1 accumulated x 2 processes" in ran.stderr
    assert ran.stderr.count("epoch 1/2") == 1


@pytest.mark.long
def test_an_error_of_any_process_is_shown(photos, tmp_path):
    """Whichever process meets the broken picture names it."""
    (photos / "left" / "003.png").write_text("no picture")
    ran = launched(
        tmp_path, "--data", photos, *TINY, "--epochs", "2", "--device", "cpu",
        "--on-bad-image", "error", "--split-ratio", "1,0,0",
    )  # fmt: skip

    assert ran.returncode != 0
    assert "cannot read left/003.png" in ran.stderr


def started(work, *arguments):
    """The command itself, which starts two processes."""
    return subprocess.Popen(
        [sys.executable, "-m", "imgtrain", "train", "--processes", "2", "--device", "cpu"]
        + [str(a) for a in arguments],
        cwd=work,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epoch(work, process):
    """Until an epoch is on disk."""
    deadline = time.monotonic() + 120
    while not list(work.glob("runs/*/checkpoints/last.pt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children(process):
    """Process numbers of the processes that were started."""
    listed = Path(f"/proc/{process.pid}/task").glob("*/children")
    return [int(number) for place in listed for number in place.read_text().split()]


@pytest.mark.slow
def test_one_command_starts_two_processes_that_save_when_told_to_stop(photos, tmp_path):
    """SIGTERM: 143, everything saved, the weights shared out over the processes."""
    arguments = ["--data", photos, *TINY, "--on-leak", "off", "--fsdp", "--json"]
    first = started(tmp_path, *arguments, "--epochs", "300")
    wait_for_epoch(tmp_path, first)
    first.send_signal(signal.SIGTERM)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 143, err
    assert err.count("everything is saved in runs/photos-test_resnet") == 1
    assert "Traceback" not in err
    status = json.loads((tmp_path / "runs/photos-test_resnet/status.json").read_text())
    assert status["state"] == "interrupted"


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others(photos, tmp_path):
    """Within ten seconds, with its signal as exit code and in one sentence."""
    process = started(tmp_path, "--data", photos, *TINY, "--on-leak", "off", "--epochs", "300")
    wait_for_epoch(tmp_path, process)
    numbers = children(process)
    assert len(numbers) == 2
    os.kill(numbers[1], signal.SIGKILL)
    since = time.monotonic()
    _, err = process.communicate(timeout=60)

    assert time.monotonic() - since < 10
    assert process.returncode == 137, err
    assert "was ended by SIGKILL, and so the others" in err
    for number in numbers:
        assert not Path(f"/proc/{number}").exists()


@pytest.mark.slow
def test_the_exit_code_is_that_of_the_process_that_failed(photos, tmp_path):
    """A bad picture met by any process is exit code 3, as alone."""
    (photos / "left" / "003.png").write_text("no picture")
    process = started(
        tmp_path, "--data", photos, *TINY, "--epochs", "2",
        "--on-bad-image", "error", "--split-ratio", "1,0,0",
    )  # fmt: skip
    _, err = process.communicate(timeout=120)

    assert process.returncode == 3, err
    assert "cannot read left/003.png" in err
