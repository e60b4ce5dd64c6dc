"""Work in a process of its own, with real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from imgtrain.children import in_child


def double(value):
    """What the child does."""
    sys.stdout.write("one\ntwo\n")
    return {"pid": os.getpid(), "twice": 2 * value["n"], "name": os.environ.get("NAME")}


def fail(_):
    """A child that breaks."""
    raise KeyError("nobody's")


def wait(_):
    """A child that never ends by itself."""
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    time.sleep(600)


def forever(folder):
    """A parent whose child never ends by itself."""
    told = Path(folder, "told")
    in_child(wait, None, hear=lambda line: told.write_text(line, encoding="utf-8"))


PATHS = {"PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"}


def test_a_child_returns_what_its_function_does():
    """In another process, with more variables; each line that it prints is heard at once."""
    lines = []
    ended = in_child(double, {"n": 21}, environment={**PATHS, "NAME": "x"}, hear=lines.append)

    assert ended.value == {"pid": ended.value["pid"], "twice": 42, "name": "x"}
    assert ended.value["pid"] != os.getpid()
    assert (ended.code, lines) == (0, ["one", "two"])


def test_a_child_that_breaks_says_so():
    """Its exit code, and the last lines of what it said."""
    ended = in_child(fail, None, environment=PATHS)

    assert (ended.value, ended.code) == (None, 1)
    assert ended.error.endswith('KeyError: "nobody\'s"')


def test_a_child_that_takes_too_long_is_killed(tmp_path):
    """After the seconds that it had."""
    begun = time.monotonic()
    ended = in_child(wait, None, environment={**PATHS, "TMPDIR": str(tmp_path)}, seconds=0.5)

    assert (ended.value, ended.code) == (None, -signal.SIGKILL)
    assert time.monotonic() - begun < 60


def test_a_child_ends_with_its_parent_and_leaves_no_litter(tmp_path):
    """Even where the parent was killed outright."""
    code = f"from test_children import forever; forever({str(tmp_path)!r})"
    environment = {**os.environ, **PATHS, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment)
    told = tmp_path / "told"
    _until(lambda: told.exists() and told.read_text().strip())
    child = int(told.read_text().split()[0])

    parent.kill()
    parent.wait()

    _until(lambda: not _is_alive(child))
    assert [p.name for p in tmp_path.iterdir()] == ["told"]


def _until(is_true):
    end = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.02)


def _is_alive(pid):
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
