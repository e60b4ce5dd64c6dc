"""How alike two ways of computing are, by hand."""

import numpy as np
import pytest

from imgtrain.errors import GateError, RunError
from imgtrain.export.about import About
from imgtrain.export.parity import Parity, milliseconds

SURE = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.4, 0.4, 0.2]], np.float32)


def test_the_same_is_the_same():
    """No difference; the third picture is a tie."""
    found = Parity.of(SURE, SURE)

    assert (found.pictures, found.ties, found.max_difference, found.agreement) == (3, 1, 0.0, 1.0)
    assert found.holds
    found.check("model.onnx")


def test_a_tie_may_fall_either_way():
    """Within the tolerance, that is."""
    other = SURE.copy()
    other[2] += [-4e-5, 4e-5, 0]

    assert Parity.of(SURE, other).agreement == 1
    assert Parity.of(SURE, other).holds


@pytest.mark.parametrize("worst", [2e-4, np.nan])
def test_too_large_a_difference(worst):
    """Of a single probability; what is no number is none that fits."""
    other = SURE.copy()
    other[0, 2] += worst

    found = Parity.of(SURE, other)

    assert not found.holds
    with pytest.raises(GateError, match=r"model.onnx does not answer .* \(allowed: 0.0001 and"):
        found.check("model.onnx")


def test_another_class():
    """Counts against the pictures that are no ties."""
    other = SURE.copy()
    other[1] = [0.8, 0.1, 0.1]

    assert Parity.of(SURE, other).agreement == 0.5


def test_times_are_medians_of_turns():
    """Each way is asked as often as the other, once beforehand."""
    asked = []
    runs = [lambda _, n=n: asked.append(n) for n in range(2)]

    first, second = milliseconds(runs, np.zeros((1, 2, 2, 3), np.uint8))

    assert first >= 0
    assert second >= 0
    assert asked.count(0) == asked.count(1) >= 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "was not exported by imgtrain"),
        ("no json", "is broken"),
        ("[]", "is broken"),
        ('{"format": 1}', "is broken"),
        ('{"format": 99}', "later version of imgtrain (format 99, known: 1)"),
        ('{"format": 1, "ensemble": null, "precision": "fp32", "recipe": {}}', "incomplete"),
        ("[" * 100_000, "is broken"),
    ],
)
def test_descriptions_are_checked(tmp_path, text, told):
    """One sentence for whatever stands there."""
    with pytest.raises(RunError) as refused:
        About.from_text(text, tmp_path / "x.onnx")

    assert told in refused.value.message
