"""ONNX files: written by torch through onnxscript, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from imgtrain.errors import RunError
from imgtrain.export.about import INPUT, KEY, OUTPUTS
from imgtrain.export.tracing import tracing

OPSET = 18
"""What torch's exporter is written in; ONNX Runtime knows it from 1.14 on (February 2023)."""


def write(graph: nn.Module, pixels: NDArray[np.uint8], path: Path, about: str) -> None:
    """Write a graph with any number of pictures, checked by onnx's own checker.

    Args:
        graph: In evaluation mode.
        pixels: Pictures of the shape that it takes, (2, H, W, channels).
        path: The file.
        about: What the file says of itself.
    """
    import onnx

    with tracing():
        program = torch.onnx.export(
            graph,
            (torch.from_numpy(pixels),),
            dynamo=True,
            dynamic_shapes=({0: "batch"},),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props[KEY] = about
    program.save(str(path))
    onnx.checker.check_model(str(path), full_check=True)


def read(
    path: Path, threads: int
) -> tuple[str | None, Callable[[NDArray[np.uint8]], NDArray[np.float32]]]:
    """What the file says of itself, and what it computes; on the CPU.

    Args:
        path: The file.
        threads: That compute.

    Raises:
        RunError: If it cannot be read.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is told below
    try:
        session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its exceptions have no common ancestor but this
        raise RunError(f"{path} is broken or no ONNX file: {_first_line(error)}") from error

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        (found,) = session.run([OUTPUTS[1]], {INPUT: pixels})
        probs: NDArray[np.float32] = found
        return probs

    return session.get_modelmeta().custom_metadata_map.get(KEY), run


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
