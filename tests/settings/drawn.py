"""Strategies: any value that a setting takes, and any set of settings without contradictions."""

import json
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
    "plugins": st.just([]),
    "data.split_ratio": st.sampled_from([[0.8, 0.1, 0.1], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]),
    "data.background": st.sampled_from(["white", "black", "grey", "#00ffCC", "#123456"]),
    "data.normalize_mean": st.one_of(
        st.sampled_from(["model", "auto"]), st.lists(_numbers, min_size=1, max_size=3)
    ),
    "data.normalize_std": st.one_of(
        st.sampled_from(["model", "auto"]), st.lists(_numbers, min_size=1, max_size=3)
    ),
    "augment.policy": st.sampled_from(["auto", "none", "medium", "trivial"]),
    "augment.custom": st.none(),
    "augment.mix_off_epoch": st.none(),
    "loss.class_weights": st.one_of(
        st.none(),
        st.lists(_numbers, min_size=2, max_size=4),
        st.dictionaries(st.sampled_from(["cat", "dog", "ÿ x"]), _numbers, min_size=1, max_size=3),
    ),
    "loss.name": st.sampled_from(["ce", "nll"]),
    "loss.focal_alpha": st.none(),
    "loss.pos_weight": st.none(),
    "schedule.name": st.sampled_from(["cosine", "linear", "step"]),
    "schedule.milestones": st.none(),
    "schedule.warmup_steps": st.none(),
    "schedule.warmup_fraction": st.none(),
    "hardware.processes": st.just(1),
    "balance.strategy": st.just("none"),
    "balance.auto_weights": st.just(False),
    "optim.lr": st.one_of(st.sampled_from(["auto", "find"]), st.floats(0.1, 10)),
    "schedule.warmup_lr": st.floats(0, 0.1),
    "schedule.min_lr": st.floats(0, 0.1),
    "train.batch_size": st.sampled_from([1, 16, 64]),
    "train.average_last": st.none(),
    "model.unfreeze_epochs": st.none(),
    "model.attention_index": st.none(),
    "model.freeze": st.one_of(st.none(), st.integers(1, 9)),
    "train.image_sizes": st.none(),
    "train.realised": st.none(),
    "train.accumulation_steps": st.just(1),
    "train.global_batch_size": st.sampled_from([None, 16, 64, 128]),
    "hardware.device": st.sampled_from(["auto", "cuda"]),
    "hardware.gpus": st.one_of(
        st.none(), st.lists(st.integers(0, 7), min_size=1, max_size=4, unique=True)
    ),
    "hardware.fsdp": st.just(False),
    "hardware.amp": st.sampled_from([None, True]),
    "hardware.precision": st.sampled_from(["auto", "bf16", "fp16"]),
    "run.fresh": st.just(False),
    "cv.folds": st.integers(2, 20),
    "cv.folds_file": st.none(),
    "cv.fold": st.none(),
    "cv.parallel": st.integers(1, 2),
    "track.to": st.lists(
        st.sampled_from(["tensorboard", "mlflow", "wandb"]), min_size=1, max_size=3, unique=True
    ),
    "tune.space": st.one_of(
        st.none(),
        st.fixed_dictionaries(
            {"optim.name": st.sampled_from([["sgd", "adamw"], ["lion", "muon", "sgd"]])},
            optional={
                "model.drop_rate": st.sampled_from(
                    [
                        {"low": 0.0, "high": 0.5, "step": 0.1},
                        {"low": 1e-3, "high": 0.9, "log": True},
                    ]
                ),
                "optim.momentum": st.just(
                    {"low": 0.8, "high": 0.99, "when": {"optim.name": ["sgd"]}}
                ),
                "optim.clip_norm": st.lists(
                    st.one_of(st.none(), _numbers), min_size=2, max_size=4, unique=True
                ),
            },
        ),
    ),
    "run.name": st.one_of(
        st.none(),
        _names.filter(lambda text: not {"/", "\\"} & {*text} and not text.startswith(".")),
    ),
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
    if isinstance(value, dict) and not all(isinstance(each, float) for each in value.values()):
        return json.dumps(value)
    if isinstance(value, dict):
        return ",".join(f"{name}={number}" for name, number in value.items())
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
