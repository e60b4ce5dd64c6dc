"""``--track``: names in lists, and what is said of a wrong one."""

import pytest

from imgtrain.cli import run as run_cli
from imgtrain.settings.layers import from_flat, load_settings


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["mlflow,wandb", "tensorboard"], ("mlflow", "wandb", "tensorboard")),
        (["mlflow", "mlflow"], ("mlflow",)),
        (["none"], ()),
        ("off", ()),
        ([], ()),
    ],
)
def test_lists_of_trackers(given, names):
    """With commas, several times, each once; ``none`` is nobody."""
    assert from_flat({"track.to": given}).track.to == names


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (
            ["--track", "tensorbord"],
            (
                "track.to = ['tensorbord'] (flag --track) must be tensorboard, mlflow or wandb; "
                "did you mean 'tensorboard'?"
            ),
        ),
        (["--track", "mlflow,wandbb"], "did you mean 'wandb'?"),
        (["--track", "mlflow,none"], "must be tensorboard, mlflow or wandb"),
        (["--track-project", "a"], "--track-project has an effect only with --track wandb"),
        (["--track", "wandb", "--track-uri", "a"], "--track-uri has an effect only with"),
        (["--track", "mlflow", "--track-every", "0"], "track.every = '0'"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, capfd, argv, told):
    """Exit code 2, the nearest name, the flag that is missing."""
    monkeypatch.chdir(tmp_path)

    assert run_cli(["config", "show", *argv]) == 2
    assert told in " ".join(capfd.readouterr().err.split())


def test_a_flag_turns_off_what_a_file_turned_on(tmp_path):
    """``--track none`` wins."""
    path = tmp_path / "base.yaml"
    path.write_text("track:\n  to: [mlflow]\n  every: 10\n")

    loaded = load_settings(files=[path], environ={}, flags={"track.to": ["none"]})

    assert loaded.settings.track.to == ()
    assert loaded.settings.track.every == 10
