"""Networks with fewer channels: cut out where they matter least, to be trained on from there."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from imgtrain import console
from imgtrain.engine.device import plan_compute
from imgtrain.engine.heads import class_layers
from imgtrain.engine.model import build
from imgtrain.engine.pruned import describe
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.summary import summarize
from imgtrain.engine.weights import read_model, save_model
from imgtrain.ensemble import Chosen, Member, choose
from imgtrain.errors import RunError, SettingsError
from imgtrain.export.exporting import read_networks
from imgtrain.export.formats import require
from imgtrain.export.parity import Run, as_run
from imgtrain.export.pictures import find_sample
from imgtrain.settings.schema import HardwareSettings

FAMILIES = ("ResNet", "EfficientNet", "MobileNetV3", "RegNet", "VGG")
"""timm's classes whose pruned networks were tried, trained on and built again."""

_ROUND = 8
"""Channels are kept in multiples of this, which processors take whole."""

_PICTURES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneWish:
    """What is to be pruned, and how much.

    Args:
        run: Name or file; the newest run if not given.
        output: Folder that holds the runs.
        share: Of the channels of every layer that go.
        to: The file, or its folder; in the run if not given.
        data: Pictures to score on; the run's own if not given.
        hardware: ``threads`` counts; all computes on the CPU.
    """

    run: str | None
    output: Path
    share: float
    to: Path | None = None
    data: str | None = None
    hardware: HardwareSettings


@dataclass(frozen=True, slots=True)
class Cost:
    """What a network takes, and how good it is: top-1 is None where no picture can be had."""

    parameters: int
    macs: float
    top1: float | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """The file, and the network before and after."""

    file: Path
    architecture: str
    size: int
    before: Cost
    after: Cost


def prune(wish: PruneWish) -> Pruned:
    """Write the weights of a network that kept its most important channels.

    Channels that belong together (along a residual sum, a depthwise layer) go together, those of
    the smallest L2 norm first (DepGraph, Fang et al. 2023, arXiv:2301.12900). The weights are
    written once the network that is built of their recipe answers with the very same numbers.

    Raises:
        OutsideError: If torch-pruning is not installed.
        SettingsError: If the network is of a family that was not tried.
        RunError: If the run cannot be read, or the network not be built again.
    """
    require(("torch_pruning",), "prune", "--prune")
    chosen = choose(wish.run, wish.output)
    (member,) = _one(chosen, wish.hardware)
    recipe = member.recipe
    model = deepcopy(member.model).to(memory_format=torch.contiguous_format)
    if type(model).__name__ not in FAMILIES or recipe.plugin is not None:
        raise SettingsError(
            f"--prune knows the families {', '.join(FAMILIES)} of timm, and {recipe.architecture} "
            f"is a {type(model).__name__}",
            "take a model of these, or a smaller one of the same family",
        )
    target = _target(wish, chosen.files[0])
    _cut(model, recipe, wish.share)
    full = build(replace(recipe, pruned=None))
    own = replace(recipe, pruned=describe(full, model) or None, temperature=1.0, conformity=())
    save_model(target, model, own)
    _check_rebuilt(target, model, own)
    before, after = _costs(member, target, wish, own)
    return Pruned(target, recipe.architecture, recipe.preprocess.size, before, after)


def _one(chosen: Chosen, hardware: HardwareSettings) -> Sequence[Member]:
    if len(chosen.files) > 1:
        raise SettingsError(
            "--prune is of one network, and this run has several", f"name one: {chosen.files[0]}"
        )
    return read_networks(chosen, hardware, folds=False)


def _target(wish: PruneWish, file: Path) -> Path:
    name = f"pruned-{wish.share:g}.safetensors"
    if wish.to is None:
        return file.parent / "export" / name
    to = wish.to / name if wish.to.is_dir() else wish.to
    if to.suffix != ".safetensors":
        raise SettingsError(
            f"--to {to}: pruned weights are a .safetensors file", "let the name end so"
        )
    return to


def _cut(model: nn.Module, recipe: Recipe, share: float) -> None:
    """Take the channels out, in place."""
    import torch_pruning

    p = recipe.preprocess
    example = torch.zeros(1, p.channels, p.size, p.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its remarks are for those who call it by hand
        pruner: Any = torch_pruning.pruner.BasePruner(
            model.eval(),
            example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=share,
            ignored_layers=[layer for _, layer in class_layers(model)],
            round_to=_ROUND,
        )
        pruner.step()
    model.zero_grad()


def _check_rebuilt(file: Path, model: nn.Module, recipe: Recipe) -> None:
    """The network of the file is the pruned one, to the last bit; else there is no file."""
    p = recipe.preprocess
    pixels = torch.rand(2, p.channels, p.size, p.size)
    try:
        again, _ = read_model(file)
        with torch.inference_mode():
            same = torch.equal(again(pixels), model.eval()(pixels))
    except RunError:
        same = False
    if not same:
        file.unlink()
        raise RunError(
            f"a pruned {recipe.architecture} cannot be built again from its recipe",
            "take another model",
        )


def _costs(member: Member, file: Path, wish: PruneWish, own: Recipe) -> tuple[Cost, Cost]:
    """Before and after."""
    after = read_networks(Chosen("mean", (file,), (1.0,)), wish.hardware)
    runs = [as_run([member], "mean"), as_run(after, "mean")]
    place = choose(wish.run, wish.output).files[0]
    sample = find_sample(place, own, wish.data, _PICTURES)
    good, total = np.zeros(2), 0
    for pixels, labels in sample.batches(sample.compared, own.preprocess):
        known = labels >= 0
        total += int(known.sum())
        good += [_hits(run, pixels, labels) for run in runs] if known.any() else 0
    compute = plan_compute(wish.hardware.model_copy(update={"device": "cpu"}), image_size=1)
    found = [summarize(recipe, batch=1, compute=compute) for recipe in (member.recipe, own)]
    first, second = (
        Cost(each.parameters, each.macs, float(hits) / total if total else None)
        for each, hits in zip(found, good, strict=True)
    )
    return first, second


def _hits(run: Run, pixels: Any, labels: Any) -> int:
    return int((run(np.ascontiguousarray(pixels)).argmax(axis=1) == labels).sum())


def advice(found: Pruned, data: str | None) -> str:
    """The command that trains on from there."""
    return (
        f"imgtrain train --data {data or 'DATA'} --model {found.architecture} "
        f"--image-size {found.size} --weights {found.file}"
    )


def tell(found: Pruned, data: str | None) -> None:
    """What to do next."""
    console.say(f"pruned weights answer badly until they are trained on: {advice(found, data)}")
