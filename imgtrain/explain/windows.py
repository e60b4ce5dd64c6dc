"""Attention in windows, as in Swin transformers, put back in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from timm.models.swin_transformer import (
    SwinTransformerBlock,
    window_partition,
    window_reverse,
)
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from torch import Tensor, nn
from torch.nn import functional

_BLOCKS = (SwinTransformerBlock, SwinTransformerV2Block)


def _block_of(name: str) -> str:
    """``layers.0.blocks.1`` of ``layers.0.blocks.1.attn.attn_drop``."""
    return name.rsplit(".", 2)[0]


def is_windowed(model: nn.Module, names: Sequence[str]) -> bool:
    """Whether all these softmax belong to timm's Swin blocks."""
    return all(isinstance(model.get_submodule(_block_of(name)), _BLOCKS) for name in names)


@dataclass(frozen=True, slots=True)
class Window:
    """How one block cuts its grid.

    Args:
        grid: Tokens down and across.
        size: The window's.
        shift: How far the windows are moved down and to the right.
    """

    grid: tuple[int, int]
    size: tuple[int, int]
    shift: tuple[int, int]

    @classmethod
    def of(cls, block: Any) -> Window:
        """As the block says."""
        return cls(tuple(block.input_resolution), tuple(block.window_size), tuple(block.shift_size))

    def cut(self, row: Tensor) -> Tensor:
        """(B, h, w) -> (windows, area): moved and padded as the block does with its tokens."""
        moved = torch.roll(row, (-self.shift[0], -self.shift[1]), dims=(1, 2))
        down, right = (-n % size for n, size in zip(self.grid, self.size, strict=True))
        padded = functional.pad(moved, (0, right, 0, down))
        cut: Tensor = window_partition(padded[..., None], self.size)
        return cut.flatten(1)

    def together(self, windows: Tensor) -> Tensor:
        """The inverse of ``cut``: (windows, area) -> (B, h, w)."""
        height, width = (n + -n % size for n, size in zip(self.grid, self.size, strict=True))
        squares = windows.view(-1, *self.size, 1)
        padded: Tensor = window_reverse(squares, self.size, height, width)
        whole = padded[:, : self.grid[0], : self.grid[1], 0]
        return torch.roll(whole, self.shift, dims=(1, 2))


@dataclass(frozen=True, slots=True)
class Windows:
    """Tokens that each layer sees in windows; between stages, four become one.

    Args:
        layers: Paths of the attention layers' softmax.
        windows: How each layer cuts its grid.
    """

    layers: tuple[str, ...]
    windows: tuple[Window, ...]

    @classmethod
    def of(cls, model: nn.Module, names: Sequence[str]) -> Windows:
        """Of all these layers."""
        blocks = [model.get_submodule(_block_of(name)) for name in names]
        return cls(tuple(names), tuple(Window.of(block) for block in blocks))

    def last_stage(self) -> Windows:
        """The layers whose tokens the classifier averages: those of the last grid."""
        first = next(i for i, w in enumerate(self.windows) if w.grid == self.windows[-1].grid)
        return Windows(self.layers[first:], self.windows[first:])

    def read(self, maps: Tensor, layer: int) -> Tensor:
        """The same weight on all tokens, (B, h, w)."""
        window = self.windows[layer]
        empty = maps.new_zeros(1, *window.grid)
        batch = len(maps) // len(window.cut(empty))
        height, width = window.grid
        return maps.new_full((batch, height, width), 1 / (height * width))

    def back(self, row: Tensor, attention: Tensor, layer: int) -> Tensor:
        """(B, h, w) -> (B, h, w)."""
        window = self.windows[layer]
        return window.together(torch.einsum("bn,bnm->bm", window.cut(row), attention))

    def places(self, row: Tensor) -> Tensor:
        """They are in their places already."""
        return row
