"""From settings to folds, and what is decided once for all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imgtrain.batch_choice import decide_batch
from imgtrain.classical_features import decide_sight
from imgtrain.data.folds import Folds, make_folds
from imgtrain.data.folds_file import read_folds, torn_groups
from imgtrain.data.index import Index
from imgtrain.data.listing import PARTS, Ints
from imgtrain.data.split import Split, make_split
from imgtrain.engine.device import usable_cores
from imgtrain.engine.world import World
from imgtrain.leaks import find_copies
from imgtrain.loading.loader import Pictures
from imgtrain.loading.shelf import Shelf
from imgtrain.resolve import decide_monitor, make_preprocess, resolve
from imgtrain.settings.classical import estimator_of
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.schema import Settings

_FOR_ALL = (
    "data.image_size",
    "data.channels",
    "model.pretrained",
    "model.features",
    "train.monitor",
    "train.batch_size",
)
"""Where these are left open, one decision holds for all folds."""


def cut_folds(
    settings: Settings, index: Index, *, shelf: Shelf, world: World
) -> tuple[Folds, Settings, tuple[str, ...]]:
    """The folds that the settings ask for.

    Copies are looked for in the whole set, unless ``--on-leak off`` or ``--fast-dev`` says
    otherwise, and stay beside each other.

    Returns:
        The folds, the settings with what is one for all folds decided (see ``settle``), and what
        there is to say.

    Raises:
        DataError: If the pictures do not suffice, or a file of folds does not fit them.
    """
    data, cv = settings.data, settings.cv
    if cv.folds_file is not None:
        folds = read_folds(cv.folds_file, index)
        sentence = f"folds as in {cv.folds_file}; copies are not looked for"
        return folds, settle(settings, index, folds, world), (sentence, *torn_groups(index, folds))

    def cut(copies: Ints | None) -> tuple[Folds, tuple[str, ...]]:
        return make_folds(
            index,
            folds=cv.folds,
            repeats=cv.repeats,
            ratio=data.split_ratio,
            seed=data.split_seed,
            copies=copies,
            on_leak=data.on_leak,
            keep_aside=cv.ensemble == "greedy",
        )

    folds, told = cut(None)  # what cannot be is refused before any picture is decoded
    settled = settle(settings, index, folds, world)
    if data.on_leak != "off" and not settings.train.fast_dev:
        folds, told = cut(copies_in(settled, index, folds, shelf=shelf, world=world))
    return folds, settled, told


def folds_outside_of_test(settings: Settings, index: Index, *, shelf: Shelf, world: World) -> Folds:
    """Folds for those who must not read the test part, which is that of a single training.

    Copies are looked for among the other pictures alone, and stay beside each other.
    """
    data, cv = settings.data, settings.cv
    if cv.folds_file is not None:
        return read_folds(cv.folds_file, index)
    test = make_split(index, data.split_ratio, data.split_seed)[0].test
    given = np.zeros(len(index.labels), np.int8)
    given[test] = PARTS.index("test")

    def cut(copies: Ints | None) -> Folds:
        return make_folds(
            replace(index, given=given),
            folds=cv.folds,
            repeats=cv.repeats,
            ratio=data.split_ratio,
            seed=data.split_seed,
            copies=copies,
        )[0]

    folds = cut(None)
    if data.on_leak == "off" or settings.train.fast_dev:
        return folds
    settled = settle(settings, index, folds, world)
    return cut(copies_in(settled, index, folds, shelf=shelf, world=world, used=folds.pool()))


def copies_in(
    settings: Settings,
    index: Index,
    folds: Folds,
    *,
    shelf: Shelf,
    world: World,
    used: Ints | None = None,
) -> Ints:
    """Which pictures are the same; the decoded ones are those that training wants."""
    settings, natural = _decided(settings, index, _pool(folds))
    data = settings.data
    preprocess = make_preprocess(settings, natural=natural)
    store = shelf.store(preprocess, kind=data.cache, gigabytes=data.cache_gb)
    pictures = Pictures(index.source, preprocess, store, on_bad=data.on_bad_image)
    threads = usable_cores() if data.workers == "auto" else data.workers
    found = find_copies(pictures, index, world, threads=threads, used=used)
    store.save()
    return found


def _pool(folds: Folds) -> Split:
    """All that may be learnt from, some of it as a validation part, and nothing to test."""
    return Split(train=folds.pool(), val=folds.split(1).val, test=folds.test()[:0])


def _decided(settings: Settings, index: Index, split: Split) -> tuple[Settings, bool]:
    """Every ``auto`` decided, and whether the pictures are natural-sized."""
    if estimator_of(settings.model.name) is not None:
        sight = decide_sight(settings, index, split)
        return sight.settings, sight.natural
    resolved = resolve(settings, index, split)
    return resolved.settings, resolved.natural


def settle(settings: Settings, index: Index, folds: Folds, world: World) -> Settings:
    """Decide once what has to be the same in all folds: the size of the pictures, the metric, ...

    No picture of the test part is looked at. Statistics of the pictures stay each fold's own.
    """
    pool = _pool(folds)
    decided, natural = _decided(settings, index, pool)
    decided = decide_monitor(decided, index, pool)
    if estimator_of(settings.model.name) is None and not settings.train.fast_dev:
        first = folds.split(1)
        decided = decide_batch(decided, index, first, natural=natural, world=world)
    flat, found = flatten(settings), flatten(decided)
    return from_flat(flat | {key: found[key] for key in _FOR_ALL if flat[key] == "auto"})


def held_out(settings: Settings, index: Index, folds: Folds) -> Ints:
    """The test part that is scored at the end: all of it, but for ``--fast-dev``."""
    if not settings.train.fast_dev:
        return folds.test()
    from imgtrain.fast_dev import tiny

    parts = Split(train=folds.pool(), val=folds.pool(), test=folds.test())
    return tiny(settings, index, parts)[1].test
