"""What torch says of this machine; runs in a process of its own, whatever torch does there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

COMMON = 224
"""Side of the pictures for which the precision of ``auto`` is told."""

_FULL_INT8 = (7, 5)
"""Compute capability from which GPUs multiply int8 in tensor cores (Turing)."""

_INT8 = ("avx512_vnni", "avx_vnni", "amx_int8", "vnni", "dotprod", "i8mm", "dot")
"""Names under which ``torch.cpu.get_capabilities`` lists instructions for products of int8."""


def look(_: Any) -> dict[str, Any]:
    """In the child: each part by itself, an error in its place where it fails."""
    parts: dict[str, Callable[[], Any]] = {
        "builds": _builds,
        "cores": _cores,
        "memory": _memory,
        "devices": _devices,
    }
    return {name: _tried(part) for name, part in parts.items()}


def _tried(part: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"value": part()}
    except Exception as error:  # noqa: BLE001  # of drivers and libraries, whatever they raise
        return {"error": f"{type(error).__name__}: {error}".partition("\n")[0]}


def _builds() -> dict[str, Any]:
    import torch

    backends: Any = torch.backends  # its stubs lack types
    cudnn = backends.cudnn.version() if torch.cuda.is_available() else None
    return {"cuda": torch.version.cuda, "hip": torch.version.hip, "cudnn": cudnn}


def _cores() -> int:
    from imgtrain.engine.device import usable_cores

    return usable_cores()


def _memory() -> list[Any]:
    from imgtrain.engine.limits import machine_memory

    return list(machine_memory())


def _devices() -> list[dict[str, Any]]:
    """Every device with its name, memory in bytes, and what it can do."""
    import torch

    found = [_device(torch.device("cpu"))]
    if torch.cuda.is_available():
        found += [_device(torch.device("cuda", n)) for n in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append(_device(torch.device("mps")))
    return found


def _device(device: Any) -> dict[str, Any]:
    from imgtrain.engine.compiling import what_is_missing
    from imgtrain.engine.device import choose_precision
    from imgtrain.settings.schema import HardwareSettings

    about = _gpu(device) if device.type == "cuda" else _processor() if device.type == "cpu" else {}
    return {
        "device": str(device),
        "precision": choose_precision(HardwareSettings(), device, image_size=COMMON),
        "amp": _amp(device),
        "no_compiler": what_is_missing(device),
        **about,
    }


def _amp(device: Any) -> str | None:
    """What ``--amp`` takes here; None where it is refused."""
    from imgtrain.engine.device import choose_precision
    from imgtrain.errors import SettingsError
    from imgtrain.settings.schema import HardwareSettings

    try:
        return choose_precision(HardwareSettings(amp=True), device, image_size=COMMON)
    except SettingsError:
        return None


def _gpu(device: Any) -> dict[str, Any]:
    import torch

    about = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    capability = (about.major, about.minor)
    return {
        "name": about.name,
        "memory": total,
        "free": free,
        "capability": list(capability),
        "int8": torch.version.hip is None and capability >= _FULL_INT8,
    }


def _processor() -> dict[str, Any]:
    import torch

    known = torch.cpu.get_capabilities()
    return {"int8": any(known.get(name, False) for name in _INT8)}
