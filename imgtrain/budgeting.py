"""A training in a given time: what is known before it begins, and what is kept of it."""

from __future__ import annotations

import os
import time

from imgtrain.data.split import Split
from imgtrain.engine.course import Course
from imgtrain.engine.pacing import Costs, Pacer
from imgtrain.engine.state import TrainState
from imgtrain.engine.timekeeping import Keeper, seconds_to_score, too_short
from imgtrain.files import write_text
from imgtrain.loading.rows import RowLoader
from imgtrain.loading.tta import views
from imgtrain.probing import through_network
from imgtrain.rundir import RunDir
from imgtrain.settings.fields import sizes_and_shares
from imgtrain.settings.layers import to_yaml
from imgtrain.settings.schema import Settings

_IMPORTS = 3.5
"""Seconds of start-up on the machine on which the rest was measured."""

_ENDING, _EXIT = 0.55, 0.5
"""Files, plots and report take so much of what start-up took; then the process has to end."""
_APART = 0.3
"""The same for processes that part, and the one that started them."""


def seconds_of_ending(begun: float) -> float:
    """What comes after the last score: the imports that just were say how fast the machine is."""
    started = max(_IMPORTS, time.monotonic() - begun)
    apart = _APART * started if "_IMGTRAIN_LAUNCHED" in os.environ else 0.0
    return _ENDING * started + apart + _EXIT


def refuse_hopeless(budget: float | None, ending: float, begun: float) -> None:
    """Before any data is read.

    Raises:
        SettingsError: If start-up and report alone take longer than ``budget``.
    """
    spent = time.monotonic() - begun
    if budget is not None and budget < spent + ending:
        what = f"start-up took {spent:.0f} s, and the report will take {ending:.0f} s"
        raise too_short(budget, spent + ending, what)


def give_keeper(
    state: TrainState, settings: Settings, split: Split, *, begun: float, ending: float
) -> None:
    """Let the training keep to its budget, if it has one.

    Args:
        state: The training, before a checkpoint is restored.
        settings: Resolved.
        split: Its parts.
        begun: When the command began, as ``time.monotonic()`` tells time.
        ending: From ``seconds_of_ending``.
    """
    budget = settings.train.budget
    if budget is None:
        return
    seen = len(views(state.loader.pictures.preprocess, settings.augment.tta))
    scored = (len(split.val) + len(split.calibration) + len(split.test)) * seen
    if settings.augment.tta is not None and isinstance(state.loader, RowLoader):
        # several views of a picture go through the whole network, not the classifier alone
        ending += scored * seconds_to_score(through_network(state)) / state.world.size
        scored = 0
    pacer = Pacer(
        deadline=begun + budget,
        costs=Costs(0.0, 0.0, ending),
        total=state.plan.total_steps,
        per_epoch=state.plan.steps_per_epoch,
        shares=sizes_and_shares(settings.train.image_sizes or ""),
    )
    state.keeper = Keeper(
        budget=budget,
        begun=begun,
        ending=ending,
        scored=scored,
        pacer=pacer,
    )


def write_realised(run: RunDir, state: TrainState, settings: Settings) -> None:
    """``realised.yaml``: settings that repeat to the bit what a training to a budget came to."""
    if settings.train.budget is None or state.plan.course is None:
        return
    course: Course = state.plan.course
    train = settings.train.model_copy(
        update={"budget": None, "image_sizes": None, "realised": str(course)}
    )
    begun_anew = settings.run.model_copy(update={"resume": None, "fresh": False})
    text = to_yaml(settings.model_copy(update={"train": train, "run": begun_anew}))
    write_text(run.path / "realised.yaml", text)
