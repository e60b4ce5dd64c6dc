"""Signals: the first asks, the second acts."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from imgtrain.stopping import ECHO, Stop, listening

WAIT = (
    "import time; from imgtrain.stopping import listening\n"
    "with listening() as stop:\n"
    "    print('ready', flush=True)\n"
    "    while True:\n"
    "        time.sleep(0.01)\n"
    "        if stop() and not heard: print('heard', stop.number, flush=True); heard = True\n"
).replace("import time;", "import time; heard = False;")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_said(number, capsys):
    """The work goes on to a good moment; afterwards signals do what they did before."""
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with listening() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        assert stop.number == number

    said = capsys.readouterr().err
    assert re.fullmatch(rf"{number.name}: .*saving.* \(once more stops at once\)\n", said)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_handlers_come_back_after_an_error():
    """Whatever happens inside."""
    before = signal.getsignal(signal.SIGINT)

    def fail():
        with listening():
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_the_process_at_once(second):
    """With 128 + its number, as a shell reports it."""
    with subprocess.Popen(
        [sys.executable, "-c", WAIT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "heard 2\n"
        time.sleep(ECHO)
        child.send_signal(second)
        assert child.wait(10) == 128 + second


def test_an_echo_is_no_second_signal():
    """Twice at once is once: timeout(1) tells its child, and then the group that it is in."""
    with listening() as stop:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.number == signal.SIGTERM


def test_outside_the_main_thread_nothing_is_listened_to():
    """Python hands signals to the main thread alone; a caller's thread may still train."""
    before = signal.getsignal(signal.SIGINT)
    found = []

    def work():
        with listening() as stop:
            found.append((stop(), signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, True)]


def test_nothing_came_is_false():
    """A new Stop asks for nothing."""
    assert not Stop()()
