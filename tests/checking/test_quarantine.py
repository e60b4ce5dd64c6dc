"""What is moved aside comes back bit for bit, whatever happens in between."""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scenes import encoded, scene
from trees import snapshot

from imgtrain.checking.journal import NAME
from imgtrain.checking.quarantine import copy_aside

WISHES = (
    *("--drop-duplicates", "--near", "--drop-conflicts"),
    *("--fix-extensions", "--convert-modes"),
)


@pytest.fixture
def spoilt(folder, photos):
    """The folder with something wrong of every kind that ``clean`` mends."""
    cats, dogs = folder / "train/cat", folder / "train/dog"
    (cats / os.fsdecode(b"cut \xff\n.jpg")).write_bytes(photos[20][:900])
    (cats / "page.jpg").write_bytes(b"<html>")
    (cats / "copy.png").write_bytes(encoded(scene(0, (120, 90)), "PNG"))
    (dogs / "same.jpg").write_bytes((folder / "test/dog/0.jpg").read_bytes())
    (dogs / "really.png").write_bytes(encoded(scene(60), quality=90))
    deep = np.asarray(scene(61).convert("L")).astype(np.uint16) * 200
    (dogs / "deep.png").write_bytes(encoded(Image.fromarray(deep), "PNG"))
    (dogs / "print.jpg").write_bytes(encoded(scene(62).convert("CMYK")))
    (cats / "link.jpg").symlink_to("../dog/1.jpg")
    (dogs / "same.jpg").chmod(0o640)
    os.utime(cats / "page.jpg", ns=(10**18 + 7, 10**18 + 7))
    return folder


def test_without_apply_nothing_changes(spoilt, imgtrain):
    """A dry run says what would be done, and does nothing."""
    before = snapshot(spoilt)

    ended = imgtrain("data", "clean", spoilt, *WISHES)

    assert ended.code == 0
    assert "move train/cat/page.jpg (not-a-picture: " in ended.err
    assert "rename train/dog/really.png -> train/dog/really.jpg (wrong-extension" in ended.err
    assert "convert train/dog/print.jpg -> train/dog/print.png (mode: CMYK)" in ended.err
    assert "a dry run: " in ended.err
    assert snapshot(spoilt) == before
    assert not spoilt.with_name("data-quarantine").exists()


def test_bad_files_alone_are_moved_unless_more_is_asked(spoilt, imgtrain):
    """Broken ones; copies, names and modes stay."""
    before = snapshot(spoilt)

    assert imgtrain("data", "clean", spoilt, "--apply").code == 0

    gone = before.keys() - snapshot(spoilt).keys()
    assert gone == {b"train/cat/cut \xff\n.jpg", b"train/cat/page.jpg"}


def test_everything_comes_back(spoilt, imgtrain):
    """Names, content, times, modes and links; after all that clean can do."""
    before = snapshot(spoilt)

    assert imgtrain("data", "clean", spoilt, "--apply", *WISHES).code == 0
    after = snapshot(spoilt)
    assert imgtrain("data", "clean", spoilt, "--restore").code == 0

    assert b"train/dog/really.jpg" in after
    assert b"train/dog/print.png" in after
    assert b"train/dog/deep.png" in after
    assert not {b"train/dog/print.jpg", b"train/dog/same.jpg"} & after.keys()
    assert snapshot(spoilt) == before


def test_what_was_cleaned_is_clean(spoilt, imgtrain):
    """A second run finds nothing to do, and validate no errors."""
    imgtrain("data", "clean", spoilt, "--apply", *WISHES)

    assert "nothing to clean" in imgtrain("data", "clean", spoilt, *WISHES).err
    assert imgtrain("data", "validate", spoilt, "--fail-on", "warning").code == 0


def test_converted_pictures_look_the_same(spoilt, imgtrain):
    """8-bit grey from 16 bits, RGB from CMYK; the same values that training sees."""
    imgtrain("data", "clean", spoilt, "--apply", "--convert-modes")

    grey = np.asarray(scene(61).convert("L")).astype(float) * 200 / 257
    with Image.open(spoilt / "train/dog/deep.png") as deep:
        assert deep.mode == "L"
        assert np.abs(np.asarray(deep) - grey).max() <= 0.5
    with Image.open(spoilt / "train/dog/print.png") as print_:
        assert print_.mode == "RGB"


def test_of_a_leak_the_copy_in_train_goes(spoilt, imgtrain):
    """The test part stays whole; a link goes before the file that it leads to."""
    imgtrain("data", "clean", spoilt, "--apply", "--drop-duplicates", "--drop-conflicts")

    left = snapshot(spoilt)
    assert b"test/dog/0.jpg" in left
    assert b"train/dog/same.jpg" not in left


def test_two_cleanings_come_back_together(spoilt, imgtrain):
    """The second adds to the first's quarantine."""
    before = snapshot(spoilt)

    imgtrain("data", "clean", spoilt, "--apply")
    imgtrain("data", "clean", spoilt, "--apply", *WISHES)
    imgtrain("data", "clean", spoilt, "--restore")

    assert snapshot(spoilt) == before


def test_nothing_is_overwritten(spoilt, imgtrain):
    """A file that has come in the way stays, and the command says so; later it goes on."""
    before = snapshot(spoilt)
    imgtrain("data", "clean", spoilt, "--apply", *WISHES)
    (spoilt / "train/cat/page.jpg").write_bytes(b"a newer file")

    ended = imgtrain("data", "clean", spoilt, "--restore")

    assert ended.code == 3
    assert "train/cat/page.jpg stays: another file is there now" in ended.err
    assert (spoilt / "train/cat/page.jpg").read_bytes() == b"a newer file"
    (spoilt / "train/cat/page.jpg").unlink()
    assert imgtrain("data", "clean", spoilt, "--restore").code == 0
    assert snapshot(spoilt) == before


def test_a_taken_name_is_left(spoilt, imgtrain, photos):
    """A file is not renamed onto another."""
    (spoilt / "train/dog/really.jpg").write_bytes(photos[22])

    ended = imgtrain("data", "clean", spoilt, "--apply", "--fix-extensions")

    assert ended.code == 3
    assert "train/dog/really.png stays: train/dog/really.jpg is taken" in ended.err
    assert (spoilt / "train/dog/really.jpg").read_bytes() == photos[22]


def test_a_changed_quarantine_is_told(spoilt, imgtrain):
    """What is no longer the file that was moved is not put back as if it were."""
    imgtrain("data", "clean", spoilt, "--apply")
    (moved,) = spoilt.with_name("data-quarantine").rglob("page.jpg")
    moved.write_bytes(b"other")

    ended = imgtrain("data", "clean", spoilt, "--restore")

    assert ended.code == 3
    assert "page.jpg has changed" in ended.err


def test_data_and_quarantine_may_move(spoilt, imgtrain):
    """Places are relative."""
    before = snapshot(spoilt)
    imgtrain("data", "clean", spoilt, "--apply", *WISHES)

    elsewhere = spoilt.with_name("elsewhere")
    spoilt.rename(elsewhere)
    spoilt.with_name("data-quarantine").rename(spoilt.with_name("kept"))
    imgtrain("data", "clean", elsewhere, "--restore", "--quarantine", spoilt.with_name("kept"))

    assert snapshot(elsewhere) == before


def test_the_command_that_undoes_it_is_told(spoilt, imgtrain):
    """As it must be typed, with the quarantine that was chosen."""
    before = snapshot(spoilt)
    own = spoilt.with_name("my own")

    told = imgtrain("data", "clean", spoilt, "--apply", "--quarantine", own).err
    (line,) = [x for x in told.splitlines() if x.endswith(" puts everything back")]

    assert imgtrain(*shlex.split(line.removesuffix(" puts everything back"))[1:]).code == 0
    assert snapshot(spoilt) == before


@pytest.mark.parametrize("then", ["--apply", "--restore"])
def test_a_quarantine_is_of_one_set(spoilt, imgtrain, then):
    """Files of one folder never get into another: refused, with the command that empties it."""
    other = shutil.copytree(spoilt, spoilt.with_name("other"), symlinks=True)
    kept = spoilt.with_name("kept")
    imgtrain("data", "clean", spoilt, "--apply", "--quarantine", kept)
    before = snapshot(other), snapshot(spoilt), snapshot(kept)

    ended = imgtrain("data", "clean", other, then, "--quarantine", kept)

    assert ended.code == 3
    assert f"{kept} holds files of {spoilt}, not of {other}" in ended.err
    assert (snapshot(other), snapshot(spoilt), snapshot(kept)) == before


def test_an_emptied_quarantine_may_be_of_another_set(spoilt, imgtrain):
    """Once all is back, the folder is free."""
    other = shutil.copytree(spoilt, spoilt.with_name("other"), symlinks=True)
    before = snapshot(other)
    kept = ("--quarantine", spoilt.with_name("kept"))
    for argv in ([spoilt, "--apply"], [spoilt, "--restore"], [other, "--apply"]):
        assert imgtrain("data", "clean", *argv, *kept).code == 0

    assert imgtrain("data", "clean", other, "--restore", *kept).code == 0
    assert snapshot(other) == before


SHARED_MEMORY = "/dev/shm"  # noqa: S108  # a file system that is not the disk's
DIED = 99
DYING = """
import os, sys
left, place = int(sys.argv[1]), sys.argv[2]
WATCHED = {"open", "os.rename", "os.remove", "os.mkdir", "os.link", "os.symlink", "os.truncate",
           "shutil.copyfile", "shutil.copystat", "os.chmod", "os.utime"}
def watch(event, args):
    global left
    names = [os.fsdecode(a) for a in args if isinstance(a, (str, bytes))]
    if event in WATCHED and any(place in name for name in names):
        left -= 1
        if left < 0:
            os._exit(99)
from imgtrain.cli import run
sys.addaudithook(watch)
sys.exit(run(sys.argv[3:]))
"""
"""Dies without a word at the given file operation in the data folder or the quarantine."""


def dying(steps, place, *argv):
    """The exit code of a command that dies at a file operation."""
    command = [sys.executable, "-c", DYING, str(steps), str(place), *map(str, argv)]
    return subprocess.run(command, capture_output=True, timeout=60).returncode


@pytest.fixture
def other_disk():
    """A folder on another file system."""
    if not Path(SHARED_MEMORY).is_dir():
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as room:
        yield Path(room)


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 4])
@pytest.mark.parametrize("where", ["same", "other"])
def test_a_crash_anywhere_loses_nothing(spoilt, imgtrain, other_disk, where, first):
    """Killed at file operations all along, in apply and in restore; then all comes back."""
    before = snapshot(spoilt)
    files = len(list(spoilt.rglob("*")))
    place = (other_disk if where == "other" else spoilt.parent) / "data-aside"
    options = ["--quarantine", place, "--jobs", "1"]
    codes, steps = [], files + first
    while not codes or codes[-1] == DIED:
        codes.append(dying(steps, "data", "data", "clean", spoilt, "--apply", *WISHES, *options))
        steps += 15
    codes.append(dying(10 + 5 * first, "data", "data", "clean", spoilt, "--restore", *options))

    assert imgtrain("data", "clean", spoilt, "--restore", *options).code == 0
    assert snapshot(spoilt) == before
    assert codes.count(DIED) >= 3


def test_another_file_system_is_no_hindrance(spoilt, imgtrain, other_disk):
    """Copied, compared, then removed; and back."""
    before = snapshot(spoilt)
    options = ["--quarantine", other_disk / "away"]
    assert other_disk.stat().st_dev != spoilt.stat().st_dev

    assert imgtrain("data", "clean", spoilt, "--apply", *WISHES, *options).code == 0
    assert imgtrain("data", "clean", spoilt, "--restore", *options).code == 0

    assert snapshot(spoilt) == before


def test_half_a_line_at_the_end_is_no_hindrance(spoilt, imgtrain):
    """What it announced was not begun."""
    before = snapshot(spoilt)
    imgtrain("data", "clean", spoilt, "--apply")
    journal = spoilt.with_name("data-quarantine") / NAME
    with journal.open("ab") as file:
        file.write(b'{"do": "move", "to": "fi')

    assert imgtrain("data", "clean", spoilt, "--restore").code == 0
    assert snapshot(spoilt) == before


def test_the_journal_says_what_was_done(spoilt, imgtrain):
    """One JSON line a step, with size and SHA-256 of the file."""
    imgtrain("data", "clean", spoilt, "--apply")

    lines = (spoilt.with_name("data-quarantine") / NAME).read_text().splitlines()

    head, *records = map(json.loads, lines)
    assert head == {"format": 1, "root": str(spoilt)}
    assert records[1] == {
        "do": "move",
        "to": "files/train/cat/page.jpg",
        "origin": "train/cat/page.jpg",
        "reason": "not-a-picture: no picture in a known format: it starts with b'<html>'",
        "size": 6,
        "sha256": hashlib.sha256(b"<html>").hexdigest(),
        "is_link": False,
    }


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["DATA", "--apply", "--restore"], 2, "contradict each other"),
        (["DATA", "--apply", "--quarantine", "DATA/q"], 2, "lies in the data folder"),
        (["DATA", "--restore"], 3, "is no quarantine"),
        (["nowhere"], 3, "there is no folder 'nowhere'"),
        (["DATA/train/cat/0.jpg"], 3, "there is no folder"),
        (["DATA.csv", "--apply"], 2, "is a manifest"),
        (["", "--apply"], 2, "PATH is empty"),
        (["", "--restore"], 2, "PATH is empty"),
        (["/", "--apply"], 2, "/ is the whole disk"),
        (["DATA", "--apply", "--quarantine", "DATA.txt/q"], 8, "cannot write"),
    ],
)
def test_mistakes_are_told(spoilt, imgtrain, argv, code, text):
    """In a sentence, with the exit code of their kind; and nothing is moved."""
    before = snapshot(spoilt)
    spoilt.with_name("data.txt").write_text("a file")
    spoilt.with_name("data.csv").write_text("path,label\ndata/train/cat/0.jpg,cat\n")

    ended = imgtrain("data", "clean", *(a.replace("DATA", str(spoilt)) for a in argv))

    assert (ended.code, text in ended.err) == (code, True), ended.err
    assert snapshot(spoilt) == before


def test_pictures_are_copied_aside(folder, tmp_path):
    """Into a run, with a manifest; the data folder stays as it is."""
    from imgtrain.data.index import read_index

    before = snapshot(folder)
    source = read_index(str(folder)).source

    place = copy_aside(source, {2: "cut short", 0: "no, really"}, tmp_path / "run")

    names = [f"0000{n}-{source.path(i).rpartition('/')[2]}" for n, i in ((1, 0), (2, 2))]
    assert place.read_text().splitlines() == [
        "copy,path,reason",
        f'{names[0]},{source.path(0)},"no, really"',
        f"{names[1]},{source.path(2)},cut short",
    ]
    assert (tmp_path / "run" / names[1]).read_bytes() == source.read(2)
    assert snapshot(folder) == before
