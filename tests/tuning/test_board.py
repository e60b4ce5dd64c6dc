"""The live table of a study, in terminals wide and narrow."""

import optuna
import pytest
from rich.console import Console

from imgtrain import console
from imgtrain.settings.layers import from_flat
from imgtrain.tuning.board import table
from imgtrain.tuning.defaults import default_space
from imgtrain.tuning.goals import Goal
from imgtrain.tuning.space import propose
from imgtrain.tuning.study import Study

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_every_value_of_the_best_trials_is_shown(width, monkeypatch):
    """Side by side where there is room, else below each other: nothing is cut off."""
    monkeypatch.setattr(console.console(), "_width", width)
    settings = from_flat({"tune.trials": 9})
    space = default_space(settings)
    trials = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0)
    )
    for value in (0.91, 0.95):
        trial = trials.ask()
        propose(space, trial)
        trial.set_user_attr("epochs", 4)
        trials.tell(trial, value)
    study = Study(None, None, None, trials, space, (Goal("val_top1", maximize=True),), settings)

    screen = Console(width=console.console().width)
    with screen.capture() as captured:
        screen.print(table(study, trials.get_trials()))
    shown = captured.get()

    assert console.console().width == width
    words = shown.split()
    for trial in trials.trials:
        for key, value in trial.params.items():
            text = f"{value:.4g}" if isinstance(value, float) else value
            assert text in words or f"{key}={text}" in words
    assert words.index("0.9500") < words.index("0.9100")
    assert "2 of 9 trials are over (2 finished), 0 running" in shown
    assert max(map(len, shown.splitlines())) <= width
