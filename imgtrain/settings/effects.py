"""Settings that do something only where others say so: said, never silently ignored.

An idle flag is refused: whoever typed it meant something. An idle line of a file or a variable is
warned of: a file may serve several trainings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imgtrain.errors import SettingsError
from imgtrain.registry import LOSSES, TRACKERS, options_of
from imgtrain.settings.catalog import all_settings, option_name
from imgtrain.settings.schema import Settings

_DROPS = ("step", "multistep", "plateau")


@dataclass(frozen=True, slots=True)
class Effect:
    """When a setting counts.

    Args:
        key: The setting.
        needs: What it has an effect with, as flags.
        counts: Whether it has one in these settings.
        later: Whether more epochs may make it count: then a flag is told, not refused.
    """

    key: str
    needs: str
    counts: Callable[[Settings], bool]
    later: bool = False


def _is_focal(s: Settings) -> bool:
    return "focal" in (s.loss.name, s.balance.strategy)


def _smooths(s: Settings) -> bool:
    """Ours do; a plugin's does if it takes the number."""
    name = s.loss.name
    return LOSSES.plugin(name) is None or "label_smoothing" in options_of(LOSSES[name])


def _mixes(s: Settings) -> bool:
    alphas = (s.augment.mixup_alpha, s.augment.cutmix_alpha)
    return any(
        (a == "auto" and s.augment.policy == "heavy") or a not in ("auto", 0) for a in alphas
    )


def _warms_up(s: Settings) -> bool:
    schedule = s.schedule
    lengths = (schedule.warmup_epochs, schedule.warmup_steps, schedule.warmup_fraction)
    return schedule.name != "onecycle" and any(lengths)


def _drops_in_time(s: Settings) -> bool:
    return all(epoch < s.train.epochs for epoch in s.schedule.milestones or ())


def _tells(s: Settings, tracker: str) -> bool:
    """A plugin's tracker may look at anything."""
    return any(name == tracker or TRACKERS.plugin(name) is not None for name in s.track.to)


def _cuts_folds(s: Settings) -> bool:
    return s.cv.folds_file is None


EFFECTS = (
    Effect(
        "augment.library",
        "an --augmentation-policy that has operations",
        lambda s: s.augment.policy not in ("auto", "none"),
    ),
    Effect(
        "augment.rand_n",
        "--augmentation-policy randaugment",
        lambda s: s.augment.policy == "randaugment",
    ),
    Effect(
        "augment.rand_m",
        "--augmentation-policy randaugment",
        lambda s: s.augment.policy == "randaugment",
    ),
    Effect(
        "augment.crop_scale",
        "an --augmentation-policy other than none",
        lambda s: s.augment.policy != "none",
    ),
    Effect("augment.mix_prob", "--mixup-alpha or --cutmix-alpha", _mixes),
    Effect("augment.mix_off_epoch", "--mixup-alpha or --cutmix-alpha", _mixes),
    Effect(
        "augment.mix_off_epoch",
        "as many --epochs",
        lambda s: not _mixes(s) or (s.augment.mix_off_epoch or 0) <= s.train.epochs,
        later=True,
    ),
    Effect("data.cache_gb", "--cache disk (or auto)", lambda s: s.data.cache in ("auto", "disk")),
    Effect(
        "model.features",
        "--model sklearn:NAME",
        lambda s: s.model.name.startswith("sklearn:"),
    ),
    Effect("loss.label_smoothing", "a --loss that takes it", _smooths),
    Effect("loss.focal_gamma", "--loss focal or --balance-strategy focal", _is_focal),
    Effect("loss.distill_alpha", "--teacher", lambda s: s.loss.teacher is not None),
    Effect(
        "loss.temperature",
        "--teacher and a --distill-alpha above 0",
        lambda s: s.loss.teacher is not None and s.loss.distill_alpha > 0,
    ),
    Effect(
        "balance.weighting",
        "--auto-weights or --balance-strategy weights",
        lambda s: s.balance.auto_weights or s.balance.strategy == "weights",
    ),
    Effect("schedule.warmup_lr", "a warm-up of its own", _warms_up),
    Effect(
        "schedule.min_lr",
        "an --lr-scheduler that lowers the rate",
        lambda s: s.schedule.name != "constant",
    ),
    Effect("schedule.step_size", "--lr-scheduler step", lambda s: s.schedule.name == "step"),
    Effect(
        "schedule.step_size",
        "more --epochs than it has",
        lambda s: s.schedule.name != "step" or s.schedule.step_size < s.train.epochs,
        later=True,
    ),
    Effect("schedule.milestones", "more --epochs than its last has", _drops_in_time, later=True),
    Effect(
        "schedule.gamma",
        "--lr-scheduler step, multistep or plateau",
        lambda s: s.schedule.name in _DROPS,
    ),
    Effect(
        "schedule.plateau_patience",
        "--lr-scheduler plateau",
        lambda s: s.schedule.name == "plateau",
    ),
    Effect(
        "schedule.pct_start", "--lr-scheduler onecycle", lambda s: s.schedule.name == "onecycle"
    ),
    Effect("train.ema_decay", "--ema", lambda s: s.train.ema),
    Effect("train.keep", "a --checkpoint-freq above 0", lambda s: s.train.checkpoint_freq > 0),
    Effect("track.project", "--track wandb", lambda s: _tells(s, "wandb")),
    Effect("track.entity", "--track wandb", lambda s: _tells(s, "wandb")),
    Effect("track.experiment", "--track mlflow", lambda s: _tells(s, "mlflow")),
    Effect("track.uri", "--track mlflow", lambda s: _tells(s, "mlflow")),
    Effect("track.every", "--track", lambda s: bool(s.track.to)),
    Effect("track.max_mb", "--track", lambda s: bool(s.track.to)),
    Effect("cv.folds", "folds that are cut anew, not with --folds-file", _cuts_folds),
    Effect("cv.repeats", "folds that are cut anew, not with --folds-file", _cuts_folds),
)
"""Each setting that may be idle, in the order of the schema."""


def idle(settings: Settings, keys: Iterable[str]) -> Iterator[Effect]:
    """Those among ``keys`` that change nothing, though they differ from their default."""
    asked = set(keys)
    known = all_settings()
    for effect in EFFECTS:
        usual: Any = known[effect.key].default
        differs = known[effect.key].of(settings) != usual
        if effect.key in asked and differs and not effect.counts(settings):
            yield effect


def check_effects(settings: Settings, origins: Mapping[str, str]) -> list[str]:
    """Refuse idle flags; a sentence for every idle line of a file and every idle variable.

    Args:
        settings: What the layers gave.
        origins: Who set each key that is to be looked at.

    Raises:
        SettingsError: With the flag, and what it has an effect with.
    """
    told = []
    for effect in idle(settings, origins):
        origin = origins[effect.key]
        if origin.startswith("flag ") and not effect.later:
            raise SettingsError(
                f"{_flag(effect, origin)} has an effect only with {effect.needs}",
                "add that, or leave it out",
            )
        if origin.startswith(("flag ", "file ", "environment ", "python")):
            whole = "its whole effect" if effect.key == "schedule.milestones" else "an effect"
            told.append(f"{effect.key} ({origin}) has {whole} only with {effect.needs}")
    return told


def _flag(effect: Effect, origin: str) -> str:
    name = option_name(all_settings()[effect.key])
    return f"--set {effect.key}" if origin == "flag --set" else name
