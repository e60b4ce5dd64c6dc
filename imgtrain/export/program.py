"""Programs of ``torch.export`` (.pt2): written, and read without running what a file brings along.

torch reads such files with pickle where they ask for it, and evaluates their symbols as Python.
So whatever is more than arithmetic is refused before torch sees the file.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from imgtrain.errors import RunError
from imgtrain.export.about import KEY
from imgtrain.export.tracing import tracing

_TARGET = re.compile(
    r"torch\.ops\.aten\.(?!from_file|save)\w+\.\w+|torch\.sym_\w+"
    r"|_operator\.(?:add|sub|mul|truediv|floordiv|mod|pow|neg|eq|ne|lt|le|gt|ge|getitem)"
)
"""What a step may call."""

_SYMBOLS = re.compile(
    r"(?:Symbol\('[su]\d++'(?:, \w++=True)*+\)|(?:Integer|Mul|Add|Pow|Max|Min|FloorDiv|Eq)(?=\()"
    r"|[su]\d++|\d++|int_oo|[-+*/(), ])*+"
)
"""Sizes: the batch, and arithmetic on it."""


def write(graph: nn.Module, pixels: NDArray[np.uint8], path: Path, about: str) -> None:
    """Write a graph with any number of pictures.

    Args:
        graph: In evaluation mode.
        pixels: Pictures of the shape that it takes, (2, H, W, channels).
        path: The file.
        about: What the file says of itself.
    """
    with tracing():
        program = torch.export.export(
            graph,
            (torch.from_numpy(pixels),),
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        )
        torch.export.save(program, str(path), extra_files={KEY: about})


def read(
    path: Path,
    threads: int,  # noqa: ARG001  # torch's threads are one number of the process, set elsewhere
) -> tuple[str | None, Callable[[NDArray[np.uint8]], NDArray[np.float32]]]:
    """What the file says of itself, and what it computes; on the CPU, by torch's threads.

    Raises:
        RunError: If it cannot be read, or is more than arithmetic.
    """
    try:
        data = path.read_bytes()
        about = _checked(data, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(data))
            model = program.module(check_guards=False)
    except RunError:
        raise
    except Exception as error:  # torch raises anything on what it does not know
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise RunError(f"{path} is broken or no program of torch.export: {reason}") from error

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            probs: NDArray[np.float32] = model(torch.from_numpy(pixels))[1].numpy()
        return probs

    return about, run


def _checked(data: bytes, path: Path) -> str | None:
    """What the file says of itself, once all else in it is known to be harmless.

    Raises:
        RunError: If there is pickle, compiled code, a step that is no arithmetic, or a symbol that
            is none.
    """
    about = None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > len(data):
            raise _refused(path, "more than it has room for")  # torch stores as it is
        for entry in archive.infolist():
            name = entry.filename
            if name.endswith(f"/extra/{KEY}"):
                about = archive.read(entry).decode()
            elif "/data/aotinductor/" in name:
                raise _refused(path, "compiled code")
            elif name.endswith(".pt"):
                torch.load(io.BytesIO(archive.read(entry)), weights_only=True)
            elif name.endswith(".json"):
                for what in _strange(json.loads(archive.read(entry))):
                    raise _refused(path, what)
    return about


def _strange(value: Any) -> Iterator[str]:
    """What in a description is no arithmetic on tensors."""
    if isinstance(value, list):
        for each in value:
            yield from _strange(each)
    if isinstance(value, dict):
        is_step = "inputs" in value
        for key, inner in value.items():
            what = _why_strange(key, inner, is_step=is_step)
            if what is not None:
                yield what
            yield from _strange(inner)


def _why_strange(key: str, value: Any, *, is_step: bool) -> str | None:
    match key:
        case "use_pickle" | "guards_code" | "custom_obj_values" if value:
            return f"{key.replace('_', ' ')} (code)"
        case "target" if is_step and not _TARGET.fullmatch(str(value)):
            return f"a call of {str(value)[:80]!r}"
        case "as_operator" if not _TARGET.fullmatch(str(value)):
            return f"a call of {str(value)[:80]!r}"
        case "expr_str" if not _SYMBOLS.fullmatch(str(value)):
            return f"the expression {str(value)[:80]!r}"
        case "range_constraints" if not all(map(_SYMBOLS.fullmatch, value)):
            return "a size that is none"
    return None


def _refused(path: Path, what: str) -> RunError:
    return RunError(
        f"{path} holds {what}, which no file of imgtrain export does: it is not run",
        "do not use this file unless you know who made it",
    )
