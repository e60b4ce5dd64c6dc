"""The same curves as pictures (PNG), drawn without a display and without pyplot's global state."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imgtrain.files import write_bytes
from imgtrain.metrics.confusion import Ints, ratio
from imgtrain.metrics.curves import Curve, Curves
from imgtrain.report.fonts import families_for
from imgtrain.report.selection import COLOURS, MOST_CURVES, hardest, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

History = Sequence[Mapping[str, int | float | None]]
"""Rows of ``history.csv`` as numbers; None is an empty cell."""

_ANNOTATED, _NAMED = 20, 60
"""Up to how many classes the matrix shows its numbers, and every name."""


def _text(name: str, most: int = 28) -> str:
    """A name as matplotlib shows it: a dollar sign is no formula."""
    return one_line(name, most).replace("$", r"\$")


@contextmanager
def drawing(
    path: Path, width: float, height: float, *, names: Sequence[str] = ()
) -> Iterator[Figure]:
    """A figure (inches) that is written to ``path`` at the end; ``names`` are words in it."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    data = io.BytesIO()
    with rc_context({"font.family": families_for(names)}), warnings.catch_warnings():
        figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        yield figure
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # shown as a box instead
        layout = figure.get_layout_engine()
        assert layout is not None
        layout.execute(figure)
        figure.set_layout_engine("none")
        # print_figure would draw everything a second time
        canvas.print_png(data)  # type: ignore[no-untyped-call]  # matplotlib has no types here
    write_bytes(path, data.getvalue())


def bare(axes: Axes, title: str, x: str, y: str) -> None:
    """Axes without boxes, with a title and the names of what they show."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def _lines(
    axes: Axes,
    curves: Sequence[Curve | None],
    means: Mapping[str, Curve | None],
    classes: list[str],
) -> None:
    """One line a class (the hardest only, where there are many), and the means on top."""
    shown = hardest(curves)
    for colour, index in zip(COLOURS, shown, strict=False):
        curve = curves[index]
        assert curve is not None
        label = f"{curve.area:.3f}  {_text(classes[index])}"
        thin = curve.thinned(400)
        axes.plot(thin.x, thin.y, color=colour, linewidth=1.1, label=label)
    for (name, mean), style in zip(means.items(), ("-", "--"), strict=True):
        if mean is not None:
            thin = mean.thinned(400)
            label = f"{mean.area:.3f}  {name} average"
            axes.plot(thin.x, thin.y, style, color="#111111", linewidth=2, label=label)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.03)
    title = (
        f"{MOST_CURVES} hardest of {len(classes)} classes" if len(classes) > len(shown) else None
    )
    if any(curve is not None for curve in curves):
        axes.legend(fontsize=8, title=title, title_fontsize=8, frameon=False, loc="center left",
                    bbox_to_anchor=(1.0, 0.5))  # fmt: skip


def plot_curves(
    folder: Path, part: str, drawn: Curves, classes: Sequence[str], *, ending: str
) -> None:
    """Write ``roc_curve{ending}.png`` and ``pr_curve{ending}.png`` into ``folder``."""
    with drawing(folder / f"roc_curve{ending}.png", 8.2, 5.2, names=classes) as figure:
        axes = figure.add_subplot()
        bare(axes, f"ROC, {part}: AUROC", "false positive rate", "true positive rate")
        means = {"macro": drawn.roc_macro, "micro": drawn.roc_micro}
        axes.axline((0, 0), slope=1, color="#bbbbbb", linewidth=0.8, linestyle=":")
        _lines(axes, drawn.roc, means, list(classes))
    with drawing(folder / f"pr_curve{ending}.png", 8.2, 5.2, names=classes) as figure:
        axes = figure.add_subplot()
        bare(axes, f"Precision-recall, {part}: average precision", "recall", "precision")
        means = {"macro": drawn.pr_macro, "micro": drawn.pr_micro}
        _lines(axes, drawn.pr, means, list(classes))


def plot_confusion_matrix(
    folder: Path, part: str, matrix: Ints, classes: Sequence[str], *, ending: str
) -> None:
    """Write ``confusion_matrix{ending}.png``: colour is the share of the true class."""
    count = len(classes)
    side = float(np.clip(2.2 + 0.42 * count, 4.2, 13))
    share = np.nan_to_num(ratio(matrix, np.broadcast_to(matrix.sum(axis=1)[:, None], matrix.shape)))
    with drawing(
        folder / f"confusion_matrix{ending}.png", side + 1.2, side, names=classes
    ) as figure:
        axes = figure.add_subplot()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(f"Confusion matrix, {part}", loc="left", fontsize=11, fontweight="bold")
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        if count <= _NAMED:
            size = 9 if count <= _ANNOTATED else 6
            names = [_text(name, 20) for name in classes]
            axes.set_xticks(range(count), names, rotation=90, fontsize=size)
            axes.set_yticks(range(count), names, fontsize=size)
        if count <= _ANNOTATED:
            for (row, column), number in np.ndenumerate(matrix):
                if number:
                    ink = "white" if share[row, column] > 0.5 else "#222222"  # noqa: PLR2004  # half
                    axes.text(column, row, str(number), ha="center", va="center", color=ink,
                              fontsize=8)  # fmt: skip
        figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")


def plot_range_test(
    path: Path,
    rates: Sequence[float],
    losses: Sequence[float],
    running: Sequence[float],
    suggestion: float | None,
) -> None:
    """Write a test of learning rates to ``path``: losses over the logarithm of the rate.

    What has blown up leaves the picture at its top.
    """
    known = [(r, v, a) for r, v, a in zip(rates, losses, running, strict=True) if np.isfinite(a)]
    with drawing(path, 7.2, 4.2) as figure:
        axes = figure.add_subplot()
        bare(axes, "Learning rate range test", "learning rate", "loss")
        if known:
            x, each, average = (np.array(column) for column in zip(*known, strict=True))
            axes.plot(x, each, color="#9ec5e0", linewidth=0.9, label="each step")
            axes.plot(x, average, color=COLOURS[0], linewidth=2, label="running average")
            low, high = each.min(), each[: max(5, len(each) // 10)].max()
            room = 0.3 * (high - low) or 1.0
            axes.set_ylim(low - room, high + room)
        if suggestion is not None:
            axes.axvline(suggestion, color="#111111", linewidth=1, linestyle=":",
                         label=f"suggestion {suggestion:g}")  # fmt: skip
        axes.set_xscale("log")
        axes.legend(fontsize=8, frameon=False)


def _series(rows: History, column: str) -> tuple[list[float], list[float]]:
    known = [(row["epoch"], row[column]) for row in rows if row.get(column) is not None]
    return [float(e or 0) for e, _ in known], [float(v or 0) for _, v in known]


def write_training_curves(folder: Path, rows: History) -> None:
    """Write ``plots/training_curves.png`` of the run folder: losses, accuracies, learning rate.

    Args:
        folder: The run's folder.
        rows: Rows of ``history.csv``; nothing is written without any.
    """
    if not rows:
        return
    panels: dict[str, dict[str, str]] = {
        "loss": {"train_loss": "train", "val_loss": "val"},
        "share": {
            "train_top1": "train top-1",
            "val_top1": "val top-1",
            "val_macro_f1": "val macro F1",
        },
        "learning rate": {"lr": "learning rate"},
    }
    with drawing(folder / "plots" / "training_curves.png", 12, 3.6) as figure:
        for axes, (title, columns) in zip(figure.subplots(1, 3), panels.items(), strict=True):
            bare(axes, title, "epoch", "")
            for colour, (column, label) in zip(COLOURS, columns.items(), strict=False):
                x, y = _series(rows, column)
                if x:
                    mark = "o" if len(x) < 2 else None  # noqa: PLR2004  # one point is no line
                    axes.plot(x, y, color=colour, linewidth=1.6, marker=mark, label=label)
            axes.xaxis.get_major_locator().set_params(integer=True)
            if len(columns) > 1 and axes.lines:
                axes.legend(fontsize=8, frameon=False)
