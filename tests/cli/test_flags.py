"""What the command line offers."""

import inspect

import pytest
import typer
from surface import FROZEN, surface

from imgtrain.commands.flags import takes_settings
from imgtrain.settings.catalog import all_settings, option_names


def test_flags_are_frozen():
    """A flag comes, goes or is renamed on purpose: then run ``python tests/cli/surface.py``."""
    assert surface() == FROZEN.read_text(encoding="utf-8")


def test_every_setting_of_training_has_a_flag():
    """Nothing is declared twice, and nothing is left out."""
    text = FROZEN.read_text(encoding="utf-8")
    for setting in all_settings().values():
        long = option_names(setting)[0].replace("/", " / ")
        assert f"imgtrain config show {long}" in text


def test_what_nobody_types_is_not_in_the_help(imgtrain):
    """It stays a setting, with a flag; the help has its neighbours only."""
    found = imgtrain("train", "--help")

    assert "--realised" not in found.out
    assert "--budget" in found.out
    assert "imgtrain train --realised TEXT" in FROZEN.read_text(encoding="utf-8")


def test_no_flag_stands_for_two_settings():
    """Within a command a name has one meaning."""
    names = [n for s in all_settings().values() for o in option_names(s) for n in o.split("/")]

    assert len(names) == len(set(names))


def test_own_options_come_first():
    """A command's own parameters keep their order, before those of the settings."""

    @takes_settings("predict")
    def score(loaded, first: str, *, second: int = 2) -> None:
        """Score."""

    names = list(inspect.signature(score).parameters)

    assert names == [
        "first",
        "second",
        "config",
        "preset",
        "set_",
        "quiet",
        "verbose",
        "plugins",
        "predict__top_k",
        "predict__threshold",
        "predict__coverage",
        "predict__batch_size",
        "predict__urls",
    ]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], (None, True, "default")),
        (["--patience", "3"], (3, True, "flag --patience")),
        (["--patience", "none", "--no-flip"], (None, False, "flag --patience")),
        (["--set", "train.patience=4", "--flip"], (4, True, "flag --set")),
    ],
)
def test_only_given_flags_become_layers(tmp_path, monkeypatch, argv, expected):
    """An option that is not given leaves its setting to the lower layers."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    found = []
    app = typer.Typer()

    @app.command()
    @takes_settings("train", "augment")
    def show(loaded) -> None:
        found.append(loaded)

    app(argv, standalone_mode=False)

    [loaded] = found
    patience, flip = loaded.settings.train.patience, loaded.settings.augment.flip
    assert (patience, flip, loaded.origins["train.patience"]) == expected
