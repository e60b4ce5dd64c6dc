"""A set is whole or absent, whatever happens on the way."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import little_sets as little
import pytest

from imgtrain.errors import DiskError, OutsideError, SettingsError
from imgtrain.fetching.catalogue import CATALOGUE, NAMES, entry_of
from imgtrain.fetching.place import locked
from imgtrain.fetching.sets import fetch, fetch_set, find_set, sets_folder
from imgtrain.settings.known import SETS

CIFAR10 = CATALOGUE["cifar10"]


@pytest.fixture
def files(site):
    """A mirror that has a little CIFAR-10 and vouches for it."""
    files = little.cifar10()
    site.publish(files | {"SHA256SUMS": little.sums(files)}, "/cifar10")
    return files


def test_the_catalogue_is_complete():
    """Every set has a licence, a citation, sizes, and a checksum with its origin for each file."""
    for entry in CATALOGUE.values():
        assert entry.licence
        assert entry.citation
        assert entry.homepage.startswith("http")
        assert entry.room > 0
        for archive in entry.archives:
            kind, _, digits = archive.digest.partition(":")
            assert len(digits) == {"sha256": 64, "md5": 32}[kind]
            assert set(digits) <= set("0123456789abcdef")
            assert archive.vouched_by
            assert archive.size > 0
            assert archive.urls
            assert all(url.endswith(f"/{archive.name}") for url in archive.urls)


def test_settings_and_catalogue_know_the_same_names():
    """What ``--data`` understands can be fetched."""
    assert NAMES == SETS


def test_names_are_light():
    """Names of sets are known without numpy or a client of HTTP being imported."""
    script = (
        "import sys; from imgtrain.fetching.catalogue import NAMES; from imgtrain.fetching import"
        " sets; print(sorted({'numpy', 'httpx', 'cv2', 'scipy', 'PIL'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.stdout == "[]\n", ended.stderr


@pytest.mark.parametrize("name", ["cifr10", "CIFAR-10"])
def test_an_unknown_name_has_a_nearest(name):
    """A slip of the finger is told, and capitals are."""
    with pytest.raises(SettingsError, match=f"{name!r}; did you mean 'cifar10'"):
        entry_of(name)


def test_it_lies_in_the_users_cache(site, files):
    """Found again without any request, by name."""
    assert find_set("cifar10") is None
    path = fetch_set("cifar10", mirror=site.url, offline=False)
    asked = len(site.asked)

    assert path == sets_folder() / "cifar10" == find_set("cifar10")
    assert fetch_set("cifar10", mirror=site.url, offline=True) == path
    assert len(site.asked) == asked


def test_another_place(site, files, tmp_path):
    """``output`` holds the set's folder, and nothing else stays there."""
    path = fetch_set("cifar10", mirror=site.url, offline=False, output=tmp_path / "sets")
    assert path == tmp_path / "sets" / "cifar10"
    assert [p.name for p in path.parent.iterdir()] == ["cifar10"]
    assert find_set("cifar10") is None


def test_offline_asks_nobody(site, files):
    """An error with the way out."""
    with pytest.raises(OutsideError, match="nothing may be fetched"):
        fetch_set("cifar10", mirror=site.url, offline=True)
    assert site.asked == []


def test_no_server_has_it(site, tmp_path, hasty):
    """Every address that was asked is named with its reason, in their order."""
    entry = little.retold(CIFAR10, little.cifar10(), f"{site.url}/gone")
    with pytest.raises(OutsideError) as caught:
        fetch(entry, tmp_path, mirror=f"{site.url}/m", patience=hasty)
    assert caught.value.message.splitlines() == [
        "cannot fetch cifar-10-binary.tar.gz of cifar10:",
        f"  {site.url}/m/cifar10/cifar-10-binary.tar.gz: 404 Not Found",
        f"  {site.url}/m/cifar-10-binary.tar.gz: 404 Not Found",
        f"  {site.url}/gone/cifar-10-binary.tar.gz: 404 Not Found",
    ]


@pytest.mark.parametrize("kind", ["folder", "link to nowhere"])
def test_what_is_someone_elses_is_left_alone(site, files, tmp_path, kind):
    """What was not written by us is not touched."""
    if kind == "folder":
        (tmp_path / "cifar10").mkdir()
    else:
        (tmp_path / "cifar10").symlink_to("nowhere")
    with pytest.raises(SettingsError, match="is no set that imgtrain fetched"):
        fetch_set("cifar10", mirror=site.url, offline=False, output=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["cifar10"]
    assert site.asked == []


def test_too_little_room_is_told_before_anything_is_fetched(site, files, tmp_path):
    """Archive and unpacked pictures must both fit."""
    huge = replace(little.retold(CIFAR10, files, f"{site.url}/cifar10"), room=10**18)
    with pytest.raises(DiskError, match=r"cifar10 needs 1000000000\.00 GB"):
        fetch(huge, tmp_path)
    assert site.asked == []


def test_a_place_that_is_a_file(tmp_path):
    """One sentence with the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot write"):
        fetch_set("digits", mirror=None, offline=False, output=tmp_path / "file")


def command(site, tmp_path, *more):
    """The command line, in a process of its own."""
    argv = [sys.executable, "-m", "imgtrain", "data", "download", "cifar10"]
    argv += ["--mirror", site.url, "--output", str(tmp_path / "sets"), *more]
    env = {**os.environ, "COLUMNS": "200"}
    return subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def until(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_while_fetching_it_goes_on(site, files, tmp_path, number):
    """Ctrl-C and kill -9 leave the beginning; the same command fetches the rest alone."""
    (archive,) = files
    released = threading.Event()
    site.moods[f"/cifar10/{archive}"] = [("held", 50_000, released)]
    part = tmp_path / "sets" / ".cifar10.download" / f"{archive}.part"
    first = command(site, tmp_path)
    until(lambda: part.exists() and part.stat().st_size == 50_000)
    first.send_signal(number)
    _, said = first.communicate(timeout=30)
    released.set()
    have = part.stat().st_size
    second = command(site, tmp_path)
    out, said_then = second.communicate(timeout=60)

    assert first.returncode == (130 if number == signal.SIGINT else -9)
    assert ("the same command goes on" in said) == (number == signal.SIGINT)
    assert second.returncode == 0, said_then
    assert out == f"{tmp_path / 'sets' / 'cifar10'}\n"
    assert f"going on from byte {have:,}" in said_then
    assert (f"/cifar10/{archive}", f"bytes={have}-", 206) in site.asked
    assert [p.name for p in (tmp_path / "sets").iterdir()] == ["cifar10"]


@pytest.mark.slow
def test_killed_while_unpacking_it_begins_that_again(site, tmp_path):
    """No half set is ever found; the archive is not fetched a second time."""
    files = little.cifar10(5_000, compress=little.plain)
    site.publish(files | {"SHA256SUMS": little.sums(files)}, "/cifar10")
    drafts = tmp_path / "sets" / ".cifar10.unpacking"
    first = command(site, tmp_path)
    until(lambda: any(drafts.rglob("0[01]???.png")))
    first.kill()
    first.communicate()
    found = find_set("cifar10", output=tmp_path / "sets")
    asked = len(site.asked)
    second = command(site, tmp_path)
    _, said = second.communicate(timeout=120)

    assert (first.returncode, found) == (-9, None)
    assert second.returncode == 0, said
    assert len(site.asked) == asked
    assert sum(1 for _ in (tmp_path / "sets" / "cifar10").rglob("*.png")) == 15_000
    assert [p.name for p in (tmp_path / "sets").iterdir()] == ["cifar10"]


def test_two_processes_at_once_fetch_once(site, files, tmp_path):
    """The second says that it waits, and takes what the first has made."""
    (archive,) = files
    released = threading.Event()
    site.moods[f"/cifar10/{archive}"] = [("held", 50_000, released)]
    first = command(site, tmp_path)
    until(lambda: f"/cifar10/{archive}" in site.paths())
    second = command(site, tmp_path, "--json")
    heard = second.stderr.readline()
    released.set()
    ended = [process.communicate(timeout=60) for process in (first, second)]

    assert [first.returncode, second.returncode] == [0, 0], ended
    assert heard == "another process is at work on cifar10: waiting for it\n"
    assert site.paths().count(f"/cifar10/{archive}") == 1
    assert [p.name for p in (tmp_path / "sets").iterdir()] == ["cifar10"]


def test_a_lock_is_free_when_its_owner_is_gone(tmp_path):
    """A process that was killed blocks nobody, though its file stays."""
    script = (
        "import os, sys, time; from pathlib import Path; from imgtrain.fetching.place import locked"
        "\nwith locked(Path(sys.argv[1]), 'x'): print('held', flush=True); time.sleep(60)"
    )
    path = tmp_path / ".x.lock"
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout.readline() == "held\n"
    owner.kill()
    owner.communicate()

    assert path.exists()
    with locked(path, "x"):
        pass
    assert not path.exists()
