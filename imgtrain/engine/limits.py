"""How much memory there is, and keeping within it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from imgtrain.errors import MemoryLimitError, SettingsError

GB = 1e9


@contextlib.contextmanager
def limited(gigabytes: float | None, device: torch.device, *, processes: int = 1) -> Iterator[None]:
    """Within the block, asking for more memory than this fails: ``--memory-limit``.

    On a GPU torch's allocator keeps to it. On the CPU the kernel does: it is the process's own
    writable memory (``RLIMIT_DATA``), Python and torch included, shared by ``processes`` of this
    machine; what fails there raises, where the kernel's killer would not.

    Raises:
        SettingsError: If there is not so much, or this system keeps no such limit.
        MemoryLimitError: If the process holds more already.
    """
    if gigabytes is None:
        yield
    elif device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        if gigabytes * GB > total:
            raise SettingsError(
                f"--memory-limit {gigabytes:g}: the GPU has {total / GB:.1f} GB", "lower it"
            )
        torch.cuda.set_per_process_memory_fraction(gigabytes * GB / total, device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
    else:
        with data_limited(gigabytes * GB / processes, f"--memory-limit {gigabytes:g}"):
            yield


@contextlib.contextmanager
def data_limited(size: float, flag: str) -> Iterator[None]:
    """Within the block, this process may have ``size`` bytes of writable memory of its own."""
    if sys.platform != "linux":
        raise SettingsError(f"{flag} needs Linux, or a GPU", "leave it out")
    import resource

    held = data_size()
    if held >= size:
        raise MemoryLimitError(
            f"{flag}: the process holds {held / GB:.1f} GB before the training begins",
            "raise --memory-limit (Python and torch count, and with several processes each does)",
        )
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft != resource.RLIM_INFINITY:
        size = min(size, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (int(size), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def data_size() -> int:
    """Bytes of writable memory that are this process's own, touched or not; 0 if unknown."""
    return _from_status("VmData")


def peak_data() -> int:
    """The most of them that were in use since ``forget_peak``, as far as can be known."""
    return max(_from_status("VmHWM") - _from_status("VmRSS"), 0) + data_size()


def forget_peak() -> None:
    """Begin to look for the peak anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _from_status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def machine_memory(root: Path = Path("/")) -> tuple[int, str]:
    """Bytes that the machine can still give, and what bounds them: its RAM, or a cgroup's limit.

    Files that the kernel merely keeps at hand count as free.
    """
    found = [(_available(root), "the machine's free memory")]
    for folder, names in _cgroups(root):
        limit, used = _number(folder / names[0]), _number(folder / names[1])
        if limit is not None and used is not None:
            free = limit - used + _stat(folder, names[2])
            found.append((max(0, free), "the cgroup's limit"))
    return min(found)


def _cgroups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """This process's cgroups and those above, with the names of their files."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            top = root / "sys/fs/cgroup"
            names = ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for count in range(len(parts) + 1):
            yield top.joinpath(*parts[:count]), names


def _number(path: Path) -> int | None:
    """What the file says; None where it is not there, or says ``max``."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _stat(folder: Path, name: str) -> int:
    try:
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    pairs = (line.split() for line in lines)
    return next((int(pair[1]) for pair in pairs if pair[0] == name), 0)


def _available(root: Path) -> int:
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 1 << 62
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith("MemAvailable")), 1 << 62)
