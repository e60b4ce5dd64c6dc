"""Pictures of any number of planes."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from imgtrain.data.decode import BadImage, decode
from imgtrain.data.inspect import look

WHITE = (255, 255, 255)


def shown(data, channels, *, side=None, max_pixels=10**6):
    return decode(data, channels=channels, background=WHITE, max_pixels=max_pixels, side=side)


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def paged(planes, mode=None):
    """A TIFF with one grey page a plane."""
    pages = [Image.fromarray(plane, mode) for plane in planes]
    out = io.BytesIO()
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:])
    return out.getvalue()


def interleaved(array):
    """An uncompressed TIFF of (H, W, N) samples, written by hand (TIFF 6.0, section 8)."""
    height, width, samples = array.shape
    bits = 8 + 12 * 10 + 6 + len(array.tobytes())
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, samples, bits), (259, 3, 1, 1)]
    tags += [(262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, samples), (278, 4, 1, height)]
    tags += [(279, 4, 1, array.nbytes), (284, 3, 1, 1)]
    head = struct.pack("<2sHI", b"II", 42, 8 + array.nbytes)
    body = b"".join(
        struct.pack("<HHI", tag, kind, count)
        + (struct.pack("<I", value) if kind == 4 or count > 1 else struct.pack("<HH", value, 0))
        for tag, kind, count, value in tags
    )
    each = struct.pack(f"<{samples}H", *[8] * samples)
    return head + array.tobytes() + struct.pack("<H", len(tags)) + body + bytes(4) + each


# --- arrays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("planes", [2, 4, 5, 13, 64])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_planes_of_an_array(planes, first, order):
    """(H, W, N) and (N, H, W), in either order of memory: the values as they are."""
    pixels = noise(70, 80, planes)
    array = pixels.transpose(2, 0, 1) if first else pixels
    got = shown(npy(np.asarray(array, order=order)), planes)
    np.testing.assert_array_equal(got, pixels)
    assert got.flags.c_contiguous


def test_which_axis_holds_the_planes():
    """The one that has as many as are asked for; the last if both do."""
    pixels = noise(6, 9, 8)
    np.testing.assert_array_equal(shown(npy(pixels), 8), pixels)
    np.testing.assert_array_equal(shown(npy(pixels), 6), pixels.transpose(1, 2, 0))
    both = noise(5, 9, 5)
    np.testing.assert_array_equal(shown(npy(both), 5), both)
    with pytest.raises(BadImage, match=r"shape \(6, 9, 8\) has 6 planes, 7 are asked for"):
        shown(npy(pixels), 7)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 200, 255]], np.uint8), [0, 200, 255]),
        (np.array([[False, True, True]]), [0, 255, 255]),
        (np.array([[0, 257, 65535]], np.uint16), [0, 1, 255]),
        (np.array([[0, 257, 65535]], ">u2"), [0, 1, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float16), [0, 128, 255]),
        (np.array([[0.0, 100.4, 255.0]], ">f8"), [0, 100, 255]),
        (np.array([[0.0, 257.0, 65535.0]], np.float32), [0, 1, 255]),
        (np.array([[-1.0, 0.0, 1.0]], np.float64), [0, 128, 255]),
        (np.array([[np.nan, np.inf, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[-3, 7, 200]], np.int16), [0, 7, 200]),
        (np.array([[0, 100_000, 200_000]], np.int64), [0, 128, 255]),
    ],
)
def test_values_of_an_array(array, expected):
    """The same table as for grey pictures of more than 8 bits."""
    assert shown(npy(array), 1)[0, :, 0].tolist() == expected


def test_one_scale_for_all_planes():
    """Floats go by the range of the whole picture: the ratio of planes stays."""
    array = np.zeros((2, 3, 5), np.float32)
    array[..., 1], array[..., 4] = 0.5, 1.0
    assert shown(npy(array), 5)[0, 0].tolist() == [0, 128, 0, 0, 255]


def test_grey_and_colour_arrays_serve_each_other():
    """(H, W) as colour has three equal channels; (H, W, 3) as grey is what Pillow makes of it."""
    grey, colour = noise(6, 7), noise(6, 7, 3)
    np.testing.assert_array_equal(shown(npy(grey), 3), np.stack([grey] * 3, axis=2))
    expected = np.asarray(Image.fromarray(colour).convert("L"))
    np.testing.assert_array_equal(shown(npy(colour), 1)[..., 0], expected)


def test_arrays_are_shrunk_like_pictures():
    """Each plane as Pillow shrinks it; the shorter side becomes ``side``."""
    pixels = noise(90, 60, 5)
    got = shown(npy(pixels), 5, side=20)
    assert got.shape == (30, 20, 5)
    for k in range(5):
        plane = Image.fromarray(pixels[..., k]).resize((20, 30), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(got[..., k], plane)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (npy(np.zeros((4, 4, 4, 4), np.uint8)), r"shape \(4, 4, 4, 4\) is no picture"),
        (npy(np.zeros(9, np.uint8)), r"shape \(9,\) is no picture"),
        (npy(np.zeros((0, 4), np.uint8)), r"shape \(0, 4\) is no picture"),
        (npy(np.zeros((2, 2), np.complex64)), "of complex64 is no picture"),
        (npy(np.array([["a", "b"]])), "of <U1 is no picture"),
        (npy(np.zeros((90, 90, 70), np.uint8)), "more than 64 planes"),
        (npy(np.zeros((8, 8), np.uint8))[:-5], "the file is cut short"),
        (b"\x93NUMPY", "header of the .npy file is broken"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "header of the .npy file is broken"),
        (b"\x93NUMPY\x07\x00\x10\x00" + bytes(20), "header of the .npy file is broken"),
    ],
)
def test_arrays_that_are_no_pictures(data, reason):
    """A reason for each."""
    with pytest.raises(BadImage, match=reason):
        shown(data, 70 if "64" in reason else 1)


def test_an_array_of_objects_runs_nothing():
    """A pickle inside an .npy is refused by its header; it is never opened."""

    class Trap:
        def __reduce__(self):
            return (print, ("opened",))

    out = io.BytesIO()
    np.save(out, np.array([[Trap()]], object), allow_pickle=True)
    with pytest.raises(BadImage, match="of object is no picture"):
        shown(out.getvalue(), 1)


def test_planes_beyond_four_count_as_pixels():
    """data.max_pixels bounds the memory of many planes, too, from the header alone."""
    data = npy(noise(10, 10, 8))
    assert shown(data, 8, max_pixels=200).shape == (10, 10, 8)
    with pytest.raises(BadImage, match="10 x 10 x 8 planes are more pixels than the 199"):
        shown(data, 8, max_pixels=199)


# --- pages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("planes", [2, 3, 5, 13])
def test_pages_are_planes(planes):
    """N grey pages are N channels."""
    pixels = noise(planes, 20, 30)
    got = shown(paged(pixels), planes)
    np.testing.assert_array_equal(got, pixels.transpose(1, 2, 0))


def test_deep_pages():
    """16 bits are scaled; floats go by the range of all pages."""
    pages = [np.full((4, 5), value, np.uint16) for value in (0, 257, 65535, 514, 0)]
    assert shown(paged(pages), 5)[0, 0].tolist() == [0, 1, 255, 2, 0]
    floats = [np.full((4, 5), value, np.float32) for value in (0, 0.5, 1, 0.25, 0)]
    assert shown(paged(floats), 5)[0, 0].tolist() == [0, 128, 255, 64, 0]


def test_the_first_page_is_grey():
    """Asked for one channel, a TIFF of pages shows its first."""
    pixels = noise(5, 20, 30)
    np.testing.assert_array_equal(shown(paged(pixels), 1)[..., 0], pixels[0])


def test_pages_that_differ():
    """Planes are of one size and kind."""
    out = io.BytesIO()
    pages = [Image.new("L", (8, 8)), Image.new("L", (8, 9)), Image.new("L", (8, 8))]
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(BadImage, match="differ in size or mode"):
        shown(out.getvalue(), 3)


@pytest.mark.parametrize("channels", [3, 4, 6])
def test_another_number_of_pages(channels):
    """The reason says how many there are, and what would do."""
    with pytest.raises(BadImage, match=rf"5 grey pages has 5 planes, {channels} .*--channels 1"):
        shown(paged(noise(5, 8, 8)), channels)


@pytest.mark.parametrize("samples", [3, 5, 8, 13])
def test_many_samples_a_pixel(samples, capfd):
    """What no reader here knows is a bad picture with a way out, and nothing else is printed."""
    data = interleaved(noise(6, 7, samples))
    with pytest.raises(BadImage, match=rf"TIFF of {samples} samples a pixel .* as \.npy"):
        shown(data, samples)
    assert capfd.readouterr().err == ""


# --- alpha -------------------------------------------------------------------------------------


def test_alpha_is_kept_when_four_channels_are_asked_for():
    """4: red, green, blue, alpha as in the file; 3: laid on the background."""
    pixels = noise(9, 8, 4)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    np.testing.assert_array_equal(shown(out.getvalue(), 4), pixels)
    assert shown(out.getvalue(), 3).shape == (9, 8, 3)


def test_alpha_is_turned_and_shrunk():
    """EXIF and ``side`` count here, too."""
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.fromarray(noise(40, 60, 4)).save(out, "PNG", exif=exif)
    assert shown(out.getvalue(), 4).shape == (60, 40, 4)
    assert shown(out.getvalue(), 4, side=20).shape == (30, 20, 4)


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 4), ("RGB", 5), ("L", 2), ("RGBA", 5)])
def test_channels_that_a_picture_does_not_have(mode, channels):
    """Nothing is invented."""
    out = io.BytesIO()
    Image.new(mode, (8, 8)).save(out, "PNG")
    with pytest.raises(BadImage, match=rf"mode {mode} has no {channels} channels \(--channels\)"):
        shown(out.getvalue(), channels)


# --- a look at the headers ---------------------------------------------------------------------


class Bytes:
    """Files in memory."""

    def __init__(self, *files):
        self._files = files

    def __len__(self):
        return len(self._files)

    def path(self, i):
        return f"{i}"

    def read(self, i):
        return self._files[i]

    def stamp(self, i):
        return len(self._files[i]), 0


def png(mode):
    out = io.BytesIO()
    Image.new(mode, (8, 8)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("files", "channels"),
    [
        ([npy(noise(8, 9, 5))] * 3, 5),
        ([npy(noise(5, 8, 9))] * 3, 5),
        ([paged(noise(7, 8, 8))] * 3, 7),
        ([npy(noise(8, 9))] * 3, 1),
        ([npy(noise(8, 9, 3))] * 3, 3),
        ([paged(noise(3, 8, 8))] * 3, 3),
        ([npy(noise(8, 9, 5))] * 3 + [png("RGB")], 5),
        ([paged(noise(2, 8, 8)), paged(noise(3, 8, 8)), paged(noise(5, 8, 8)), png("L")], 3),
        ([paged(noise(2, 8, 8)), paged(noise(4, 8, 8)), png("L")], 1),
        ([png("RGBA")], 3),
        ([png("LA")], 1),
    ],
)
def test_channels_that_fit(files, channels):
    """The planes of most pictures, else colour, else grey."""
    source = Bytes(*files)
    assert look(source, np.arange(len(source))).channels == channels


def test_the_sides_of_arrays():
    """Height and width, whichever axis the planes are."""
    seen = look(Bytes(npy(noise(5, 30, 40)), npy(noise(20, 70, 5))), np.arange(2))
    assert (seen.min_side, seen.max_side) == (20, 70)
