"""A known set from a server of one's own to a trained model."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "fetching"))

import little_sets as little
from unruly_server import serving

TRAIN = (
    *("train", "--data", "cifar10", "--epochs", "1", "--model", "test_resnet"),
    *("--no-pretrained", "--batch-size", "16", "--device", "cpu", "--json"),
)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A server that has a little CIFAR-10 and vouches for it; a cache that is empty."""
    monkeypatch.setenv("IMGTRAIN_CACHE", str(tmp_path / "cache"))
    files = little.cifar10()
    with serving() as site:
        site.publish(files | {"SHA256SUMS": little.sums(files)}, "/sets/cifar10")
        yield f"{site.url}/sets"


def test_download_then_train(imgtrain, mirror):
    """By its name, on the parts and the classes that it was published with."""
    fetched = imgtrain("data", "download", "cifar10", "--mirror", mirror)
    trained = imgtrain(*TRAIN)

    assert (fetched.code, trained.code) == (0, 0), trained.err
    assert "10 classes" in trained.words
    assert "test 20 pictures" in trained.words
    assert trained.json["metrics"]


def test_train_fetches_it_on_the_way(imgtrain, mirror, monkeypatch):
    """Not unasked; with --auto-download it does, the mirror being a flag or a variable."""
    unasked = imgtrain(*TRAIN)
    assert unasked.code == 3
    assert "--auto-download does so on the way" in unasked.words

    monkeypatch.setenv("IMGTRAIN_DATA__MIRROR", mirror)
    trained = imgtrain(*TRAIN, "--auto-download")

    assert trained.code == 0, trained.err
    assert "sha256 is right" in trained.words
    assert trained.json["metrics"]


def test_a_fetched_set_can_be_validated_by_its_name(imgtrain, mirror):
    """As any known set; its pictures are noise, and none is broken."""
    unasked = imgtrain("data", "validate", "cifar10")
    assert unasked.code == 3
    assert "imgtrain data download cifar10 fetches it" in unasked.words
    imgtrain("data", "download", "cifar10", "--mirror", mirror)

    looked = imgtrain("data", "validate", "cifar10", "--json")

    assert looked.code == 0, looked.err
    assert looked.json["pictures"] == 60
