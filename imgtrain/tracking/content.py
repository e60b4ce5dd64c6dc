"""What trackers are told of a run, from its folder: what it is made of, what it came to."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from imgtrain.report.gallery import Mistake, Reader, thumbnail, worst_mistakes
from imgtrain.report.reading import RunFiles, read_object, read_run
from imgtrain.report.selection import one_line
from imgtrain.settings.layers import public
from imgtrain.settings.schema import Settings
from imgtrain.tracking.told import Outcome, Picture, Value

MISTAKES, OVERLAYS = 12, 12
"""So many pictures are sent at most."""

_FILES = (
    "metrics.json",
    "config.yaml",
    "provenance.json",
    "report.html",
    "history.csv",
    "classes.json",
    "classification_report_*.txt",
    "auc_scores_*.txt",
    "confusion_matrix_*.csv",
    "selection.csv",
    "realised.yaml",
    "leaks.csv",
    "bad_images.csv",
    "cv_summary.json",
    "folds.csv",
    "best_fold_info.txt",
    "test_set_evaluation.txt",
    "trials.csv",
    "study.json",
    "best_params.yaml",
    "best_config.yaml",
    "log.txt",
    "plots/*.png",
    "explain/overlays.csv",
)
"""What is worth keeping beside the numbers, as patterns within the run."""

_MEGABYTE = 1e6


def parameters(folder: Path, settings: Settings) -> dict[str, Value]:
    """Every setting as decided, and what the run's provenance says, by dotted key."""
    found: dict[str, Value] = {}
    for key, value in (public(settings) | {"tune.storage": None}).items():
        found[key] = value if isinstance(value, Value) else _text(value)
    about = read_object(folder / "provenance.json")
    for key in ("fingerprint", "device", "git", "data_root"):
        if about.get(key):
            found[f"run.{key}"] = str(about[key])
    for group in ("versions", "plan", "batches"):
        pairs = about.get(group)
        if isinstance(pairs, Mapping):
            found |= {f"{group}.{key}": _text(value) for key, value in pairs.items()}
    return found


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return str(value)


def final_numbers(folder: Path) -> dict[str, float]:
    """Scores of ``metrics.json`` by part, ``mean/`` and ``std/`` over folds, a search's best."""
    found = dict(_scores(folder))
    summary = read_object(folder / "cv_summary.json")
    for how in ("mean", "std"):
        found |= {f"{how}/{key}": value for key, value in _numbers(summary.get(how))}
    study = read_object(folder / "study.json")
    found |= {f"trials/{key}": value for key, value in _numbers(study.get("trials"))}
    best = study.get("best")
    if isinstance(best, dict):
        found |= {f"best/{key}": value for key, value in _numbers(best.get("values"))}
        found |= dict(_numbers({"best/trial": best.get("trial")}))
    return found


def _scores(folder: Path) -> Iterator[tuple[str, float]]:
    metrics = read_object(folder / "metrics.json")
    names = {"val": "oof"} if (folder / "cv_summary.json").exists() else {}
    yield from _numbers({"val/best_epoch": metrics.get("best_epoch")})
    for part, scores in metrics.items():
        if isinstance(scores, dict):
            where = names.get(part, part)
            yield from ((f"{where}/{key}", value) for key, value in _numbers(scores))


def _numbers(found: Any) -> Iterator[tuple[str, float]]:
    pairs = found.items() if isinstance(found, Mapping) else ()
    for key, value in pairs:
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield str(key), float(value)


def best_parameters(folder: Path) -> dict[str, Value]:
    """What a search found, under ``best.``; empty for anything else."""
    best = read_object(folder / "study.json").get("best")
    values = best.get("params") if isinstance(best, dict) else None
    return {f"best.{key}": _text(value) for key, value in (values or {}).items()}


def outcome(folder: Path, *, max_mb: float, job: str, read: Reader | None) -> Outcome:
    """Files, smallest first, and pictures.

    Args:
        folder: The run's.
        max_mb: Megabytes of the largest file.
        job: What the run is: weights go with a whole training alone, and no pictures with a trial.
        read: The bytes of a picture by its path.
    """
    patterns = (*_FILES, "model.safetensors") if job in ("train", "retrain") else _FILES
    files = {path for each in patterns for path in folder.glob(each) if path.is_file()}
    light = [path for path in files if path.stat().st_size <= max_mb * _MEGABYTE]
    pictures = () if job == "trial" else (*_plots(folder), *_mistakes(folder, read))
    return Outcome(
        files=tuple(sorted(light, key=lambda path: (path.stat().st_size, path))),
        pictures=(*pictures, *_overlays(folder)),
    )


def _plots(folder: Path) -> Iterator[Picture]:
    for path in sorted((folder / "plots").glob("*.png")):
        yield Picture(f"plots/{path.stem}", path.stem.replace("_", " "), path.read_bytes())


def _mistakes(folder: Path, read: Reader | None) -> Iterator[Picture]:
    """The mistakes of which the model was most sure, as the report shows them."""
    if read is None:
        return
    run = read_run(folder)
    part = next((part for part in ("test", "val") if part in run.predictions), None)
    if part is None:
        return
    for number, each in enumerate(worst_mistakes(run.predictions[part], MISTAKES), 1):
        small = thumbnail(read, each.path)
        if small is not None:
            data = base64.b64decode(small.uri.partition(",")[2])
            yield Picture(f"mistakes/{part}_{number:02}", _caption(run, each), data)


def _caption(run: RunFiles, mistake: Mistake) -> str:
    true, taken = run.classes[mistake.label], run.classes[mistake.predicted]
    return one_line(f"{mistake.path}: {true} taken for {taken} ({100 * mistake.prob:.0f} %)")


def _overlays(folder: Path) -> Iterator[Picture]:
    """What ``explain`` drew, as its ``overlays.csv`` lists it."""
    table = folder / "explain" / "overlays.csv"
    if not table.is_file():
        return
    with io.StringIO(table.read_text(encoding="utf-8"), newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[:OVERLAYS]:
        name = row.get("file") or ""
        places = (table.parent / name, folder / name)
        path = next((place for place in places if name and place.is_file()), None)
        if path is not None and path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            caption = f"{row.get('path')}: {row.get('class')} by {row.get('method')}"
            yield Picture(f"explain/{path.stem}", one_line(caption), path.read_bytes())
