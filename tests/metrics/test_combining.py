"""Several models' probabilities as one's, against lists worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from imgtrain.metrics.combining import combine, greedy

RULES = ["mean", "logits", "vote", "greedy"]


def drawn(members: int, pictures: int, classes: int, seed: int, *, zeros: bool = False):
    """Probabilities (M, N, C); with zeros, a third of them are 0."""
    rng = np.random.default_rng(seed)
    odds = rng.exponential(size=(members, pictures, classes))
    if zeros:
        odds *= rng.random(odds.shape) > 1 / 3
        odds[odds.sum(axis=2) == 0] = 1
    return odds / odds.sum(axis=2, keepdims=True)


many = st.builds(
    drawn,
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(0, 10_000),
    zeros=st.booleans(),
)


def test_means_worked_out_by_hand():
    """Probabilities 0.9, 0.5, 0.4 of the first class; the third member counts twice."""
    probs = np.array([[[0.9, 0.1]], [[0.5, 0.5]], [[0.4, 0.6]]])

    assert combine(probs, "mean")[0] == pytest.approx([0.6, 0.4])
    assert combine(probs, "mean", np.array([1.0, 1, 2]))[0] == pytest.approx([0.55, 0.45])
    # the odds are 9 x 1 x 2/3 = 6, and with the third twice 4
    odds = [6 ** (1 / 3), 4 ** (1 / 4)]
    assert combine(probs, "logits")[0, 0] == pytest.approx(odds[0] / (1 + odds[0]))
    twice = combine(probs, "logits", np.array([1.0, 1, 2]))
    assert twice[0, 0] == pytest.approx(odds[1] / (1 + odds[1]))


def test_the_mean_of_logits_is_the_softmax_of_their_mean():
    """For networks, the geometric mean of probabilities says the same as averaged logits."""
    logits = np.random.default_rng(0).normal(scale=3, size=(5, 40, 7))
    probs, expected = softmax(logits, axis=2), softmax(logits.mean(axis=0), axis=1)

    np.testing.assert_allclose(combine(probs, "logits"), expected, rtol=1e-12)


def test_a_probability_of_zero_rules_nothing_out():
    """It counts as 2.2e-16: two members that exclude each other's class leave both equal."""
    probs = np.array([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]])

    found = combine(probs, "logits")

    assert found[0, :2] == pytest.approx([0.5, 0.5])
    assert 0 < found[0, 2] < 1e-7


def test_votes_worked_out_by_hand():
    """Shares of votes; in a tie the class of the largest mean probability leads, visibly."""
    probs = np.array(
        [
            [[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.5, 0.5, 0.0]],
            [[0.2, 0.8, 0.0], [0.1, 0.9, 0.0], [0.0, 0.5, 0.5]],
            [[0.6, 0.4, 0.0], [0.0, 0.3, 0.7], [0.5, 0.0, 0.5]],
        ]
    )

    found = combine(probs, "vote")

    assert found[0] == pytest.approx([2 / 3, 1 / 3, 0])
    assert found[1] == pytest.approx([1 / 3, 1 / 3, 1 / 3], abs=3e-6)
    assert found[1].argmax() == 1  # means 0.233, 0.533, 0.233
    assert [f"{p:.6f}" for p in found[1]] == ["0.333333", "0.333335", "0.333333"]
    assert found[2] == pytest.approx([2 / 3, 1 / 3, 0])  # 0.5 and 0.5: the lower index
    heavy = combine(probs, "vote", np.array([1.0, 1, 3]))
    assert heavy[1] == pytest.approx([0.2, 0.2, 0.6])


def test_weights_of_no_tie_by_rounding():
    """0.1 + 0.2 votes and 0.3 votes are a tie, though they differ in the last bit."""
    probs = np.array([[[0.6, 0.4]], [[0.6, 0.4]], [[0.1, 0.9]]])

    found = combine(probs, "vote", np.array([0.1, 0.2, 0.3]))

    assert found[0].argmax() == 1
    assert found[0] == pytest.approx([0.5, 0.5], abs=3e-6)


@pytest.mark.parametrize("how", RULES)
@settings(max_examples=40, deadline=None, database=None)
@given(probs=many, seed=st.integers(0, 99))
def test_what_holds_for_all(how, probs, seed):
    """The order of members changes no bit; rows add up to 1; weights scale; 2 is twice 1."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(probs))
    weights = rng.integers(0, 4, len(probs)) + np.eye(len(probs))[0]

    found = combine(probs, how, weights)

    np.testing.assert_array_equal(found, combine(probs[order], how, weights[order]))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    assert found.min() >= 0
    np.testing.assert_allclose(found, combine(probs, how, weights * 0.7), atol=1e-12)
    repeated = np.repeat(probs, weights.astype(int), axis=0)
    np.testing.assert_allclose(found, combine(repeated, how), atol=1e-12)


@settings(max_examples=20, deadline=None, database=None)
@given(probs=many)
def test_one_member_is_itself(probs):
    """Its mean is what it says, to the bit; its vote is what it takes for likeliest."""
    alone = probs[:1]

    np.testing.assert_array_equal(combine(alone, "mean"), alone[0])
    np.testing.assert_allclose(combine(alone, "logits"), alone[0], atol=1e-14)
    np.testing.assert_array_equal(combine(alone, "vote").argmax(axis=1), alone[0].argmax(axis=1))


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1, 1], [0.0, 0, 0], [1.0, np.nan, 1]])
def test_what_is_no_weight_is_refused(weights):
    """One for each member, none negative, some above 0."""
    with pytest.raises(ValueError, match="weights"):
        combine(drawn(3, 2, 2, 0), "mean", np.array(weights))


def test_greedy_worked_out_by_hand():
    """ln(0.3 + 0.6 f) + ln(0.9 - 0.6 f) is largest for f = 1/2; the third only does harm."""
    true = np.array([[0.9, 0.3], [0.3, 0.9], [0.2, 0.2]])
    probs = np.stack([true, 1 - true], axis=2)

    found = greedy(probs, np.zeros(2, np.int64), monitor="val_loss")

    assert found.tolist() == [15, 15, 0]


def test_greedy_takes_what_the_monitor_asks_for():
    """By loss the member that is sure of most wins; by top-1 the one that mends its mistake joins.

    With a share f of the first, the fourth picture has 0.6 - 0.15 f: right up to f = 2/3.
    """
    true = np.array([[0.6, 0.6, 0.6, 0.45], [0.45, 0.45, 0.45, 0.6], [0.3] * 4])
    probs, labels = np.stack([true, 1 - true], axis=2), np.zeros(4, np.int64)

    assert greedy(probs, labels, monitor="val_loss").tolist() == [30, 0, 0]
    for monitor in ("val_top1", "val_macro_f1"):
        first, second, third = greedy(probs, labels, monitor=monitor)
        assert first > second > 0 == third
        assert first / (first + second) < 2 / 3 + 1e-9


def test_greedy_of_equals_is_the_plain_mean():
    """Nothing speaks against any of them."""
    probs = np.repeat(drawn(1, 20, 3, 0), 4, axis=0)

    assert greedy(probs, np.arange(20) % 3).tolist() == [10] * 4


def test_greedy_is_never_worse_than_the_best_member():
    """On the pictures that it chose by."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 200)
    logits = rng.normal(size=(6, 200, 4))
    logits[:, np.arange(200), labels] += rng.uniform(0.2, 2, 6)[:, None]
    probs = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)

    weights = greedy(probs, labels)

    right = (combine(probs, "greedy", weights).argmax(axis=1) == labels).mean()
    assert right >= (probs.argmax(axis=2) == labels).mean(axis=1).max()
    assert weights.sum() == weights.astype(int).sum() > 0


def test_greedy_hears_no_member_on_pictures_it_was_trained_on():
    """A member that knows its own training pictures by heart gains nothing by that."""
    labels = np.zeros(6, np.int64)
    good, bad, known = [0.7, 0.3], [0.1, 0.9], [1.0, 0.0]
    held_out = np.array([[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1], [1, 1, 0, 0, 1, 1]], bool)
    probs = np.where(held_out[:, :, None], np.array([[[0.7, 0.3]]]), known)
    probs[1] = np.where(held_out[1][:, None], bad, known)

    found = greedy(probs, labels, held_out=held_out)
    told = probs.copy()
    told[~held_out] = good

    assert found.tolist() == [15, 0, 15]
    np.testing.assert_array_equal(found, greedy(told, labels, held_out=held_out))


def test_greedy_with_one_held_out_member_a_picture_is_the_plain_mean():
    """As in cross-validation without repeats: nothing tells which fold to prefer."""
    probs = drawn(5, 50, 3, 0)
    labels = np.random.default_rng(0).integers(0, 3, 50)
    held_out = np.arange(50) % 5 == np.arange(5)[:, None]

    assert set(greedy(probs, labels, held_out=held_out)) == {10.0}
