"""``--batch-size auto``: the size that probes recommend, found once, when a run begins."""

from __future__ import annotations

from imgtrain import console
from imgtrain.batch_finding import find, tell
from imgtrain.batch_trials import question_of
from imgtrain.data.index import Index
from imgtrain.data.split import Split
from imgtrain.engine.world import World
from imgtrain.loading.orders import epoch_length
from imgtrain.probing import trains_on_features
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.schema import Settings

_FOR_FEATURES = 64
"""Any batch of features fits; this one is the default of all trainings."""


def decide_batch(
    settings: Settings, index: Index, split: Split, *, natural: bool, world: World
) -> Settings:
    """The settings with a number for the batch: in all processes what the first one found.

    Raises:
        MemoryLimitError: If even a single picture does not fit.
    """
    if settings.train.batch_size != "auto":
        return settings
    size = None
    if trains_on_features(settings):
        console.say(f"batch    {_FOR_FEATURES}: features computed once take little memory")
        return from_flat({**flatten(settings), "train.batch_size": _FOR_FEATURES})
    if world.is_first:
        pictures = epoch_length(index.labels[split.train], settings.balance.strategy)
        question = question_of(settings, natural=natural, classes=index.classes, pictures=pictures)
        console.say("batch    looking for a size (--batch-size N saves the time)")
        found = find(question | {"processes": world.size}, wants_maximum=False)
        tell(found)
        size = found.recommended
    size = world.gather(size)[0]
    return from_flat({**flatten(settings), "train.batch_size": size})
