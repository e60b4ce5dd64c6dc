"""What trials propose, what a grid goes through, and what is searched when nothing is named."""

import re
from pathlib import Path

import optuna
import pytest
from optuna.trial import FixedTrial

from imgtrain.errors import SettingsError
from imgtrain.settings.layers import flatten, from_flat, load_settings
from imgtrain.tuning.defaults import default_space
from imgtrain.tuning.space import (
    check_space,
    combinations,
    params_of,
    propose,
    size_of,
    values_of,
)

optuna.logging.set_verbosity(optuna.logging.WARNING)


def _settings(*specs, **others):
    return load_settings(environ={}, flags={"tune.space": [*specs], **others}).settings


def _space(*specs):
    return _settings(*specs).tune.space


SPACE = _space(
    "optim.momentum=0.8..0.95 step 0.05 if optim.name=sgd|muon",
    "optim.name=adamw,sgd,muon",
    "optim.lr=1e-4..1e-1,log",
    "train.batch_size=32..128 step 32",
    "train.accumulation_steps=1..4 log",
    "schedule.name=cosine,multistep",
    "schedule.milestones={choices: [[1, 2], [2, 3]], when: {schedule.name: multistep}}",
    "optim.clip_norm=none,1.0",
)


def _study(trials, *, seed=0):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    proposed = []
    for _ in range(trials):
        trial = study.ask()
        proposed.append((trial, propose(SPACE, trial)))
        study.tell(trial, 0.0)
    return proposed


def test_a_trial_names_what_counts_and_makes_settings():
    """Conditional settings where their condition holds, numbers of the setting's kind."""
    proposed = [values for _, values in _study(60)]

    for values in proposed:
        assert ("optim.momentum" in values) == (values["optim.name"] in ("sgd", "muon"))
        assert ("schedule.milestones" in values) == (values["schedule.name"] == "multistep")
        assert values["train.batch_size"] in (32, 64, 96, 128)
        assert 1e-4 <= values["optim.lr"] <= 1e-1
        built = flatten(from_flat(values))
        clip = {"none": None, 1.0: 1.0}[values.pop("optim.clip_norm")]
        assert built.items() >= {**values, "optim.clip_norm": clip}.items()
    assert {v.get("optim.momentum") for v in proposed} == {None, 0.8, 0.85, 0.9, 0.95}
    assert {v["train.accumulation_steps"] for v in proposed} == {1, 2, 3, 4}


def test_optuna_knows_dotted_keys_and_the_way_back():
    """Parameters are named as settings; a list stands there as its text, and comes back."""
    for trial, values in _study(20):
        assert trial.params.keys() == values.keys()
        assert values_of(SPACE, trial.params) == values
        assert values_of(SPACE, params_of(SPACE, values)) == values
        assert propose(SPACE, FixedTrial(trial.params)) == values
    assert "[1, 2]" in {t.params.get("schedule.milestones") for t, _ in _study(20)}


def test_half_of_a_log_range_lies_below_its_geometric_mean():
    """``log`` reaches Optuna: a linear draw would find 3 % there."""
    rates = [values["optim.lr"] for _, values in _study(200)]

    assert 70 < sum(rate < 10**-2.5 for rate in rates) < 130


@pytest.mark.parametrize(
    ("change", "is_inside"),
    [
        ({}, True),
        ({"optim.clip_norm": None}, True),
        ({"train.batch_size": 48}, False),
        ({"optim.lr": "auto"}, False),
        ({"optim.lr": 0.2}, False),
        ({"optim.name": "lion"}, False),
        ({"optim.momentum": 0.5}, False),
        ({"optim.name": "adamw", "optim.momentum": 0.5}, True),
    ],
)
def test_trainings_from_elsewhere_are_taken_where_they_fit(change, is_inside):
    """Settings of another run are parameters, if each that counts lies in its dimension."""
    flat = flatten(from_flat({"optim.lr": 0.01, "optim.name": "sgd"}))

    found = params_of(SPACE, flat | change)

    assert (found is not None) == is_inside
    if found is not None:
        assert found["train.batch_size"] == 64
        assert found["optim.clip_norm"] in ("none", 1.0)
        assert propose(SPACE, FixedTrial(found)).keys() == found.keys()


GRID = _space(
    "optim.name=adamw,sgd",
    "optim.momentum=0.8..0.9 step 0.05 if optim.name=sgd",
    "model.drop_rate=0..0.3 step 0.1",
    "train.average_last=2..3",
)


def test_a_grid_holds_every_combination_once():
    """What a condition rules out is not repeated: (1 + 3) x 4 x 2 combinations."""
    found = [tuple(sorted(values.items())) for values in combinations(GRID)]

    assert len(found) == len(set(found)) == size_of(GRID) == 32
    momenta = {values.get("optim.momentum") for values in combinations(GRID)}
    assert momenta == {None, 0.8, 0.85, 0.9}
    assert {values["train.average_last"] for values in combinations(GRID)} == {2, 3}


def test_optuna_takes_each_point_of_a_grid():
    """Queued one by one, every point comes back as it is."""
    study = optuna.create_study()
    for values in combinations(GRID):
        study.enqueue_trial(params_of(GRID, values))
    found = [propose(GRID, study.ask()) for _ in range(size_of(GRID))]

    assert found == list(combinations(GRID))


def test_a_grid_has_an_end():
    """A range without a step is refused by name; its size is not known."""
    space = _space("optim.name=adamw,sgd", "optim.lr=0.1..1")

    assert size_of(space) is None
    with pytest.raises(SettingsError, match=r"grid tries every value, and optim\.lr"):
        list(combinations(space))


def test_sizes_of_large_spaces_are_counted_not_listed():
    """A product of six times a thousand takes no time."""
    specs = [f"{key}=0.001..0.9 step 0.001" for key in ("model.drop_rate", "model.drop_path")]
    space = _space("train.average_last=2..900", "optim.name=adamw,sgd", *specs[:1])

    assert size_of(space) == 899 * 2 * 900


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["model.name=resnet18,resnet19"], "resnet19"),
        (["model.name=resnet18,sklearn:svm"], "mixes networks with classical models"),
    ],
)
def test_models_are_checked_before_any_work(specs, message):
    """Names that the network library does not know, and what has no epochs."""
    settings = _settings(*specs)

    with pytest.raises(SettingsError, match=message):
        check_space(settings.tune.space, settings)


DEFAULT = [
    *("optim.lr", "optim.weight_decay", "optim.name"),
    *("loss.label_smoothing", "augment.policy", "augment.mixup_alpha"),
]


@pytest.mark.parametrize(
    ("flat", "gone", "rates"),
    [
        ({"model.pretrained": False}, [], (2e-4, 2e-2)),
        ({}, [], (5e-5, 2e-2)),
        ({"model.pretrained": True}, [], (5e-5, 5e-3)),
        ({"optim.name": "sgd", "model.pretrained": False}, ["optim.name"], (5e-3, 0.5)),
        ({"optim.name": "adam"}, ["optim.name", "optim.weight_decay"], (5e-5, 2e-2)),
        ({"optim.lr": 0.1}, ["optim.lr", "optim.name"], None),
        ({"train.global_batch_size": 256, "model.weights": "w.pt"}, [], (4e-4, 4e-2)),
        ({"model.freeze": "backbone"}, ["augment.policy", "augment.mixup_alpha"], (2e-4, 2e-2)),
        ({"augment.policy": "heavy"}, ["augment.policy"], (5e-5, 2e-2)),
    ],
)
def test_the_default_space_leaves_what_the_user_set(flat, gone, rates):
    """A power of ten around the automatic rate; nothing that is set, or would do nothing."""
    settings = from_flat(flat)

    space = default_space(settings)

    assert list(space) == [key for key in DEFAULT if key not in gone]
    if rates:
        assert (space["optim.lr"].low, space["optim.lr"].high) == rates
        assert space["optim.lr"].log
    check_space(space, settings)


def test_the_default_space_leaves_what_was_typed():
    """``--optimizer adamw`` is a decision, though it is the default."""
    space = default_space(from_flat({}), fixed={"optim.name", "train.epochs"})

    assert list(space) == [key for key in DEFAULT if key != "optim.name"]
    with pytest.raises(SettingsError, match="nothing is left to search"):
        default_space(from_flat({}), fixed=DEFAULT)


def test_classical_models_have_no_default_space():
    """They are told what to type instead."""
    with pytest.raises(SettingsError) as caught:
        default_space(from_flat({"model.name": "sklearn:svm"}))

    assert caught.value.hint == "type imgtrain train --model sklearn:svm, or tune a network"


GUIDE = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")


def test_the_guides_spaces_are_spaces(tmp_path):
    """What stands in docs/tuning.md as a space is one, in files and on the command line."""
    path = tmp_path / "guide.yaml"
    path.write_text(re.search(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[1])
    settings = load_settings(files=[path], environ={}).settings
    check_space(settings.tune.space, settings)
    assert len(settings.tune.space) == 7
    table = GUIDE.split("Some spaces for other ends")[1].split("\nModels")[0]
    for row in table.splitlines()[4:]:
        settings = _settings(*re.findall(r"`([a-z_.]+=[^`]+)`", row))
        check_space(settings.tune.space, settings)


def test_the_guide_lists_the_default_space():
    """Every setting of it, and no other, has a line that says why."""
    table = GUIDE.split("## The default space")[1].split("\nLeft out")[0]

    assert re.findall(r"^\| `([a-z_.]+)`", table, re.MULTILINE) == DEFAULT
