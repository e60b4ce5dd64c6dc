"""On what a training computes, and how: one plan, chosen once, printed and saved."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from imgtrain.errors import SettingsError
from imgtrain.settings.schema import HardwareSettings

Precision = Literal["fp32", "tf32", "bf16", "fp16"]

TINY = 16
"""Below this many pixels the casts of bf16 cost more than they save (measured on resnet18)."""


_NARROW = {"bf16": torch.bfloat16, "fp16": torch.float16}

_TENSOR_CORES, _AMPERE = (7, 0), (8, 0)
"""Compute capabilities from which GPUs multiply fp16, and TF32 and bf16, in tensor cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputePlan:
    """Device, arithmetic, memory layout, threads: all that changes speed and rounding."""

    device: str
    precision: Precision
    channels_last: bool
    threads: int
    fused: bool
    compiled: bool = False

    @property
    def torch_device(self) -> torch.device:
        """As torch names it."""
        return torch.device(self.device)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The arithmetic of forward passes."""
        narrow = _NARROW.get(self.precision)
        if narrow is None:
            return contextlib.nullcontext()
        return torch.autocast(self.torch_device.type, narrow)

    def __str__(self) -> str:
        """One line for people."""
        layout = "channels-last" if self.channels_last else "channels-first"
        threads = f", {self.threads} threads" if self.device == "cpu" else ""
        compiled = ", compiled" if self.compiled else ""
        return f"{self.device}, {self.precision}, {layout}{compiled}{threads}"


def usable_cores() -> int:
    """Cores this process may use: affinity and the cgroup's quota."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, round(int(quota) / int(period))))


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bf16 itself, rather than by way of fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        known = torch.cpu.get_capabilities()
        return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return False


def choose_device(
    hardware: HardwareSettings, *, local_rank: int = 0, local_size: int = 1
) -> torch.device:
    """The device of this process, one of ``local_size`` on this machine.

    Raises:
        SettingsError: If a device was asked for that is not there, or would stay idle.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if hardware.gpus is not None:
        missing = [number for number in hardware.gpus if number >= count]
        if missing:
            raise SettingsError(
                f"--gpus {','.join(map(str, hardware.gpus))}: GPU {missing[0]} is not there "
                f"({_gpus_in_words(count)})",
                "leave out --gpus to use what is there, or check nvidia-smi and "
                "CUDA_VISIBLE_DEVICES",
            )
        if len(hardware.gpus) != local_size:
            raise SettingsError(
                f"--gpus {','.join(map(str, hardware.gpus))} names {len(hardware.gpus)} GPUs for "
                f"{local_size} process{'es' if local_size > 1 else ''}; each process takes one",
                f"imgtrain train --gpus {','.join(map(str, hardware.gpus))} starts them itself",
            )
        return torch.device("cuda", hardware.gpus[local_rank])
    if hardware.device == "cuda" and count == 0:
        raise SettingsError(
            "--device cuda: PyTorch sees no GPU here",
            "use --device cpu, or check nvidia-smi and the installed build of torch",
        )
    if hardware.device == "mps" and not torch.backends.mps.is_available():
        raise SettingsError("--device mps: there is no Apple GPU here", "use --device cpu")
    if count and hardware.device in {"auto", "cuda"} and local_rank >= count:
        raise SettingsError(
            f"{local_size} processes on this machine, but only {count} GPUs",
            f"start at most {count}, or use --device cpu",
        )
    if hardware.device == "auto":
        if count:
            return torch.device("cuda", local_rank)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if hardware.device == "cuda":
        return torch.device("cuda", local_rank)
    return torch.device(hardware.device)


def _gpus_in_words(count: int) -> str:
    return {0: "this machine has none", 1: "there is one, number 0"}.get(
        count, f"there are {count}, numbers 0 to {count - 1}"
    )


def choose_precision(
    hardware: HardwareSettings, device: torch.device, *, image_size: int
) -> Precision:
    """The arithmetic of training on ``device``: what was named, else the best there is.

    Raises:
        SettingsError: If the device does not have what was asked for.
    """
    named = hardware.precision
    if named == "tf32" and not _has_cores(device, _AMPERE):
        raise SettingsError(
            f"--precision tf32: {device.type} has no TF32 here, NVIDIA's GPUs from Ampere on do",
            "use --precision fp32, or auto",
        )
    if named != "auto":
        return named
    fast = has_fast_bf16(device)
    if hardware.amp:
        return "bf16" if fast else _mixed_without_bf16(device)
    if hardware.amp is False:
        return "fp32"
    return "bf16" if fast and image_size >= TINY else "fp32"


def _mixed_without_bf16(device: torch.device) -> Precision:
    if _has_cores(device, _TENSOR_CORES):
        return "fp16"
    raise SettingsError(
        f"--amp: {device.type} has no bf16 here, mixed precision would be slower",
        "leave out --amp",
    )


def _has_cores(device: torch.device, least: tuple[int, int]) -> bool:
    """Whether it is an NVIDIA GPU of at least that compute capability."""
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= least


def plan_compute(
    hardware: HardwareSettings, *, image_size: int, local_rank: int = 0, local_size: int = 1
) -> ComputePlan:
    """Choose whatever the settings leave open.

    Raises:
        SettingsError: If a device or precision was asked for that is not there.
    """
    device = choose_device(hardware, local_rank=local_rank, local_size=local_size)
    precision = choose_precision(hardware, device, image_size=image_size)
    if precision == "fp16" and hardware.fsdp:
        raise SettingsError(
            "--fsdp does not scale losses, as fp16 needs (--amp: this GPU has no bf16)",
            "add --precision fp32",
        )
    threads = hardware.threads
    return ComputePlan(
        device=str(device),
        precision=precision,
        channels_last=hardware.channels_last is not False and not hardware.fsdp,  # FSDP2 cannot
        threads=_own_threads(local_size) if threads == "auto" else threads,
        fused=device.type in {"cpu", "cuda"},
    )


def _own_threads(local_size: int) -> int:
    """A process's share of the cores, no more than ``OMP_NUM_THREADS`` where the user set it.

    torchrun sets it to 1 unasked, whatever the machine: that says nothing.
    """
    share = max(1, usable_cores() // local_size)
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ and "_IMGTRAIN_LAUNCHED" not in os.environ
    if not told.isdecimal() or int(told) < 1 or by_torchrun:
        return share
    return min(share, int(told))


def leaves_cores(compute: ComputePlan, *, local_size: int) -> bool:
    """Whether ``local_size`` processes that compute so leave a core to threads of another kind."""
    return compute.torch_device.type != "cpu" or compute.threads * local_size < usable_cores()


def apply(compute: ComputePlan) -> None:
    """Tell torch how to compute.

    fp32 means fp32: torch's own default for convolutions on recent GPUs is TF32, whose ten bits
    of mantissa would make scores depend on the batch.
    """
    torch.set_num_threads(compute.threads)
    backends: Any = torch.backends  # its stubs lack these names
    exactness = "tf32" if compute.precision == "tf32" else "ieee"
    backends.cudnn.conv.fp32_precision = exactness
    backends.cudnn.rnn.fp32_precision = exactness
    backends.cuda.matmul.fp32_precision = exactness
    if compute.torch_device.type == "cuda":
        torch.cuda.set_device(compute.torch_device)


def memory_in_use_mb(device: torch.device) -> float:
    """Largest GPU memory so far, or what this process holds of the machine's, in MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
