"""``torchrun -m imgtrain train``: several processes make one run."""

import json
import os
import subprocess
import sys

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


@pytest.mark.slow
def test_an_error_of_any_process_is_shown(photos, tmp_path):
    """Whichever process meets the broken picture names it."""
    (photos / "left" / "003.png").write_text("no picture")
    ran = launched(
        tmp_path, "--data", photos, *TINY, "--epochs", "2", "--device", "cpu",
        "--on-bad-image", "error", "--split-ratio", "1,0,0",
    )  # fmt: skip

    assert ran.returncode != 0
    assert "cannot read left/003.png" in ran.stderr
