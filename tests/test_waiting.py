"""How long threads wait for one another."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

_LOAD = """
import ctypes, sys
from imgtrain.waiting import wait_briefly

wait_briefly()
ctypes.CDLL(sys.argv[1])
"""


def _libgomp():
    """The one that torch brings along, where it does."""
    spec = importlib.util.find_spec("torch")
    found = sorted((Path(spec.origin).parent / "lib").glob("libgomp*.so*"))
    if not found:
        pytest.skip("this torch brings no OpenMP of GNU's along")
    return found[0]


@pytest.mark.parametrize(
    ("told", "spins"),
    [({}, "30000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
)
def test_threads_wait_briefly_unless_the_user_says_otherwise(told, spins):
    """As torch's own OpenMP understands it, which reads the environment when it is loaded."""
    kept = {k: v for k, v in os.environ.items() if k not in {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}}
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(_libgomp())],
        env={**kept, **told, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr
