"""Devices, precision, cores, memory, shared memory: what a training would compute on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imgtrain.children import Outcome
from imgtrain.doctor.lines import Line
from imgtrain.doctor.packages import ONE_INDEX
from imgtrain.fetching.progress import size_text

TOPIC = "Machine"

_LITTLE = 2_000_000_000
"""Bytes of free memory below which trainings of usual size do not begin: torch alone takes 1 GB."""

_DOCKERS_SHM = 64 * 2**20
"""What a container has of /dev/shm unless it was started with more."""


def broken_torch(ended: Outcome) -> list[Line]:
    """The one line of a torch that cannot even be asked; none where it answered."""
    if ended.value is None:
        said = ended.error.rpartition("\n")[2] or f"its process ended with {ended.code}"
    elif "error" in ended.value["builds"]:
        said = ended.value["builds"]["error"]
    else:
        return []
    return [Line(TOPIC, "torch", "problem", f"does not start: {said}", ONE_INDEX)]


def _told(ended: Outcome, part: str) -> Any:
    """What the child found.

    Raises:
        RuntimeError: With the child's own words, where it failed there.
    """
    answer = ended.value[part]
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["value"]


def devices(ended: Outcome) -> Iterator[Line]:
    """Each device, with what a training would compute in there."""
    found = _told(ended, "devices")
    for one in found:
        yield Line(TOPIC, one["device"], "ok", "; ".join(_about(one)))
    if len(found) == 1:
        yield _no_gpu(_told(ended, "builds"))
    else:
        builds = _told(ended, "builds")
        words = [f"{name} {builds[name]}" for name in ("cuda", "hip", "cudnn") if builds[name]]
        driver = _nvidia("driver_version")
        words += [f"driver {driver[0]}"] if driver else []
        if words:
            yield Line(TOPIC, "runtime", "ok", ", ".join(words))


def _about(one: dict[str, Any]) -> Iterator[str]:
    yield one.get("name") or _processor()
    if "memory" in one:
        yield f"{size_text(one['memory'])}, {size_text(one['free'])} free"
    if "capability" in one:
        yield f"compute capability {'.'.join(map(str, one['capability']))}"
    mixed = f"--amp {one['amp']}" if one["amp"] else "no --amp (it would be slower)"
    yield f"trains in {one['precision']} by itself, {mixed}"
    if "int8" in one:
        yield "int8 products in hardware" if one["int8"] else "no int8 in hardware"
    yield f"no --compile: {one['no_compiler']}" if one["no_compiler"] else "--compile works"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _no_gpu(builds: dict[str, Any]) -> Line:
    """Why there is none: no GPU, hidden ones, a build without CUDA, or too old a driver."""
    names = _nvidia("name")
    if not names:
        return Line(TOPIC, "gpu", "ok", "none; everything runs on the processor")
    shown = f"{', '.join(names)} is there, but "
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in {"", "-1"}:
        found = f"{shown}CUDA_VISIBLE_DEVICES={hidden} hides it"
        return Line(TOPIC, "gpu", "note", found, "unset CUDA_VISIBLE_DEVICES to use it")
    if builds["cuda"] is None:
        found = f"{shown}this build of torch knows no CUDA"
        advice = "install torch and torchvision from an index with CUDA: https://pytorch.org"
    else:
        found = f"{shown}torch (CUDA {builds['cuda']}) cannot use it"
        driver = (_nvidia("driver_version") or ["?"])[0]
        advice = (
            f"the driver ({driver}) may be too old for that CUDA: update it, or install older ones"
        )
    return Line(TOPIC, "gpu", "problem", found, advice)


def _nvidia(field: str) -> list[str]:
    """What nvidia-smi says of each GPU; nothing where it is not there or fails."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        ran = subprocess.run(  # noqa: S603  # whichever nvidia-smi is there, with fixed arguments
            [command, f"--query-gpu={field}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return ran.stdout.strip().splitlines() if ran.returncode == 0 else []


def cores(ended: Outcome) -> Iterator[Line]:
    """How many there are, and how many may be used."""
    usable, there = _told(ended, "cores"), os.cpu_count() or 1
    found = f"{usable} of {there}" + ("" if usable == there else " (affinity or a cgroup's quota)")
    threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if threads.isdecimal() and 0 < int(threads) < usable:
        found += f"; trainings use {threads} of them (OMP_NUM_THREADS)"
        yield Line(TOPIC, "cores", "note", found, "unset OMP_NUM_THREADS, or give --threads N")
    else:
        yield Line(TOPIC, "cores", "ok", found)


def memory(ended: Outcome) -> Iterator[Line]:
    """How much there is, what of it is free, and what bounds it."""
    free, bound = _told(ended, "memory")
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = f"{size_text(there)}; {size_text(free)} can be had ({bound})"
    if free < _LITTLE:
        yield Line(
            TOPIC, "memory", "note", found,
            "end other programs or raise the limit; torch alone takes about 1 GB",
        )  # fmt: skip
    else:
        yield Line(TOPIC, "memory", "ok", found)


def shared_memory(ended: Outcome) -> Iterator[Line]:
    """The size of /dev/shm, by which several GPUs of a machine exchange gradients."""
    place = Path("/dev/shm")  # noqa: S108  # it is what is looked at
    if not place.is_dir():
        return
    size = shutil.disk_usage(place).total
    gpus = sum(one["device"].startswith("cuda") for one in _told(ended, "devices"))
    if gpus > 1 and size <= _DOCKERS_SHM:
        advice = "start the container with --shm-size 1g (NCCL between GPUs wants it)"
        yield Line(TOPIC, str(place), "note", size_text(size), advice)
    else:
        yield Line(TOPIC, str(place), "ok", f"{size_text(size)} (only --gpus uses it)")
