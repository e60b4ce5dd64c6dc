"""What all trials of a worker share: pictures, parts without the test part, decoded pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from imgtrain import console
from imgtrain.crossval.cutting import folds_outside_of_test
from imgtrain.data.folds import Folds
from imgtrain.data.index import Index
from imgtrain.data.split import Split
from imgtrain.engine.device import usable_cores
from imgtrain.engine.world import World
from imgtrain.errors import DataError
from imgtrain.leaks import gate
from imgtrain.loading.loader import Pictures
from imgtrain.loading.shelf import Shelf
from imgtrain.opening import cut_parts
from imgtrain.preparing import Ground
from imgtrain.resolve import decide_monitor, make_preprocess, resolve
from imgtrain.settings.classical import estimator_of
from imgtrain.settings.schema import Settings


def parts_without_test(index: Index, settings: Settings) -> Split:
    """The parts as a training would cut them; test and calibration pictures are in none of them.

    Raises:
        DataError: If there is no validation part to judge trials by.
    """
    split = cut_parts(index, settings.data)
    if not len(split.val) and settings.tune.objective != "cv":
        raise DataError(
            f"{index.root} has no validation part: trials are judged by it",
            "give it a share, as in --split-ratio 0.8,0.1,0.1, or take --objective cv",
        )
    unused = np.sort(np.concatenate([split.unused, split.calibration, split.test]))
    none = split.test[:0]
    return replace(split, test=none, calibration=none, unused=unused)


def monitor_of(settings: Settings, index: Index, split: Split) -> str:
    """What ``--monitor auto`` comes to: the same for all trials, since it is the data's."""
    if settings.train.monitor != "auto":
        return settings.train.monitor
    return decide_monitor(settings, index, replace(split, val=split.train)).train.monitor


@contextmanager
def shared_ground(settings: Settings, index: Index, split: Split, folder: Path) -> Iterator[Ground]:
    """Ground for all trials of a process: leaks are looked for once, pictures decoded once.

    What leaks is written into ``folder``, the study's.
    """
    with Shelf(index) as shelf:
        is_whole = estimator_of(settings.model.name) is None and settings.tune.objective != "cv"
        if not is_whole or settings.train.fast_dev:
            yield Ground(index=index, split=split, shelf=shelf)
            return
        yield Ground(
            index=index,
            split=_without_leaks(settings, index, split, shelf, folder),
            shelf=shelf,
            is_checked=True,
        )


def shared_folds(settings: Settings, ground: Ground) -> Folds | None:
    """With ``--objective cv``, the folds that all trials are judged on."""
    if settings.tune.objective != "cv":
        return None
    with console.hushed():
        return folds_outside_of_test(settings, ground.index, shelf=ground.shelf, world=World())


def _without_leaks(
    settings: Settings, index: Index, split: Split, shelf: Shelf, folder: Path
) -> Split:
    """What ``--on-leak`` leaves of the parts."""
    data = settings.data
    if data.on_leak == "off":
        return split
    with console.hushed():
        resolved = resolve(settings, index, split)
    preprocess = make_preprocess(resolved.settings, natural=resolved.natural)
    store = shelf.store(preprocess, kind=data.cache, gigabytes=data.cache_gb)
    pictures = Pictures(index.source, preprocess, store, on_bad=data.on_bad_image)
    threads = usable_cores() if data.workers == "auto" else data.workers
    kept, leaks = gate(pictures, index, split, World(), policy=data.on_leak, threads=threads)
    store.save()
    if leaks is not None:
        leaks.write(folder / "leaks.csv", index)
    return kept
