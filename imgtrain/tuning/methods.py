"""How proposals are drawn, and how trials that fall behind are ended: Optuna's, by our names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imgtrain.errors import SettingsError
from imgtrain.settings.schema import Settings
from imgtrain.settings.studies import TuneSettings

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

STARTUP = 5
"""Trials that the median is taken over before it ends any."""

_REDUCTION = 3
"""Of hyperband: what is left goes on for so many times as many epochs."""


def make_sampler(method: str, *, seed: int, number: int) -> BaseSampler:
    """The sampler of one proposal.

    Its random numbers depend on the study's seed and the trial's number alone, so that a study
    that goes on proposes what it would have proposed without a pause.

    Args:
        method: As in ``--method``; the points of a grid are queued, and none is drawn.
        seed: ``--tune-seed``.
        number: Of the trial, from 0.
    """
    from optuna import samplers

    own = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
    if method == "tpe":
        return samplers.TPESampler(seed=own)
    if method == "cmaes":
        return samplers.CmaEsSampler(seed=own, warn_independent_sampling=False)
    if method == "gp":
        return samplers.GPSampler(seed=own, warn_independent_sampling=False)
    return samplers.RandomSampler(seed=own)


def make_pruner(settings: Settings) -> BasePruner:
    """Ends trials that fall behind; two goals have no order that one could fall behind in."""
    from optuna import pruners

    tune = settings.tune
    name = pruner_of(tune)
    if name == "median":
        warmup = max(1, tune.epochs // 10)
        return pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=warmup)
    if name == "hyperband":
        return pruners.HyperbandPruner(
            min_resource=1, max_resource=steps_of(settings), reduction_factor=_REDUCTION
        )
    return pruners.NopPruner()


def pruner_of(tune: TuneSettings) -> str:
    """The pruner that counts."""
    return "none" if "+" in tune.objective else tune.pruner


def steps_of(settings: Settings) -> int:
    """How often a trial reports: at the end of each epoch, of all folds."""
    tune, cv = settings.tune, settings.cv
    return tune.epochs * (cv.folds * cv.repeats if tune.objective == "cv" else 1)


def check_method(tune: TuneSettings, *, asks_pruner: bool, kinds: set[str], points: int) -> None:
    """Refuse what a method cannot do.

    Args:
        tune: The settings.
        asks_pruner: Whether the user chose the pruner.
        kinds: ``float``, ``int``, ``categorical``: what the space holds.
        points: How many a grid has; 0 where there is none.

    Raises:
        SettingsError: With the flag to change.
    """
    if "+" in tune.objective and asks_pruner and tune.pruner != "none":
        raise SettingsError(
            f"--pruner {tune.pruner} cannot weigh the two goals of --objective {tune.objective}",
            "leave it out, or add --pruner none",
        )
    if tune.method == "cmaes" and "+" in tune.objective:
        raise SettingsError(
            f"--method cmaes knows one goal, --objective {tune.objective} has two",
            "take --method tpe, gp or random",
        )
    if tune.method == "cmaes" and not kinds & {"float", "int"}:
        raise SettingsError(
            "--method cmaes moves numbers, the space has only categories",
            "take --method tpe, random or grid",
        )
    if tune.method == "grid" and points > tune.trials:
        raise SettingsError(
            f"the grid has {points} points, --trials {tune.trials} would leave some out",
            f"take --trials {points}, a smaller space, or --method random",
        )
