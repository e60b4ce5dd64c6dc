"""Weights and activations in 8 bits: ONNX Runtime's static quantisation after training."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtrain.export.about import INPUT, KEY


def quantize(file: Path, to: Path, pictures: Iterable[NDArray[np.uint8]], about: str) -> None:
    """Write an int8 model of an ONNX file.

    Weights are rounded for each output channel by itself, activations by the smallest and largest
    value that they take on the pictures; QDQ nodes say where (Jacob et al. 2018,
    arXiv:1712.05877). What comes before the network and after it stays in fp32.

    Args:
        file: The fp32 model.
        to: The int8 model.
        pictures: To calibrate with, pixels (B, H, W, channels) each.
        about: What the new file says of itself.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # its package is untyped
        """Hands out batches until none is left."""

        def __init__(self) -> None:
            self.left: Iterator[NDArray[np.uint8]] = iter(pictures)

        def get_next(self) -> dict[str, Any] | None:
            pixels = next(self.left, None)
            return None if pixels is None else {INPUT: pixels}

    draft = to.with_name(f"{to.stem}-shapes.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the packages' own remarks
        quant_pre_process(str(file), str(draft), skip_symbolic_shape=True, skip_optimization=True)
        quantize_static(
            str(draft),
            str(to),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_around(onnx.load(str(draft))),
        )
    draft.unlink()
    model = onnx.load(str(to))
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, about
    onnx.save(model, str(to))


_HEAVY = {"Conv", "MatMul", "Gemm"}


def _around(model: Any) -> list[str]:
    """Names of the nodes before the first heavy one and behind the last."""
    nodes = list(model.graph.node)
    heavy = [i for i, node in enumerate(nodes) if node.op_type in _HEAVY]
    inside = range(heavy[0], heavy[-1] + 1) if heavy else range(0)
    return [node.name for i, node in enumerate(nodes) if i not in inside]
