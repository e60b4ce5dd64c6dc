"""Strategies: any value that a setting takes, and any set of settings without contradictions."""

from types import NoneType
from typing import Annotated, Literal, Union, get_args, get_origin

from hypothesis import strategies as st

from imgtrain.settings.catalog import all_settings

OFF = {"none", "off", "null"}
_names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1
).filter(lambda text: text == text.strip() and text.lower() not in OFF)
_numbers = st.floats(0.001, 1, allow_nan=False)
_AGREEING = {
    "data.split_ratio": st.sampled_from([[0.8, 0.1, 0.1], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]),
    "data.background": st.sampled_from(["white", "black", "grey", "#00ffCC", "#123456"]),
    "data.normalize_mean": st.one_of(
        st.sampled_from(["model", "auto"]), st.lists(_numbers, min_size=1, max_size=3)
    ),
    "data.normalize_std": st.one_of(
        st.sampled_from(["model", "auto"]), st.lists(_numbers, min_size=1, max_size=3)
    ),
    "optim.lr": st.one_of(st.just("auto"), st.floats(0.1, 10)),
    "schedule.warmup_lr": st.floats(0, 0.1),
    "schedule.min_lr": st.floats(0, 0.1),
    "train.batch_size": st.sampled_from([1, 16, 64]),
    "train.accumulation_steps": st.just(1),
    "train.global_batch_size": st.sampled_from([None, 16, 64, 128]),
    "hardware.device": st.sampled_from(["auto", "cuda"]),
    "hardware.gpus": st.one_of(
        st.none(), st.lists(st.integers(0, 7), min_size=1, max_size=4, unique=True)
    ),
    "hardware.amp": st.sampled_from([None, True]),
    "hardware.precision": st.sampled_from(["auto", "bf16"]),
    "run.fresh": st.just(False),
    "run.output": _names.filter(lambda text: text not in {".", "/"} and "/" not in text),
}


def _drawn(annotation, bounds):
    origin = get_origin(annotation)
    if origin is Annotated:
        kind, *more = get_args(annotation)
        return _drawn(kind, (*bounds, *more))
    if origin is Literal:
        return st.sampled_from(get_args(annotation))
    if origin is Union or hasattr(annotation, "__args__"):
        return st.one_of(*(_drawn(kind, bounds) for kind in get_args(annotation)))
    flat = [b for bound in bounds for b in (bound, *getattr(bound, "metadata", ()))]
    low = [getattr(b, name) for b in flat for name in ("gt", "ge") if hasattr(b, name)]
    high = [getattr(b, name) for b in flat for name in ("lt", "le") if hasattr(b, name)]
    strict = any(hasattr(b, "gt") for b in flat)
    return {
        bool: st.booleans(),
        NoneType: st.none(),
        str: _names,
        int: st.integers(max([*low, 0]) + strict, min([*high, 10**6])),
        float: st.floats(
            max([*low, 0.0]) + (1e-6 if strict else 0), min([*high, 1e6]) - (1e-6 if high else 0)
        ),
    }[annotation]


def value_of(setting):
    """Any value for one setting, as YAML has it."""
    if setting.key in _AGREEING:
        return _AGREEING[setting.key]
    return _drawn(setting.annotation, setting.metadata)


@st.composite
def flat_settings(draw):
    """Values for some of the settings, by dotted key."""
    known = all_settings()
    keys = draw(st.lists(st.sampled_from(sorted(known)), unique=True, max_size=20))
    return {key: draw(value_of(known[key])) for key in keys}


def as_text(value):
    """A value as it is typed on a command line."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
