"""Where a run comes from: command, versions, source, machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

import imgtrain
from imgtrain.engine.device import ComputePlan

_PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "opencv-python-headless")


def provenance(compute: ComputePlan) -> dict[str, Any]:
    """What ``provenance.json`` says of the program and the machine."""
    return {
        "format": 1,
        "argv": sys.argv,
        "versions": versions(),
        "git": git_commit(),
        "device": device_name(compute),
        "plan": asdict(compute),
    }


def versions() -> dict[str, str]:
    """Python, imgtrain and the packages that decide on numbers."""
    found = {"python": platform.python_version(), "imgtrain": imgtrain.__version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of the folder one works in, ``+`` when it has changes; None outside of git."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"],  # noqa: S607  # whichever git is there
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() or None if run.returncode == 0 else None


def device_name(compute: ComputePlan) -> str:
    """The GPU's or the processor's name."""
    device = compute.torch_device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  # a device file
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
