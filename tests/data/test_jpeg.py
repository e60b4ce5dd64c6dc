"""JPEG by libjpeg-turbo itself: the pixels that Pillow's way gives, bit for bit."""

import io
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_decode import photo

from imgtrain.data import decode as rooms
from imgtrain.data.decode import BadImage, decode


def _both_ways(data, monkeypatch, **asked):
    """What the decoder makes of it, and what Pillow's way does."""
    asked = {"channels": 3, "background": (0, 0, 0), "max_pixels": 10**7, "side": None} | asked
    got = decode(data, **asked)
    with monkeypatch.context() as patch:
        patch.setattr(rooms, "read_jpeg", lambda *_, **__: None)
        return got, decode(data, **asked)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 700), st.integers(1, 500)),
    mode=st.sampled_from(["RGB", "L", "CMYK"]),
    options=st.fixed_dictionaries(
        {
            "quality": st.integers(5, 100),
            "subsampling": st.sampled_from([0, 1, 2]),
            "progressive": st.booleans(),
        }
    )
    | st.just({"keep_rgb": True}),
    turn=st.integers(0, 9),
    asked=st.fixed_dictionaries(
        {"channels": st.sampled_from([1, 3]), "side": st.sampled_from([None, 8, 50, 97, 224])}
    ),
)
def test_the_same_pixels_as_by_pillow(size, mode, options, turn, asked):
    """Any size, mode, subsampling, turn and scale."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = turn
    photo(*size).convert(mode).save(file, "JPEG", exif=exif, **options)
    with pytest.MonkeyPatch.context() as patch:
        got, expected = _both_ways(file.getvalue(), patch, **asked)
    assert got.shape == expected.shape
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected)


def test_the_first_picture_of_several(monkeypatch):
    """An MPO file, as cameras write for 3D."""
    file = io.BytesIO()
    photo(300, 200).save(file, "MPO", save_all=True, append_images=[photo(300, 200).rotate(180)])
    np.testing.assert_array_equal(*_both_ways(file.getvalue(), monkeypatch))


def test_remarks_of_the_reader_are_left_to_pillow(monkeypatch):
    """Stray bytes before the end are no damage; an end that is missing is."""
    file = io.BytesIO()
    photo(120, 90).save(file, "JPEG")
    whole = file.getvalue()
    stray = whole[:-2] + b"\x12\x34\x56" + whole[-2:]
    np.testing.assert_array_equal(*_both_ways(stray, monkeypatch))
    with pytest.raises(BadImage, match="cut short"):
        decode(whole[:-900], channels=3, background=(0, 0, 0), max_pixels=10**7, side=None)


def test_a_header_that_says_two_sizes(monkeypatch):
    """The size that was checked is the size that is decoded."""
    small, large = io.BytesIO(), io.BytesIO()
    photo(40, 30).save(small, "JPEG")
    photo(400, 300).save(large, "JPEG")
    frame = large.getvalue()
    start = frame.index(b"\xff\xc0")
    head = frame[start : start + 19]
    data = small.getvalue()
    at = data.index(b"\xff\xc0")
    two = data[:at] + head + data[at:]
    try:
        got, expected = _both_ways(two, monkeypatch)
    except BadImage:
        return
    np.testing.assert_array_equal(got, expected)


def test_threads_decode_side_by_side():
    """The interpreter is free meanwhile: another thread counts on while one decodes."""
    file = io.BytesIO()
    photo(3000, 2000).save(file, "JPEG", quality=95)
    data, done, ticks = file.getvalue(), threading.Event(), []

    def work():
        for _ in range(3):
            decode(data, channels=3, background=(0, 0, 0), max_pixels=10**7, side=None)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.is_set():
        ticks.append(time.monotonic())
        time.sleep(0.001)
    thread.join()
    assert len(ticks) > 10
