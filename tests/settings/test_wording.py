"""What a setting accepts, in words; and what it does accept."""

import pytest

from imgtrain.errors import SettingsError
from imgtrain.settings.catalog import all_settings
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.sources import from_sets, shown
from imgtrain.settings.wording import accepts


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("data.root", "text"),
        ("data.group_by", "text or none"),
        ("data.image_size", "auto or a whole number from 4 to 4096"),
        ("data.channels", "auto or a whole number from 1 to 64"),
        ("data.background", "white, black, grey or #rrggbb"),
        ("data.normalize_std", "model, auto or one number above 0 per channel, as in 0.5,0.5,0.5"),
        ("augment.crop_scale", "a number above 0 and up to 1"),
        ("augment.flip", "true or false"),
        ("model.pretrained", "auto, true or false"),
        ("model.drop_rate", "a number from 0 to below 1"),
        ("optim.weight_decay", "auto or a number of at least 0"),
        ("optim.clip_norm", "a number above 0 or none"),
        ("hardware.gpus", "numbers of GPUs, as in 0,1 or none"),
        ("hardware.amp", "true, false or none"),
        ("run.output", "a path"),
    ],
)
def test_words(key, words):
    """Written out by hand for each kind of setting."""
    setting = all_settings()[key]

    assert accepts(setting.annotation, setting.metadata) == words


@pytest.mark.parametrize("setting", all_settings().values(), ids=all_settings())
def test_every_setting_is_described(setting):
    """A sentence with its full stop, and words for what it accepts."""
    assert setting.help.endswith(".")
    assert accepts(setting.annotation, setting.metadata)


@pytest.mark.parametrize("setting", all_settings().values(), ids=all_settings())
def test_no_setting_takes_what_it_is_not(setting):
    """A section, a list of lists, and (but for switches) a truth value are refused everywhere."""
    section = [] if setting.name in ("class_weights", "focal_alpha", "space") else [{"a": 1}]
    for value in (*section, [[1]], *([] if setting.is_switch else [True, False])):
        with pytest.raises(SettingsError, match=f"^{setting.key} = "):
            from_flat({setting.key: value})


@pytest.mark.parametrize(
    ("key", "given", "meant"),
    [
        ("hardware.gpus", 0, [0]),
        ("hardware.gpus", "1, 0", [1, 0]),
        ("data.normalize_mean", 0.5, [0.5]),
        ("data.normalize_mean", "0.1,.2 , 0.3", [0.1, 0.2, 0.3]),
        ("data.normalize_mean", "auto", "auto"),
        ("optim.lr", "1e-3", 0.001),
        ("train.epochs", 1e2, 100),
        ("data.image_size", "64", 64),
        ("model.pretrained", "no", False),
    ],
)
def test_what_is_meant(key, given, meant):
    """Text and numbers as people write them."""
    assert flatten(from_flat({key: given}))[key] == meant


def test_unknown_keys_from_python():
    """``from_flat`` is as strict as a file."""
    with pytest.raises(SettingsError, match=r"no setting 'optim.lrr'; did you mean 'optim\.lr'\?"):
        from_flat({"optim.lrr": 1})


def test_of_two_sets_the_later_counts():
    """As with options that are given twice; a value may hold ``=``."""
    layer = from_sets(["run.name=a", "run.name=b=c"])

    assert layer["run.name"].value == "b=c"


def test_long_values_are_cut():
    """A message stays readable."""
    assert shown("x" * 500) == "'" + "x" * 96 + "..."
    assert shown(list(range(50))) == "[0, 1, 2, 3, 4, 5, 6, 7, 8, ...]"
