"""What travels with the weights, and what the temperature does to answers."""

import math

import numpy as np
import pytest
from frozen import recipe_of
from scipy.special import softmax
from small import plan_cpu, small_state

from imgtrain.engine.infer import probabilities
from imgtrain.engine.recipe import Recipe
from imgtrain.errors import RunError


def test_a_temperature_divides_the_logits():
    """Probabilities are those of scipy's softmax of logits / T; at 1 nothing changes."""
    state = small_state()

    def told(temperature):
        batches = state.scoring_batches(np.arange(9))
        return probabilities(
            state.model, batches, state.normalise, plan_cpu(), temperature=temperature
        )[1]

    plain, soft = told(1.0), told(2.5)

    np.testing.assert_allclose(soft, softmax(np.log(plain.astype(float)) / 2.5, axis=1), rtol=1e-4)
    assert (plain.argmax(axis=1) == soft.argmax(axis=1)).all()
    state.loader.close()


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_that_is_none_is_refused(temperature):
    """Such a file is broken, whoever wrote it."""
    values = recipe_of().to_dict() | {"temperature": temperature}

    with pytest.raises(RunError, match="temperature"):
        Recipe.from_dict(values)
