"""Workers on this machine: a signal reaches them whenever it comes."""

import signal
import time

import pytest

from imgtrain.errors import InterruptedRun
from imgtrain.tuning.workers import Team

_WORKER = """
import os, sys, time

def work(ask):
    print(f"pid {os.getpid()}", flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_signal_before_a_worker_is_known_ends_it_as_well(tmp_path, monkeypatch):
    """Ctrl-C while the workers are still importing is not lost."""
    (tmp_path / "a_worker.py").write_text(_WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    team = Team([{}], "a_worker:work", lambda: None)
    team.stop(signal.SIGTERM)

    begun = time.monotonic()
    with pytest.raises(InterruptedRun):
        team.work()
    assert time.monotonic() - begun < 30
    assert team.ended[0].code == -signal.SIGTERM
