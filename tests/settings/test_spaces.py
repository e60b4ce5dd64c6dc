"""Search spaces: how they are written, and what is refused before any work."""

import json

import pytest

from imgtrain.errors import SettingsError
from imgtrain.settings.layers import flatten, from_flat, load_settings
from imgtrain.settings.space_rules import check_space
from imgtrain.settings.spaces import in_words, read_space


def _space(*specs, **others):
    loaded = load_settings(environ={}, flags={"tune.space": [*specs], **others}).settings
    check_space(loaded.tune.space, loaded)
    return flatten(loaded)["tune.space"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("optim.lr=1e-4..1e-1,log", {"low": 1e-4, "high": 0.1, "log": True}),
        ("optim.lr=1e-4 .. 1e-1 log", {"low": 1e-4, "high": 0.1, "log": True}),
        ("model.drop_rate=0..0.5 step 0.1", {"low": 0, "high": 0.5, "step": 0.1}),
        ("model.drop_rate=0..0.5,step=0.1", {"low": 0, "high": 0.5, "step": 0.1}),
        ("model.drop_rate={low: 0, high: 0.5}", {"low": 0, "high": 0.5}),
        ("train.batch_size=32,64,128", [32, 64, 128]),
        ("train.batch_size=[32, 64]", [32, 64]),
        ("optim.clip_norm=none,1.0", ["none", 1.0]),
        ("optim.clip_norm=null,1.0", [None, 1.0]),
        ("augment.flip=true,false", [True, False]),
        ("data.image_size=64,auto", [64, "auto"]),
        ("data.normalize_mean=[model, [0.5, 0.4, 0.5]]", ["model", [0.5, 0.4, 0.5]]),
    ],
)
def test_a_text_is_a_dimension(text, value):
    """The short forms of the command line say what a file says."""
    assert _space(text) == {text.partition("=")[0]: value}


def test_conditions_are_written_behind():
    """On one value or several, on one setting or several."""
    found = _space(
        "optim.name=sgd,muon,adamw",
        "schedule.name=cosine,step",
        "optim.momentum=0.8..0.99 if optim.name=sgd|muon",
        "schedule.gamma=0.1..0.5 if schedule.name=step and optim.name=sgd",
    )

    assert found["optim.momentum"]["when"] == {"optim.name": ["sgd", "muon"]}
    assert found["schedule.gamma"]["when"] == {"schedule.name": ["step"], "optim.name": ["sgd"]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "tune:\n  space:\n    optim.lr: 1e-4..1e-1 log\n    optim.name: [sgd, adam]\n"),
        ("a.yaml", "tune:\n  space:\n    optim:\n      lr: 1e-4..1e-1 log\n      name: sgd,adam\n"),
        (
            "a.toml",
            '[tune.space.optim]\nname = ["sgd", "adam"]\nlr = {low=1e-4, high=1e-1, log=true}\n',
        ),
        (
            "a.json",
            (
                '{"tune": {"space": {"optim.lr": {"low": 1e-4, "high": 0.1, "log": true}, '
                '"optim.name": {"choices": ["sgd", "adam"], "when": {}}}}}'
            ),
        ),
    ],
)
def test_files_say_the_same(tmp_path, name, text):
    """By dotted keys or in sections, in every format, long or short."""
    path = tmp_path / name
    path.write_text(text)

    settings = load_settings(files=[path], environ={}).settings

    assert flatten(settings)["tune.space"] == {
        "optim.lr": {"low": 1e-4, "high": 0.1, "log": True},
        "optim.name": ["sgd", "adam"],
    }


@pytest.mark.parametrize("name", ["--set", "environment"])
def test_sets_and_variables_take_the_whole_space(name):
    """As YAML or JSON text; ``none`` is the default space."""
    whole = json.dumps({"optim.lr": {"low": 1, "high": 2}})
    for text, found in ((whole, {"optim.lr": {"low": 1, "high": 2}}), ("none", None)):
        environ = {"IMGTRAIN_TUNE__SPACE": text} if name == "environment" else {}
        sets = [f"tune.space={text}"] if name == "--set" else []
        settings = load_settings(environ=environ, sets=sets).settings
        assert flatten(settings)["tune.space"] == found


MISTAKES = {
    "optim.lrr=1..2": "there is no setting 'optim.lrr'; did you mean 'optim.lr'?",
    "optim.lr": "--space optim.lr has no =",
    "optim.lr=0.1": "optim.lr: a choice is between two values or more",
    "optim.lr=1e-1..1e-4": "optim.lr: low 0.1 is not below high 0.0001",
    "optim.lr=0.1..0.1": "optim.lr: low 0.1 is not below high 0.1",
    "optim.lr=0..1,log": "optim.lr: a log scale has no 0: low must be above 0",
    "optim.lr=1e-4..1e-1,lg": "optim.lr: cannot read 'lg' behind the range",
    "optim.lr=1..two": "optim.lr: high = two must be a number",
    "optim.lr=-1..1": "optim.lr = -1 must be auto, find or a number above 0",
    "optim.lr=1..2 log step 0.1": "optim.lr: log and step do not go together",
    "optim.lr=[": "optim.lr: cannot read '[': line 1",
    "optim.lr={lo: 1, high: 2}": "there is no 'lo' in a range; did you mean 'low'?",
    "optim.lr={high: 2}": "optim.lr: a range needs low",
    "optim.lr={low: 1, high: 2, log: maybe}": "optim.lr: log = maybe must be true or false",
    "optim.name={choices: [sgd, adamw], wen: 3}": "there is no 'wen' in a choice; did you mean",
    "optim.name={choices: sgd}": "optim.name: choices = sgd must be a list of values",
    "optim.name={choices: [sgd, lamb], when: sgd}": "optim.name: when = sgd names no setting",
    "train.batch_size=1.5..8": "train.batch_size: low 1.5 must be a whole number",
    "train.batch_size=32,64,x": "train.batch_size = 'x' must be auto or a whole number above 0",
    "model.drop_rate=0..0.5 step 0.2": "steps of 0.2 from 0 never meet high 0.5; high 0.4 would do",
    "model.drop_rate=0.5..1": "model.drop_rate = 1 must be a number from 0 to below 1",
    "optim.name=0..1": "optim.name is no number, so it has no range",
    "optim.name=sgd,adamww": "optim.name = 'adamww' must be sgd, adam, adamw, lamb, lion or muon",
    "optim.name=sgd,sgd": "optim.name: sgd stands twice among the choices",
    "optim.clip_norm=none,null": "optim.clip_norm: none and null are the same",
    "augment.flip=0..1": "augment.flip is no number, so it has no range",
    "loss.focal_gamma=1..3": "loss.focal_gamma has an effect only with --loss focal",
    "schedule.name=cosine,multistep": "schedule.name = multistep: --lr-scheduler multistep needs",
    "train.average_last=3..30": "--average-last 30 is more than --tune-epochs 4",
    "data.root=a,b": "data.root cannot vary: trials would be scored on different pictures",
    "data.split_seed=1..3": "data.split_seed cannot vary: trials would be scored on different",
    "train.seed=1..9": "train.seed cannot vary: the best of several seeds is luck",
    "train.epochs=5..9": "train.epochs cannot vary: trials of different lengths",
    "hardware.device=cpu,cuda": "hardware.device cannot vary: it says on what",
    "augment.tta=flip,five": "augment.tta cannot vary: it changes nothing that is learnt",
    "run.name=a,b": "run.name cannot vary: it says where a run lies",
    "tune.trials=1..9": "tune.trials cannot vary: it shapes the study itself",
    "cv.folds=2..9": "cv.folds cannot vary: trials would be judged by different folds",
    "plugins=a,b": "plugins cannot vary: it says which names there are",
    "optim.lr=1..2 if optim.name=sgd": "optim.lr: when optim.name: that is not in the space",
    "optim.lr=1..2 if optim.name": "optim.lr: cannot read the condition 'optim.name'",
}


@pytest.mark.parametrize("spec", MISTAKES)
def test_mistakes_are_named(spec):
    """One sentence with the setting, and a way out."""
    with pytest.raises(SettingsError) as caught:
        _space(spec)

    assert MISTAKES[spec] in caught.value.message
    assert caught.value.message.startswith(("tune.space: ", "--space "))
    assert caught.value.hint


CONDITIONS = {
    "goes in a circle": (
        ["optim.name=sgd,lamb if loss.name=ce", "loss.name=ce,bce if optim.name=sgd"],
        "the conditions go in a circle: optim.name -> loss.name -> optim.name",
    ),
    "can never hold": (
        ["optim.name=sgd,lamb", "optim.momentum=0.8..0.9 if optim.name=sgdd"],
        "optim.momentum: when optim.name = sgdd: that is none of its values; did you mean 'sgd'?",
    ),
    "on a range": (
        ["optim.lr=0.1..1", "optim.momentum=0.8..0.9 if optim.lr=0.1"],
        "optim.momentum: when optim.lr: that is a range, and a condition names values",
    ),
    "by itself": (["optim.name=sgd,lamb if optim.name=sgd"], "circle: optim.name -> optim.name"),
}


@pytest.mark.parametrize(("specs", "message"), CONDITIONS.values(), ids=CONDITIONS)
def test_conditions_hold_somewhere(specs, message):
    """On another setting of the space, on values that it takes, in no circle."""
    with pytest.raises(SettingsError) as caught:
        _space(*specs)

    assert message in caught.value.message


def test_what_needs_another_setting_is_tried_with_it():
    """A condition brings what its setting needs, and what a choice needs is brought along."""
    found = _space(
        "schedule.name=cosine,multistep",
        "schedule.milestones={choices: [[1, 2], [2, 3]], when: {schedule.name: multistep}}",
        "loss.name=ce,focal",
        "loss.focal_gamma=1..3 if loss.name=focal",
    )

    assert found["schedule.milestones"]["choices"] == [[1, 2], [2, 3]]


def test_a_space_is_checked_against_what_stays():
    """A bound that contradicts a fixed setting is refused, with the flag of the other."""
    with pytest.raises(SettingsError, match=r"optim.lr = 0.001: --min-lr 0.01 is above the peak"):
        _space("optim.lr=1e-3..1,log", **{"schedule.min_lr": 0.01})


def test_a_saved_space_is_the_same_again():
    """Short forms stay short, and the order stays."""
    space = {"optim.lr": {"low": 1e-4, "high": 0.1, "log": True}, "optim.name": ["sgd", "adamw"]}

    assert flatten(from_flat({"tune.space": space}))["tune.space"] == space


@pytest.mark.parametrize(
    "spec",
    [
        "optim.lr=0.0001..0.1 log",
        "model.drop_rate=0..0.5 step 0.1",
        "optim.clip_norm=none,1.0",
        "augment.flip=true,false",
        "schedule.milestones=[[3, 6],[5, 9]]",
        "optim.momentum=0.8..0.99 if optim.name=sgd|muon and loss.name=ce",
    ],
)
def test_words_are_what_one_types(spec):
    """``in_words`` is undone by reading it."""
    key, _, text = spec.partition("=")
    (dimension,) = read_space([spec]).values()

    assert in_words(dimension) == text
    assert read_space({key: in_words(dimension)}) == {key: dimension}
