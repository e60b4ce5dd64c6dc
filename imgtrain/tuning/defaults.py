"""The space that is searched when none is named; docs/tuning.md says why these and not others."""

from __future__ import annotations

from collections.abc import Collection

from imgtrain.errors import SettingsError
from imgtrain.settings.catalog import all_settings
from imgtrain.settings.classical import estimator_of
from imgtrain.settings.schema import Settings
from imgtrain.settings.space_rules import check_space
from imgtrain.settings.spaces import Choices, Dimension, Range, Space

_BATCH = 64
"""Effective batch that rates are for where the batch is found later."""


def default_space(settings: Settings, fixed: Collection[str] = ()) -> Space:
    """Rate, weight decay, optimizer, label smoothing, policy and mixup, as far as they are open.

    What the user set stays: no setting that differs from its default, and none of ``fixed``, is
    searched; nor is what has no effect on this model, or contradicts the settings.

    Raises:
        SettingsError: If the model is a classical one, or nothing is left to search.
    """
    if estimator_of(settings.model.name) is not None:
        raise SettingsError(
            f"--model {settings.model.name} has no epochs to cut short, and finds its own "
            "parameter on the validation part",
            f"type imgtrain train --model {settings.model.name}, or tune a network",
        )
    known = all_settings()
    taken = {k for k, each in known.items() if each.of(settings) != each.default} | {*fixed}
    found = {k: d for k, d in _candidates(settings, taken).items() if k not in taken}
    space = {key: dimension for key, dimension in found.items() if _fits(key, dimension, settings)}
    if not space:
        raise SettingsError(
            "every setting of the default space is set, so nothing is left to search",
            "leave one of them out, or name what to vary, as in --space optim.lr=1e-4..1e-1,log",
        )
    return space


def _candidates(settings: Settings, taken: Collection[str]) -> dict[str, Dimension]:
    found: dict[str, Dimension] = {"optim.lr": _rates(settings)}
    decay = _decays(settings)
    if decay is not None:
        found["optim.weight_decay"] = decay
    if "optim.lr" not in taken:  # one rate does not suit two optimizers
        found["optim.name"] = Choices(choices=("adamw", "muon"))
    found["loss.label_smoothing"] = Range(low=0.0, high=0.2, step=0.05)
    if settings.model.freeze != "backbone":  # it would run in every epoch
        found["augment.policy"] = Choices(choices=("auto", "light", "medium", "trivial"))
        found["augment.mixup_alpha"] = Range(low=0.0, high=0.4, step=0.1)
    return found


def _rates(settings: Settings) -> Range:
    """A power of ten around the rate of ``--lr auto``, and down to a quarter where it may be."""
    from imgtrain.engine.optim import default_lr

    train, model = settings.train, settings.model
    micro = _BATCH if train.batch_size == "auto" else train.batch_size
    effective = train.global_batch_size or micro * train.accumulation_steps  # of one process
    tunes = model.weights is None and model.freeze != "backbone"
    name = settings.optim.name
    low, high = (
        default_lr(name, effective=effective, pretrained=tunes and model.pretrained in starts)
        for starts in ((True, "auto"), (True,))
    )
    return Range(low=_two_digits(low / 10), high=_two_digits(high * 10), log=True)


def _decays(settings: Settings) -> Range | None:
    """A power of ten around the optimizer's own; None where that is 0."""
    from imgtrain.engine.optim import default_weight_decay

    usual = default_weight_decay(settings.optim.name)
    if not usual:
        return None
    return Range(low=_two_digits(usual / 10), high=_two_digits(usual * 10), log=True)


def _two_digits(number: float) -> float:
    return float(f"{number:.2g}")


def _fits(key: str, dimension: Dimension, settings: Settings) -> bool:
    try:
        check_space({key: dimension}, settings)
    except SettingsError:
        return False
    return True
