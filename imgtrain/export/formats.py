"""The formats that there are, by name and by a file's ending."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from imgtrain.errors import OutsideError, RunError, SettingsError, nearest
from imgtrain.export import onnx, openvino, program, torchscript
from imgtrain.export.about import About

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Pixels (B, H, W, channels) -> probabilities (B, C)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How models are written into files of one kind, and read.

    Args:
        name: What ``--format`` takes.
        suffixes: Of its files; the first is what is written.
        writing: Packages that writing needs.
        reading: Packages that reading needs.
        extra: Which of imgtrain's extras brings them; none where torch does.
        write: Writes a graph, an About's text in it, for pixels of the shape of those given.
        read: The text and the function behind a file that computes with so many threads.
    """

    name: str
    suffixes: tuple[str, ...]
    writing: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()
    extra: str | None = None
    write: Callable[[nn.Module, NDArray[np.uint8], Path, str], None]
    read: Callable[[Path, int], tuple[str | None, Run]]


FORMATS: Mapping[str, Format] = {
    found.name: found
    for found in (
        Format(
            name="onnx",
            suffixes=(".onnx",),
            writing=("onnx", "onnxscript", "onnxruntime"),
            reading=("onnxruntime",),
            extra="onnx",
            write=onnx.write,
            read=onnx.read,
        ),
        Format(name="torch", suffixes=(".pt2",), write=program.write, read=program.read),
        Format(
            name="torchscript",
            suffixes=(".torchscript", ".ts"),
            write=torchscript.write,
            read=torchscript.read,
        ),
        Format(
            name="openvino",
            suffixes=(".xml",),
            writing=("openvino", "onnx", "onnxscript"),
            reading=("openvino",),
            extra="openvino",
            write=openvino.write,
            read=openvino.read,
        ),
    )
}


def choose_format(name: str | None, to: Path | None) -> Format:
    """The format that was asked for by name, or by the file's ending; else ONNX.

    Raises:
        SettingsError: If there is no such format, or the ending is another's.
    """
    if name is not None and name not in FORMATS:
        raise SettingsError(
            f"--format {name}: there is no such format{nearest(name, FORMATS)}",
            f"take one of {', '.join(FORMATS)}",
        )
    by_suffix = None if to is None or to.is_dir() else of_file(to)
    if to is not None and not to.is_dir() and by_suffix is None:
        endings = ", ".join(found.suffixes[0] for found in FORMATS.values())
        raise SettingsError(f"--to {to}: the ending names no format", f"take one of {endings}")
    found = by_suffix or FORMATS[name or "onnx"]
    if name is not None and found.name != name:
        raise SettingsError(
            f"--to {to} is the name of {found.name}, --format asks for {name}",
            f"let the name end in {FORMATS[name].suffixes[0]}, or leave out --format",
        )
    return found


def of_file(path: Path) -> Format | None:
    """The format of a file by its ending; None for none of these."""
    ending = path.suffix.lower()
    return next((found for found in FORMATS.values() if ending in found.suffixes), None)


def require(packages: tuple[str, ...], extra: str | None, what: str) -> None:
    """Refuse work whose packages are not there, before it begins.

    Raises:
        OutsideError: With the way to install them.
    """
    for package in packages:
        if find_spec(package) is None:
            raise OutsideError(
                f"{what} needs {package}, which is not installed",
                f'python -m pip install "imgtrain[{extra}]"',
            )


def read(path: Path, threads: int) -> tuple[About, Run]:
    """The description and the function of an exported file.

    Args:
        path: The file.
        threads: That compute.

    Raises:
        RunError: If it is broken, hostile or not ours.
        OutsideError: If what runs it is not installed.
    """
    found = of_file(path)
    assert found is not None
    if not path.is_file():
        raise RunError(f"no such model file: {path}")
    require(found.reading, found.extra, f"running {path}")
    text, run = found.read(path, threads)
    return About.from_text(text, path), run
