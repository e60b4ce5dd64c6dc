"""How much memory there is, and what happens at the limit."""

import os
import sys
from pathlib import Path

import pytest
import torch
import warm

from imgtrain.engine.limits import data_size, limited, machine_memory
from imgtrain.errors import MemoryLimitError

CPU = torch.device("cpu")


def _written(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return root


MEMORY = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"}


def test_the_machine_bounds_where_no_cgroup_does(tmp_path):
    """MemAvailable; ``max`` is no limit."""
    root = _written(
        tmp_path,
        MEMORY | {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"},
    )

    assert machine_memory(root) == (8000 * 1024, "the machine's free memory")
    assert machine_memory(_written(tmp_path / "b", MEMORY))[0] == 8000 * 1024


def test_the_tightest_cgroup_bounds(tmp_path):
    """Version 2: limit less use, where files at hand count as free; of a group and those above."""
    group = "sys/fs/cgroup/a"
    root = _written(
        tmp_path,
        MEMORY
        | {
            "proc/self/cgroup": "0::/a/b\n",
            f"{group}/memory.max": "5000000\n",
            f"{group}/memory.current": "3000000\n",
            f"{group}/memory.stat": "anon 1\ninactive_file 1000000\n",
            f"{group}/b/memory.max": "7000000\n",
            f"{group}/b/memory.current": "3000000\n",
        },
    )

    assert machine_memory(root) == (3_000_000, "the cgroup's limit")


def test_cgroups_of_version_1(tmp_path):
    """In a container the path may be the host's: the top of the tree counts, too."""
    top = "sys/fs/cgroup/memory"
    root = _written(
        tmp_path,
        MEMORY
        | {
            "proc/self/cgroup": "5:cpu:/x\n4:memory,other:/docker/x\n",
            f"{top}/memory.limit_in_bytes": "4000000\n",
            f"{top}/memory.usage_in_bytes": "1000000\n",
            f"{top}/memory.stat": "total_inactive_file 500000\n",
        },
    )

    assert machine_memory(root) == (3_500_000, "the cgroup's limit")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's limit of data")
def test_a_limit_that_is_passed_already():
    """Exit code 5 before anything is trained."""
    with (
        pytest.raises(MemoryLimitError, match="before the training begins"),
        limited(data_size() / 2e9, CPU),
    ):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's limit of data")
def test_the_limit_ends_with_the_block():
    """What asked for too much inside may have it afterwards."""
    with (
        limited(data_size() / 1e9 + 0.05, CPU),
        pytest.raises(RuntimeError, match="can't allocate memory"),
    ):
        torch.empty(200_000_000, dtype=torch.uint8)
    assert torch.empty(200_000_000, dtype=torch.uint8).numel() == 200_000_000


@pytest.mark.long  # died once of SIGSEGV where malloc failed: cause not found
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's limit of data")
def test_a_step_under_a_real_limit_is_the_same_update():
    """2,048 pictures in too little memory: cut into pieces by real failures, the same weights."""

    def ran(megabytes):
        script = Path(__file__).with_name("in_little_memory.py")
        done = warm.run(
            [sys.executable, script, str(megabytes)],
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        pieces, total = done.stdout.split()
        return int(pieces), float(total)

    free, tight = ran(4000), ran(150)
    assert free[0] == 1
    assert tight[0] > 1
    assert tight[1] == pytest.approx(free[1], abs=1e-4)
