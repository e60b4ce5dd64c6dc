"""What one scored part shows: scores, mistakes, confusions, classes, curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imgtrain.metrics.calibration import brier_score
from imgtrain.metrics.confusion import confusion_matrix
from imgtrain.metrics.curves import Curve, Curves, curves
from imgtrain.metrics.scores import score
from imgtrain.report.figures import (
    MOST_CELLS,
    Figure,
    confusion_figure,
    pr_figure,
    reliability_figure,
    roc_figure,
    shown_classes,
)
from imgtrain.report.gallery import Mistake, Reader, Thumbnail, thumbnail, worst_mistakes
from imgtrain.report.markup import (
    Column,
    chart,
    decimal,
    definitions,
    name,
    percent,
    plural,
    section,
    sortable,
    text,
    whole,
)
from imgtrain.report.reading import PARTS, Predictions, RunFiles

MOST_ROWS = 1000
"""Rows of a table; a browser scrolls through that many with ease."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The HTML of one part, and the figures that it has places for."""

    html: str
    figures: dict[str, Figure]


def outcome(run: RunFiles, part: str, read: Reader | None) -> Outcome | None:
    """Everything about a part; None where it was not scored."""
    rows, scores = run.predictions.get(part), run.scores(part)
    if rows is None:
        table = class_table(scores)
        return Outcome(_block(part, "Classes", table), {}) if table else None
    drawn = curves(rows.labels, rows.probs)
    scores = scores or score(rows.labels, rows.probs, run.classes, drawn=drawn)
    drawn = _with_areas_of(scores, drawn, run.classes)
    matrix = confusion_matrix(rows.labels, rows.predicted, len(run.classes))
    figures = {
        f"{part}-confusion": confusion_figure(matrix, run.classes),
        f"{part}-roc": roc_figure(drawn, run.classes),
        f"{part}-pr": pr_figure(drawn, run.classes),
        f"{part}-reliability": reliability_figure(rows),
    }
    shown, every = len(shown_classes(drawn)), len(run.classes)
    body = "\n".join(
        [
            _block(part, "Mistakes", gallery(rows, run.classes, read)),
            _block(part, "Confusion", _confusion(part, matrix, run.classes)),
            _block(part, "Classes", class_table(scores)),
            _block(part, "Curves", _curves(part, shown, every)),
            _block(part, "All scores", _all_scores(scores, rows)),
        ]
    )
    return Outcome(body, figures)


def _with_areas_of(scores: dict[str, Any], drawn: Curves, classes: Sequence[str]) -> Curves:
    """The curves with the areas of ``metrics.json``: six digits in the file may make ties."""

    def told(curve: Curve | None, area: float | None) -> Curve | None:
        return curve if curve is None or area is None else replace(curve, area=area)

    per_class = [scores.get("per_class", {}).get(label, {}) for label in classes]
    return Curves(
        roc=tuple(told(c, row.get("auroc")) for c, row in zip(drawn.roc, per_class, strict=True)),
        roc_micro=told(drawn.roc_micro, scores.get("micro_auroc")),
        pr=tuple(
            told(c, row.get("average_precision"))
            for c, row in zip(drawn.pr, per_class, strict=True)
        ),
        pr_micro=drawn.pr_micro,
    )


def _block(part: str, title: str, body: str) -> str:
    where = f" <small>{PARTS[part].lower()} {'predictions' if part == 'oof' else 'part'}</small>"
    return section(f"{part}-{title.lower().replace(' ', '-')}", title + where, body)


def _all_scores(scores: dict[str, Any], rows: Predictions) -> str:
    shares = {
        "top1": "Top-1",
        "top3": "Top-3",
        "top5": "Top-5",
        "balanced_accuracy": "Balanced accuracy",
    }
    numbers = {
        "macro_f1": "Macro F1",
        "weighted_f1": "Weighted F1",
        "macro_auroc": "Macro AUROC",
        "micro_auroc": "Micro AUROC",
        "macro_average_precision": "Macro average precision",
        "log_loss": "Log loss",
        "ece": "Expected calibration error",
    }
    pairs = [
        (title, percent(scores[key]))
        for key, title in shares.items()
        if scores.get(key) is not None
    ]
    pairs += [
        (title, decimal(scores[key]))
        for key, title in numbers.items()
        if scores.get(key) is not None
    ]
    pairs.append(("Brier score", decimal(brier_score(rows.labels, rows.probs))))
    return definitions([("Pictures", whole(len(rows.paths))), *pairs])


def gallery(rows: Predictions, classes: Sequence[str], read: Reader | None) -> str:
    """The surest wrong answers as pictures."""
    wrong = int((rows.predicted != rows.labels).sum())
    if not wrong:
        return (
            f'<p class="empty">None: all {plural(len(rows.paths), "picture")} are recognised.</p>'
        )
    mistakes = worst_mistakes(rows)
    cards = "\n".join(_card(m, classes, thumbnail(read, m.path)) for m in mistakes)
    share = percent(wrong / len(rows.paths))
    which = (
        "All of them"
        if wrong == len(mistakes)
        else f"The {len(mistakes)} of which the model was most sure"
    )
    return (
        f'<p class="note">{plural(wrong, "mistake")} in {plural(len(rows.paths), "picture")} '
        f"({share}). {which}, surest first: some may be wrong labels.</p>"
        f'<ul class="gallery">{cards}</ul>'
    )


def _card(mistake: Mistake, classes: Sequence[str], picture: Thumbnail | None) -> str:
    true, taken = classes[mistake.label], classes[mistake.predicted]
    if picture is None:
        image = '<div class="missing">picture not found</div>'
    else:
        tiny = ' class="tiny"' if max(picture.width, picture.height) < 64 else ""  # noqa: PLR2004  # pixels
        words = text(f"{true}, taken for {taken}")
        image = (
            f'<img src="{picture.uri}" width="{picture.width}" height="{picture.height}" '
            f'alt="{words}"{tiny}>'
        )
    return (
        f'<li>{image}<p class="taken"><span>{name(taken)}</span> <b>{percent(mistake.prob)}</b></p>'
        f'<p class="true">is {name(true)}</p><p class="path" title="{text(mistake.path)}">'
        f"{name(mistake.path)}</p></li>"
    )


def _confusion(
    part: str, matrix: np.ndarray[Any, np.dtype[np.int64]], classes: Sequence[str]
) -> str:
    note = "Rows are true classes; colour is the share of the row."
    if len(classes) > MOST_CELLS:
        note = f"The {MOST_CELLS} classes with the most mistakes, of {whole(len(classes))}. {note}"
    support = matrix.sum(axis=1)
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:10]
    rows = [
        (classes[t], classes[p], int(wrong[t, p]), float(wrong[t, p] / support[t]))
        for t, p in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[t, p]
    ]
    columns = [
        Column("True class", "name"),
        Column("Taken for", "name"),
        Column("Pictures"),
        Column("Share of class", "percent"),
    ]
    table = sortable("Most common confusions", columns, rows) if rows else ""
    commonest = f"<div><h3>Most common confusions</h3>{table}</div>" if rows else ""
    figure = chart(f"{part}-confusion", "Confusion matrix", legend=False, note=note)
    return f'<div class="matrix">{figure}{commonest}</div>'


def class_table(scores: dict[str, Any]) -> str:
    """Every class with its scores; of very many, those with the lowest F1."""
    per_class = list(scores.get("per_class", {}).items())
    if not per_class:
        return ""
    note = "Click a heading to sort."
    if len(per_class) > MOST_ROWS:
        note = (
            f"The {whole(MOST_ROWS)} classes with the lowest F1, of {whole(len(per_class))}. {note}"
        )
        per_class = sorted(per_class, key=_by_f1)[:MOST_ROWS]
    columns = [
        Column("Class", "name"),
        Column("Pictures"),
        Column("Precision"),
        Column("Recall"),
        Column("F1", "bar"),
        Column("AUROC"),
        Column("Average precision"),
    ]
    rows = [
        [
            label,
            *(row.get(key) for key in ("support", "precision", "recall")),
            (row.get("f1"), row.get("f1")),
            *(row.get(key) for key in ("auroc", "average_precision")),
        ]
        for label, row in per_class
    ]
    return f'<p class="note">{note}</p>' + sortable("Scores per class", columns, rows)


def _by_f1(item: tuple[str, dict[str, Any]]) -> float:
    f1 = item[1].get("f1")
    return 2.0 if f1 is None else float(f1)


def _curves(part: str, shown: int, every: int) -> str:
    note = (
        f"The {shown} of {whole(every)} classes with the lowest average precision, "
        "and the averages over all classes."
        if shown < every
        else ""
    )
    return (
        '<div class="charts three">'
        + chart(f"{part}-roc", "ROC (AUROC)", note=note)
        + chart(f"{part}-pr", "Precision-recall (average precision)", note=note)
        + chart(
            f"{part}-reliability",
            "Reliability",
            legend=False,
            note="On the dotted line the model is as often right as it is sure. "
            "Pale bars hold few pictures.",
        )
        + "</div>"
    )
