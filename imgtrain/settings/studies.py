"""Settings of what trains many times: cross-validation and the search for settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from imgtrain.settings.cv_rules import check_folds
from imgtrain.settings.fields import FREE, Flag, Name, Seconds, Section
from imgtrain.settings.spaces import SearchSpace


class CvSettings(Section):
    """Cross-validation: into how many folds, and what they make together."""

    folds: Annotated[PositiveInt, FREE] = 5
    """Parts that the pictures outside of test are cut into; each is validated once."""

    repeats: Annotated[PositiveInt, FREE] = 1
    """How often, each time cut and begun with other seeds."""

    folds_file: Annotated[Path | None, Flag(metavar="FILE", identity="free")] = None
    """Folds as this file has them, with path and fold: the folds.csv of an earlier run."""

    fold: Annotated[PositiveInt | None, Flag(metavar="N", identity="free")] = None
    """Train this one alone, from 1 over all repeats; cv --collect joins them."""

    ensemble: Annotated[Literal["mean", "logits", "vote", "greedy"], FREE] = "mean"
    """Mean of probabilities or logits, votes, or members picked one by one on a part kept aside."""

    parallel: Annotated[PositiveInt, FREE] = 1
    """Folds that are trained at once: each on a GPU of its own, or on its share of the cores."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        check_folds(
            folds=self.folds,
            repeats=self.repeats,
            fold=self.fold,
            parallel=self.parallel,
            has_file=self.folds_file is not None,
        )
        return self


class TuneSettings(Section):
    """The search for good settings: how many trials, which, and where they are kept."""

    trials: Annotated[PositiveInt, Flag(identity="free")] = 50
    """Trials of the study, those of earlier commands counted in."""

    space: Annotated[
        SearchSpace | None, Flag(("--space",), "KEY=SPEC", identity="free", repeats=True)
    ] = None
    """What trials vary, as in optim.lr=1e-4..1e-1,log or optim.name=adamw,sgd; else a usual few."""

    method: Annotated[Literal["tpe", "random", "grid", "cmaes", "gp"], FREE] = "tpe"
    """How proposals are drawn."""

    pruner: Annotated[Literal["median", "hyperband", "none"], FREE] = "median"
    """How trials that fall behind are ended early."""

    objective: Annotated[Literal["val", "cv", "val+latency", "val+size"], Flag(identity="free")] = (
        "val"
    )
    """What a trial is judged by: the monitored metric, its mean over folds, or two goals."""

    epochs: Annotated[PositiveInt, Flag(("--tune-epochs",), identity="free")] = 20
    """Epochs of a trial; its schedule is fitted to them."""

    timeout: Annotated[Seconds | None, Flag(metavar="2h", identity="free")] = None
    """Begin no trial after so long, as in 90s, 30m or 2h."""

    jobs: Annotated[PositiveInt, FREE] = 1
    """Workers on this machine, each a process."""

    storage: Annotated[Name | None, Flag(metavar="URL", identity="free")] = None
    """Database that workers on many machines share; a file in the study's folder if not given."""

    seed: Annotated[NonNegativeInt, Flag(("--tune-seed",), identity="free")] = 0
    """Seed of the proposals, apart from the seed of the trainings."""
