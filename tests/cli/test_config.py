"""``imgtrain config`` and ``imgtrain init``."""

import json
from pathlib import Path

import pytest
import yaml

from imgtrain.settings.catalog import all_settings
from imgtrain.settings.layers import flatten, load_settings, nested
from imgtrain.settings.schema import Settings
from imgtrain.starters import read_template, starter_names


def test_show_prints_a_settings_file(imgtrain):
    """``config show`` on stdout, fed back, is the same."""
    code, out, err = imgtrain("config", "show", "--lr", "0.01", "--data", "pictures")
    Path("again.yaml").write_text(out)

    assert (code, err) == (0, "")
    assert imgtrain("config", "show", "-c", "again.yaml").out == out
    assert yaml.safe_load(out)["optim"]["lr"] == 0.01


def test_show_tells_the_origin(imgtrain, monkeypatch):
    """Who set each value, behind it."""
    Path("exp.yaml").write_text("schedule:\n  min_lr: 1e-5\n")
    monkeypatch.setenv("IMGTRAIN_SCHEDULE__NAME", "linear")

    out = imgtrain("config", "show", "--origin", "-c", "exp.yaml", "--warmup-epochs", "2").out

    assert (
        """
schedule:
  name: linear           # environment IMGTRAIN_SCHEDULE__NAME
  warmup_epochs: 2.0     # flag --warmup-epochs
  warmup_steps: null     # default
  warmup_fraction: null  # default
  warmup_lr: 0.0         # default
  min_lr: 1.0e-05        # file exp.yaml
"""
        in out
    )
    assert "\n  epochs: 12               # digits\n" in out


def test_show_as_json(imgtrain):
    """The same, for programs."""
    value = json.loads(imgtrain("config", "show", "--json", "--origin", "--seed", "3").out)
    loaded = load_settings(environ={}, flags={"train.seed": 3})

    assert value["settings"] == nested(flatten(loaded.settings))
    assert value["origins"]["train.seed"] == "flag --seed"
    assert json.loads(imgtrain("config", "show", "--json").out).keys() == {"settings"}


def test_schema_describes_every_setting(imgtrain):
    """JSON schema 2020-12: strict, each setting with its sentence and default."""
    code, out, err = imgtrain("config", "schema")
    schema = json.loads(out)

    assert (code, err) == (0, "")
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert (
        schema["properties"]["plugins"]["anyOf"][0]["description"] == all_settings()["plugins"].help
    )
    for setting in [s for s in all_settings().values() if s.section]:
        section, nothing = schema["properties"][setting.section]["anyOf"]
        assert nothing == {"type": "null"}
        inner = schema["$defs"][section["$ref"].rpartition("/")[2]]
        assert inner["additionalProperties"] is False
        assert inner["properties"][setting.name]["description"] == setting.help
        assert "default" in inner["properties"][setting.name]


def test_schema_accepts_the_starter_files(imgtrain):
    """What ``init`` writes is what the schema asks for."""
    validate = pytest.importorskip("fastjsonschema").compile(
        json.loads(imgtrain("config", "schema").out)
    )
    for name in starter_names():
        validate(yaml.safe_load(read_template(f"{name}.yaml")))


@pytest.mark.parametrize("name", starter_names())
def test_starter_files_hold_what_exists(name):
    """Every setting in a starter file is one, and none changes what a known set asks for."""
    loaded = load_settings(preset=name, environ={})

    assert isinstance(loaded.settings, Settings)
    assert loaded.origins["train.epochs"] == "digits"
    assert loaded.origins["augment.flip"] == "digits"


@pytest.mark.parametrize("name", starter_names())
def test_starter_files_say_nothing_but_settings_when_uncommented(name):
    """What is commented out as ``# key: value`` is a setting too."""
    lines = read_template(f"{name}.yaml").splitlines()
    keys = {setting.name for setting in all_settings().values()}
    for line in lines:
        if line.startswith("  # ") and line[4:].split(":")[0].isidentifier() and ": " in line:
            assert line[4:].split(":")[0] in keys, line


def test_init_writes_a_starter_file(imgtrain):
    """The file's name on stdout, the next command on stderr; never over another file."""
    assert imgtrain("init", "my exp") == (
        0,
        "my exp.yaml\n",
        "edit it, then: imgtrain train -c 'my exp.yaml'\n",
    )
    assert Path("my exp.yaml").read_text() == read_template("basic.yaml")
    assert imgtrain("init", "my exp.yaml", "--template", "advanced") == (
        2,
        "",
        "error: my exp.yaml exists\n  choose another name, or replace it with --force\n",
    )
    ended = imgtrain("init", "find", "-t", "search")
    assert ended.err == "edit it, then: imgtrain tune -c find.yaml\n"
    assert imgtrain("init", "my exp.yaml", "-t", "advanced", "--force").code == 0
    assert Path("my exp.yaml").read_text() == read_template("advanced.yaml")


def test_init_lists_the_starter_files(imgtrain):
    """Each with its first line."""
    assert imgtrain("init", "--list") == (
        0,
        (
            "advanced    More control: split, batches, schedule, early stopping, checkpoints, "
            "precision.\n"
            "basic       What most people change: data, model, learning rate, epochs.\n"
            "imbalanced  Classes of unequal size: even batches, a score that counts classes "
            "alike.\n"
            "search      A search for good settings: what is varied, how many trials, how long each"
            " of them is.\n"
        ),
        "",
    )


def test_idle_settings_are_told(imgtrain):
    """A flag that changes nothing is refused; a line of a file is warned of."""
    assert imgtrain("config", "show", "--ema-decay", "0.9") == (
        2,
        "",
        "error: --ema-decay has an effect only with --ema\n  add that, or leave it out\n",
    )
    Path("base.yaml").write_text("schedule:\n  gamma: 0.5\n")
    code, _, err = imgtrain("config", "show", "-c", "base.yaml")
    told = "schedule.gamma (file base.yaml) has an effect only with --lr-scheduler step, multistep"
    assert (code, err) == (0, f"warning: {told} or plateau\n")
