"""Weights of another training as a start: what fits, what can be made to fit, what stays fresh."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.models import adapt_input_conv
from torch import Tensor, nn

from imgtrain.engine.heads import class_layers
from imgtrain.engine.recipe import Recipe
from imgtrain.errors import RunError

_SHOWN = 4
"""So many names a list shows."""


@dataclass(frozen=True, slots=True)
class Start:
    """Tensors by name, and the recipe they were trained with where their file has one."""

    tensors: dict[str, Tensor]
    recipe: Recipe | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What a model took over from elsewhere.

    Args:
        taken: How many tensors were taken as they are.
        total: How many the model has.
        adapted: What was made to fit, and how, by name.
        left: Names of those that keep their fresh values.
        unused: Names in the source that the model has no place for.
    """

    taken: int
    total: int
    adapted: dict[str, str]
    left: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        """``took 120 of 122 tensors, adapted conv1.weight (3 to 1 channels); fresh: fc.bias``."""
        said = f"took {self.taken} of {self.total} tensors"
        if self.adapted:
            said += f", adapted {_some([f'{n} ({how})' for n, how in self.adapted.items()])}"
        if self.left:
            said += f"; fresh: {_some(self.left)}"
        if self.unused:
            said += f"; not used: {_some(self.unused)}"
        return said


def _some(names: list[str] | tuple[str, ...]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def take_over(model: nn.Module, start: Start, recipe: Recipe, where: str) -> Taken:
    """Load what fits by name and shape, and what can be made to fit.

    Made to fit are positions of another picture size (by timm's filter of the model's family),
    a first convolution of other channels (timm's ``adapt_input_conv``), and the classifier: a
    class that both trainings know by name keeps its row, wherever it stands.

    Args:
        model: Built from ``recipe``.
        start: What to take from.
        recipe: What the model is.
        where: The user's word for ``start``.

    Raises:
        RunError: If it is another architecture: by its recipe, or as less than half fits.
    """
    _check_architecture(start, recipe, where)
    own = model.state_dict()
    sources = dict(start.tensors)
    adapted = {
        name: found
        for name, found in _adapted(model, start, recipe)
        if found[0].shape == own[name].shape
    }
    rows = set(_class_tensors(model)) if _knows_other_classes(start, recipe) else set()
    fits = {
        k: v
        for k, v in sources.items()
        if k in own and v.shape == own[k].shape and k not in rows and k not in adapted
    }
    if 2 * (len(fits) + len(adapted)) < len(own):
        raise RunError(
            f"--weights {where}: {len(fits)} of the model's {len(own)} tensors are in there",
            "choose the --model that these weights were trained with",
        )
    model.load_state_dict({**fits, **{k: v for k, (v, _) in adapted.items()}}, strict=False)
    return Taken(
        len(fits),
        len(own),
        {name: how for name, (_, how) in adapted.items()},
        tuple(k for k in own if k not in fits and k not in adapted),
        tuple(k for k in sources if k not in own),
    )


def _check_architecture(start: Start, recipe: Recipe, where: str) -> None:
    if start.recipe is None:
        return
    theirs, mine = (r.architecture.partition(".")[0] for r in (start.recipe, recipe))
    if theirs != mine:
        raise RunError(
            f"--weights {where} holds weights of {theirs}, the model is {mine}",
            f"use --model {start.recipe.architecture}, or other weights",
        )


def _adapted(
    model: nn.Module, start: Start, recipe: Recipe
) -> Iterator[tuple[str, tuple[Tensor, str]]]:
    """Tensors of the model's own names that are made to fit, each with what was done."""
    own = model.state_dict()
    odd = {k: v for k, v in start.tensors.items() if k in own and v.shape != own[k].shape}
    if odd:
        yield from _resized(model, start.tensors, odd)
    for name in _first_convolutions(recipe.architecture):
        if name in odd and odd[name].ndim == own[name].ndim:
            theirs, mine = odd[name].shape[1], own[name].shape[1]
            if theirs != mine:
                weight = adapt_input_conv(mine, odd[name].clone(), base_chans=theirs)
                yield name, (weight, f"{theirs} to {mine} channels")
    if _knows_other_classes(start, recipe):
        assert start.recipe is not None
        yield from _rows_by_name(model, start.tensors, start.recipe.classes, recipe.classes)


def _resized(
    model: nn.Module, tensors: dict[str, Tensor], odd: dict[str, Tensor]
) -> Iterator[tuple[str, tuple[Tensor, str]]]:
    """What timm's filter of checkpoints changes about the size of ``odd`` tensors."""
    known = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if known is None or list(inspect.signature(known).parameters)[:2] != ["state_dict", "model"]:
        return
    skipped = set(_class_tensors(model))
    try:
        filtered: dict[str, Tensor] = known(dict(tensors), model)
    except (AssertionError, KeyError, RuntimeError, TypeError, ValueError):
        return  # the filter asks for other weights than these
    for name, before in odd.items():
        after = filtered.get(name)
        if after is not None and after.shape != before.shape and name not in skipped:
            yield name, (after, f"{_size(before)} to {_size(after)}")


def _size(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape))


def _first_convolutions(architecture: str) -> tuple[str, ...]:
    """Names of the weights that see the picture."""
    cfg = timm.get_pretrained_cfg(architecture)
    paths: Any = cfg.first_conv if cfg is not None else None
    return tuple(f"{path}.weight" for path in ((paths,) if isinstance(paths, str) else paths or ()))


def _class_tensors(model: nn.Module) -> Iterator[str]:
    """Names of the tensors that have a row for each class."""
    for path, layer in class_layers(model):
        yield from (f"{path}.{name}" for name, _ in layer.named_parameters())


def _knows_other_classes(start: Start, recipe: Recipe) -> bool:
    return start.recipe is not None and start.recipe.classes != recipe.classes


def _rows_by_name(
    model: nn.Module, tensors: dict[str, Tensor], theirs: tuple[str, ...], mine: tuple[str, ...]
) -> Iterator[tuple[str, tuple[Tensor, str]]]:
    """The classifier with the rows of classes that both know, the others as they were drawn."""
    shared = [name for name in mine if name in theirs]
    if not shared:
        return
    to = torch.tensor([mine.index(name) for name in shared])
    come_from = torch.tensor([theirs.index(name) for name in shared])
    own = model.state_dict()
    for name in _class_tensors(model):
        source = tensors.get(name)
        if source is None or source.shape[1:] != own[name].shape[1:]:
            continue
        rows = own[name].clone()
        rows[to.to(rows.device)] = source[come_from].to(rows)
        yield name, (rows, f"rows of {_some(shared)} by name")
