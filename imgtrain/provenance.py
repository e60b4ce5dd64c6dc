"""Where a run comes from: command, versions, source, machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import imgtrain
from imgtrain import console
from imgtrain.continuing import identity_keys, provenance_of
from imgtrain.data.index import Index
from imgtrain.data.split import Split, write_splits
from imgtrain.engine.device import ComputePlan
from imgtrain.engine.schedule import Batches
from imgtrain.files import write_json, write_text
from imgtrain.passwords import without_password
from imgtrain.rundir import RunDir, identity_of
from imgtrain.settings.catalog import all_settings
from imgtrain.settings.layers import from_flat, public, to_yaml
from imgtrain.settings.schema import Settings

Origins = Mapping[str, str]
"""Who set each dotted key."""

_PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "opencv-python-headless")


def record(
    run: RunDir,
    *,
    asked: Settings,
    settings: Settings,
    origins: Origins,
    name: str,
    index: Index,
    split: Split,
    compute: ComputePlan,
    batches: Batches,
) -> None:
    """Write what a run is, before it begins: settings, classes, parts, provenance.

    Args:
        run: Its folder.
        asked: The settings as they came, with their open ends.
        settings: The same, decided.
        origins: Who set what.
        name: What the run would be called, without a number.
        index: The pictures.
        split: Their parts.
        compute: How the machine computes.
        batches: How a step's pictures are cut.
    """
    write_text(run.config, to_yaml(shareable(settings)))
    write_json(run.path / "classes.json", list(index.classes))
    write_splits(run.path / "splits.csv", index, split)
    found: dict[str, Any] = {
        **command_record(),
        **settings_record(asked, settings, origins, index),
        "device": device_name(compute),
        "plan": asdict(compute),
        "batches": asdict(batches) | {"effective": batches.effective},
        "identity": sorted(
            {
                identity_of(identity_keys(each), index.fingerprint, name)
                for each in (asked, settings)
            }
        ),
    }
    write_json(run.provenance, _continued(provenance_of(run), found, (index.fingerprint, name)))


def shareable(settings: Settings) -> Settings:
    """The settings without what belongs to this command alone, a database's password above all."""
    flat = public(settings)
    return from_flat(flat | {"tune.storage": None, "run.fresh": False, "run.resume": None})


def command_record() -> dict[str, Any]:
    """How the command was typed, and by what it was run; no passwords."""
    return {
        "format": 1,
        "argv": [without_password(each) for each in sys.argv],
        "versions": versions(),
        "git": git_commit(),
    }


def settings_record(
    asked: Settings, settings: Settings, origins: Origins, index: Index
) -> dict[str, Any]:
    """The settings as asked for and as decided, who set each, and which pictures they are about."""
    hidden = {"tune.storage": None}  # it may hold a password
    flat, before = public(settings) | hidden, public(asked) | hidden
    root = Path(index.root)
    return {
        "asked": identity_keys(asked),
        "settings": flat,
        "origins": {
            key: origins.get(key, "default") + ("" if value == before[key] else ", decided")
            for key, value in flat.items()
        },
        "fingerprint": index.fingerprint,
        "data_root": str(root.absolute()) if root.exists() else index.root,
    }


def _continued(
    before: dict[str, Any], now: dict[str, Any], where: tuple[str, str]
) -> dict[str, Any]:
    """The record of a run that goes on: how it began stays, what grew is added."""
    if not before.get("identity"):
        return now
    if before["plan"] != now["plan"]:
        changed = [
            f"{k} {before['plan'].get(k)} -> {v}"
            for k, v in now["plan"].items()
            if before["plan"].get(k) != v
        ]
        console.warn(
            f"this machine computes otherwise than before ({', '.join(changed)}): the result "
            "will not be the same to the bit"
        )
    grown = {k: v for k, v in now["asked"].items() if all_settings()[k].flag.identity == "grows"}
    asked = before["asked"] | grown
    identities = {*before["identity"], *now["identity"], identity_of(asked, *where)}
    begun = ("argv", "versions", "git", "device", "plan", "batches")
    kept = {key: before[key] for key in begun if key in before}
    again = {key: now[key] for key in kept}
    origins = {
        key: before["origins"].get(key, origin)
        if before["settings"].get(key) == now["settings"][key]
        else origin
        for key, origin in now["origins"].items()
    }
    return (
        now
        | kept
        | {
            "asked": asked,
            "identity": sorted(identities),
            "origins": origins,
            "continued": [*before.get("continued", []), again],
        }
    )


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
