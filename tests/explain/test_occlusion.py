"""Occlusion against a naive loop, and against what it must find."""

import numpy as np
import pytest
import torch
from nets import planted, prepared

from imgtrain.explain.occlusion import occlusion_map, window_of


def scores_of(model):
    def scores(pixels):
        with torch.no_grad():
            return model(prepared(pixels)).softmax(dim=1).numpy()

    return scores


@pytest.mark.parametrize(("side", "window"), [(32, 5), (11, 4), (9, 9), (7, 1)])
def test_it_is_the_mean_fall_over_the_windows_of_a_place(spotter, side, window):
    """One window after the other, place by place; the last windows end at the edge."""
    pixels = torch.randint(0, 255, (side, side, 3), dtype=torch.uint8)
    scores, fill = scores_of(spotter), (120, 130, 140)
    starts = [*range(0, side - window, max(1, window // 2)), side - window]
    falls = [[[] for _ in range(side)] for _ in range(side)]
    for top in starts:
        for left in starts:
            hidden = pixels.clone()
            for y in range(top, top + window):
                for x in range(left, left + window):
                    hidden[y, x] = torch.tensor(fill, dtype=torch.uint8)
            fall = scores(pixels[None])[0, 1] - scores(hidden[None])[0, 1]
            for y in range(top, top + window):
                for x in range(left, left + window):
                    falls[y][x].append(fall)

    found = occlusion_map(scores, pixels, 1, window=window, fill=fill)

    expected = [[np.mean(values) for values in row] for row in falls]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_planted_patch_lights_up(spotter):
    """Covering it makes the class less probable, covering noise does not."""
    pixels, labels, corners = planted(12, seed=9)
    inside = []
    for one, label, (y, x) in zip(pixels, labels.tolist(), corners.tolist(), strict=True):
        found = occlusion_map(scores_of(spotter), one, label, window=8, fill=(45, 45, 45))
        row, column = divmod(int(found.argmax()), 32)
        inside.append(y - 4 <= row < y + 13 and x - 4 <= column < x + 13)

    assert np.mean(inside) > 0.9


def test_the_window_is_a_seventh_of_the_picture():
    """32 pixels of 224, and never none."""
    assert [window_of(side) for side in (224, 96, 32, 8, 2)] == [32, 14, 5, 1, 1]
