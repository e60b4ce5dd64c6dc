"""What one scored part shows: mistakes, confusions, classes, curves, calibration, scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from imgtrain.metrics.calibration import brier_score
from imgtrain.metrics.confusion import Ints, confusion_matrix
from imgtrain.metrics.curves import Curve, Curves, curves
from imgtrain.metrics.scores import score
from imgtrain.report.album import Album
from imgtrain.report.cards import doubted, mistakes
from imgtrain.report.confusion import confusions
from imgtrain.report.figures import (
    MOST_LINES,
    Figure,
    other_curves,
    pr_figure,
    reliability_figures,
    roc_figure,
    shown_classes,
    told,
)
from imgtrain.report.markup import (
    Column,
    chart,
    decimal,
    definitions,
    name,
    percent,
    section,
    sortable,
    text,
    whole,
)
from imgtrain.report.predictions import Predictions
from imgtrain.report.reading import PARTS, RunFiles

MOST_ROWS = 1000
"""Rows of a table; a browser scrolls through that many with ease."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The HTML of one part, and what belongs to it.

    Args:
        html: Its sections.
        figures: Those that the sections have places for.
        cells: What the cells of the matrix show, by name.
        more: Curves that are drawn when they are asked for.
        notable: Sentences on where the model fails; HTML.
    """

    html: str
    figures: dict[str, Figure]
    cells: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    notable: tuple[str, ...] = ()


def outcome(run: RunFiles, part: str, rows: Predictions | None, album: Album) -> Outcome | None:
    """Everything about a part; None where it was not scored.

    Args:
        run: What its folder says.
        part: Its name.
        rows: Its predictions, if there are any.
        album: Where pictures come from.
    """
    scores = run.scores(part)
    if rows is None:
        table = class_table(scores)
        return Outcome(_block(part, "Classes", table), {}) if table else None
    drawn = curves(rows.labels, rows.probs)
    scores = scores or score(rows.labels, rows.probs, run.classes, drawn=drawn)
    drawn = _with_areas_of(scores, drawn, run.classes)
    matrix = confusion_matrix(rows.labels, rows.predicted, len(run.classes))
    right, many = reliability_figures(rows)
    figures = {
        f"{part}-roc": roc_figure(drawn, run.classes),
        f"{part}-pr": pr_figure(drawn, run.classes),
        f"{part}-reliability": right,
        f"{part}-confidence": many,
    }
    galleries = (mistakes(rows, run.classes, album), doubted(rows, run.classes, album))
    confused = confusions(part, rows, matrix, run.classes, album)
    more = other_curves(drawn, run.classes)
    shown, every = len(shown_classes(drawn)), len(run.classes)
    body = "\n".join(
        [
            _block(part, "Mistakes", *galleries),
            _block(part, "Confusion", confused.html),
            _block(part, "Classes", class_table(scores)),
            _block(part, "Curves", _curves(part, figures, shown, every, more)),
            _block(part, "Calibration", _calibration(part, scores, rows)),
            _block(part, "All scores", _all_scores(scores, rows)),
        ]
    )
    notable = (*_commonest_confusion(matrix, run.classes), *_confidence(rows))
    return Outcome(body, figures, confused.cells, more, notable)


def _with_areas_of(scores: dict[str, Any], drawn: Curves, classes: Sequence[str]) -> Curves:
    """The curves with the areas of ``metrics.json``: six digits in the file may make ties."""

    def told_of(curve: Curve | None, area: float | None) -> Curve | None:
        return curve if curve is None or area is None else replace(curve, area=area)

    per_class = [scores.get("per_class", {}).get(label, {}) for label in classes]
    return Curves(
        roc=tuple(
            told_of(c, row.get("auroc")) for c, row in zip(drawn.roc, per_class, strict=True)
        ),
        roc_micro=told_of(drawn.roc_micro, scores.get("micro_auroc")),
        pr=tuple(
            told_of(c, row.get("average_precision"))
            for c, row in zip(drawn.pr, per_class, strict=True)
        ),
        pr_micro=drawn.pr_micro,
    )


def _block(part: str, title: str, *body: str) -> str:
    where = f" <small>{PARTS[part].lower()} {'predictions' if part == 'oof' else 'part'}</small>"
    return section(f"{part}-{title.lower().replace(' ', '-')}", title + where, *body)


def _commonest_confusion(matrix: Ints, classes: Sequence[str]) -> Iterator[str]:
    support, wrong = matrix.sum(axis=1), matrix.copy()
    np.fill_diagonal(wrong, 0)
    true, taken = divmod(int(wrong.argmax()), len(wrong))
    count = int(wrong[true, taken])
    if count > 1:
        yield (
            f"Most common confusion: <strong>{name(classes[true])}</strong> taken for "
            f"<strong>{name(classes[taken])}</strong>, {whole(count)} times "
            f"({percent(count / support[true])} of the class)."
        )
    elif not wrong.sum():
        yield "Every picture is recognised."


def _confidence(rows: Predictions) -> Iterator[str]:
    sure = float(rows.probs.max(axis=1).mean())
    right = float((rows.predicted == rows.labels).mean())
    if abs(sure - right) >= 0.02:  # noqa: PLR2004  # smaller gaps need no action
        word = "Over-confident" if sure > right else "Under-confident"
        yield f"{word}: {percent(sure)} sure on average, {percent(right)} right."


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
        (title, written(scores[key]))
        for written, keys in ((percent, shares), (decimal, numbers))
        for key, title in keys.items()
        if scores.get(key) is not None
    ]
    pairs.append(("Brier score", decimal(brier_score(rows.labels, rows.probs))))
    return definitions([("Pictures", whole(len(rows.paths))), *pairs])


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


def _curves(
    part: str, figures: dict[str, Figure], shown: int, every: int, more: dict[str, Any]
) -> str:
    note = (
        f"The {shown} of {whole(every)} classes with the lowest average precision, "
        "and the averages over all classes."
        if shown < every
        else ""
    )
    add = ""
    if more:
        options = "".join(f'<option value="{text(label)}"></option>' for label in more)
        held = f", of the {whole(MOST_LINES)} that the page holds" if every > MOST_LINES else ""
        add = (
            f'<p class="search"><label>Draw another class{held} '
            f'<input type="search" list="{part}-others" data-more="{part}"></label>'
            f'<span role="status"></span></p><datalist id="{part}-others">{options}</datalist>'
        )
    roc, pr = (figures[f"{part}-{key}"] for key in ("roc", "pr"))
    return (
        f'{add}<div class="charts two">'
        + chart(f"{part}-roc", "ROC (AUROC)", note=note, told=told(roc))
        + chart(f"{part}-pr", "Precision-recall (average precision)", note=note, told=told(pr))
        + "</div>"
    )


def _calibration(part: str, scores: dict[str, Any], rows: Predictions) -> str:
    sure = float(rows.probs.max(axis=1).mean())
    right = float((rows.predicted == rows.labels).mean())
    words = (
        f"{percent(sure)} sure on average, {percent(right)} right; expected calibration error "
        f"{percent(scores.get('ece'))}"
    )
    return (
        '<div class="charts calibrated"><div>'
        + chart(f"{part}-reliability", "Reliability", legend=False, told=words)
        + chart(f"{part}-confidence", "Pictures by confidence", legend=False, told=words)
        + "</div>"
        + f"<div><p>The model is <strong>{percent(sure)}</strong> sure on average, and "
        f"<strong>{percent(right)}</strong> of its answers are right.</p>"
        '<p class="note">Each bar holds the pictures of one interval of confidence. On the dotted '
        "line the model is as often right as it is sure: bars below it are over-confident, bars "
        "above it under-confident. The smaller chart says how many pictures stand behind each "
        "bar: few pictures say little. The expected calibration error is the mean gap between bar "
        f"and line, by pictures: {percent(scores.get('ece'))}.</p></div></div>"
    )
