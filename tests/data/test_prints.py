"""What a picture is recognised by, and that nothing outdated is."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imgtrain.data.index import read_index
from imgtrain.data.prints import PRINT_DTYPE, PrintBook, blank_prints, is_taken, take_print


def pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def a_print(text):
    return take_print(pixels(20, 20, 3), text.encode())


def test_the_digest_is_of_the_file():
    """128 bits of BLAKE2b over the bytes, not over the pixels."""
    found = take_print(pixels(20, 20, 3), b"bytes")

    assert found["digest"].tobytes() == hashlib.blake2b(b"bytes", digest_size=16).digest()


@pytest.mark.parametrize("side", [16, 64, 256])
def test_the_thumbnail_is_the_mean_of_blocks(side):
    """Of grey, where whole blocks fit; rounding aside."""
    grey = pixels(side, 2 * side, 1)
    blocks = grey.reshape(16, side // 16, 16, side // 8).mean(axis=(1, 3))

    found = take_print(grey, b"")["thumbnail"]

    assert np.abs(found - blocks).max() <= 0.5


def test_of_three_channels_the_luma_counts_and_of_more_the_mean():
    """ITU-R BT.601 for colour; planes without meaning are averaged."""
    colour, planes = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16, 5), np.uint8)
    colour[:] = 200, 100, 50
    planes[:] = 10, 20, 30, 40, 50

    assert np.unique(take_print(colour, b"")["thumbnail"]) == 124  # 59.8 + 58.7 + 5.7
    assert np.unique(take_print(planes, b"")["thumbnail"]) == 30


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 900, 3), (7, 5, 1), (333, 221, 3)])
def test_any_shape_has_a_print(shape):
    """Thin, tiny and odd ones too."""
    assert take_print(pixels(*shape), b"x").dtype == PRINT_DTYPE


def test_a_book_remembers(tree):
    """What was saved is there when the same set is opened again, and nothing else."""
    root = tree("a/1.png", "a/2.png", "b/1.png")
    source = read_index(root).source
    book = PrintBook(source, root)
    assert book.missing().tolist() == [0, 1, 2]

    book.put(1, a_print("one"))
    book.save()

    again = PrintBook(source, root)
    assert again.missing().tolist() == [0, 2]
    assert again.prints[1] == a_print("one")
    assert PrintBook(source, root, "side 64").missing().tolist() == [0, 1, 2]


@pytest.mark.parametrize("change", ["touch", "content", "replace"])
def test_a_changed_file_has_no_print(tree, change):
    """Another time or size is another file; the others keep theirs."""
    root = tree("a/1.png", "b/1.png")
    book = PrintBook(read_index(root).source, root)
    for i in range(2):
        book.put(i, a_print(str(i)))
    book.save()
    place = Path(root, "a/1.png")

    if change == "touch":
        os.utime(place, ns=(1, 1))
    elif change == "content":
        place.write_bytes(place.read_bytes() + b"\0")
    else:
        time = place.stat().st_mtime_ns
        Path(root, "new").write_bytes(b"longer than it was" * 9)
        Path(root, "new").replace(place)
        os.utime(place, ns=(time, time))

    assert PrintBook(read_index(root).source, root).missing().tolist() == [0]


ADDING = """
import sys
from imgtrain.data.index import read_index
from imgtrain.data.prints import PrintBook, take_print
import numpy as np
root, first = sys.argv[1], int(sys.argv[2])
book = PrintBook(read_index(root).source, root)
for i in range(first, len(book.prints), 4):
    book.put(i, take_print(np.full((9, 9, 3), i, np.uint8), b"%d" % i))
    book.save()
"""


def test_processes_keep_each_others_prints(tree):
    """Four that save at once, again and again, lose none."""
    root = tree(*(f"{label}/{i}.png" for label in "ab" for i in range(8)))

    running = [subprocess.Popen([sys.executable, "-c", ADDING, root, str(n)]) for n in range(4)]

    assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    book = PrintBook(read_index(root).source, root)
    assert book.missing().tolist() == []
    assert book.prints["thumbnail"].max(axis=(1, 2)).tolist() == list(range(16))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4 cut"])
def test_a_broken_book_is_begun_anew(tree, content):
    """It costs time only."""
    root = tree("a/1.png", "b/1.png")
    source = read_index(root).source
    book = PrintBook(source, root)
    book.put(0, a_print("x"))
    book.save()
    (file,) = Path(os.environ["IMGTRAIN_CACHE"], "prints").glob("*.npz")

    file.write_bytes(content)

    assert PrintBook(source, root).missing().tolist() == [0, 1]


def test_without_a_cache_folder_prints_stay_in_memory(tree, monkeypatch, capsys):
    """A warning, no error."""
    root = tree("a/1.png", "b/1.png")
    monkeypatch.setenv("IMGTRAIN_CACHE", str(Path(root, "a/1.png")))
    book = PrintBook(read_index(root).source, root)

    book.put(0, a_print("x"))
    book.save()

    assert is_taken(book.prints).tolist() == [True, False]
    assert "fingerprints of the pictures are not kept" in capsys.readouterr().err


def test_blank_prints_are_not_taken():
    """Zeros mean that there is none."""
    assert is_taken(blank_prints(2)).tolist() == [False, False]
