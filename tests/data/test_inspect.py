"""A look at the headers."""

import io

import numpy as np
import pytest
from PIL import Image

from imgtrain.data.inspect import SAMPLE, Look, look
from imgtrain.errors import DataError


class Bytes:
    """Files in memory."""

    def __init__(self, files):
        self._files = files
        self.read_ones = []

    def __len__(self):
        return len(self._files)

    def path(self, i):
        """A number."""
        return f"{i}.png"

    def read(self, i):
        """The file, and remember that it was read."""
        self.read_ones.append(i)
        if self._files[i] is None:
            raise OSError("gone")
        return self._files[i]

    def stamp(self, i):
        """Nothing to see."""
        return len(self._files[i]), 0


def file(mode="RGB", size=(4, 4), palette=None, kind="PNG"):
    """The bytes of a picture."""
    out = io.BytesIO()
    picture = Image.new(mode, size)
    if palette:
        picture.putpalette(palette)
    picture.save(out, kind)
    return out.getvalue()


def everything(source):
    """All positions."""
    return np.arange(len(source))


def test_sides():
    """The longest and the shortest side of any picture."""
    source = Bytes([file(size=(8, 20)), file(size=(30, 9))])
    assert look(source, everything(source)) == Look(2, 0, 30, 8, colour=True)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_grey_modes(mode):
    """Modes of one channel have no colour."""
    assert not look(Bytes([file(mode)]), np.arange(1)).colour


def test_palettes():
    """A palette of greys is no colour; one with a colour is."""
    assert not look(Bytes([file("P", palette=[0, 0, 0, 9, 9, 9])]), np.arange(1)).colour
    assert look(Bytes([file("P", palette=[0, 0, 0, 9, 8, 9])]), np.arange(1)).colour


def test_one_colour_picture_among_grey_ones():
    """Is enough for colour."""
    source = Bytes([file("L")] * 5 + [file("CMYK", kind="TIFF")] + [file("L")] * 5)
    assert look(source, everything(source)).colour


def test_broken_ones_are_counted():
    """They do not end the look."""
    source = Bytes([b"no picture", file(), None])
    assert look(source, everything(source)) == Look(1, 2, 4, 4, colour=True)


def test_nothing_readable():
    """Is an error that names a picture and its reason."""
    source = Bytes([b"", None])
    with pytest.raises(DataError, match=r"none of the pictures looked at \(2\) .*1\.png: gone"):
        look(source, everything(source))
    with pytest.raises(DataError, match="there are none"):
        look(source, np.arange(0))


def test_only_a_sample_is_read():
    """Of many pictures an even sample with both ends, within the positions."""
    source = Bytes([file()] * 1000)
    positions = np.arange(100, 1000)
    assert look(source, positions).pictures == SAMPLE
    assert source.read_ones[0] == 100
    assert source.read_ones[-1] == 999
    assert max(np.diff(source.read_ones)) <= 4


def test_pixels_are_not_decoded():
    """A file whose pixels are cut off can still be looked at."""
    data = file(size=(50, 50), kind="BMP")
    assert look(Bytes([data[:200]]), np.arange(1)).max_side == 50
