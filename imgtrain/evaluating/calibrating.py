"""``--calibrate``: a temperature and conformity scores, fitted and stored with the weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from imgtrain import console
from imgtrain.classical import artefact
from imgtrain.data.listing import count
from imgtrain.engine.weights import replace_recipe
from imgtrain.ensemble import Member
from imgtrain.errors import DataError, SettingsError
from imgtrain.evaluating.answers import Answers, ask
from imgtrain.evaluating.pictures import Labelled, Own
from imgtrain.evaluating.seen import copies_in
from imgtrain.metrics.calibration import brier_score, expected_calibration_error, log_loss
from imgtrain.metrics.conformal import conformity_scores
from imgtrain.metrics.confusion import Floats, Ints
from imgtrain.metrics.temperature import fit_temperature, tempered
from imgtrain.predictor import Predictor

_HOT = 16.0
"""At this temperature no probability of a network vanishes in float32, so logits come back."""

_FEW = 100
"""Calibration pictures below which a temperature is uncertain."""


def refuse_learnt(pictures: Labelled, own: Own | None) -> None:
    """What a model learnt from, or its best epoch was chosen by, says nothing of its certainty.

    Raises:
        DataError: If such pictures are among those to calibrate on.
    """
    if own is None or pictures.run is not None:
        return
    for each in copies_in(pictures, own, ("train", "val")):
        raise DataError(
            f"{count(each.number, 'picture')} to calibrate on {_are(each.number)} in the "
            f"{each.part} part of {own.run.path} (for example {each.example[0]})",
            "the model is surer of them than of others: calibrate on pictures kept apart",
        )
    for each in copies_in(pictures, own, ("test",)):
        console.warn(
            f"{count(each.number, 'picture')} to calibrate on {_are(each.number)} in the test part "
            f"of {own.run.path}: its scores after calibration flatter"
        )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def calibrate(predictor: Predictor, file: Path, pictures: Labelled) -> dict[str, Any]:
    """Fit the temperature, and store it in the model's file with what the pictures conform to.

    Args:
        predictor: One model.
        file: Its weights; only what is said about them changes.
        pictures: Those that nothing was learnt from or chosen by.

    Returns:
        For ``metrics.json``: temperatures and scores before and after.

    Raises:
        DataError: If none of the pictures can be read.
        DiskError: If the file cannot be written.
        SettingsError: If it is a file that ``imgtrain export`` wrote.
    """
    member, recipe = predictor.members[0], predictor.recipe
    assert recipe is not None
    if not isinstance(member, Member):
        raise SettingsError(
            f"--calibrate: the temperature of {file} is part of its graph",
            "calibrate the run that it came from, and export that again",
        )
    member.recipe = replace(recipe, temperature=_HOT)
    answers = ask(predictor, pictures)
    with np.errstate(divide="ignore"):
        logs = _HOT * np.log(answers.probs)
    labels, before = answers.labels, recipe.temperature
    after = _fitted(logs, labels, before)
    member.recipe = replace(recipe, temperature=after)
    probs = ask(predictor, pictures).probs  # as ``predict`` will see them, to the last bit
    scores = tuple(conformity_scores(probs, labels).tolist())
    made = replace(recipe, temperature=after, conformity=scores)
    (artefact.replace_recipe if artefact.is_classical(file) else replace_recipe)(file, made)
    member.recipe = made
    return {
        "n": len(labels),
        "data": pictures.index.root,
        "part": pictures.part,
        "temperature": [before, after],
        **before_and_after(tempered(logs, before), probs, labels),
    }


def before_and_after(before: Floats, after: Floats, labels: Ints) -> dict[str, list[float]]:
    """Scores of how honest probabilities are, at two temperatures."""
    return {
        "log_loss": [log_loss(labels, probs) for probs in (before, after)],
        "brier": [brier_score(labels, probs) for probs in (before, after)],
        "ece": [
            expected_calibration_error(probs.max(axis=1), probs.argmax(axis=1) == labels)
            for probs in (before, after)
        ],
    }


def _fitted(logs: Floats, labels: Ints, before: float) -> float:
    """The temperature, unless these pictures cannot tell it."""
    if (logs.argmax(axis=1) == labels).all():
        console.warn(
            f"all {count(len(labels), 'calibration picture')} are recognised: how sure the model "
            f"may be cannot be told from them; the temperature stays {before:g}"
        )
        return before
    if len(labels) < _FEW:
        console.warn(
            f"a temperature fitted on {count(len(labels), 'picture')} is uncertain: some hundred "
            "make it firm"
        )
    try:
        found = fit_temperature(logs, labels)
    except ValueError:
        console.warn("every right class is ruled out by the model: nothing can be calibrated")
        return before
    if not found.is_inside:
        console.warn(
            f"the temperature came to the end of the search, {found.temperature:.3g}: the model is "
            "no better than chance on the calibration pictures"
        )
    return found.temperature


def reheated(answers: Answers, *, before: float, after: float) -> Floats:
    """Probabilities as they were at another temperature, from those at the present one."""
    with np.errstate(divide="ignore"):
        return tempered(np.log(answers.probs), before / after)


def refuse_several(number: int) -> None:
    """An ensemble has no temperature of its own.

    Raises:
        SettingsError: If there are several models.
    """
    if number > 1:
        raise SettingsError(
            f"--calibrate fits one model's temperature, and these are {number}",
            "calibrate each by itself: imgtrain evaluate RUN --calibrate",
        )
