"""Copies in two parts, the calibration part among them."""

from types import SimpleNamespace

import numpy as np

from imgtrain.data.prints import blank_prints, take_print
from imgtrain.data.split import Split
from imgtrain.leaks import find_leaks


def test_of_copies_the_later_part_keeps_its_own():
    """Train, val, calibration, test: what is in one of them leaves those before it."""
    rng = np.random.default_rng(0)
    scenes = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(4)]
    shown = [0, 1, 0, 1, 2, 2, 3, 3, 0]  # scene of each picture
    prints = blank_prints(len(shown))
    for i, scene in enumerate(shown):
        prints[i] = take_print(scenes[scene], scenes[scene].tobytes())
    split = Split(
        train=np.array([0, 1, 7]),
        val=np.array([2, 4]),
        calibration=np.array([3, 5]),
        test=np.array([6, 8]),
    )

    leaks = find_leaks(SimpleNamespace(prints=prints), split)

    assert len(leaks) == 4
    assert leaks.seen_elsewhere().tolist() == [0, 1, 2, 4, 7]
