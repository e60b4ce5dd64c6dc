"""Attention maps of transformers: one layer's, rolled out, or weighted by gradients.

What the classifier reads is a row of weights over the tokens. A layer's attention (B, heads, N, N)
sends it back to the tokens from which those were made; so a map needs a product of a row and a
matrix a layer, and no product of matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from imgtrain.explain.windows import Windows, is_windowed

_DROPOUT = "attn_drop"
"""What timm's attention sends its softmax through: doing nothing, and so a place to read it."""


class Grid(Protocol):
    """The tokens of a transformer."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Paths of the attention layers' softmax, in order."""
        ...

    def read(self, maps: Tensor, layer: int) -> Tensor:
        """How the classifier weighs the tokens of a layer; ``maps`` is that layer's attention."""
        ...

    def back(self, row: Tensor, attention: Tensor, layer: int) -> Tensor:
        """``row`` over the tokens behind a layer -> over those before it; (B, N, N) attention."""
        ...

    def places(self, row: Tensor) -> Tensor:
        """The weights of the patches, (B, h, w)."""
        ...


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens that all layers see as a whole, as in a ViT.

    Args:
        layers: Paths of the attention layers' softmax.
        prefix: Tokens before those of the patches.
        side: Patches along a side.
        read_by: Tokens that the classifier reads, first and past the last.
    """

    layers: tuple[str, ...]
    prefix: int
    side: int
    read_by: tuple[int, int]

    def read(self, maps: Tensor, layer: int) -> Tensor:  # noqa: ARG002  # all layers are alike
        """The same weight on each token that the classifier reads, (B, N)."""
        first, last = self.read_by
        row = maps.new_zeros(maps.shape[0], maps.shape[-1])
        row[:, first:last] = 1 / (last - first)
        return row

    def back(self, row: Tensor, attention: Tensor, layer: int) -> Tensor:  # noqa: ARG002  # all layers are alike
        """(B, N) -> (B, N)."""
        return torch.einsum("bn,bnm->bm", row, attention)

    def places(self, row: Tensor) -> Tensor:
        """Patches alone."""
        return row[:, self.prefix :].reshape(-1, self.side, self.side)


def attention_grid(model: nn.Module, inputs: Tensor) -> Grid | None:
    """How the model's attention is read; None for one whose attention has no grid of patches.

    Args:
        model: In evaluation mode.
        inputs: Shape (1, channels, H, W), as the model takes them.
    """
    names = [n for n, _ in model.named_modules() if n.rpartition(".")[2] == _DROPOUT]
    if not names:
        return None
    if is_windowed(model, names):
        return Windows.of(model, names)
    with torch.no_grad(), watched(model, names) as maps:
        model(inputs)
    return _tokens(model, names, [tuple(each.shape) for each in maps])


def _tokens(model: nn.Module, names: Sequence[str], shapes: list[tuple[int, ...]]) -> Tokens | None:
    """Where every block has one attention over the same square of patches."""
    prefix = getattr(model, "num_prefix_tokens", None)
    patches = getattr(getattr(model, "patch_embed", None), "num_patches", 0)
    blocks = getattr(model, "blocks", ())
    side = round(patches**0.5)
    if not isinstance(prefix, int) or side * side != patches or len(blocks) != len(shapes):
        return None
    for name, shape in zip(names, shapes, strict=True):
        heads = getattr(model.get_submodule(name.rpartition(".")[0]), "num_heads", None)
        if shape != (1, heads, prefix + patches, prefix + patches):
            return None
    return Tokens(tuple(names), prefix, side, _read_by(model, prefix, patches))


def _read_by(model: nn.Module, prefix: int, patches: int) -> tuple[int, int]:
    """The class token (and the distillation token, where both have a head), else the patches."""
    if not prefix or getattr(model, "global_pool", "token") != "token":
        return prefix, prefix + patches
    return 0, 2 if getattr(model, "head_dist", None) is not None else 1


@contextmanager
def watched(model: nn.Module, names: Sequence[str]) -> Iterator[list[Tensor]]:
    """The layers' attention after each pass, which is not fused in the block.

    Fused attention never holds the maps in memory; it comes back with the end of the block.
    """
    maps: list[Tensor] = []

    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        maps.append(output)

    fused: list[Any] = [each for each in model.modules() if getattr(each, "fused_attn", False)]
    handles = [model.get_submodule(name).register_forward_hook(hook) for name in names]
    try:
        for module in fused:
            module.fused_attn = False
        yield maps
    finally:
        for module in fused:
            module.fused_attn = True
        for handle in handles:
            handle.remove()


def attention_map(model: nn.Module, grid: Grid, inputs: Tensor, layer: int) -> Tensor:
    """Where one layer looks, all heads together, (B, h, w).

    Args:
        model: In evaluation mode.
        grid: Of ``attention_grid``.
        inputs: Shape (B, channels, H, W).
        layer: Position in ``grid.layers``.
    """
    with torch.no_grad(), watched(model, grid.layers) as maps:
        model(inputs)
    attention = maps[layer]
    return grid.places(grid.back(grid.read(attention, layer), attention.mean(dim=1), layer))


def rollout(model: nn.Module, grid: Grid, inputs: Tensor) -> Tensor:
    """Attention through all layers, (B, h, w) (Abnar & Zuidema 2020, arXiv:2005.00928).

    Heads are averaged, and each layer passes on half of what it got unchanged, as its residual
    connection does.
    """
    with torch.no_grad(), watched(model, grid.layers) as maps:
        model(inputs)
    row = grid.read(maps[-1], len(maps) - 1)
    for layer in reversed(range(len(maps))):
        row = (row + grid.back(row, maps[layer].mean(dim=1), layer)) / 2
    return grid.places(row)


def gradient_attention(model: nn.Module, grid: Grid, inputs: Tensor, targets: Tensor) -> Tensor:
    """Attention that speaks for a class, through all layers of the grid, (B, h, w).

    As Chefer et al. 2021 (arXiv:2103.15679) for self-attention: attention times the gradient of
    the class's logit with respect to it, what is negative left out, heads averaged; a layer adds
    that to what it passes on.

    Args:
        model: In evaluation mode.
        grid: Of ``attention_grid``.
        inputs: Shape (B, channels, H, W).
        targets: Shape (B,), int64: the classes.
    """
    with torch.enable_grad(), watched(model, grid.layers) as maps:
        logits = model(inputs.detach().requires_grad_())
        score = logits.gather(1, targets[:, None]).sum()
        gradients = torch.autograd.grad(score, maps)
    start = grid.read(maps[-1], len(maps) - 1)
    gained = torch.zeros_like(start)  # apart from the start, beside which it may be tiny
    for layer in reversed(range(len(maps))):
        relevant = (maps[layer].detach() * gradients[layer]).relu().mean(dim=1)
        gained = gained + grid.back(start + gained, relevant, layer)
    return grid.places(gained)
