"""The known set that needs no download."""

import io

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from imgtrain.data.index import read_index


def test_the_digits_are_scikit_learns():
    """Every picture is scikit-learn's, scaled from 0..16 to 0..255, and labelled as there."""
    index = read_index("digits")
    expected = load_digits()
    assert index.classes == tuple("0123456789")
    assert not index.natural
    assert len(index.source) == 1797
    for i in range(0, 1797, 89):
        number = int(index.source.path(i)[-8:-4])
        assert index.source.path(i) == f"digits/{expected.target[number]}/{number:04}.png"
        assert index.labels[i] == expected.target[number]
        picture = Image.open(io.BytesIO(index.source.read(i)))
        assert picture.mode == "L"
        np.testing.assert_array_equal(
            np.asarray(picture), np.rint(expected.images[number] * 255 / 16)
        )


def test_every_digit_is_there_once():
    """No number of scikit-learn's order is missing or twice."""
    source = read_index("digits").source
    assert {int(source.path(i)[-8:-4]) for i in range(len(source))} == set(range(1797))


def test_a_folder_wins(tree, monkeypatch, tmp_path):
    """A folder called digits is read instead of the known set."""
    tree("a/1.png", "b/1.png", root="digits")
    monkeypatch.chdir(tmp_path)
    assert read_index("digits").classes == ("a", "b")


def test_the_same_fingerprint_everywhere():
    """It does not depend on how a version of zlib packs the pictures."""
    index = read_index("digits")
    assert {index.source.stamp(i) for i in range(10)} == {(64, 0)}
