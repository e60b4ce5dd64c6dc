"""A study in PostgreSQL, as a cluster shares it: a real server, started for these tests."""

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import pytest
from conftest import TINY, make_folder

PASSWORD = "s3cret-word"  # noqa: S105  # of the tests' own server
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*socket.socket.*"),  # a refused driver leaves it open
]


def _programs():
    """Where PostgreSQL's programs are."""
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return Path(found).parent if found else next(iter(places), None)


def _as_nobody():
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]


@pytest.fixture(scope="module")
def server():
    """URL of a running server, with a password in it."""
    programs = _programs()
    if programs is None or (os.geteuid() == 0 and shutil.which("setpriv") is None):
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="imgtrain-pg-"))
    (folder / "word").write_text(PASSWORD)
    if os.geteuid() == 0:
        for path in (folder, folder / "word"):
            shutil.chown(path, "nobody", "nogroup")
    data = folder / "data"
    subprocess.run(
        [*_as_nobody(), programs / "initdb", "-D", data, "-A", "scram-sha-256", "-U", "ann",
         f"--pwfile={folder / 'word'}", "--no-sync"],
        check=True, capture_output=True,
    )  # fmt: skip
    settings = ["-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*_as_nobody(), programs / "postgres", "-D", data, "-p", str(port), *settings],
            stderr=log,
        )
    try:
        _wait_until_up(port)
        yield f"postgresql://ann:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # its fast shutdown
        process.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)
        gc.collect()


def _wait_until_up(port):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("PostgreSQL did not come up")


def _trials_of(server, name):
    storage = optuna.storages.RDBStorage(server.replace("postgresql://", "postgresql+pg8000://"))
    trials = optuna.load_study(study_name=name, storage=storage).trials
    storage.engine.dispose()
    return trials


def test_two_shells_share_a_study_and_one_is_killed(server, tmp_path):
    """Kill -9 of one of two: every number is there once, none is stuck, no password is kept."""
    bars = make_folder(tmp_path / "bars", dict.fromkeys(("left", "middle", "right"), 16))
    command = [
        sys.executable, "-m", "imgtrain", "tune", "-d", bars, *TINY, "--name", "shared",
        "--trials", "5", "--tune-epochs", "2", "--pruner", "none", "--storage", server,
        "--space", "optim.lr=1e-3..1e-1,log", "-o", tmp_path / "out", "--on-leak", "off",
    ]  # fmt: skip
    with (tmp_path / "said").open("w") as said:
        one, two = (subprocess.Popen(command, stderr=said) for _ in range(2))
        runs = [tmp_path / "out" / "shared" / f"trial_000{k}" for k in (0, 1)]
        until = time.monotonic() + 120
        while not all((run / "history.csv").exists() for run in runs):
            assert time.monotonic() < until, (tmp_path / "said").read_text()
            time.sleep(0.02)
        one.kill()
        one.wait()
        assert two.wait(timeout=240) == 0, (tmp_path / "said").read_text()

    trials = _trials_of(server, "shared")
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert all(list(trial.intermediate_values) == [0, 1] for trial in trials)
    kept = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert not [path for path in kept if PASSWORD.encode() in path.read_bytes()]
    assert PASSWORD not in (tmp_path / "said").read_text()


def test_a_wrong_password_is_told_without_it(server, imgtrain):
    """Exit code 4, one sentence, before any data is read."""
    wrong = server.replace(PASSWORD, "wr0ng-word")

    ran = imgtrain("tune", "-d", "nowhere", *TINY, "--storage", wrong)

    assert ran.code == 4
    assert "password authentication failed" in ran.words
    assert "wr0ng-word" not in ran.err
    gc.collect()


def test_a_study_of_other_settings_is_refused(server, imgtrain, tmp_path):
    """One name is one study: what differs is named, and the way out."""
    bars = make_folder(tmp_path / "few", dict.fromkeys(("left", "middle"), 12))
    command = ["tune", "-d", bars, *TINY, "--name", "mine", "--storage", server, "--on-leak", "off"]
    short = ["--trials", "1", "--tune-epochs", "1", "-o", tmp_path / "o"]

    assert imgtrain(*command, *short, "--space", "optim.lr=0.1,0.01").code == 0
    ran = imgtrain(*command, *short, "--space", "optim.lr=0.1,0.02")

    assert ran.code == 6
    assert "study 'mine' in postgresql://ann@127.0.0.1:" in ran.words
    assert "was begun with other settings: tune.space" in ran.words
    assert "--fresh" in ran.words
