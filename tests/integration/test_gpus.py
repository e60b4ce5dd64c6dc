"""What only a machine with GPUs can show; elsewhere these tests are skipped, and say so."""

import subprocess
import sys
from contextlib import ExitStack

import pytest
import torch
from conftest import TINY

from imgtrain.engine.step import train_step
from imgtrain.preparing import prepare_alone
from imgtrain.settings.layers import from_flat

GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0


@pytest.mark.skipif(GPUS < 1, reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_steps_never_wait_for_the_gpu(photos, precision):
    """There is no wait between the first step and the last: torch would raise an error."""
    settings = from_flat(
        {
            "data.root": str(photos), "data.image_size": 32, "model.name": "test_resnet",
            "model.pretrained": False, "train.batch_size": 4, "train.ema": True,
            "train.accumulation_steps": 2, "augment.mixup_alpha": 0.2, "augment.cutmix_alpha": 1.0,
            "hardware.device": "cuda", "hardware.precision": precision, "hardware.compile": False,
        }
    )  # fmt: skip
    with ExitStack() as stack:
        state = prepare_alone(settings, stack).state
        state.net.train()
        batches = state.training_batches()
        for _ in range(2):  # kernels are chosen, buffers are made
            train_step(state, batches)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(3):
                train_step(state, batches)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert state.tally.read().is_finite


@pytest.mark.skipif(GPUS < 2, reason="needs two GPUs")
@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--sync-bn"], ["--precision", "fp16"]])
def test_two_gpus_make_one_run(photos, tmp_path, more):
    """NCCL in place of gloo: the same command line, the same run."""
    command = ["train", "--data", photos, *TINY, "--epochs", "2", "--gpus", "0,1", *more]
    ran = subprocess.run(
        [sys.executable, "-m", "imgtrain", *map(str, command)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert "accumulated x 2 processes" in ran.stderr
