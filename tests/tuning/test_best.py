"""The files of what was found, and the starter file of a search."""

import pytest

from imgtrain.settings.layers import flatten, from_flat, load_settings
from imgtrain.settings.spaces import plain_space
from imgtrain.settings.strict_yaml import parse
from imgtrain.starters import starter_path
from imgtrain.tuning.best import best_settings, write_best
from imgtrain.tuning.defaults import default_space

FOUND = {
    "optim.lr": 0.00371,
    "optim.name": "muon",
    "optim.clip_norm": None,
    "schedule.name": "multistep",
    "schedule.milestones": [8, 10],
    "augment.mixup_alpha": 0.2,
}
SHARED = {
    "model.name": "test_resnet",
    "train.epochs": 12,
    "train.batch_size": 32,
    "tune.space": {"optim.lr": {"low": 1e-4, "high": 0.1, "log": True}},
    "tune.storage": "postgresql://me:secret@host/db",
    "run.output": "runs",
    "run.name": "search",
}


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "runs" / "search"
    folder.mkdir(parents=True)
    write_best(folder, from_flat(SHARED), FOUND, about="trial 7, val_top1 0.951")
    return folder


def test_the_values_stand_alone_by_dotted_key(study):
    """``best_params.yaml`` is what was proposed, nothing else, lists as lists."""
    assert parse((study / "best_params.yaml").read_text()) == FOUND


def test_a_full_training_takes_the_file(study):
    """The study's settings at full length, with what was found; no space, no password."""
    loaded = load_settings(files=[study / "best_config.yaml"], environ={})

    own = {"tune.space": None, "tune.storage": None, "run.name": "search-best"}
    assert flatten(loaded.settings) == flatten(from_flat({**SHARED, **FOUND, **own}))
    text = (study / "best_config.yaml").read_text()
    assert text.startswith("# The best settings of search: trial 7, val_top1 0.951\n")
    assert "secret" not in text
    assert str(study.parent.parent) not in text


def test_a_full_training_has_the_batch_of_the_trials():
    """One process on one GPU, and rates that are searched for its batch, however many work."""
    hardware = {"hardware.gpus": [2, 3], "tune.jobs": 2}

    assert list(best_settings(from_flat(hardware), {}, "best").hardware.gpus) == [2]
    assert best_settings(from_flat({}), {}, "best").hardware.gpus is None
    assert default_space(from_flat(hardware)) == default_space(from_flat({}))


def test_the_starter_file_holds_the_default_space():
    """Written out, so that it can be changed; it never drifts from what is searched without it."""
    space = load_settings(files=[starter_path("search")], environ={}).settings.tune.space

    assert plain_space(space) == plain_space(default_space(from_flat({})))
