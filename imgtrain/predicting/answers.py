"""What is said of a picture: its class, or that the model is unsure; its likeliest classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from imgtrain import console
from imgtrain.errors import SettingsError
from imgtrain.metrics.conformal import enough_for, least_probability, prediction_sets
from imgtrain.predictor import Prediction, Predictor

DIGITS = 6
"""Of probabilities, as they are written and judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be said.

    Args:
        classes: In the order of the probabilities.
        top_k: How many of them are shown.
        threshold: Probability below which the model is unsure.
        least: What a class's probability must reach to be in a picture's set; None: no sets.
        labelled: Whether a manifest says what the pictures are.
    """

    classes: tuple[str, ...]
    top_k: int
    threshold: float | None = None
    least: float | None = None
    labelled: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one picture.

    Args:
        found: What the model says.
        label: What a manifest says; None where none does.
        top: The likeliest classes, likeliest first, with their probabilities; empty where the
            picture cannot be read.
        sure: Whether the first of them is the answer.
        inside: The classes of its set, likeliest first; None where none are asked for.
    """

    found: Prediction
    label: str | None
    top: tuple[tuple[str, float], ...]
    sure: bool
    inside: tuple[str, ...] | None

    @property
    def pred(self) -> str | None:
        """The class, if there is one to be named."""
        return self.top[0][0] if self.sure else None

    @property
    def prob(self) -> float | None:
        """Its probability, or that of the likeliest."""
        return self.top[0][1] if self.top else None


def answer(found: Prediction, label: str | None, asked: Asked) -> Answer:
    """What is said of a picture."""
    probs = found.probs
    if probs is None:
        return Answer(found, label, (), sure=False, inside=None)
    order = (-probs).argsort(kind="stable")
    top = tuple((asked.classes[k], float(probs[k])) for k in order[: asked.top_k].tolist())
    inside = None
    if asked.least is not None:
        known = prediction_sets(probs[None], asked.least)[0]
        inside = tuple(asked.classes[k] for k in order[known[order]].tolist())
    sure = asked.threshold is None or round(top[0][1], DIGITS) >= asked.threshold
    return Answer(found, label, top, sure, inside)


def as_json(said: Answer, asked: Asked) -> dict[str, Any]:
    """One picture's object."""
    row: dict[str, Any] = {"path": said.found.path}
    if asked.labelled:
        row["label"] = said.label or None
    row["pred"], row["prob"] = said.pred, None if said.prob is None else round(said.prob, DIGITS)
    row["top"] = [{"class": name, "prob": round(prob, DIGITS)} for name, prob in said.top]
    if asked.least is not None:
        row["set"] = None if said.inside is None else list(said.inside)
    row["error"] = said.found.error
    return row


def as_text(said: Answer, *, alone: bool) -> str:
    """One picture for people: a small table when it is alone, else a line."""
    path = console.one_line(said.found.path)
    if not said.top:
        return f"{path}\terror: {console.one_line(said.found.error or '')}"
    best = [(console.one_line(name), prob) for name, prob in said.top]
    inside = ", ".join(map(console.one_line, said.inside or ()))
    if not alone:
        shown = "  ".join(f"{name} {prob:.6f}" for name, prob in best)
        unsure, known = "" if said.sure else "unsure: ", inside and f"\tset: {inside}"
        return f"{path}\t{unsure}{shown}{known}"
    width = max(len("class"), *(len(name) for name, _ in best))
    lines = [path, f"{'class':<{width}}  probability"]
    lines += [f"{name:<{width}}  {prob:.6f}" for name, prob in best]
    lines += [] if said.sure else ["unsure: the likeliest class is below --threshold"]
    return "\n".join([*lines, *([f"set: {inside}"] if inside else [])])


def least_for(predictor: Predictor, coverage: float | None, *, tta: str | None) -> float | None:
    """What a class's probability must reach to be in a picture's set; None where none is wanted.

    Raises:
        SettingsError: If the model cannot promise this coverage.
    """
    if coverage is None:
        return None
    flag = f"--coverage {coverage:g}"
    if predictor.recipe is None:
        raise SettingsError(
            f"{flag} rests on the calibration pictures of one model, and this is an ensemble",
            "name one run with --run",
        )
    if tta is not None:
        raise SettingsError(
            f"{flag} rests on scores of one view a picture, and --tta {tta} averages several",
            "leave out one of them",
        )
    scores = predictor.recipe.conformity
    if not scores:
        raise SettingsError(
            f"{flag} needs a model that was calibrated, and this one was not",
            "imgtrain evaluate --calibrate does that; train --calibration-fraction 0.1, too",
        )
    needed = enough_for(coverage)
    if len(scores) < needed:
        raise SettingsError(
            f"{flag} needs {needed} calibration pictures, and the model was calibrated on "
            f"{len(scores)}",
            "ask for a lower coverage, or calibrate on more pictures",
        )
    return least_probability(scores, coverage)
