"""What joined folds leave in their folder: tables and texts, and the last words on screen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from imgtrain import console
from imgtrain.files import replacing, write_csv, write_text
from imgtrain.metrics.confusion import Floats, Ints
from imgtrain.report.predictions import Predictions
from imgtrain.report.results import classification_report, write_results
from imgtrain.rundir import RunDir

_SHOWN = {"top1": "top-1", "macro_f1": "macro F1", "log_loss": "log loss"}


def write_each(folder: Path, folds: Sequence[tuple[int, RunDir]]) -> None:
    """``fold_1_history.csv`` and ``fold_1_best.pt``, ... beside the folders of the folds.

    The weights are a second name of the fold's own file, where the disk can do that; a classical
    model has none.
    """
    for number, run in folds:
        for source, name in (
            (run.path / "history.csv", f"fold_{number}_history.csv"),
            (run.checkpoints / "best.pt", f"fold_{number}_best.pt"),
        ):
            if source.exists():
                _second_name(source, folder / name)


def _second_name(file: Path, name: Path) -> None:
    name.unlink(missing_ok=True)
    try:
        name.hardlink_to(file)
    except OSError:
        with file.open("rb") as source, replacing(name) as handle:
            shutil.copyfileobj(source, handle)


def write_oof(
    folder: Path,
    folds: Sequence[tuple[int, int, Predictions]],
    places: Mapping[str, int],
    classes: Sequence[str],
    *,
    repeats: int,
) -> None:
    """``oof_predictions.csv``: every picture by the fold that validated it, once a repeat.

    Args:
        folder: The cross-validation's.
        folds: Number, repeat and predictions of each fold.
        places: Position of each path; rows are in this order, repeat after repeat.
        classes: The C names.
        repeats: How many; with more than one there is a column that says which.
    """
    rows = [
        (repeat, places[path], fold, found, i)
        for fold, repeat, found in folds
        for i, path in enumerate(found.paths)
    ]
    rows.sort(key=lambda row: row[:2])

    def lines() -> Iterator[list[object]]:
        for repeat, _, fold, found, i in rows:
            probs, best = found.probs[i].tolist(), int(found.predicted[i])
            yield [
                found.paths[i],
                classes[int(found.labels[i])],
                classes[best],
                *(f"{p:.6f}" for p in (probs[best], *probs)),
                fold,
                *([repeat] if repeats > 1 else []),
            ]

    header = ["path", "label", "pred", "prob", *(f"prob_{name}" for name in classes), "fold"]
    write_csv(folder / "oof_predictions.csv", header + ["repeat"] * (repeats > 1), lines())


def write_test(
    folder: Path, paths: Sequence[str], labels: Ints, probs: Floats, classes: Sequence[str]
) -> dict[str, Any]:
    """The ensemble on the test part: the files of any run, and ``ensemble_predictions.csv``."""
    found = write_results(folder, "test", paths=paths, labels=labels, probs=probs, classes=classes)
    _second_name(folder / "predictions_test.csv", folder / "ensemble_predictions.csv")
    return found


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _with_interval(scores: Mapping[str, Any]) -> str:
    low, high = scores["intervals"]["top1"]
    return (
        f"top-1 {_percent(scores['top1'])} (95 % interval {100 * low:.1f} to {100 * high:.1f}), "
        f"macro F1 {_percent(scores['macro_f1'])}, {scores['n']} pictures"
    )


def write_words(folder: Path, summary: Mapping[str, Any]) -> None:
    """``best_fold_info.txt`` and ``test_set_evaluation.txt``, for people."""
    row = next(r for r in summary["folds"] if r["fold"] == summary["best_fold"])
    info = [
        f"best fold: {row['fold']} of {len(summary['folds'])}, by {summary['monitor']}",
        f"run: {row['run']}",
        f"best epoch: {row['best_epoch'] or '-'} of {row['epochs']}",
        f"model: {row['run']}/model.safetensors",
        *(f"val {_SHOWN[k]}: {row['val'][k]:.4f}" for k in _SHOWN),
    ]
    write_text(folder / "best_fold_info.txt", "".join(f"{line}\n" for line in info))
    ensemble, alone = summary["ensemble"], summary["best_fold_test"]
    if alone is None:
        write_text(folder / "test_set_evaluation.txt", "no test part was held out\n")
        return
    lines = [
        "The test part was in no fold; it was scored once, when all folds were trained.",
        "",
        f"ensemble of the folds ({ensemble['how']}): {_with_interval(ensemble['test'])}",
        f"best fold ({row['fold']}): {_with_interval(alone)}",
        "",
        "The 95 % intervals are of the test part: how far the score could have come out otherwise,",
        "had other pictures been drawn.",
        "",
        "Ensemble, by class:",
        "",
    ]
    text = "\n".join(lines) + "\n" + classification_report(ensemble["test"])
    write_text(folder / "test_set_evaluation.txt", text)


def show_table(summary: Mapping[str, Any]) -> None:
    """The last words: every fold, their mean, the ensemble and the best fold on test."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("fold", "epochs", "best", *(f"val {name}" for name in _SHOWN.values())):
        table.add_column(head, justify="right")
    for row in summary["folds"]:
        leads = row["fold"] == summary["best_fold"]
        table.add_row(
            f"{'* ' if leads else ''}{row['fold']}",
            str(row["epochs"] or "-"),
            str(row["best_epoch"] or "-"),
            *(_cell(row["val"][name], name) for name in _SHOWN),
            style="bold" if leads else "",
        )
    table.add_row("mean", "", "", *(_mean_cell(summary, name) for name in _SHOWN))
    console.show(table)
    ends = summary["intervals"]["top1"]
    if ends is not None:
        low, high = ends
        console.say(
            f"val: mean top-1 {_percent(summary['mean']['top1'])}, 95 % interval over folds "
            f"{100 * low:.1f} to {100 * high:.1f} (corrected for shared training pictures)"
        )
    if summary["best_fold_test"] is not None:
        ensemble = summary["ensemble"]
        console.say(f"test: ensemble ({ensemble['how']}) {_with_interval(ensemble['test'])}")
        console.say(
            f"test: best fold ({summary['best_fold']}) {_with_interval(summary['best_fold_test'])}"
        )


def _cell(value: float, name: str) -> str:
    return f"{value:.4f}" if name == "log_loss" else _percent(value)


def _mean_cell(summary: Mapping[str, Any], name: str) -> str:
    mean, std = summary["mean"][name], summary["std"][name]
    if std is None:
        return _cell(mean, name)
    if name == "log_loss":
        return f"{mean:.4f} \u00b1 {std:.4f}"
    return f"{100 * mean:.2f} \u00b1 {100 * std:.2f} %"
