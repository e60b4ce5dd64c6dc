"""Tests of differences, against numbers worked out by hand, scipy's own tests, and simulation."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from imgtrain.metrics.comparison import (
    bootstrap_difference,
    holm,
    mcnemar,
    resampled_t_test,
)


def test_the_corrected_t_test_worked_out_by_hand():
    """Differences 1, 2, 3, 4, 5 of 5 folds: variance 2.5, times 1/5 + 1/4, root 1.0607."""
    found = resampled_t_test(np.arange(1.0, 6), ratio=1 / 4)

    assert found.mean == 3
    assert found.p == pytest.approx(2 * stats.t.sf(3 / sqrt(2.5 * 0.45), 4))
    assert found.p == pytest.approx(0.0474, abs=1e-4)
    reach = 2.776445 * sqrt(2.5 * 0.45)  # the table's t for 4 degrees of freedom
    assert found.interval == pytest.approx((3 - reach, 3 + reach), abs=1e-5)


def test_without_correction_it_is_scipys_paired_t_test():
    """A ratio of 0."""
    first, second = np.random.default_rng(0).normal(size=(2, 12))
    reference = stats.ttest_rel(first, second)

    found = resampled_t_test(first - second, ratio=0)

    assert found.p == pytest.approx(reference.pvalue)
    assert found.interval == pytest.approx(tuple(reference.confidence_interval()))


def test_what_never_varies():
    """No difference anywhere is none; the same everywhere, or a single fold, cannot be tested."""
    assert resampled_t_test(np.zeros(5), ratio=0.25).p == 1
    same = resampled_t_test(np.full(5, 0.1), ratio=0.25)
    assert (same.mean, same.interval, same.p) == (pytest.approx(0.1), None, None)
    alone = resampled_t_test(np.array([0.1]), ratio=0.25)
    assert (alone.mean, alone.interval, alone.p) == (0.1, None, None)


def test_the_corrected_test_holds_its_level_where_the_plain_one_does_not():
    """Two learners that are equally good in truth: 5 % are to be called different, not more.

    Random subsampling, 15 times 90 % of the same 100 pictures, is where overlap hurts most.
    """
    rng = np.random.default_rng(0)
    corrected = plain = 0
    trials = 400
    for _ in range(trials):
        gaps = subsampled(100, 15, rng)
        corrected += resampled_t_test(gaps, ratio=1 / 9).p < 0.05
        plain += resampled_t_test(gaps, ratio=0).p < 0.05

    assert plain / trials > 0.15
    assert 0.01 < corrected / trials < 0.09


def subsampled(pictures, times, rng):
    """Differences in accuracy of two nearest-mean learners, each on a number of its own."""
    x = rng.normal(size=(pictures, 2))
    labels = (x.sum(axis=1) + rng.normal(size=pictures) > 0).astype(int)
    gaps = []
    for _ in range(times):
        order = rng.permutation(pictures)
        test, train = order[: pictures // 10], order[pictures // 10 :]
        means = np.stack([x[train][labels[train] == k].mean(axis=0) for k in (0, 1)])
        taken = np.abs(x[test, None, :] - means).argmin(axis=1)  # (N, 2 learners)
        right = (taken == labels[test, None]).mean(axis=0)
        gaps.append(right[0] - right[1])
    return np.array(gaps)


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 2 / 2**5),
        (3, 1, 2 * (1 + 4) / 2**4),
        (2, 2, 1.0),
        (10, 2, 2 * (1 + 12 + 66) / 2**12),
    ],
)
def test_few_disagreements_are_counted(b, c, p):
    """Twice the binomial tail, worked out by hand; as statsmodels' exact test has it."""
    assert mcnemar(b, c) == mcnemar(c, b) == pytest.approx(p)
    if b + c:
        assert mcnemar(b, c) == pytest.approx(stats.binomtest(b, b + c).pvalue)


def test_many_disagreements_are_chi_squared():
    """Edwards' correction: (|59 - 20| - 1)^2 / 79 = 18.278; equal counts are no evidence."""
    assert mcnemar(59, 20) == pytest.approx(stats.chi2.sf(38**2 / 79, 1))
    assert mcnemar(59, 20) == pytest.approx(1.9e-5, rel=0.02)
    assert mcnemar(30, 30) == 1
    assert mcnemar(13, 12) == 1  # |b - c| - 1 = 0


def test_mcnemar_never_cries_wolf_too_often():
    """Exact and approximate: equally good models are called different in at most 5 %."""
    for discordant in (5, 12, 24, 25, 60, 200):
        counts = np.arange(discordant + 1)
        chance = stats.binom.pmf(counts, discordant, 0.5)
        called = np.array([mcnemar(int(b), int(discordant - b)) < 0.05 for b in counts])
        assert chance[called].sum() <= 0.05


def test_drawing_counts_is_drawing_pictures():
    """The interval is that of a bootstrap that draws pictures with both answers."""
    gaps = np.repeat([1, -1, 0], [24, 9, 167])
    reference = stats.bootstrap(
        (gaps,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    )

    low, high = bootstrap_difference(24, 9, 200)

    assert (low, high) == pytest.approx(tuple(reference.confidence_interval), abs=0.006)
    assert bootstrap_difference(9, 24, 200) == pytest.approx((-high, -low), abs=0.006)
    assert bootstrap_difference(24, 9, 200, seed=3) == bootstrap_difference(24, 9, 200, seed=3)
    assert bootstrap_difference(0, 0, 200) is None


def test_holm_worked_out_by_hand():
    """0.01 x 4, 0.02 x 3, then 0.03 x 2 and 0.04 x 1 that do not fall below; what is unknown."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([None, 0.03, None, 0.01]) == [None, 0.03, None, 0.02]
    assert holm([0.2]) == [0.2]
