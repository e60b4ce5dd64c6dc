"""What a scored part leaves in the run folder: tables, texts and plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imgtrain.console import text_table
from imgtrain.files import write_csv, write_text
from imgtrain.metrics.confusion import Floats, Ints, confusion_matrix
from imgtrain.metrics.curves import curves
from imgtrain.metrics.scores import score
from imgtrain.report.plots import plot_confusion_matrix, plot_curves
from imgtrain.report.selection import one_line


def write_results(
    folder: Path,
    part: str,
    *,
    paths: Sequence[str],
    labels: Ints,
    probs: Floats,
    classes: Sequence[str],
    draws: bool = True,
    ending: str | None = None,
    plots: str = "plots",
) -> dict[str, Any]:
    """Score ``part`` and write everything about it but ``metrics.json``.

    Into the folder go ``predictions_{part}.csv``, ``classification_report_{part}.txt``,
    ``confusion_matrix_{part}.csv``, ``auc_scores_{part}.txt``, and ``roc_curve_{part}.png``,
    ``pr_curve_{part}.png`` and ``confusion_matrix_{part}.png`` under ``plots``.

    Args:
        folder: The run's folder, or an evaluation's.
        part: ``val``, ``calibration`` or ``test``.
        paths: The N paths, as in ``splits.csv``.
        labels: Shape (N,), int64, in [0, C).
        probs: Shape (N, C), float64, rows that add up to 1.
        classes: The C names, in index order.
        draws: Whether the figures are written, too.
        ending: What the names of the files end in; ``_{part}`` if not given.
        plots: Where the figures go, inside of ``folder``.

    Returns:
        The part's object of ``metrics.json``, from `score`.

    Raises:
        ValueError: If there is no picture, or the shapes do not fit together.
        DiskError: If a file cannot be written.
    """
    ending = f"_{part}" if ending is None else ending
    drawn = curves(labels, probs)
    scores = score(labels, probs, classes, drawn=drawn)
    matrix = confusion_matrix(labels, probs.argmax(axis=1), len(classes))
    write_csv(
        folder / f"predictions{ending}.csv",
        ["path", "label", "pred", "prob", *(f"prob_{name}" for name in classes)],
        _prediction_rows(paths, labels, probs, classes),
    )
    write_csv(
        folder / f"confusion_matrix{ending}.csv",
        ["true \\ predicted", *classes],
        ([name, *row] for name, row in zip(classes, matrix.tolist(), strict=True)),
    )
    write_text(folder / f"classification_report{ending}.txt", classification_report(scores))
    write_text(folder / f"auc_scores{ending}.txt", auc_scores(scores))
    if draws:
        plot_curves(folder / plots, part, drawn, classes, ending=ending)
        plot_confusion_matrix(folder / plots, part, matrix, classes, ending=ending)
    return scores


def _prediction_rows(
    paths: Sequence[str], labels: Ints, probs: Floats, classes: Sequence[str]
) -> Iterator[list[str]]:
    six_digits = "{:.6f}".format
    for path, label, row in zip(paths, labels.tolist(), probs, strict=True):
        best = int(row.argmax())
        shown = map(six_digits, row.tolist())
        yield [path, classes[label], classes[best], six_digits(row[best]), *shown]


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def classification_report(scores: Mapping[str, Any]) -> str:
    """Precision, recall, F1 and support per class as text; ``-`` is undefined."""
    rows = [
        [
            one_line(n),
            _digits(r["precision"]),
            _digits(r["recall"]),
            _digits(r["f1"]),
            f"{r['support']}",
        ]
        for n, r in scores["per_class"].items()
    ]
    n = str(scores["n"])
    means = [
        ["", "", "", "", ""],
        ["accuracy", "", "", _digits(scores["top1"]), n],
        ["balanced accuracy", "", _digits(scores["balanced_accuracy"]), "", n],
        ["macro average", "", "", _digits(scores["macro_f1"]), n],
        ["weighted average", "", "", _digits(scores["weighted_f1"]), n],
    ]
    return text_table(["class", "precision", "recall", "f1", "support"], rows + means)


def auc_scores(scores: Mapping[str, Any]) -> str:
    """AUROC and average precision per class as text; ``-`` is undefined."""
    rows = [
        [one_line(name), _digits(row["auroc"]), _digits(row["average_precision"])]
        for name, row in scores["per_class"].items()
    ]
    means = [
        ["", "", ""],
        [
            "macro average",
            _digits(scores["macro_auroc"]),
            _digits(scores["macro_average_precision"]),
        ],
        ["micro average", _digits(scores["micro_auroc"]), ""],
    ]
    return text_table(["class", "auroc", "average_precision"], rows + means)
