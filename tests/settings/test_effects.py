"""Settings that change nothing: refused as flags, warned of elsewhere, never silent."""

import pytest

from imgtrain.errors import SettingsError
from imgtrain.settings.catalog import all_settings, option_name
from imgtrain.settings.effects import EFFECTS, check_effects, idle
from imgtrain.settings.layers import from_flat, load_settings
from imgtrain.settings.schema import Settings

CASES = {
    "augment.library": ("albumentations", {}, {"augment.policy": "light"}),
    "augment.rand_n": (3, {"augment.policy": "trivial"}, {"augment.policy": "randaugment"}),
    "augment.rand_m": (5, {}, {"augment.policy": "randaugment"}),
    "augment.crop_scale": (0.5, {"augment.policy": "none"}, {}),
    "augment.mix_prob": (0.5, {"augment.mixup_alpha": 0}, {"augment.policy": "heavy"}),
    "augment.mix_off_epoch": (9, {}, {"augment.mixup_alpha": 0.2}),
    "augment.mix_off_epoch later": (
        9,
        {"augment.mixup_alpha": 0.2, "train.epochs": 8},
        {"augment.cutmix_alpha": 1.0, "train.epochs": 9},
    ),
    "data.cache_gb": (5.0, {"data.cache": "ram"}, {"data.cache": "disk"}),
    "model.features": ("pixels", {}, {"model.name": "sklearn:knn"}),
    "loss.focal_gamma": (1.0, {"loss.name": "bce"}, {"balance.strategy": "focal"}),
    "loss.distill_alpha": (0.7, {}, {"loss.teacher": "runs/big"}),
    "loss.temperature": (
        2.0,
        {"loss.teacher": "runs/big", "loss.distill_alpha": 0.0},
        {"loss.teacher": "runs/big"},
    ),
    "balance.weighting": (
        "effective",
        {"balance.strategy": "batch"},
        {"balance.auto_weights": True},
    ),
    "schedule.warmup_lr": (
        1e-5,
        {"schedule.warmup_epochs": 0},
        {"schedule.warmup_steps": 5},
    ),
    "schedule.min_lr": (1e-6, {"schedule.name": "constant"}, {"schedule.name": "step"}),
    "schedule.step_size": (7, {}, {"schedule.name": "step"}),
    "schedule.step_size later": (
        7,
        {"schedule.name": "step", "train.epochs": 7},
        {"schedule.name": "step", "train.epochs": 8},
    ),
    "schedule.milestones later": (
        [3, 6],
        {"schedule.name": "multistep", "train.epochs": 6},
        {"schedule.name": "multistep", "train.epochs": 7},
    ),
    "schedule.gamma": (0.5, {}, {"schedule.name": "plateau"}),
    "schedule.plateau_patience": (2, {"schedule.name": "step"}, {"schedule.name": "plateau"}),
    "schedule.pct_start": (
        0.2,
        {},
        {"schedule.name": "onecycle"},
    ),
    "train.ema_decay": (0.99, {}, {"train.ema": True}),
    "train.keep": (2, {"train.checkpoint_freq": 0}, {}),
    "track.project": ("signs", {"track.to": "mlflow"}, {"track.to": "tensorboard,wandb"}),
    "track.entity": ("us", {}, {"track.to": "wandb"}),
    "track.experiment": ("signs", {"track.to": "wandb"}, {"track.to": "mlflow"}),
    "track.uri": ("http://host", {"track.to": "tensorboard"}, {"track.to": "mlflow"}),
    "track.every": (10, {}, {"track.to": "tensorboard"}),
    "track.max_mb": (1.0, {}, {"track.to": "wandb"}),
    "cv.folds": (3, {"cv.folds_file": "folds.csv"}, {}),
    "cv.repeats": (2, {"cv.folds_file": "folds.csv"}, {}),
}
"""A value, settings in which it is idle, settings in which it counts."""


def name_of(effect):
    return effect.key + (" later" if effect.later else "")


def test_the_table_is_walked():
    """Each row has a case here (what plugins' losses take is tested with plugins)."""
    names = [name_of(effect) for effect in EFFECTS]

    assert sorted(names) == sorted([*CASES, "loss.label_smoothing"])


@pytest.mark.parametrize("name", CASES)
def test_what_is_idle_and_what_counts(name):
    """Idle in the one, not in the other; left at its default it is never idle."""
    (value, without, with_it), key = CASES[name], name.split()[0]

    assert [name_of(e) for e in idle(from_flat({key: value, **without}), [key])] == [name]
    assert not list(idle(from_flat({key: value, **with_it}), [key]))
    if key != "schedule.milestones":  # which its schedule cannot do without
        assert not list(idle(from_flat(without), [key]))


def test_the_defaults_are_not_idle():
    """Nor are those of any kind of training that changes one setting."""
    assert not list(idle(Settings(), all_settings()))


@pytest.mark.parametrize("effect", EFFECTS, ids=name_of)
def test_the_flags_it_needs_exist(effect):
    """Every flag in a sentence is one."""
    flags = {option_name(setting) for setting in all_settings().values()}
    named = {word.strip(",()") for word in effect.needs.split() if word.startswith("--")}

    assert named <= flags


def test_origins_decide(tmp_path):
    """A flag is refused; a file's and a variable's are told; a preset's are ours."""
    path = tmp_path / "base.yaml"
    path.write_text("train:\n  ema_decay: 0.99\nschedule:\n  gamma: 0.5\n")

    told = load_settings(files=[path], environ={"IMGTRAIN_LOSS__TEMPERATURE": "2"})
    only = "has an effect only with"
    assert check_effects(told.settings, told.origins) == [
        (
            f"loss.temperature (environment IMGTRAIN_LOSS__TEMPERATURE) {only} --teacher and a "
            "--distill-alpha above 0"
        ),
        f"schedule.gamma (file {path}) {only} --lr-scheduler step, multistep or plateau",
        f"train.ema_decay (file {path}) {only} --ema",
    ]
    assert not check_effects(told.settings, dict.fromkeys(told.origins, "preset basic"))
    for given in ({"flags": {"train.ema_decay": "0.9"}}, {"sets": ["train.ema_decay=0.9"]}):
        loaded = load_settings(environ={}, **given)
        with pytest.raises(SettingsError, match=r"ema.decay has an effect only with --ema"):
            check_effects(loaded.settings, loaded.origins)


def test_what_more_epochs_may_bring_is_told():
    """A run may be made longer: a flag for later is not refused."""
    flags = {"schedule.name": "multistep", "schedule.milestones": "3,60", "train.epochs": "50"}
    loaded = load_settings(environ={}, flags=flags)

    [told] = check_effects(loaded.settings, loaded.origins)
    assert told.startswith("schedule.milestones (flag --milestones) has its whole effect only with")
