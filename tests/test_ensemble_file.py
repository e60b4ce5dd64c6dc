"""``ensemble.json``: what is written is read, and what is broken is refused."""

import json

import pytest

from imgtrain.ensemble_file import read_ensemble, write_ensemble
from imgtrain.errors import RunError


def test_what_is_written_is_read(tmp_path):
    """Folders and weights in their order; a member of weight 0 is left out."""
    write_ensemble(tmp_path, "greedy", [("fold_2", 3), ("fold_1", 0), ("fold_3", 1.5)])

    found = read_ensemble(tmp_path)

    assert found.how == "greedy"
    assert found.runs == (tmp_path / "fold_2", tmp_path / "fold_3")
    assert found.weights == (3.0, 1.5)
    assert json.loads((tmp_path / "ensemble.json").read_text(encoding="utf-8")) == {
        "format": 1,
        "how": "greedy",
        "members": [
            {"run": "fold_2", "weight": 3.0},
            {"run": "fold_1", "weight": 0.0},
            {"run": "fold_3", "weight": 1.5},
        ],
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "not joined yet"),
        ("{", "broken"),
        ("[]", "broken"),
        ('{"format": 9}', "later version"),
        ('{"format": 1, "how": "mean", "members": []}', "no members"),
        ('{"format": 1, "how": "sum", "members": [{"run": "a", "weight": 1}]}', "no rule"),
        ('{"format": 1, "how": "mean", "members": [{"run": "a", "weight": -1}]}', "weight -1"),
        ('{"format": 1, "how": "mean", "members": [{"run": "a", "weight": "x"}]}', "broken"),
        ('{"format": 1, "how": "mean", "members": [{"run": "../a", "weight": 1}]}', "outside"),
        ('{"format": 1, "how": "mean", "members": [{"run": "/a", "weight": 1}]}', "outside"),
    ],
)
def test_what_is_broken_is_refused(tmp_path, text, words):
    """In one sentence with the path; nothing outside of the folder is ever opened."""
    if text is not None:
        (tmp_path / "ensemble.json").write_text(text, encoding="utf-8")

    with pytest.raises(RunError, match=words) as caught:
        read_ensemble(tmp_path)

    assert str(tmp_path) in caught.value.message
