"""Copies are found, and nothing else is called one."""

import io
import time

import numpy as np
import pytest
from PIL import Image
from scenes import COPIES, encoded, scene
from scipy.fft import dctn

from imgtrain.data.digits import read_digits
from imgtrain.data.duplicates import ALONE, EXACT, NEAR, find_duplicates
from imgtrain.data.prints import blank_prints, take_print


def printed(*files):
    found = blank_prints(len(files))
    for i, data in enumerate(files):
        found[i] = take_print(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), data)
    return found


@pytest.fixture(scope="module")
def others():
    """Pictures of which none is a copy of another."""
    return printed(*(encoded(scene(1000 + seed)) for seed in range(150)))


def test_equal_bytes_are_a_star_around_the_first():
    """Every further copy is paired with the first; what has no print, with nothing."""
    a, b, c = (encoded(scene(seed)) for seed in range(3))
    prints = printed(a, b, a, c, b, a)
    prints[3] = 0

    found = find_duplicates(prints)

    assert found.pairs.tolist() == [[0, 2], [0, 5], [1, 4]]
    assert found.kinds.tolist() == [EXACT, EXACT, EXACT]
    assert found.clusters.tolist() == [0, 1, 0, ALONE, 1, 0]


@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
def test_copies_are_near(others, make):
    """However a picture is saved again: found among others, and nothing besides."""
    originals = [scene(seed) for seed in range(20)]
    prints = np.concatenate(
        [printed(*map(encoded, originals)), others, printed(*map(make, originals))]
    )

    found = find_duplicates(prints)

    assert found.pairs.tolist() == [[i, 170 + i] for i in range(20)]
    assert set(found.kinds.tolist()) <= {NEAR, EXACT}
    assert find_duplicates(prints, near=False).kinds.tolist() == [EXACT] * int(
        (found.kinds == EXACT).sum()
    )


def test_a_cluster_hangs_together():
    """A copy, a copy of the copy, and equal bytes among them: one number, the smallest."""
    small = encoded(scene(1).resize((100, 75)))
    files = (encoded(scene(2)), small, encoded(scene(1)), small, encoded(scene(1), quality=40))

    assert find_duplicates(printed(*files)).clusters.tolist() == [ALONE, 1, 1, 1, 1]


def test_pictures_without_structure_are_only_equal_by_bytes():
    """One colour, or noise of one level, is no picture to recognise."""
    draw = np.random.default_rng(0)
    flat = [Image.new("RGB", (50, 50), (level,) * 3) for level in (0, 0, 128, 129)]
    noisy = [
        Image.fromarray(draw.integers(127, 129, (64, 64, 3)).astype(np.uint8)) for _ in range(4)
    ]
    files = [encoded(picture, "PNG") for picture in (*flat, *noisy)]

    assert find_duplicates(printed(*files)).pairs.tolist() == [[0, 1]]


def test_another_light_is_another_picture():
    """The same ramp from black to grey and from grey to white."""
    ramp = np.tile(np.linspace(0, 120, 100), (100, 1))
    files = [encoded(Image.fromarray((ramp + up).astype(np.uint8)), "PNG") for up in (0, 130)]

    assert find_duplicates(printed(*files)).pairs.tolist() == []


def test_digits_are_alike_but_no_copies():
    """Where all pictures of a set are alike, more is asked of a copy."""
    source = read_digits().source

    prints = printed(*(source.read(i) for i in range(len(source))))

    assert len(find_duplicates(prints).pairs) <= 2


def test_the_search_finds_what_comparing_all_pairs_finds():
    """Against SciPy's cosine transform of 3,000 thumbnails, mixed so that many are close."""
    draw = np.random.default_rng(3)
    base = np.stack([np.asarray(scene(i, (16, 16)).convert("L")) for i in range(1500)])
    share = draw.uniform(0.02, 0.3, (1500, 1, 1))
    prints = blank_prints(3000)
    prints["digest"] = draw.integers(1, 2**60, (3000, 2))
    prints["thumbnail"] = np.concatenate([base, (1 - share) * base + share * np.roll(base, 1, 0)])
    waves = dctn(prints["thumbnail"].astype(float), axes=(1, 2), norm="ortho")[:, :10, :10]
    down, across = np.mgrid[:10, :10]
    waves = (waves * np.hypot(down, across)).reshape(3000, -1)
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    mirrored = waves * np.where(across.ravel() % 2, -1, 1)
    likeness = np.maximum(waves @ waves.T, waves @ mirrored.T)
    sure = {(int(i), int(j)) for i, j in np.argwhere(np.triu(likeness, 1) > 0.953)}
    possible = {(int(i), int(j)) for i, j in np.argwhere(np.triu(likeness, 1) > 0.949)}

    found = {(i, j) for i, j in find_duplicates(prints).pairs.tolist()}

    assert len(sure) > 500
    assert len(sure - found) <= 0.01 * len(sure)
    assert found <= possible


def test_thousands_of_like_pictures_take_no_quadratic_room():
    """A crowd of one picture's copies is one cluster all the same."""
    prints = blank_prints(2_500)
    prints["digest"] = np.arange(1, 5_001).reshape(-1, 2)
    prints["thumbnail"] = np.asarray(scene(1, (16, 16)).convert("L"))

    found = find_duplicates(prints)

    assert set(found.clusters.tolist()) == {0}
    assert len(found.pairs) < 1_000_000


@pytest.mark.slow
def test_sixty_thousand_pictures_take_seconds():
    """At most 15 s of one core's time."""
    draw = np.random.default_rng(0)
    base = np.stack([np.asarray(scene(i, (16, 16)).convert("L")) for i in range(600)])
    pick = draw.integers(0, 600, (2, 60_000))
    prints = blank_prints(60_000)
    prints["digest"] = draw.integers(1, 2**60, (60_000, 2))
    prints["thumbnail"] = base[pick[0]] // 2 + base[pick[1]] // 2
    start = time.process_time()

    find_duplicates(prints)

    assert time.process_time() - start < 15
