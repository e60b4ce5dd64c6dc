"""Folders that imgtrain writes to: how full, how large, whether it may."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from imgtrain.doctor.lines import Line
from imgtrain.fetching.progress import size_text
from imgtrain.files import cache_folder
from imgtrain.loading.quota import RESERVE

TOPIC = "Folders"

_SECONDS = 0.5
"""How long a folder's size may take to count; then it is told as "more than"."""


def runs(folder: Path) -> Iterator[Line]:
    """Where runs go: without it nothing can be trained."""
    free, refusal = _room(folder)
    advice = "another place: --output DIR, or IMGTRAIN_RUN__OUTPUT=DIR"
    if refusal is not None:
        yield Line(TOPIC, "runs", "problem", f"{folder.absolute()}: {refusal}", advice)
        return
    found = f"{folder.absolute()}, {size_text(free)} free"
    yield Line(TOPIC, "runs", *(("note", found, advice) if free < RESERVE else ("ok", found)))


def caches() -> Iterator[Line]:
    """Its own, torch's and the Hugging Face hub's."""
    yield _cache("imgtrain", cache_folder(), "decoded pictures, known sets", "IMGTRAIN_CACHE=DIR")
    yield _cache("torch hub", torch_hub(), "some older weights", "TORCH_HOME=DIR")
    yield _cache("hugging face", _hugging_face(), "pretrained weights", "HF_HOME=DIR")


def torch_hub() -> Path:
    """As ``torch.hub.get_dir`` says, without torch."""
    home = os.environ.get("TORCH_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch"
    )
    return Path(home, "hub").expanduser()


def _hugging_face() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _cache(name: str, folder: Path, holds: str, variable: str) -> Line:
    free, refusal = _room(folder)
    held = _size(folder) if folder.is_dir() else "nothing yet"
    found = f"{folder}: {held} ({holds}), {size_text(free)} free"
    if refusal is not None:
        return Line(TOPIC, name, "note", f"{found}; {refusal}", f"move it: {variable}")
    if free < RESERVE:
        return Line(TOPIC, name, "note", found, f"free some room, or move it: {variable}")
    return Line(TOPIC, name, "ok", found)


def _room(folder: Path) -> tuple[int, str | None]:
    """Free bytes, and why nothing can be written there; nothing is left behind."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        return 0, f"{there} is no folder"
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return shutil.disk_usage(there).free, f"cannot be written ({error.strerror})"
    return shutil.disk_usage(there).free, None


def _size(folder: Path) -> str:
    """Bytes of all files below; links are not followed."""
    end, total = time.monotonic() + _SECONDS, 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118  # many files
            except OSError:
                continue
        if time.monotonic() > end:
            return f"more than {size_text(total)}"
    return size_text(total)
