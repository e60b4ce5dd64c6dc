"""One process is the special case of many: gloo processes on this machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

TIMES = {"seconds", "images_per_second"}
HERE = Path(__file__).parent


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _trained(size, *, effective, train, val):
    """What the first of ``size`` processes says."""
    port = str(_free_port())
    arguments = [str(effective // size), str(train), str(val)]
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
            subprocess.Popen(
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
def test_processes_change_neither_the_learning_curve_nor_the_score():
    """1, 2, 3 processes, same effective batch: curves within 1e-5, evaluation to the last digit.

    Odd sizes (the last batch is not full, shards are uneven) and unreadable pictures included.
    """
    sizes = {"effective": 6, "train": 47, "val": 200}
    alone = _trained(1, **sizes)
    for size in (2, 3):
        many = _trained(size, **sizes)

        assert many["positions"] == alone["positions"]
        assert many["probs"] == alone["probs"]
        for row, other in zip(alone["history"], many["history"], strict=True):
            for key in row.keys() - TIMES:
                assert other[key] == pytest.approx(row[key], abs=1e-5), (size, key)
        for name, weight in alone["weights"].items():
            assert _flat(many["weights"][name]) == pytest.approx(_flat(weight), abs=1e-5)


def _flat(value):
    return [x for v in value for x in _flat(v)] if isinstance(value, list) else [value]
