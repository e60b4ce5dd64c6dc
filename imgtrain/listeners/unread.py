"""A class that cannot be learned, because none of its pictures can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from imgtrain import console
from imgtrain.data.index import Index
from imgtrain.events import EpochEnded, Event


def unread_classes(
    index: Index, train: NDArray[np.int64], bad: Mapping[int, str]
) -> Callable[[Event], None]:
    """Names each class of which no training picture can be read, once, after an epoch.

    Args:
        index: The pictures.
        train: Positions of the training part.
        bad: Pictures that could not be read so far, by position; the training adds to it.
    """
    told = set[int]()

    def listen(event: Event) -> None:
        if not isinstance(event, EpochEnded) or not bad:
            return
        labels, unread = index.labels[train], np.isin(train, list(bad))
        for label in sorted({*labels[unread].tolist()} - {*labels[~unread].tolist()} - told):
            told.add(label)
            console.warn(
                f"class {index.classes[label]}: none of its {int((labels == label).sum())} "
                "training pictures can be read, so it is never learned"
            )

    return listen
