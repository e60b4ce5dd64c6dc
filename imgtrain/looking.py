"""One way of decoding pictures, and all looks at them: views and changes of what the model sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from imgtrain.data.listing import Source
from imgtrain.engine.device import usable_cores
from imgtrain.engine.state import SCORING_BATCH
from imgtrain.ensemble import Scorer
from imgtrain.loading.cache import Nowhere
from imgtrain.loading.loader import AHEAD, Batch, Loader, Pictures
from imgtrain.loading.newest import Newest
from imgtrain.loading.preprocess import Pixels, Preprocess
from imgtrain.loading.samplewise import View
from imgtrain.loading.sampling import Share, scoring_shares
from imgtrain.loading.tta import views

Change = Callable[[Pixels], Pixels]
"""What the model is about to see, (size, size, C) uint8, in another form of the same shape."""


def unchanged(pixels: Pixels) -> Pixels:
    """Pictures as they are."""
    return pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Which pictures are scored, how each is looked at, in which batches.

    Args:
        source: The pictures.
        tta: Views that are averaged; see ``imgtrain.loading.tta``.
        changes: What is done to what the model sees; nothing, if not given.
        first: The number of the picture to begin with.
        size: How many are scored together.
        threads: How many read pictures; one a core, if not given.
    """

    source: Source
    tta: str | None = None
    changes: Sequence[Change] = (unchanged,)
    first: int = 0
    size: int = SCORING_BATCH
    threads: int | None = None

    def shares(self) -> Iterator[Share]:
        """Batches of the pictures, in order."""
        left = np.arange(self.first, len(self.source), dtype=np.int64)
        return scoring_shares(left, self.size, rank=0, world_size=1)


@dataclass(frozen=True, slots=True)
class Looker:
    """Batches of the pictures, decoded in one way for all looks at them.

    Args:
        loader: What reads them.
        looks: Every view of every change, change after change.
        views: How many views there are.
        work: What is scored.
    """

    loader: Loader
    looks: Sequence[View]
    views: int
    work: Work

    def batches(self) -> Iterator[Batch]:
        """Each batch as often as there are looks, one after the other: it is decoded once."""
        size = self.loader.pictures.preprocess.size
        shares = (
            replace(share, seen=(size, look)) for share in self.work.shares() for look in self.looks
        )
        return self.loader.batches(shares, self.looks[0])


def sight(member: Scorer) -> Preprocess:
    """How its pictures are decoded and cut; means and deviations are the device's work."""
    return replace(member.recipe.preprocess, mean=(), std=())


def _after(view: View, change: Change) -> View:
    """The view of a picture, then the change of what is seen."""
    return view if change is unchanged else lambda pixels, u: change(view(pixels, u))


@contextmanager
def looking(preprocess: Preprocess, work: Work, member: Scorer) -> Iterator[Looker]:
    """Threads that read pictures in one way."""
    seen = views(preprocess, work.tta)
    looks = [_after(view, change) for change in work.changes for view in seen]
    kept = Nowhere() if len(looks) == 1 else Newest(2 * AHEAD * work.size)
    pictures = Pictures(work.source, preprocess, kept, on_bad="skip")
    unknown = np.zeros(len(work.source), np.int64)
    threads = work.threads or usable_cores()
    loader = Loader(pictures, unknown, member.compute.torch_device, threads=threads)
    try:
        yield Looker(loader, looks, len(seen), work)
    finally:
        loader.close()
