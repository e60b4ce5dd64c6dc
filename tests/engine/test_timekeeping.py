"""A real training to a budget: what it did is written down, repeats, and goes on after a stop."""

import time
from dataclasses import replace

import pytest
import torch
from frozen import STILL, probe_state
from small import checkpoints, small_state

from imgtrain.budgeting import give_keeper
from imgtrain.data.split import Split
from imgtrain.engine.course import Course
from imgtrain.engine.loop import fit
from imgtrain.engine.pacing import Costs, Pacer
from imgtrain.engine.timekeeping import Keeper
from imgtrain.errors import SettingsError
from imgtrain.events import EpochEnded
from imgtrain.settings.fields import sizes_and_shares
from imgtrain.settings.schema import Settings

SETTINGS = {
    "train": {"epochs": 3, "batch_size": 8, "image_sizes": "5:0.3,6:0.4,8:0.3", "ema": True},
    "augment": {"mixup_alpha": 0.3},
}


def paced(budget, *, settings=SETTINGS):
    """A training that has so many seconds from now, none of them for a report."""
    state = small_state(settings=settings, norm=True, dropout=0.2)
    pacer = Pacer(
        deadline=0,
        costs=Costs(0, 0, 0),
        total=state.plan.total_steps,
        per_epoch=state.plan.steps_per_epoch,
        shares=sizes_and_shares(settings["train"].get("image_sizes", "")),
    )
    begun = time.monotonic()
    state.keeper = Keeper(budget=budget, begun=begun, ending=0, scored=0, pacer=pacer)
    return state


def weights(state):
    averaged = {} if state.ema is None else state.ema.model.state_dict()
    return [t.clone() for t in (*state.model.state_dict().values(), *averaged.values())]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def repeated(course, folder):
    """A training that does what ``course`` tells, without a clock."""
    settings = SETTINGS | {"train": SETTINGS["train"] | {"image_sizes": None}}
    state = small_state(settings=settings, norm=True, dropout=0.2)
    state.plan = replace(state.plan, course=Course.parse(course))
    state.views = small_state(settings=SETTINGS).views
    list(fit(state, checkpoints(folder)))
    return state


def _values(state):
    times = {"seconds", "images_per_second"}
    return [{k: v for k, v in row.items() if k not in times} for row in state.progress.history]


def test_what_a_budget_came_to_repeats_to_the_bit(tmp_path):
    """Weights, average, history: from the line of text alone."""
    state = paced(2.0)
    events = list(fit(state, checkpoints(tmp_path / "a")))
    course = state.plan.course
    again = repeated(str(course), tmp_path / "b")

    assert same(state, again)
    assert _values(state) == _values(again)
    assert events[-1].reason == "finished"
    assert state.progress.history[-1]["step"] == course.steps
    assert state.progress.history[-1]["val_loss"] is not None
    told = [event.row["epoch"] for event in events if isinstance(event, EpochEnded)]
    assert told == list(range(1, len(state.progress.history) + 1))


def test_the_rate_comes_to_its_end(tmp_path):
    """The last update is where the last one of a training of that length would be."""
    state = paced(1.5)
    list(fit(state, checkpoints(tmp_path)))
    course, total = state.plan.course, state.plan.total_steps

    assert course.position(course.steps - 1) >= total - total / course.steps - 1e-9
    assert state.global_step - state.plan.steps_per_epoch < course.steps


def test_stopped_and_resumed_it_uses_what_is_left_and_repeats_as_a_whole(tmp_path):
    """What was used counts; the record holds both processes' steps."""
    kept, first = checkpoints(tmp_path / "a"), paced(4.0)
    list(fit(first, kept, stopped=lambda: first.global_step >= 4))
    second = paced(4.0)
    kept.restore(second)
    used, since = second.progress.used, time.monotonic()
    second.keeper.begun = since
    list(fit(second, kept))

    assert used > 0
    assert time.monotonic() - since < 4.0 - used + 5
    assert second.global_step > 4
    assert same(second, repeated(str(second.plan.course), tmp_path / "b"))


def test_a_budget_that_is_gone_before_the_first_step_is_refused(tmp_path):
    """With what would do; nothing is trained."""
    state = paced(1.0)
    state.keeper.begun -= 60
    with pytest.raises(SettingsError, match="--budget 1s is too short: 60 s are gone") as caught:
        list(fit(state, checkpoints(tmp_path)))

    assert "give at least 6" in caught.value.hint
    assert state.global_step == 0


@pytest.mark.parametrize(("tta", "views"), [(None, 1), ("flip", 2)])
def test_several_views_of_features_are_expected_to_pass_the_network(tta, views):
    """What scoring takes is the network's time for each view, not the classifier's."""
    settings = STILL | {"train": {**STILL["train"], "budget": 600.0}}
    settings["augment"] = {"policy": "none", "tta": tta}
    state, passes = probe_state(settings)
    passes.clear()
    parts = Split(state.train.train, state.val, state.val[:0])
    give_keeper(state, Settings.model_validate(settings), parts, begun=0.0, ending=1.0)
    keeper = state.keeper

    assert (keeper.scored, keeper.ending == 1.0) == ((0, False) if views > 1 else (21, True))
    assert bool(passes) == (views > 1)
    state.loader.close()
