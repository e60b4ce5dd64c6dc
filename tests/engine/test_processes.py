"""One process is the special case of many: gloo processes on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import warm

TIMES = {"seconds", "images_per_second"}
HERE = Path(__file__).parent


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def trained(size, settings, *, effective, train, val):
    """What the first of ``size`` processes says."""
    port = str(_free_port())
    arguments = [str(effective // size), str(train), str(val), json.dumps(settings)]
    children = []
    for rank in range(size):
        more = {
            "WORLD_SIZE": str(size),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "OMP_NUM_THREADS": "1",
        }
        children.append(
            warm.Popen(
                [sys.executable, str(HERE / "one_of_many.py"), *arguments],
                env={**os.environ, **more},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    found = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0] * size, found
    return json.loads(found[0][0].splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"train": {"average_last": 2}},
        {
            "augment": {"mixup_alpha": 0.3, "cutmix_alpha": 1.0},
            "balance": {"strategy": "oversample"},
            "loss": {"name": "focal"},
            "train": {"image_sizes": "5:0.3,6:0.4,8:0.3"},
        },
        pytest.param(
            {"hardware": {"fsdp": True}, "train": {"accumulation_steps": 2}}, marks=pytest.mark.long
        ),
        pytest.param(
            {
                "hardware": {"sync_bn": True},
                "optim": {"name": "sgd", "lr": 0.02, "weight_decay": 0.0},
            },
            marks=pytest.mark.long,
        ),
    ],
    ids=["averaged", "mixed and balanced", "shared out", "synchronised batch normalisation"],
)
def test_processes_change_neither_the_learning_curve_nor_the_score(settings):
    """1, 2, 3 processes, same effective batch: curves within 1e-5, evaluation to the last digit.

    What is scored, the mean of the last epochs' weights or the weights, is the same, too. Odd sizes
    (the last batch is not full, shards are uneven) and unreadable pictures included.
    """
    sizes = {"effective": 6, "train": 47, "val": 200}
    alone = trained(1, settings, **sizes)
    for size in (2, 3):
        many = trained(size, settings, **sizes)

        assert many["positions"] == alone["positions"]
        assert many["probs"] == alone["probs"]
        for row, other in zip(alone["history"], many["history"], strict=True):
            for key in row.keys() - TIMES:
                assert other[key] == pytest.approx(row[key], abs=1e-5), (size, key)
        for kind in ("weights", "scored"):
            for name, weight in alone[kind].items():
                assert _flat(many[kind][name]) == pytest.approx(_flat(weight), abs=1e-5), kind


def _flat(value):
    return [x for v in value for x in _flat(v)] if isinstance(value, list) else [value]


def test_ctrl_c_ends_a_process_that_waits_for_one_that_left():
    """At once, also where torch waits for the other and Python hears nothing."""
    port = _free_port()
    more = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    code = "from imgtrain.engine.world import World\nprint(flush=True)\nwith World.joined(): pass"
    waits = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **more}, stdout=subprocess.PIPE
    )
    try:
        assert waits.stdout is not None
        waits.stdout.readline()
        store = torch.distributed.TCPStore("127.0.0.1", port, 2, wait_for_workers=False)
        time.sleep(1)  # it looks for the other
        waits.send_signal(signal.SIGINT)
        assert waits.wait(timeout=10) == -signal.SIGINT
    finally:
        waits.kill()
        waits.communicate()
        del store
