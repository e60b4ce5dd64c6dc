"""Batch sizes tried for real: full steps on made-up pictures. This is the child's side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np
import torch

from imgtrain.assembly import assemble, ready_device
from imgtrain.data.index import Index, read_index
from imgtrain.data.split import Split
from imgtrain.engine import limits
from imgtrain.engine.device import ComputePlan
from imgtrain.engine.schedule import Batches
from imgtrain.engine.state import TrainState
from imgtrain.engine.step import train_step
from imgtrain.engine.world import World, local_place
from imgtrain.errors import ImgtrainError, MemoryLimitError, SettingsError, is_out_of_memory
from imgtrain.fast_dev import tiny
from imgtrain.known_sets import settle_root
from imgtrain.loading.loader import AHEAD, Loader, Pictures
from imgtrain.loading.orders import Order, epoch_length
from imgtrain.loading.stores import Nowhere
from imgtrain.opening import cut_parts
from imgtrain.probing import trains_on_features
from imgtrain.resolve import Resolved, make_preprocess, make_recipe, resolve
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.schema import Settings

TIMED_SECONDS = 0.6
"""So long the speed of a size is looked at, at least."""

_WARM = 2
"""Real steps of each size: the optimizer's state exists from the second on."""

BESIDE, FRAGMENTS = 64e6, 0.01
"""Bytes, and a share of the limit, that a trial on a CPU leaves free: a training decodes pictures
beside its steps, and its heap has more holes the longer it goes on."""

NEAR = 0.9
"""A ladder of sizes ends before the one that would take more than this share of the limit."""


def question_of(
    settings: Settings, *, natural: bool, classes: tuple[str, ...], pictures: int
) -> Any:
    """What a probe has to know of a training, for JSON: resolved settings, no data.

    ``pictures`` are those of an epoch.
    """
    return {
        "settings": flatten(settings),
        "natural": natural,
        "classes": list(classes),
        "pictures": pictures,
        "held": limits.data_size(),
    }


def ask(flat: dict[str, Any]) -> dict[str, Any]:
    """Look at the data and decide what training would: the first child of ``find-batch-size``.

    An error for the user comes back as its class's name, message and hint.
    """
    try:
        settings = from_flat(flat)
        index = read_index(settle_root(settings), group_by=settings.data.group_by)
        split = cut_parts(index, settings.data)
        return _asked(settings, index, split)
    except ImgtrainError as error:
        return {"error": [type(error).__name__, error.message, error.hint]}


def _asked(settings: Settings, index: Index, split: Split) -> dict[str, Any]:
    if settings.train.fast_dev:
        settings, split = tiny(settings, index, split)
    resolved = resolve(settings, index, split)
    if trains_on_features(resolved.settings):
        raise SettingsError(
            "--freeze backbone computes the features once, and then any batch fits",
            "take --batch-size 64, or vary the pictures (--augmentation-policy light)",
        )
    pictures = epoch_length(index.labels[split.train], settings.balance.strategy)
    question: dict[str, Any] = question_of(
        resolved.settings, natural=resolved.natural, classes=index.classes, pictures=pictures
    )
    return question | {"held": 0}


@dataclass(slots=True)
class Rung:
    """A size that passed: pictures a second, and the most memory it took, in bytes."""

    size: int
    rate: float
    peak: int


def probe(question: dict[str, Any]) -> dict[str, Any]:
    """Try ``question["sizes"]``, ascending, until one does not fit.

    Returns:
        ``rungs`` (sizes that passed), ``failed`` (the size that did not fit), ``ended`` (why it
        went no further: memory, time, flat), ``limit`` in bytes, ``bound`` (what sets it), and
        ``device``; or ``error`` as from ``ask``.
    """
    try:
        with ExitStack() as stack:
            return _probed(question, stack)
    except ImgtrainError as error:
        return {"error": [type(error).__name__, error.message, error.hint]}


def _probed(question: dict[str, Any], stack: ExitStack) -> dict[str, Any]:
    settings = _simpler(question)
    compute = ready_device(settings.hardware, image_size=int(settings.data.image_size))
    limit, bound = _limit(settings, compute, question["held"], stack)
    found: dict[str, Any] = {
        "rungs": [], "failed": None, "ended": None, "limit": limit, "bound": bound,
        "device": str(compute),
    }  # fmt: skip
    sizes = question["sizes"]
    passes = 1 if settings.train.accumulation_steps == 1 else 2
    size = sizes[0]
    try:
        state = _made(
            settings, question, compute, stack, pictures=(AHEAD + 1) * passes * max(sizes)
        )
        ballast = _ballast(state, question)
        rungs: list[Rung] = []
        for size in sizes:
            ended = _ends(rungs, size, limit, question)
            if ended:
                found["ended"] = ended
                break
            rungs.append(_rung(state, size, passes, question["pictures"]))
            found["rungs"].append(asdict(rungs[-1]))
        del ballast
    except (RuntimeError, MemoryError, MemoryLimitError) as error:
        if not (isinstance(error, MemoryLimitError) or is_out_of_memory(error)):
            raise
        found |= {"failed": size, "ended": "memory"}
    return found


def _simpler(question: dict[str, Any]) -> Settings:
    """The settings without what needs pictures, or a schedule that fits their number."""
    flat = dict(question["settings"])
    world = question.get("processes", 1)
    whole = flat["train.global_batch_size"]
    several = flat["train.accumulation_steps"] > 1
    if flat["model.unfreeze_epochs"] is not None:  # all stages learn, in the end
        flat |= {"model.freeze": None, "model.unfreeze_epochs": None}
    if whole is not None:
        several = question["sizes"][0] * world < whole
    return from_flat(
        flat
        | {
            "train.batch_size": question["sizes"][0],
            "train.accumulation_steps": 2 if several else 1,
            "train.global_batch_size": None,
            "train.budget": None,
            "train.image_sizes": None,  # the largest is the one that counts
            "optim.lr": 1e-4,
            "schedule.name": "constant",
            "schedule.milestones": None,
            "schedule.warmup_epochs": 1.0,
            "schedule.warmup_steps": None,
            "schedule.warmup_fraction": None,
            "schedule.warmup_lr": 0.0,
            "schedule.min_lr": 0.0,
            "balance.strategy": "none",
            "augment.mix_prob": 1.0,
            "augment.mix_off_epoch": None,
        }
    )


def _limit(
    settings: Settings, compute: ComputePlan, held: int, stack: ExitStack
) -> tuple[float, str]:
    """Bytes that the training may take, enforced from here on; and what bounds them."""
    device, asked = compute.torch_device, settings.hardware.memory_limit
    if device.type == "mps":
        raise SettingsError(
            "memory of an Apple GPU cannot be measured", "give --batch-size a number"
        )
    if device.type == "cuda":
        stack.enter_context(limits.limited(asked, device))
        free, _ = torch.cuda.mem_get_info(device)
        if asked is not None and asked * limits.GB < free:
            return asked * limits.GB, "--memory-limit"
        return free, "the GPU's free memory"
    begun = limits.data_size()
    if asked is None:
        free, bound = limits.machine_memory()
        size = float(begun + free)
    else:  # what the training's own process holds before its first step is taken off
        size, bound = asked * limits.GB / local_place()[1], "--memory-limit"
        size -= max(0, held - begun)
    size -= BESIDE + FRAGMENTS * size
    stack.enter_context(limits.data_limited(size, f"--memory-limit {asked or size / 1e9:g}"))
    return size, bound


def _made(
    settings: Settings,
    question: dict[str, Any],
    compute: ComputePlan,
    stack: ExitStack,
    *,
    pictures: int,
) -> TrainState:
    """A training on so many copies of one made-up picture."""
    classes = tuple(question["classes"])
    preprocess = make_preprocess(settings, natural=question["natural"])
    side, channels = preprocess.side, preprocess.channels
    picture = np.random.default_rng(0).integers(0, 256, (side, side, channels), np.uint8)
    labels = np.arange(pictures, dtype=np.int64) % len(classes)
    nowhere: Any = None  # no file is read: every picture is in the store
    source = Pictures(nowhere, preprocess, _Always(picture), on_bad="error")
    loader = Loader(source, labels, compute.torch_device, threads=2)
    stack.enter_context(closing(loader))
    none = np.empty(0, np.int64)
    state, _ = assemble(
        Resolved(settings, question["natural"]),
        Split(np.arange(pictures), none, none),
        recipe=make_recipe(settings, classes, preprocess),
        compute=compute,
        loader=loader,
        world=World(),
        begins=False,
    )
    return state


class _Always(Nowhere):
    """A store in which every picture is the same one."""

    def __init__(self, picture: Any) -> None:
        self._picture = picture

    def get(self, _: int) -> Any:
        """That picture."""
        return self._picture


def _ballast(state: TrainState, question: dict[str, Any]) -> list[torch.Tensor]:
    """What gradients on their way between processes take."""
    if question.get("processes", 1) == 1:
        return []
    return [torch.zeros_like(weight) for weight in state.model.parameters()]


def _ends(rungs: list[Rung], size: int, limit: float, question: dict[str, Any]) -> str | None:
    """Why not to try ``size``, when others were tried: memory, time, or speed that stays."""
    if len(rungs) < 2:  # noqa: PLR2004  # a line takes two points
        return None
    a, b = rungs[-2:]
    slope = max(0.0, (b.peak - a.peak) / (b.size - a.size))
    if b.peak + slope * (size - b.size) > NEAR * limit:
        return "memory"
    if 4 * size / b.rate > question["seconds"]:
        return "time"
    best = max(rung.rate for rung in rungs[:-2]) if rungs[:-2] else 0.0
    is_flat = max(a.rate, b.rate) < 1.02 * best
    return "flat" if is_flat and question["until_flat"] else None


def _rung(state: TrainState, size: int, passes: int, pictures: int) -> Rung:
    """Two whole steps on pictures from the loader, then the same batch again for the speed.

    The loader is as far ahead as in an epoch of so many pictures.
    """
    device = state.compute.torch_device
    batches = Batches(micro=size, accumulation=passes, world_size=1)
    state.batches = batches
    state.train = Order(state.train.train, state.train.labels, "none", batches.effective)
    ahead = min(AHEAD // passes + 1, -(-pictures // batches.effective))
    state.plan = replace(state.plan, steps_per_epoch=max(_WARM, ahead))
    state.progress.step = 0
    state.learns()
    _forget(device)
    with closing(state.training_batches()) as real:
        seen: list[Any] = []
        for _ in range(_WARM):
            train_step(state, _kept(real, seen))
        peak = _peak(device)
        last = repeat(seen[-1])
        begun, steps = time.perf_counter(), 0
        while steps < 2 or time.perf_counter() - begun < TIMED_SECONDS:  # noqa: PLR2004  # two at least
            state.progress.step = 0
            train_step(state, last)
            _wait(device)
            steps += 1
        seconds = time.perf_counter() - begun
    state.optimizer.zero_grad(set_to_none=True)
    return Rung(size, batches.effective * steps / seconds, peak)


def _kept(batches: Iterator[Any], seen: list[Any]) -> Iterator[Any]:
    """Pass batches on, and remember the last."""
    for batch in batches:
        seen[:] = [batch]
        yield batch


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    else:
        limits.forget_peak()


def _peak(device: torch.device) -> int:
    _wait(device)
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    return limits.peak_data()
