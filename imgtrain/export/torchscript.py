"""TorchScript files: traced, for C++ and mobile programs that load nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from imgtrain import console
from imgtrain.errors import RunError
from imgtrain.export.about import KEY
from imgtrain.export.tracing import tracing


def write(graph: nn.Module, pixels: NDArray[np.uint8], path: Path, about: str) -> None:
    """Trace a graph and write it.

    Args:
        graph: In evaluation mode.
        pixels: Pictures of the shape that it takes, (2, H, W, channels).
        path: The file.
        about: What the file says of itself.
    """
    console.warn("torch calls TorchScript deprecated; --format torch is what it keeps up")
    with tracing():
        example = (torch.from_numpy(pixels),)
        traced = torch.jit.trace(graph, example, check_trace=False)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.jit.save(traced, str(path), _extra_files={KEY: about})


def read(
    path: Path,
    threads: int,  # noqa: ARG001  # torch's threads are one number of the process, set elsewhere
) -> tuple[str | None, Callable[[NDArray[np.uint8]], NDArray[np.float32]]]:
    """What the file says of itself, and what it computes; on the CPU, by torch's threads.

    Nothing in it is unpickled by Python, but it is a program in torch's own language.

    Raises:
        RunError: If it cannot be read.
    """
    extra = {KEY: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: Any = torch.jit.load(str(path), "cpu", extra)  # type: ignore[no-untyped-call]  # as trace
    except (RuntimeError, ValueError, OSError) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise RunError(f"{path} is broken or no TorchScript file: {reason}") from error

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            probs: NDArray[np.float32] = model(torch.from_numpy(pixels))[1].numpy()
        return probs

    text: str | bytes = extra[KEY]
    return (text.decode() if isinstance(text, bytes) else text) or None, run
