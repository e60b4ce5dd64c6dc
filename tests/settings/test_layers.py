"""Which layer wins, who is named as the origin, and that a saved file gives its settings back."""

import json
import tempfile
from pathlib import Path

import pytest
import yaml
from drawn import as_text, flat_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from imgtrain.errors import SettingsError
from imgtrain.settings.catalog import all_settings, option_name
from imgtrain.settings.known import KNOWN
from imgtrain.settings.layers import flatten, from_flat, load_settings, nested, to_yaml
from imgtrain.settings.schema import Settings

DEFAULTS = flatten(Settings())


def variable(key):
    return f"IMGTRAIN_{key.replace('.', '__').upper()}"


@given(data=st.data(), first=flat_settings(), second=flat_settings(), environ=flat_settings())
@settings(max_examples=120, deadline=None)
def test_the_highest_layer_wins_and_is_the_origin(data, first, second, environ):
    """Defaults < known set < files in order < environment < flags and --set, for every key."""
    flags, sets = data.draw(flat_settings()), data.draw(flat_settings())
    sets = {key: value for key, value in sets.items() if key not in flags}
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, "one.yaml"), Path(folder, "two.json")
        one.write_text(to_yaml_by_hand(first), encoding="utf-8")
        two.write_text(json.dumps(nested(second)), encoding="utf-8")
        layers = [
            (first, lambda _: f"file {one}"),
            (second, lambda _: f"file {two}"),
            (environ, lambda key: f"environment {variable(key)}"),
            (flags, lambda key: f"flag {option_name(all_settings()[key])}"),
            (sets, lambda _: "flag --set"),
        ]
        expected = dict(DEFAULTS)
        origins = dict.fromkeys(DEFAULTS, "default")
        root = next((v["data.root"] for v, _ in reversed(layers) if "data.root" in v), "digits")
        for values, name in ((KNOWN.get(root, {}), lambda _: root), *layers):
            expected |= values
            origins |= {key: name(key) for key in values}

        loaded = load_settings(
            files=[one, two],
            environ={"HOME": "/", **{variable(key): as_text(v) for key, v in environ.items()}},
            flags={key: as_text(value) for key, value in flags.items()},
            sets=[f"{key}={as_text(value)}" for key, value in sets.items()],
        )

    assert flatten(loaded.settings) == expected
    assert loaded.origins == origins


def to_yaml_by_hand(flat):
    """JSON is YAML too, but every text is quoted and every list on one line."""
    return "\n".join(
        f"{section}: {json.dumps(values, ensure_ascii=False)}"
        for section, values in nested(flat).items()
    )


@given(flat=flat_settings(), comments=st.booleans())
@settings(max_examples=120, deadline=None)
def test_a_saved_file_gives_its_settings_back(flat, comments):
    """``-c`` on what ``to_yaml`` wrote is the same settings, with and without comments."""
    saved = from_flat(flat)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "saved.yaml")
        path.write_text(to_yaml(saved, comments=comments), encoding="utf-8")
        loaded = load_settings(files=[path], environ={})

    assert loaded.settings == saved
    assert set(loaded.origins.values()) == {f"file {path}"}


@given(flat=flat_settings())
@settings(max_examples=60, deadline=None)
def test_a_saved_file_is_plain_yaml(flat):
    """Another YAML reader (1.1, as PyYAML's own) finds the same values."""
    saved = from_flat(flat)

    assert yaml.safe_load(to_yaml(saved)) == nested(flatten(saved))


@given(flat=flat_settings())
@settings(max_examples=60, deadline=None)
def test_flat_values_are_the_settings(flat):
    """``from_flat`` undoes ``flatten``, and what is not given keeps its default."""
    built = from_flat(flat)

    assert flatten(built) == DEFAULTS | flat
    assert from_flat(flatten(built)) == built


def test_a_folder_named_like_a_known_set_comes_first(tmp_path, monkeypatch):
    """The digits' own defaults hold only where ``digits`` means the known set."""
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={}).origins["train.epochs"] == "digits"
    Path("digits").mkdir()

    loaded = load_settings(environ={})

    assert loaded.settings.train.epochs == 30
    assert set(loaded.origins.values()) == {"default"}


def test_a_preset_lies_below_files(tmp_path):
    """``--preset`` is the lowest file."""
    path = tmp_path / "own.yaml"
    path.write_text("train:\n  patience: 3\n")

    loaded = load_settings(preset="advanced", files=[path], environ={})

    assert loaded.settings.train.patience == 3
    assert loaded.origins["train.patience"] == f"file {path}"
    assert loaded.origins["train.accumulation_steps"] == "preset advanced"


def test_names_of_variables_may_be_in_lower_case():
    """Case never decides whether a variable is silently ignored."""
    loaded = load_settings(environ={"imgtrain_train__Seed": "7"})

    assert loaded.settings.train.seed == 7
    assert loaded.origins["train.seed"] == "environment imgtrain_train__Seed"


@pytest.mark.parametrize("word", ["none", "None", "off", "null"])
@pytest.mark.parametrize("key", ["train.patience", "optim.clip_norm", "data.group_by"])
def test_off_is_none_on_the_command_line(word, key):
    """Where None is a value, ``none``, ``off`` and ``null`` name it."""
    settings = load_settings(environ={}, sets=[f"{key}={word}"]).settings

    assert flatten(settings)[key] is None


def test_off_stays_a_word_where_it_is_one():
    """``data.cache: off`` is the choice ``off``; ``hardware.amp=off`` is false."""
    settings = load_settings(environ={"IMGTRAIN_DATA__CACHE": "off"}, sets=["hardware.amp=off"])

    assert settings.settings.data.cache == "off"
    assert settings.settings.hardware.amp is False


def test_settings_from_python_are_checked_too():
    """Rules across settings hold however the settings came to be."""
    with pytest.raises(SettingsError, match=r"add up to 0\.9"):
        Settings.model_validate({"data": {"split_ratio": (0.7, 0.1, 0.1)}})
