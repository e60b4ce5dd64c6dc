"""What several folds say together."""

import pytest

from imgtrain.metrics.over_folds import over_folds


def test_folds_that_score_the_same_know_no_interval():
    """One of no length would be certainty; ends are cut to what a score can be (t from a table)."""
    folds = [{"n": 9, "top1": 1.0, "macro_f1": f1, "macro_auroc": None} for f1 in (0.94, 0.96)]

    found = over_folds(folds, ratio=1.0)

    assert found["mean"] == {"top1": 1.0, "macro_f1": pytest.approx(0.95)}
    assert found["std"] == {"top1": 0.0, "macro_f1": pytest.approx(0.0002**0.5)}
    reach = 12.706 * 0.0002**0.5 * (1 / 2 + 1) ** 0.5
    assert found["intervals"] == {
        "top1": None,
        "macro_f1": [pytest.approx(0.95 - reach, abs=1e-5), 1.0],
    }
