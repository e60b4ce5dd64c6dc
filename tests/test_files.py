"""Files are whole or absent."""

import csv
import json
import os
import shutil
import subprocess
import sys

import pytest

from imgtrain.errors import DiskError
from imgtrain.files import (
    cache_folder,
    first_free,
    read_json,
    replacing,
    write_bytes,
    write_csv,
    write_json,
    write_text,
)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_takes_the_place_of_the_old_one(tmp_path):
    """The new content, and no draft beside it."""
    path = tmp_path / "a.txt"
    write_text(path, "old")
    write_text(path, "new ü")

    assert path.read_bytes() == "new ü".encode()
    assert names(tmp_path) == ["a.txt"]


def test_until_the_block_ends_the_old_file_is_there(tmp_path):
    """Who reads meanwhile reads the old one, whole."""
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with replacing(path) as handle:
        handle.write(b"new")
        handle.flush()
        assert path.read_text(encoding="utf-8") == "old"
    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), BrokenPipeError()])
def test_a_block_that_raises_leaves_the_old_file(tmp_path, error):
    """Its own error comes out, and no draft stays."""
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write_half():
        with replacing(path) as handle:
            handle.write(b"half")
            raise error

    with pytest.raises(type(error)) as caught:
        write_half()
    assert caught.value is error
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_process_killed_in_the_middle_leaves_the_old_file(tmp_path):
    """Kill -9 while writing: the old file, whole; the litter is hidden."""
    path = tmp_path / "a.txt"
    write_text(path, "old")
    script = (
        "import os, sys, pathlib; from imgtrain.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as handle:\n"
        "    handle.write(b'half'); handle.flush(); os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(path)], timeout=60)

    assert ended.returncode == -9
    assert path.read_text(encoding="utf-8") == "old"
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["a.txt"]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """One sentence with path and reason; the old file whole, no draft: in a mount of 64 kB."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a private mount namespace needs root and unshare")
    script = (
        "import sys, pathlib; from imgtrain.files import write_bytes; "
        "from imgtrain.errors import DiskError\n"
        "path = pathlib.Path(sys.argv[1]) / 'a'\n"
        "write_bytes(path, b'old')\n"
        "try: write_bytes(path, b'x' * 200_000)\n"
        "except DiskError as error: print(error.message)\n"
        "print(path.read_bytes(), [p.name for p in path.parent.iterdir()])\n"
    )
    mounted = 'mount -t tmpfs -o size=64k tmpfs "$1" || exit 32; exec "$2" -c "$3" "$1"'
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted, "sh", str(tmp_path), sys.executable, script],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if ran.returncode in {1, 32} and ("mount" in ran.stderr or "unshare" in ran.stderr):
        pytest.skip("tmpfs cannot be mounted here")

    assert ran.stdout == f"cannot write {tmp_path}/a: the disk is full\nb'old' ['a']\n", ran.stderr


def test_what_is_no_ordinary_file_is_not_replaced(tmp_path):
    """A pipe (or /dev/null, or /dev/stdout) would be gone."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(DiskError, match="pipe: it is no ordinary file"):
        write_bytes(pipe, b"x")
    assert pipe.is_fifo()
    with pytest.raises(DiskError, match="no ordinary file"):
        write_bytes(tmp_path, b"x")


def test_a_folder_that_is_missing_is_made_and_one_that_cannot_be_is_an_error(tmp_path):
    """Folders come with their file; a file in the way is named."""
    write_text(tmp_path / "a" / "b" / "c.txt", "x")
    assert (tmp_path / "a" / "b" / "c.txt").read_text(encoding="utf-8") == "x"
    with pytest.raises(DiskError, match=r"cannot write .*c\.txt/d: File exists"):
        write_text(tmp_path / "a" / "b" / "c.txt" / "d", "x")


def test_json_comes_back_and_what_is_not_finite_is_refused(tmp_path):
    """NaN is no JSON; the old file stays."""
    path = tmp_path / "a.json"
    write_json(path, {"a": [1, None, "ü"]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})

    assert path.read_text(encoding="utf-8").endswith("}\n")
    assert json.loads(path.read_text(encoding="utf-8")) == read_json(path) == {"a": [1, None, "ü"]}


def test_a_table_comes_back_cell_by_cell(tmp_path):
    """Commas, quotes, line breaks; None is an empty cell; lines end in one character."""
    rows = [["a,b", 'say "x"', "two\nlines"], [None, 1.5, ""]]
    write_csv(tmp_path / "t.csv", ["x", "y", "z"], rows)

    assert b"\r" not in (tmp_path / "t.csv").read_bytes()
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["x", "y", "z"], rows[0], ["", "1.5", ""]]


@pytest.mark.parametrize(
    ("taken", "free"),
    [(set(), "a"), ({"a"}, "a-2"), ({"a", "a-2", "a-3"}, "a-4"), ({"a", "a-3"}, "a-2")],
)
def test_the_first_free_name(taken, free):
    """-2 comes after the name itself; gaps are filled."""
    assert first_free(taken.__contains__, "a") == free


def test_the_cache_is_where_the_user_wants_it(tmp_path, monkeypatch):
    """IMGTRAIN_CACHE, then XDG_CACHE_HOME, then the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("IMGTRAIN_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("IMGTRAIN_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "imgtrain"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "imgtrain"
