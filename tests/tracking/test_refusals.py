"""What is refused before any work, and what is kept of an address."""

import sys

import pytest

from imgtrain.errors import OutsideError, SettingsError
from imgtrain.passwords import without_password, without_user
from imgtrain.provenance import shareable
from imgtrain.settings.layers import from_flat, to_yaml
from imgtrain.tracking.checks import check_trackers
from imgtrain.training import train


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_package_is_known_before_training(monkeypatch, tmp_path, name):
    """Exit code 4, with the command that installs it; nothing was read or written."""
    monkeypatch.chdir(tmp_path)
    for module in [each for each in sys.modules if each.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(OutsideError, match=f"--track {name}: the package {name}") as caught:
        train(from_flat({"track.to": name, "data.root": "no such folder"}))

    assert caught.value.hint == f'install it: python -m pip install "imgtrain[{name}]"'
    assert caught.value.exit_code == 4
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("uri", "variable", "told"),
    [
        ("http://me:secret@host:5000", None, "--track-uri http://host:5000 is a server's"),
        (None, "https://host", "MLFLOW_TRACKING_URI https://host is a server's"),
        ("postgresql://u:p@host/db", None, "--track-uri postgresql://host/db is a server's"),
        (None, "databricks", "MLFLOW_TRACKING_URI databricks is a server's"),
        ("folder", "https://host", None),
        ("sqlite:///a.db", None, None),
        (None, None, None),
    ],
)
def test_offline_means_no_server(monkeypatch, uri, variable, told):
    """Who named it is said, and the way out; files are fine."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    from imgtrain.tracking import checks

    settings = from_flat({"track.to": "mlflow", "track.uri": uri, "hardware.offline": True})
    if told is None:
        checks._refuse_server(settings)
        return
    with pytest.raises(SettingsError, match="--offline opens no socket") as caught:
        checks._refuse_server(settings)
    assert told in caught.value.message
    assert "secret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://me:se:c@r/et@host:5000/x", "http://host:5000/x"),
        ("https://token@host", "https://host"),
        ("http://host/a@b", "http://host/a@b"),
        ("sqlite:////tmp/a b/mlflow.db", "sqlite:////tmp/a b/mlflow.db"),
        ("postgresql+psycopg://u:p@[::1]:5432/db", "postgresql+psycopg://[::1]:5432/db"),
        ("a folder", "a folder"),
    ],
)
def test_addresses_are_shown_without_whom_they_let_in(given, shown):
    """In messages and in files; the settings themselves keep the whole."""
    settings = from_flat({"track.to": "mlflow", "track.uri": given})

    assert without_user(given) == shown
    assert settings.track.uri == given
    assert shareable(settings).track.uri == shown
    assert without_user(without_password(f"cannot reach {given}: gone")).count("@") == shown.count(
        "@"
    )
    assert f"uri: {shown}" in to_yaml(settings)


def test_nobody_to_tell_imports_nothing():
    """Without --track no tracker's package is looked for."""
    before = set(sys.modules)
    check_trackers(from_flat({}))
    assert set(sys.modules) == before
