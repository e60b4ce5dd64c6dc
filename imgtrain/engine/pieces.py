"""Scoring a batch in pieces, where memory is too short for all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from imgtrain import console
from imgtrain.errors import MemoryLimitError, is_out_of_memory


@dataclass(slots=True)
class Pieces:
    """Into how many pieces a batch is cut for scoring: 1 until memory was short."""

    count: int = 1

    def logits(
        self,
        model: Callable[[Tensor], Tensor],
        pixels: Tensor,
        prepare: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """What ``model`` says of a batch, (B, C), without gradients.

        Args:
            model: In evaluation mode, so that how a batch is cut changes rounding alone.
            pixels: Shape (B, H, W, C), uint8.
            prepare: Makes of pixels what the model takes.

        Raises:
            MemoryLimitError: If a single picture does not fit.
        """
        while True:
            try:
                parts = pixels.tensor_split(min(self.count, len(pixels)))
                found = [model(prepare(part)) for part in parts]
                return found[0] if len(found) == 1 else torch.cat(found)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.count >= len(pixels):
                    raise MemoryLimitError(
                        "out of memory while scoring, even with a single picture at a time",
                        "try a smaller --image-size or --model",
                    ) from error
            # out of the block, so that what the failed pass held is free
            self._halve(pixels)

    def _halve(self, pixels: Tensor) -> None:
        self.count = min(2 * self.count, len(pixels))
        if pixels.device.type == "cuda":
            torch.cuda.empty_cache()
        console.warn(f"out of memory while scoring: batches are scored in {self.count} pieces")
