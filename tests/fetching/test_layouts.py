"""From the publisher's archive to a folder of classes, for each format."""

import io
import json
from pathlib import Path

import little_sets as little
import numpy as np
import pytest
from PIL import Image

from imgtrain.errors import DataError
from imgtrain.fetching.catalogue import CATALOGUE
from imgtrain.fetching.sets import fetch

ARCHIVES = {
    "mnist": little.mnist,
    "fashion-mnist": little.mnist,
    "kmnist": little.mnist,
    "cifar10": little.cifar10,
    "cifar100": little.cifar100,
    "svhn": little.svhn,
    "stl10": little.stl10,
    "imagenette": little.imagenette,
    "imagenette-160": lambda: little.imagenette("imagenette2-160.tgz", top="imagenette2-160"),
    "imagewoof": lambda: little.imagenette("imagewoof2.tgz", ("n02086240", "n02115641")),
    "flowers102": little.flowers,
    "oxford-pets": little.pets,
    "tiny-imagenet": little.tiny,
    "digits": dict,
}


@pytest.fixture
def made(site, tmp_path, hasty):
    """The set of this name, fetched from archives with a few pictures."""

    def make(name, files=None):
        files = ARCHIVES[name]() if files is None else files
        site.publish(files)
        entry = little.retold(CATALOGUE[name], files, site.url)
        return fetch(entry, tmp_path / "sets", patience=hasty)

    return make


def tree(folder):
    """``{part/class: number of pictures}``."""
    return {
        str(place.relative_to(folder)): len(list(place.iterdir()))
        for place in sorted(folder.rglob("*"))
        if place.is_dir() and any(inside.is_file() for inside in place.iterdir())
    }


def array(path):
    return np.asarray(Image.open(io.BytesIO(Path(path).read_bytes())))


def test_every_set_of_the_catalogue_is_made_here():
    """No layout goes untested."""
    assert ARCHIVES.keys() == CATALOGUE.keys()


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_set_is_whole_and_has_its_record(made, name):
    """Parts and classes, a record of sources and licence, and nothing beside them."""
    folder = made(name)
    record = json.loads((folder / "dataset.json").read_text())
    found = tree(folder)

    assert folder.name == name
    assert [p.name for p in folder.parent.iterdir()] == [name]
    assert record["licence"] == CATALOGUE[name].licence
    assert record["citation"] == CATALOGUE[name].citation
    assert sum(record["pictures"].values()) == sum(found.values()) > 0
    assert [a["name"] for a in record["archives"]] == [a.name for a in CATALOGUE[name].archives]
    assert {a["checked_against"] for a in record["archives"]} <= {"the test"}


def test_mnist_is_lossless(made):
    """Pixels, labels and order of the IDX files."""
    folder = made("mnist")

    assert tree(folder) == {
        **{f"test/{k}": 1 for k in range(10)},
        **{f"train/{k}": 2 for k in range(10)},
    }
    np.testing.assert_array_equal(
        array(folder / "train" / "3" / "00013.png"), little.pixels(20, 28, 28)[13]
    )
    np.testing.assert_array_equal(
        array(folder / "test" / "9" / "00009.png"), little.pixels(10, 28, 28, seed=1)[9]
    )


def test_fashion_mnist_has_names(made):
    """Clothes are told by name; a slash cannot be one of a folder's."""
    assert sorted(p.name for p in (made("fashion-mnist") / "train").iterdir()) == [
        "Ankle_boot", "Bag", "Coat", "Dress", "Pullover", "Sandal", "Shirt", "Sneaker",
        "T-shirt_top", "Trouser",
    ]  # fmt: skip


def test_cifar10_is_lossless_and_in_colour(made):
    """Red, green and blue planes in this order; batches are numbered on."""
    folder = made("cifar10")
    second = little.pixels(20, 3, 32, 32, seed=2)[7].transpose(1, 2, 0)

    assert tree(folder) == {
        **{f"test/{name}": 2 for name in little.CIFAR10},
        **{f"train/{name}": 4 for name in little.CIFAR10},
    }
    np.testing.assert_array_equal(array(folder / "train" / "horse" / "00027.png"), second)


def test_cifar100_has_its_fine_labels(made):
    """The second byte counts, by the names in the archive."""
    folder = made("cifar100")
    expected = little.pixels(100, 3, 32, 32)[42].transpose(1, 2, 0)

    assert tree(folder)["train/kind_42"] == 1
    np.testing.assert_array_equal(array(folder / "train" / "kind_42" / "00042.png"), expected)


def test_svhn_calls_ten_zero(made):
    """The publisher's label 10 is the digit 0."""
    folder = made("svhn")

    assert tree(folder)["train/0"] == 1
    np.testing.assert_array_equal(
        array(folder / "train" / "0" / "00009.png"), little.pixels(12, 32, 32, 3)[9]
    )


def test_stl10_is_upright(made):
    """The file has each colour column by column."""
    folder = made("stl10")
    expected = little.pixels(10, 3, 96, 96)[2].transpose(2, 1, 0)

    assert tree(folder)["train/car"] == 1
    np.testing.assert_array_equal(array(folder / "train" / "car" / "00002.png"), expected)


def test_imagenette_keeps_its_files(made):
    """The same bytes under the class's name; what is no picture of a part stays away."""
    folder = made("imagenette")

    assert tree(folder) == {
        "train/English_springer": 3, "train/tench": 3, "val/English_springer": 2,
        "val/tench": 2,
    }  # fmt: skip
    kept = folder / "val" / "tench" / "n01440764_1.JPEG"
    assert kept.read_bytes() == little.jpeg(1)


def test_flowers_have_names_and_three_parts(made):
    """Labels and parts of the MATLAB files, counted from 1."""
    assert tree(made("flowers102")) == {
        "test/blackberry_lily": 1, "test/passion_flower": 2, "test/pink-yellow_dahlia": 1,
        "test/pink_primrose": 2, "train/blackberry_lily": 1, "train/passion_flower": 1,
        "train/pink-yellow_dahlia": 1, "train/pink_primrose": 1, "val/passion_flower": 1,
        "val/pink_primrose": 1,
    }  # fmt: skip


def test_pets_are_sorted_by_the_lists(made):
    """Breeds with underscores in them, and no picture that is in no list."""
    folder = made("oxford-pets")

    assert tree(folder) == {
        "test/Abyssinian": 1, "test/american_bulldog": 1, "train/Abyssinian": 1,
        "train/american_bulldog": 1,
    }  # fmt: skip
    assert (folder / "test/american_bulldog/american_bulldog_10.jpg").read_bytes() == little.jpeg(3)


def test_tiny_imagenet_has_unique_names(made):
    """Two cranes are told apart; the test part without labels is left out."""
    folder = made("tiny-imagenet")

    assert tree(folder) == {
        "train/crane_n02002556": 1, "train/crane_n99999999": 1, "train/goldfish": 1,
        "val/crane_n02002556": 1, "val/crane_n99999999": 1,
    }  # fmt: skip
    assert (folder / "val/crane_n99999999/val_1.JPEG").read_bytes() == little.jpeg(51)


def test_digits_are_those_of_the_built_in_set(made, site):
    """The same pictures as ``--data digits``, without asking any server."""
    from imgtrain.data.digits import read_digits

    folder, built_in = made("digits"), read_digits().source

    assert site.asked == []
    assert sum(tree(folder).values()) == len(built_in)
    for i in (0, 500, 1796):
        written = folder / built_in.path(i).removeprefix("digits/").replace("/", "/0")
        expected = np.asarray(Image.open(io.BytesIO(built_in.read(i))))
        np.testing.assert_array_equal(array(written), expected)


@pytest.mark.parametrize("name", [n for n in ARCHIVES if n != "digits"])
def test_another_archive_than_expected_is_refused(made, tmp_path, name):
    """A right checksum on wrong content: one sentence that names the archive, and no set."""
    strange = {a.name: little.tar_of({"a/b.txt": b"hello"}) for a in CATALOGUE[name].archives}

    with pytest.raises(DataError, match="is not the archive that was expected"):
        made(name, strange)
    assert list((tmp_path / "sets").iterdir()) == []


def test_pictures_can_be_trained_on(made):
    """The folder is one that the reader of folders understands, with its parts."""
    from imgtrain.data.index import read_index

    index = read_index(str(made("cifar10")))

    assert index.classes == tuple(little.CIFAR10)
    assert np.bincount(index.given).tolist() == [40, 0, 20]
