"""Archives with a right checksum whose content is not what the set's format says."""

import little_sets as little
import numpy as np
import pytest

from imgtrain.errors import DataError
from imgtrain.fetching import sources
from imgtrain.fetching.catalogue import CATALOGUE
from imgtrain.fetching.imagenet import DEVKIT, TRAIN, VAL, prepare
from imgtrain.fetching.sets import fetch

X, Y = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
ELEVEN = np.full(20, 11, np.uint8)


def cifar_of(**files):
    found = {"batches.meta.txt": NAMES, "data_batch_1.bin": ROW, "test_batch.bin": ROW} | files
    packed = little.tar_of({f"x/{name}": data for name, data in found.items() if data})
    return {"cifar-10-binary.tar.gz": packed}


ROW = bytes(3073)
NAMES = "\n".join(little.CIFAR10).encode()
SMALL = little.mat(X=np.zeros((8, 8, 3, 2), np.uint8), y=np.ones((2, 1)))
STL = {
    "class_names.txt": b"a\nb\n",
    "train_y.bin": b"\1",
    "test_y.bin": b"\1",
    "train_X.bin": bytes(27_648),
    "test_X.bin": bytes(5),
}
WRONG = {
    "more dimensions": ("mnist", {X: little.idx(ELEVEN)}, "no IDX array of bytes with 3 dim"),
    "cut short": ("mnist", {X: little.gz(b"\0\0\x08\3" + b"\0\0\0\7" * 4)}, "for an array"),
    "no IDX": ("mnist", {Y: little.gz(b"hello, this is text")}, "no IDX array of bytes with 1 dim"),
    "a label too high": ("mnist", {Y: little.idx(ELEVEN)}, "a label is outside 0 to 9"),
    "a label too few": ("mnist", {Y: little.idx(ELEVEN[1:])}, "20 pictures and 19 labels"),
    "no names": ("cifar10", cifar_of(**{"batches.meta.txt": b""}), "it holds no batches.meta.txt"),
    "no test": ("cifar10", cifar_of(**{"test_batch.bin": b""}), "no file of the test part"),
    "half a picture": ("cifar10", cifar_of(**{"data_batch_1.bin": ROW[1:]}), "no whole pictures"),
    "another shape": ("svhn", {"train_32x32.mat": SMALL}, "of shape"),
    "no array X": ("svhn", {"train_32x32.mat": little.mat(Z=np.zeros(3))}, "no array X or y"),
    "a file too short": ("stl10", {"stl10_binary.tar.gz": little.tar_of(STL)}, "no whole pictures"),
    "a flower too many": (
        "flowers102",
        {"imagelabels.mat": little.mat(labels=np.array([[103]]))},
        "a label is outside 1 to 102",
    ),
    "flowers missing": (
        "flowers102",
        {"102flowers.tgz": little.tar_of({"jpg/image_00001.jpg": b"1"})},
        "it holds 1 of the 12 pictures",
    ),
    "pets missing": (
        "oxford-pets",
        {"images.tar.gz": little.tar_of({"images/Abyssinian_1.jpg": b"1"})},
        "it holds 1 of the 4 pictures",
    ),
}
GOOD = {
    "mnist": little.mnist,
    "cifar10": little.cifar10,
    "svhn": little.svhn,
    "stl10": little.stl10,
    "flowers102": little.flowers,
    "oxford-pets": little.pets,
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_the_format_is_told(site, tmp_path, hasty, what):
    """One sentence, no set, and no archive that would be taken for right the next time."""
    name, wrong, words = WRONG[what]
    files = GOOD[name]() | wrong
    site.publish(files)
    with pytest.raises(DataError, match=words):
        fetch(little.retold(CATALOGUE[name], files, site.url), tmp_path, patience=hasty)
    assert list(tmp_path.iterdir()) == []


FIELDS = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]


def kit_of(**files):
    meta = little.mat(synsets=np.array([[little.SYNSETS[0]]], FIELDS))
    found = {"meta.mat": meta, "ILSVRC2012_validation_ground_truth.txt": b"1\n"} | files
    return little.tar_of({f"kit/{name}": data for name, data in found.items() if data})


KITS = {
    "no meta": (DEVKIT, kit_of(**{"meta.mat": b""}), "it holds no meta.mat"),
    "strange meta": (DEVKIT, kit_of(**{"meta.mat": little.mat(synsets=np.zeros(3))}), "synsets"),
    "no list": (
        DEVKIT,
        kit_of(**{"ILSVRC2012_validation_ground_truth.txt": b""}),
        "it holds no IL",
    ),
    "an unknown class": (
        DEVKIT,
        kit_of(**{"ILSVRC2012_validation_ground_truth.txt": b"7\n"}),
        "names a class that meta.mat has not",
    ),
    "a class too many": (DEVKIT, kit_of(), "is no class of the development kit"),
    "a picture too many": (
        VAL,
        little.tar_of({"ILSVRC2012_val_00000005.JPEG": b"1"}, little.plain),
        "is not in the list of val",
    ),
    "no pictures": (TRAIN, little.tar_of({"n02119789.txt": b"1"}), "n02119789.txt is no class"),
}


@pytest.mark.parametrize("what", KITS)
def test_imagenet_whose_archives_do_not_fit(tmp_path, what):
    """One sentence, and no set."""
    archive, data, words = KITS[what]
    files = little.imagenet() | {archive.name: data}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        prepare(tmp_path, tmp_path / "sets", verify=False)
    assert not (tmp_path / "sets" / "imagenet").exists()


def test_a_large_file_is_checked_with_a_meter(tmp_path, monkeypatch):
    """The same checksum as of a small one."""
    path = tmp_path / "x"
    path.write_bytes(bytes(3_000_000))
    small = sources.digest_of(path, "sha256")
    monkeypatch.setattr(sources, "_SLOW_TO_READ", 10)
    assert sources.digest_of(path, "sha256") == small
