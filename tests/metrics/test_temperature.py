"""Temperatures against known ones and scipy's own search."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from imgtrain.metrics.temperature import HIGHEST, LOWEST, fit_temperature, tempered


def drawn(temperature, count=6000, classes=5, seed=0):
    """Logits whose softmax at this temperature is what labels are drawn from."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (count, classes))
    chance = softmax(honest, axis=1).cumsum(axis=1)
    labels = (rng.random((count, 1)) > chance).sum(axis=1).clip(max=classes - 1)
    return honest * temperature, labels


@pytest.mark.parametrize("known", [0.2, 0.7, 1.0, 2.5, 12.0])
def test_a_known_temperature_comes_back(known):
    """Logits that were multiplied are divided again."""
    found = fit_temperature(*drawn(known))

    assert found.is_inside
    assert found.temperature == pytest.approx(known, rel=0.06)


def test_it_is_the_least_loss():
    """BFGS of scipy over 1 / T with scikit-learn's log loss comes to the same."""
    logits, labels = drawn(3.0, count=300)

    def loss(beta):
        return log_loss(labels, softmax(logits * beta[0], axis=1), labels=range(5))

    wanted = 1 / minimize(loss, [1.0], method="BFGS", options={"gtol": 1e-9}).x[0]

    assert fit_temperature(logits, labels).temperature == pytest.approx(wanted, rel=1e-4)


def test_log_probabilities_are_logits():
    """What a softmax has been through fits the same temperature."""
    logits, labels = drawn(2.0, count=500)

    one = fit_temperature(logits, labels).temperature
    two = fit_temperature(log_softmax(logits, axis=1), labels).temperature

    assert one == pytest.approx(two, rel=1e-6)


def test_tempered_is_the_softmax_of_divided_logits():
    """As scipy has it; what is ruled out stays ruled out."""
    logits = np.array([[1.0, 2.0, -np.inf], [1000.0, 0.0, -1000.0]])

    found = tempered(logits, 2.5)

    np.testing.assert_allclose(found, softmax(logits / 2.5, axis=1), atol=1e-15)
    assert found[0, 2] == 0


def test_ends_of_the_search_are_told():
    """Labels that contradict the model make it as unsure as may be; no mistake, as sure."""
    logits = np.array([[2.0, 0.0], [0.0, 2.0]])

    against = fit_temperature(logits, np.array([1, 0]))
    without = fit_temperature(logits, np.array([0, 1]))

    assert not against.is_inside
    assert against.temperature == pytest.approx(HIGHEST, rel=0.01)
    assert without.temperature < 0.1
    assert without.temperature >= LOWEST


def test_a_class_that_is_ruled_out_does_not_count():
    """Its loss is infinite at every temperature."""
    logits, labels = drawn(2.0, count=500)
    hopeless = np.vstack([logits, [-np.inf, 0, 0, 0, 0]])

    found = fit_temperature(hopeless, np.append(labels, 0))

    assert found == fit_temperature(logits, labels)
    with pytest.raises(ValueError, match="ruled out"):
        fit_temperature(np.array([[-np.inf, 0.0]]), np.array([0]))
