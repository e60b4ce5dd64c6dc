"""The state of torch in which it follows a network's operations."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def tracing() -> Iterator[None]:
    """Without gradients and torch's own remarks, and with its own choice of TF32.

    torch.export asks for the old flag of TF32, which torch refuses to tell once the new ones were
    set (see ``imgtrain.engine.device.apply``); on the CPU neither means anything.
    """
    cudnn: Any = torch.backends.cudnn  # its stub lacks these names
    parts = (cudnn.conv, cudnn.rnn)
    before = [part.fp32_precision for part in parts]
    for part in parts:
        part.fp32_precision = "tf32"
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        for part, precision in zip(parts, before, strict=True):
            part.fp32_precision = precision
