"""OpenVINO's files: an .xml with a .bin beside it, converted from ONNX."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from imgtrain.errors import RunError
from imgtrain.export import onnx
from imgtrain.export.about import KEY, OUTPUTS


def write(graph: nn.Module, pixels: NDArray[np.uint8], path: Path, about: str) -> None:
    """Write a graph in fp32.

    Args:
        graph: In evaluation mode.
        pixels: Pictures of the shape that it takes, (2, H, W, channels).
        path: The .xml file; the .bin takes its name.
        about: What the file says of itself.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        draft = Path(folder) / "model.onnx"
        onnx.write(graph, pixels, draft, about)
        convert(draft, path, about)


def convert(file: Path, path: Path, about: str) -> None:
    """Write what an ONNX file computes, int8 too.

    Args:
        file: The ONNX file.
        path: The .xml file.
        about: What the new file says of itself.
    """
    import openvino

    model = openvino.convert_model(str(file))
    model.set_rt_info(about, [KEY, "about"])
    openvino.save_model(model, str(path), compress_to_fp16=False)


def read(
    path: Path, threads: int
) -> tuple[str | None, Callable[[NDArray[np.uint8]], NDArray[np.float32]]]:
    """What the file says of itself, and what it computes; on the CPU.

    OpenVINO computes in bf16 of its own accord where the processor has it: fp32 is asked for.

    Args:
        path: The .xml file.
        threads: That compute.

    Raises:
        RunError: If it cannot be read, or its .bin is not there.
    """
    import openvino

    core = openvino.Core()
    wanted = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    try:
        model: Any = core.read_model(str(path))
        compiled: Any = core.compile_model(model, "CPU", wanted)
    except (RuntimeError, OSError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = (lines or [""])[-1][:200]
        raise RunError(f"{path} is broken or no OpenVINO file: {reason}") from error

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        probs: NDArray[np.float32] = np.array(compiled(pixels)[OUTPUTS[1]])
        return probs

    has_about = model.has_rt_info([KEY, "about"])
    return str(model.get_rt_info([KEY, "about"]).astype(str)) if has_about else None, run
