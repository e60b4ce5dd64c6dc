"""Mean and spread of the training pictures: right, measured once, never stale."""

import numpy as np
import pytest
from small import PREPROCESS, Shapes

from imgtrain.errors import DataError
from imgtrain.files import cache_folder
from imgtrain.loading.cache import InMemory
from imgtrain.loading.loader import Pictures
from imgtrain.loading.statistics import channel_statistics


class Counting(Shapes):
    """Remembers what was read, and can change a file's time."""

    def __init__(self, count, *, bad=frozenset(), time=0):
        super().__init__(count, bad=bad)
        self.reads, self.time = 0, time

    def read(self, i):
        self.reads += 1
        return super().read(i)

    def stamp(self, i):
        return 64, self.time + i


def _pictures(source, preprocess=PREPROCESS):
    return Pictures(source, preprocess, InMemory(len(source)), on_bad="skip")


def _expected(pictures, positions):
    values = np.concatenate([pictures.get(i).ravel() for i in positions]) / 255
    return values.mean(), values.std()


def test_as_numpy_has_it():
    """Every pixel of the chosen pictures counts once."""
    pictures = _pictures(Shapes(20))
    mean, std = channel_statistics(pictures, np.arange(3, 17))
    assert np.allclose((mean[0], std[0]), _expected(pictures, range(3, 17)), atol=1e-6)


def test_measured_once():
    """The second time no picture is read; the figures are the same to the last digit."""
    source = Counting(20)
    first = channel_statistics(_pictures(source), np.arange(20), root="set")
    assert source.reads == 20
    assert channel_statistics(_pictures(source), np.arange(20), root="set") == first
    assert source.reads == 20


def test_without_a_root_nothing_is_kept():
    """The caller decides."""
    source = Counting(5)
    for _ in range(2):
        channel_statistics(_pictures(source), np.arange(5))
    assert source.reads == 10
    assert not (cache_folder() / "statistics").exists()


@pytest.mark.parametrize("what", ["time", "positions", "decoding", "root"])
def test_whatever_shapes_them_measures_anew(what):
    """Another time of a file, other pictures, other decoding, another set."""
    from dataclasses import replace

    channel_statistics(_pictures(Counting(20)), np.arange(20), root="set")
    source = Counting(20, time=int(what == "time"))
    preprocess = replace(PREPROCESS, side=4) if what == "decoding" else PREPROCESS
    positions = np.arange(10 if what == "positions" else 20)
    root = "another" if what == "root" else "set"
    channel_statistics(_pictures(source, preprocess), positions, root=root)
    assert source.reads == len(positions)


@pytest.mark.parametrize(
    "broken",
    ["", "{", "[]", '{"mean": [0.5]}', '{"mean": [2], "std": [1]}', '{"mean": "x", "std": 1}'],
)
def test_a_broken_file_is_measured_anew(broken):
    """And mended."""
    source = Counting(6)
    first = channel_statistics(_pictures(source), np.arange(6), root="set")
    (path,) = (cache_folder() / "statistics").iterdir()
    good = path.read_text()
    path.write_text(broken)
    assert channel_statistics(_pictures(source), np.arange(6), root="set") == first
    assert path.read_text() == good


def test_a_cache_that_cannot_be_written_is_no_obstacle(tmp_path, monkeypatch):
    """It costs time only."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IMGTRAIN_CACHE", str(tmp_path / "file"))
    assert len(channel_statistics(_pictures(Counting(4)), np.arange(4), root="set")) == 2


def test_unreadable_pictures_do_not_count():
    """Of none that can be read there are no statistics."""
    pictures = _pictures(Shapes(6, bad=frozenset({0, 3})))
    mean, _ = channel_statistics(pictures, np.arange(6))
    assert mean[0] == pytest.approx(_expected(pictures, (1, 2, 4, 5))[0], abs=1e-6)
    with pytest.raises(DataError, match="no training picture can be read"):
        channel_statistics(_pictures(Shapes(2, bad=frozenset({0, 1}))), np.arange(2))
