"""Cross-validation with every two switches of a training."""

import math

import pytest
from test_pairs import covering_runs, flat_of, teacher, uneven

from imgtrain.crossval.whole import cross_validate
from imgtrain.settings.layers import from_flat

__all__ = ["teacher", "uneven"]  # fixtures


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(covering_runs())))
def test_every_two_switches_are_cross_validated(uneven, teacher, tmp_path, number):
    """Two folds and the test part come to finite scores, whatever else is on."""
    flat = flat_of(covering_runs()[number]) | {"cv.folds": 2}
    if "schedule.warmup_steps" in flat:
        flat["schedule.warmup_steps"] = 1  # half of the pictures make few steps
    if "loss.teacher" in flat:
        flat["loss.teacher"] = teacher
    root = uneven["photos" if "data.image_size" in flat else "small"]

    ended = cross_validate(from_flat(flat | {"data.root": str(root), "run.output": str(tmp_path)}))

    assert math.isfinite(ended.metrics["val"]["log_loss"])
    assert ended.metrics["test"]["n"] > 0
