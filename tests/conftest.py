"""What all tests share."""

import os
import sys
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # tests side by side, each on a core of its own
    os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path[:0] = [str(Path(__file__).parent / "engine"), str(Path(__file__).parent)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("IMGTRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
