"""What a class counts in the loss."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from imgtrain.data.class_weights import effective_weights, given_weights, inverse_weights
from imgtrain.errors import SettingsError

COUNTS = np.array([50, 20, 5, 1])
LABELS = np.repeat(np.arange(4), COUNTS)


def test_inverse_weights_are_scikit_learns_balanced():
    """Total / (classes x count)."""
    wanted = compute_class_weight("balanced", classes=np.arange(4), y=LABELS)

    np.testing.assert_allclose(inverse_weights(COUNTS), wanted)
    assert inverse_weights(COUNTS)[LABELS].mean() == pytest.approx(1)


def test_effective_weights_by_hand():
    """(1 - b) / (1 - b^n), adding up to the number of classes."""
    raw = [(1 - 0.9) / (1 - 0.9**n) for n in (50, 20, 5, 1)]

    np.testing.assert_allclose(effective_weights(COUNTS, beta=0.9), np.array(raw) * 4 / sum(raw))


@pytest.mark.parametrize("weigh", [inverse_weights, effective_weights])
def test_classes_without_pictures_change_nothing(weigh):
    """The others weigh as if they were alone; an empty class counts 1."""
    alone = weigh(np.array([50, 5]))

    assert weigh(np.array([50, 0, 5, 0])).tolist() == [alone[0], 1, alone[1], 1]


def test_given_weights_by_order_and_by_name():
    """A list is in the order of the classes; names that are not given count 1."""
    assert given_weights([1, 2, 3], ("a", "b", "c")).tolist() == [1, 2, 3]
    assert given_weights({"c": 5.0}, ("a", "b", "c")).tolist() == [1, 1, 5]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([1, 2], "--class-weights has 2 numbers, the data has 3 classes"),
        ({"dg": 2.0}, "names 'dg', which is no class; did you mean 'dog'?"),
    ],
)
def test_weights_that_do_not_fit_are_refused(given, says):
    """With the number or the nearest name."""
    with pytest.raises(SettingsError) as error:
        given_weights(given, ("cat", "dog", "owl"))
    assert says in error.value.message
