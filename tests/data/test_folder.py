"""Folders as people keep them."""

import hashlib
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from imgtrain.data.index import PARTS, read_index, read_labelled
from imgtrain.data.walk import Walk
from imgtrain.errors import DataError


def listed(index):
    """``path class part`` of every picture."""
    return [
        f"{index.source.path(i)} {index.classes[index.labels[i]]}"
        + (f" {PARTS[index.given[i]]}" if index.given[i] >= 0 else "")
        for i in range(len(index.source))
    ]


def test_a_folder_a_class(tree):
    """Each sub-folder is a class, sorted by code point; each picture has its size and bytes."""
    root = tree("b/1.png", "a/2.png", "a/10.png", "B/x.png")
    index = read_index(root)
    assert index.classes == ("B", "a", "b")
    assert listed(index) == ["B/x.png B", "a/10.png a", "a/2.png a", "b/1.png b"]
    assert index.labels.dtype == np.int64
    assert index.given.tolist() == [-1] * 4
    assert index.natural
    assert index.groups is None
    file = Path(root, "a/10.png")
    assert index.source.read(1) == file.read_bytes()
    about = file.stat()
    assert index.source.stamp(1) == (about.st_size, max(about.st_mtime_ns, about.st_ctime_ns))


@pytest.mark.parametrize("val", ["val", "valid", "validation", "dev", "Val", "DEV"])
def test_parts_of_the_data(tree, val):
    """The words for val are known in any case; classes match by name, not by position."""
    root = tree("Train/a/1.png", "Train/b/1.png", f"{val}/b/2.png", "TEST/b/3.png", "TEST/a/3.png")
    index = read_index(root)
    assert index.classes == ("a", "b")
    assert listed(index) == [
        "Train/a/1.png a train",
        "Train/b/1.png b train",
        f"{val}/b/2.png b val",
        "TEST/a/3.png a test",
        "TEST/b/3.png b test",
    ]


def test_a_class_that_train_lacks(tree):
    """A class only in test is an error that names class and part."""
    root = tree("train/cats/1.png", "train/dogs/1.png", "test/cat/1.png")
    with pytest.raises(
        DataError, match=r"class 'cat' is in test .* did you mean 'cats'\?"
    ) as caught:
        read_index(root)
    assert caught.value.exit_code == 3


def test_two_folders_for_one_part(tree):
    """A val and a valid folder side by side contradict each other."""
    root = tree("train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png")
    with pytest.raises(DataError, match="more than one folder for val: val, valid"):
        read_index(root)


def test_parts_without_train(tree):
    """Val and test alone have no list of classes."""
    root = tree("val/a/1.png", "val/b/1.png", "test/a/1.png")
    with pytest.raises(DataError, match="but no train folder"):
        read_index(root)


def test_train_may_be_a_class(tree):
    """A folder of pictures called train is a class among others."""
    index = read_index(tree("bus/1.png", "car/1.png", "train/1.png"))
    assert index.classes == ("bus", "car", "train")


def test_train_is_ambiguous(tree):
    """A train folder with sub-folders beside others is not guessed about."""
    root = tree("train/a/1.png", "train/b/1.png", "unlabelled/1.png")
    with pytest.raises(DataError, match="may be the training part beside unlabelled"):
        read_index(root)


def test_what_is_beside_the_parts(tree):
    """Other folders and stray pictures are left out and told."""
    root = tree("train/a/1.png", "train/b/1.png", "test/a/1.png", "raw/1.png", "train/stray.png")
    index = read_index(root)
    assert len(index.source) == 3
    assert index.notes == (
        "1 picture outside the class folders (stray.png) was left out",
        "1 folder that is no part (raw) was left out",
    )


def test_a_test_folder_without_labels(tree):
    """Unlabelled pictures directly in test are no test part, and that is said."""
    index = read_index(tree("train/a/1.png", "train/b/1.png", "test/1.png", "test/2.png"))
    assert set(index.given.tolist()) == {0}
    assert index.notes == (
        "2 pictures outside the class folders (1.png, 2.png) were left out",
        "1 part without pictures in class folders (test) was left out",
    )


def test_litter_is_left_out(tree):
    """Hidden files, system files and files that are no pictures are counted and told."""
    root = tree(
        "a/1.png", "b/1.PNG", ".git/1.png", "__MACOSX/a/1.png", "a/.hidden.png", "a/._1.png",
        "a/Thumbs.db", "b/desktop.ini", "a/notes.txt", "b/labels.xml", "b/c.txt", "b/d.txt",
    )  # fmt: skip
    index = read_index(root)
    assert listed(index) == ["a/1.png a", "b/1.PNG b"]
    assert index.notes == (
        "6 hidden files and folders (._1.png, .git, .hidden.png, ...) were left out",
        "4 files that are no pictures (a/notes.txt, b/c.txt, b/d.txt, ...) were left out",
    )


def test_nested_folders_belong_to_their_class(tree):
    """Pictures at any depth under a class folder are of that class."""
    index = read_index(tree("a/x/y/1.png", "a/2.png", "b/z/3.jpeg"))
    assert listed(index) == ["a/2.png a", "a/x/y/1.png a", "b/z/3.jpeg b"]


def test_links(tree, tmp_path):
    """Links to files and folders are followed, each folder once a class, and never in circles."""
    root = Path(tree("a/1.png", "b/2.png"))
    tree("more/3.png", root="elsewhere")
    (root / "b/more").symlink_to(tmp_path / "elsewhere/more")
    (root / "c").symlink_to(tmp_path / "elsewhere/more")
    (root / "b/4.png").symlink_to(root / "a/1.png")
    (root / "a/up").symlink_to(root)
    (root / "a/self").symlink_to(root / "a")
    (root / "loop").symlink_to(root)
    (root / "b/gone.png").symlink_to(root / "nowhere.png")
    (root / "b/ring.png").symlink_to(root / "b/ring.png")
    index = read_index(str(root))
    paths = ["a/1.png a", "b/2.png b", "b/4.png b", "b/more/3.png b", "c/3.png c"]
    assert listed(index) == paths
    assert index.source.read(2) == index.source.read(0)
    assert index.notes == (
        "2 broken links or special files (b/gone.png, b/ring.png) were left out",
        "3 links to folders already seen (a/self, a/up, loop) were not followed",
    )


def test_a_pipe_is_not_read(tree):
    """A named pipe that ends in .png would block for ever."""
    root = tree("a/1.png", "b/1.png")
    os.mkfifo(Path(root, "a/pipe.png"))
    assert len(read_index(root).source) == 2


def test_other_scripts(tree):
    """Names in any script work, and are shown in NFC whatever is on disk."""
    folder = unicodedata.normalize("NFD", "Äpfel")
    root = tree(f"{folder}/größe.png", "梨/图.png", "🍐/a b.png")
    index = read_index(root)
    assert index.classes == tuple(sorted(["Äpfel", "梨", "🍐"]))
    assert [index.source.path(i) for i in range(3)] == [
        "Äpfel/größe.png",
        "梨/图.png",
        "🍐/a b.png",
    ]
    assert all(index.source.read(i) for i in range(3))


def test_names_that_are_not_utf8(tree):
    """Bytes that are not UTF-8 are shown escaped, and the file can be read."""
    root = tree("a/1.png", "b/1.png")
    Path(root, "b").rename(Path(root, "b\udcff"))
    Path(root, "a/1.png").rename(Path(root, "a/\udce9.png"))
    index = read_index(root)
    assert index.classes == ("a", "b\\xff")
    assert index.source.path(0) == "a/\\xe9.png"
    assert index.source.read(0)
    for i in range(2):
        index.source.path(i).encode()


def test_two_classes_that_read_the_same(tree):
    """Two folders whose names are equal in NFC are an error that names both."""
    root = tree("e\u0301/1.png", "\u00e9/1.png")
    with pytest.raises(DataError, match=r"read the same, 'é': b'e\\xcc\\x81' and b'\\xc3\\xa9'"):
        read_index(root)


def test_classes_that_differ_in_case(tree):
    """Cat and cat are two classes, and that is said."""
    index = read_index(tree("Cat/1.png", "cat/1.png", "dog/1.png"))
    assert index.notes == ("classes whose names differ only in case or blanks: 'Cat', 'cat'",)


def test_two_pictures_that_read_the_same(tree):
    """Both stay; it is said."""
    index = read_index(tree("a/e\u0301.png", "a/\u00e9.png", "b/1.png"))
    assert len(index.source) == 3
    assert len(index.notes) == 1
    assert "whose name reads like another's" in index.notes[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/1.png", "b/2.png", "x/"], "class 'x' has no pictures"),
        (["a/1.png", "b/2.png", "x/readme.md"], "class 'x' has no pictures"),
        (["a/1.png"], "only one class, 'a'"),
        (["1.png", "2.png"], "has 2 pictures and no class folders"),
        ([], "has no pictures and no class folders"),
        (["a/", "b/"], "hold no pictures"),
        (["train/a/1.png", "train/b/", "test/a/1.png"], "class 'b' has no pictures in .*train"),
        (["train/1.png", "test/1.png"], "train has 1 pictures and no class folders"),
    ],
)
def test_what_cannot_be_learnt_from(tree, names, message):
    """No classes, one class and empty classes are errors that say so."""
    with pytest.raises(DataError, match=message):
        read_index(tree(*names))


def test_one_folder_too_high(tree):
    """Where the only folder holds the classes, the error points there."""
    root = tree("set/a/1.png", "set/b/1.png")
    with pytest.raises(DataError) as caught:
        read_index(root)
    assert caught.value.hint == f"if the classes are the folders in it, give {root}/set"


def test_no_such_folder(tree):
    """The nearest neighbour and the known sets are named."""
    root = tree("a/1.png", root="flowers")
    with pytest.raises(DataError, match=r"did you mean '.*/flowers'\?") as caught:
        read_index(root[:-1])
    assert caught.value.hint.startswith("known sets: mnist, fashion-mnist, ")
    with pytest.raises(DataError, match=r"'digit'; did you mean 'digits'\?"):
        read_index("digit")


@pytest.mark.parametrize("root", ["", "~nobody-at-all/x", "x\0y", "digits/0"])
def test_names_of_nothing(root):
    """Whatever is asked for, what is not there is a data error."""
    with pytest.raises(DataError, match="there is no folder, manifest or known set"):
        read_index(root)


def test_names_too_long():
    """What the system refuses to look up is a data error too."""
    with pytest.raises(DataError, match=r"cannot read x+: File name too long"):
        read_index("x" * 5000)


def test_a_folder_that_vanishes(tmp_path):
    """A folder that cannot be listed is named."""
    with pytest.raises(DataError, match=r"cannot read the folder .*gone: No such file"):
        Walk(str(tmp_path / "gone")).folders()


def test_an_empty_class_in_test(tree):
    """A folder without pictures in a part that train does not know is left out, and said."""
    index = read_index(tree("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/x/"))
    assert index.notes == ("1 empty class folder (test/x) was left out",)


def test_a_picture_that_does_not_exist(tree):
    """Positions are not counted from the end."""
    with pytest.raises(IndexError):
        read_index(tree("a/1.png", "b/1.png")).source.read(-1)


def test_a_file_of_another_kind(tree):
    """An archive is no data set."""
    with pytest.raises(DataError, match="neither a folder nor a manifest"):
        read_index(tree("set.zip") + "/set.zip")


def test_nothing_is_written(tree):
    """Reading leaves a data folder as it is."""
    root = Path(tree("a/1.png", "b/1.png", "b/x.txt"))
    before = {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}
    index = read_index(str(root))
    index.source.read(0)
    assert {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]} == before


def test_the_fingerprint(tree):
    """It changes with paths, sizes and classes, not with place, order or time."""
    first = read_index(tree("a/1.png", "b/1.png"))
    again = tree("b/1.png", "a/1.png", root="copy")
    os.utime(Path(again, "a/1.png"), (1, 1))
    assert read_index(again).fingerprint == first.fingerprint
    assert len(first.fingerprint) == len(hashlib.sha256().hexdigest())
    prints = {first.fingerprint}
    Path(again, "a/1.png").write_bytes(b"longer" * 100)
    prints.add(read_index(again).fingerprint)
    Path(again, "a/1.png").rename(Path(again, "a/2.png"))
    prints.add(read_index(again).fingerprint)
    Path(again, "a").rename(Path(again, "c"))
    prints.add(read_index(again).fingerprint)
    assert len(prints) == 4


def test_a_home_folder(tree, monkeypatch, tmp_path):
    """~ is the user's home."""
    tree("a/1.png", "b/1.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_index("~/data").root == str(tmp_path / "data")


def test_a_relative_root(tree, monkeypatch, tmp_path):
    """A relative folder is read even when the program has moved on."""
    tree("a/1.png", "b/1.png")
    monkeypatch.chdir(tmp_path)
    index = read_index("data")
    monkeypatch.chdir("/")
    assert index.source.read(0)


def test_a_file_in_the_place_of_another_is_noticed(tmp_path):
    """Of the same size, with the same time of change: the stamp is another."""
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        (tmp_path / "d" / name / "1.png").write_bytes(b"first")
    place = tmp_path / "d" / "a" / "1.png"
    before = read_index(str(tmp_path / "d")).source.stamp(0)
    other = tmp_path / "other.png"
    other.write_bytes(b"other")
    os.utime(other, ns=(place.stat().st_atime_ns, place.stat().st_mtime_ns))
    other.replace(place)

    after = read_index(str(tmp_path / "d")).source.stamp(0)
    assert after != before
    assert after[0] == before[0] == 5


def test_pictures_that_nothing_is_learnt_from(tree):
    """A test part alone, one class, an empty class folder: enough to score a model on."""
    parts = tree("test/b/1.png", "test/a/2.png", "test/c/", "val/z/1.png")
    tested = read_labelled(parts)
    alone = read_labelled(tree("only/1.png", "none/", root="others"))

    assert tested.classes == ("a", "b", "z")
    assert listed(tested) == [
        "val/z/1.png z val",
        "test/a/2.png a test",
        "test/b/1.png b test",
    ]
    assert (alone.classes, listed(alone)) == (("only",), ["only/1.png only"])
