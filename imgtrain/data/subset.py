"""Taking pictures out of training: a stratified share of it, or those that other parts have too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imgtrain.data.index import Index
from imgtrain.data.listing import Ints
from imgtrain.data.split import Split, chances

_SALT = "subset"


def take_subset(index: Index, split: Split, share: float, seed: int) -> tuple[Split, str]:
    """Keep ``share`` of the training pictures: stratified, at least one of each class.

    A picture's place in the draw is a hash of seed and path: a smaller subset is part of a larger
    one. The rest becomes ``unused``.

    Returns:
        The smaller split, and a sentence about it.
    """
    train = split.train
    labels = index.labels[train]
    order = np.lexsort((chances(index, train, f"{_SALT}{seed}"), labels))
    classes = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    kept = [members[: max(1, round(share * len(members)))] for members in classes]
    chosen = np.zeros(len(train), np.bool_)
    chosen[np.concatenate(kept)] = True
    smaller = without(split, train[~chosen])
    return smaller, f"subset: {len(smaller.train):,} of {len(train):,} training pictures"


def without(split: Split, gone: Ints) -> Split:
    """The split with these positions in no part but ``unused``."""
    return replace(
        split,
        train=np.setdiff1d(split.train, gone, assume_unique=True),
        val=np.setdiff1d(split.val, gone, assume_unique=True),
        test=np.setdiff1d(split.test, gone, assume_unique=True),
        calibration=np.setdiff1d(split.calibration, gone, assume_unique=True),
        unused=np.union1d(split.unused, gone),
    )
