"""Which batch is the largest, and which the one to take: on machines whose memory is arithmetic."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imgtrain.batch_finding import ENOUGH, PROBES, asked, find, ladder
from imgtrain.errors import DataError, MemoryLimitError


class Machine:
    """Takes ``base`` and ``slope`` a picture, has ``limit``; remembers what was tried."""

    def __init__(self, *, limit, base=1e9, slope=2e7, lie=0.0, device="cuda:0", full_speed=64):
        self.limit, self.base, self.slope, self.lie = limit, base, slope, lie
        self.device, self.full_speed = device, full_speed
        self.passed, self.children = set(), 0

    def takes(self, size):
        return self.base + self.slope * size

    @property
    def truth(self):
        return int((self.limit * (1 - self.lie) - self.base) // self.slope)

    def __call__(self, question):
        self.children += 1
        rungs, failed, ended = [], None, None
        for size in question["sizes"]:
            if rungs[1:] and self.takes(size) > 0.9 * self.limit:
                ended = "memory"
                break
            if size > self.truth:
                failed, ended = size, "memory"
                break
            self.passed.add(size)
            rate = 1000 * min(1.0, size / self.full_speed)
            rungs.append({"size": size, "rate": rate, "peak": self.takes(size)})
        return {
            "rungs": rungs, "failed": failed, "ended": ended, "limit": self.limit,
            "bound": "test", "device": self.device,
        }  # fmt: skip


def _question(pictures=1_000_000, whole=None, processes=1):
    return {
        "settings": {"train.global_batch_size": whole, "train.accumulation_steps": 1},
        "pictures": pictures,
        "processes": processes,
    }


@pytest.mark.parametrize("lie", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("limit", [1.03e9, 1.1e9, 1.4e9, 4e9, 16e9, 80e9, 140e9])
@pytest.mark.parametrize("slope", [1e6, 2e7, 9e7])
def test_at_most_six_probes_find_nearly_the_largest(limit, slope, lie):
    """At least 0.95 of what fits, only sizes that passed, even where memory is less than it says.

    ``lie`` is the share of the limit that cannot be used (fragments).
    """
    machine = Machine(limit=limit, slope=slope, lie=lie)
    if machine.truth < 1:
        with pytest.raises(MemoryLimitError):
            find(_question(), try_sizes=machine)
        return

    found = find(_question(), try_sizes=machine)

    assert machine.children == found.probes <= PROBES
    assert found.maximum >= int(ENOUGH * machine.truth)
    assert {found.maximum, found.recommended, found.knee} <= machine.passed
    assert {rung["size"] for rung in found.rungs} <= machine.passed


def test_the_knee_is_the_smallest_fast_one():
    """Speed grows up to 64 pictures: on a CPU that is what is recommended."""
    found = find(_question(), try_sizes=Machine(limit=8e9, device="cpu"))

    assert found.knee == found.recommended == 64
    assert found.maximum > 300


def test_a_gpu_is_filled_where_updates_are_many():
    """The largest with many pictures, the knee where an epoch would be a few updates."""
    assert find(_question(), try_sizes=Machine(limit=8e9)).recommended > 300
    few = find(_question(pictures=4000), try_sizes=Machine(limit=8e9))
    assert few.recommended == 64
    assert "updates" in few.why


def test_a_small_set_keeps_some_updates():
    """Ten an epoch at least, where a size that small was tried."""
    assert find(_question(pictures=200), try_sizes=Machine(limit=8e9)).recommended == 16
    assert find(_question(pictures=30), try_sizes=Machine(limit=8e9)).recommended == 8


@pytest.mark.parametrize(("pictures", "processes", "most"), [(5, 1, 5), (100, 2, 50), (9, 1, 9)])
def test_never_larger_than_the_training_part(pictures, processes, most):
    """A batch is at most a process's share of the pictures."""
    machine = Machine(limit=8e9)
    found = find(_question(pictures=pictures, processes=processes), try_sizes=machine)

    assert found.maximum <= most
    assert max(machine.passed) <= most


@pytest.mark.parametrize(("whole", "processes"), [(96, 1), (100, 2), (7, 1), (256, 4)])
def test_the_recommended_size_divides_the_effective_batch(whole, processes):
    """With --global-batch-size, and it passed too."""
    machine = Machine(limit=8e9, device="cpu")
    found = find(_question(whole=whole, processes=processes), try_sizes=machine)

    assert whole // processes % found.recommended == 0
    assert found.recommended in machine.passed


def test_where_not_even_one_picture_fits():
    """The way out, and exit code 5."""
    with pytest.raises(MemoryLimitError, match="even a single picture") as failed:
        find(_question(), try_sizes=Machine(limit=1.0e9))

    assert "--image-size" in failed.value.hint


def test_a_child_that_dies_is_an_answer():
    """The size it was trying did not fit, and the search goes on below."""

    class Deadly(Machine):
        def __call__(self, question):
            if max(question["sizes"]) > 100 and len(question["sizes"]) == 1:
                self.children += 1
                return None
            return super().__call__(question | {"sizes": [s for s in question["sizes"] if s < 99]})

    machine = Deadly(limit=8e9)
    found = find(_question(), try_sizes=machine)

    assert found.maximum in machine.passed
    assert found.maximum <= 100
    assert found.ends == "memory"


def test_sizes_begin_small():
    """Powers of two up to what is allowed; a tiny set is one size."""
    assert ladder(100) == [8, 16, 32, 64]
    assert ladder(5) == [5]


def die(how):
    """What a child does (called by name)."""
    if how == "data":
        return {"error": ["DataError", "no pictures", "bring some"]}
    if how == "memory":
        raise MemoryError
    if how == "sleep":
        time.sleep(60)
    if how == "bug":
        raise KeyError(how)
    os.kill(os.getpid(), signal.SIGKILL)
    return None


def test_what_befell_a_child(monkeypatch):
    """Killed or out of memory: None; an error for the user is raised here; a bug stays a bug."""
    monkeypatch.setenv("PYTHONPATH", ":".join([str(Path(__file__).parent), *sys.path]))

    assert asked("test_batch_finding:die", "kill") is None
    assert asked("test_batch_finding:die", "memory") is None
    with pytest.raises(DataError, match="no pictures"):
        asked("test_batch_finding:die", "data")
    with pytest.raises(RuntimeError, match="KeyError"):
        asked("test_batch_finding:die", "bug")


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at /proc")
def test_a_parent_that_is_killed_leaves_no_child(monkeypatch):
    """Even by SIGKILL, which nobody can handle."""
    monkeypatch.setenv("PYTHONPATH", ":".join([str(Path(__file__).parent), *sys.path]))
    code = "from imgtrain.children import in_child; in_child('test_batch_finding:die', 'sleep')"
    parent = subprocess.Popen([sys.executable, "-c", code])
    children = []
    for _ in range(200):
        time.sleep(0.05)
        path = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        children = path.read_text(encoding="ascii").split()
        if children and _is_asleep(children[0]):
            break
    parent.kill()
    parent.wait()

    assert children
    for _ in range(100):
        if not Path(f"/proc/{children[0]}").exists():
            break
        time.sleep(0.05)
    assert not Path(f"/proc/{children[0]}").exists()


def _is_asleep(pid):
    """Whether the child has come to its function."""
    return "nanosleep" in Path(f"/proc/{pid}/wchan").read_text(encoding="ascii")


def test_the_parent_imports_no_torch():
    """Neither who asks the children nor who starts several processes: memory is the children's."""
    script = (
        "import sys, imgtrain.batch_finding, imgtrain.launching\n"
        "sys.exit(len({'torch', 'torchvision', 'timm', 'cv2'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
