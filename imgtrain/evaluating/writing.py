"""The folder of an evaluation: whole, or as it was before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imgtrain.evaluating.answers import Answers
from imgtrain.files import replacing_folder, write_csv, write_json
from imgtrain.metrics.calibration import brier_score, reliability
from imgtrain.metrics.intervals import wilson_interval
from imgtrain.metrics.resampling import probability_intervals
from imgtrain.report.evaluation_plots import plot_corruptions, plot_reliability
from imgtrain.report.results import write_results


def write_evaluation(
    place: Path,
    answers: Answers,
    classes: Sequence[str],
    *,
    about: Mapping[str, Any],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """Write everything into ``place``, at once.

    Args:
        place: The folder; an earlier one is replaced.
        answers: What the model said.
        classes: The C names, in the order of the probabilities.
        about: What was scored how: in front of the scores in ``metrics.json``.
        more: Behind them: ``threshold``, ``slices``, ``corruptions``, ...

    Returns:
        The content of ``metrics.json``.

    Raises:
        DiskError: If it cannot be written.
    """
    labels, probs, part = answers.labels, answers.probs, answers.pictures.name
    with replacing_folder(place) as folder:
        scores = write_results(
            folder,
            part,
            paths=answers.paths,
            labels=labels,
            probs=probs,
            classes=classes,
            ending="",
            plots=".",
        )
        hits = {key: scores[key] for key in ("top3", "top5") if scores[key] is not None}
        intervals = scores.pop("intervals") | {
            key: list(wilson_interval(round(share * len(labels)), len(labels)))
            for key, share in hits.items()
        }
        intervals |= {
            name: None if ends is None else list(ends)
            for name, ends in probability_intervals(labels, probs).items()
        }
        per_class = scores.pop("per_class")
        metrics = {
            **about,
            **scores,
            "brier": brier_score(labels, probs),
            "intervals": intervals,
            **more,
            "per_class": per_class,
        }
        groups = reliability(probs.max(axis=1), probs.argmax(axis=1) == labels)
        note = f"ECE {metrics['ece']:.4f}, log loss {metrics['log_loss']:.4f}"
        title = f"Reliability, {part}"
        plot_reliability(folder / "reliability.png", groups, title=title, note=note)
        _write_tables(folder, answers, metrics)
        write_json(folder / "metrics.json", metrics)
    return metrics


def _write_tables(folder: Path, answers: Answers, metrics: Mapping[str, Any]) -> None:
    if answers.bad:
        part = answers.pictures.part or "all"
        rows = [(path, part, reason) for path, reason in answers.bad]
        write_csv(folder / "bad_images.csv", ["path", "part", "reason"], rows)
    if metrics["slices"]:
        head = ["column", "value", "n", "top1", "low", "high", "macro_f1", "log_loss"]
        write_csv(
            folder / "slices.csv",
            head,
            (
                [
                    *(row[key] for key in head[:4]),
                    *row["interval"],
                    *(row[key] for key in head[6:]),
                ]
                for row in metrics["slices"]
            ),
        )
    if metrics["corruptions"]:
        head = ["kind", "severity", "top1", "macro_f1"]
        rows_ = ([row[key] for key in head] for row in metrics["corruptions"])
        write_csv(folder / "corruptions.csv", head, rows_)
        plot_corruptions(folder / "corruptions.png", metrics["corruptions"], metrics["top1"])
