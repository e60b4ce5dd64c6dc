"""A trial that is judged by cross-validation: a folder with a run for each fold."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from imgtrain import rundir
from imgtrain.continuing import identity_keys, provenance_of
from imgtrain.crossval.each import Hears, score_by_folds
from imgtrain.crossval.folder import fold_run
from imgtrain.data.folds import Folds
from imgtrain.engine.world import World
from imgtrain.errors import InterruptedRun, PrunedRun
from imgtrain.files import first_free, read_json, write_json, write_text
from imgtrain.preparing import Ground
from imgtrain.provenance import Origins
from imgtrain.rundir import RunDir, identity_of
from imgtrain.settings.layers import to_yaml
from imgtrain.settings.schema import Settings
from imgtrain.tracking.session import tracked
from imgtrain.tuning.goals import SCORES


def trial_place(study: Path, name: str, settings: Settings, fingerprint: str) -> RunDir:
    """The folder of a trial's folds: that of an earlier worker, or a new one."""
    keys = {k: v for k, v in identity_keys(settings).items() if not k.startswith("hardware.")}
    identity = identity_of(keys, fingerprint, name)
    for path in sorted(study.glob(f"{name}*")):
        if identity in provenance_of(RunDir(path)).get("identity", []):
            return RunDir(path)
    place = RunDir(study / first_free(lambda n: (study / n).exists(), name))
    place.path.mkdir(parents=True)
    place.set_status("running", kind="trial")
    write_text(place.config, to_yaml(settings))
    write_json(place.provenance, {"format": 1, "kind": "trial", "identity": [identity]})
    return place


def score_trial(
    place: RunDir,
    settings: Settings,
    ground: Ground,
    folds: Folds,
    *,
    origins: Origins,
    hears: Hears,
) -> float:
    """The mean of a trial's folds; called again, it goes on with them."""
    with rundir.locked(place), tracked(place, settings), _told(place):
        return score_by_folds(
            settings,
            ground.index,
            folder=place,
            shelf=ground.shelf,
            world=World(),
            origins=origins,
            folds=folds,
            hears=hears,
        )


@contextmanager
def _told(place: RunDir) -> Iterator[None]:
    """How the trial stands, in its ``status.json``."""
    place.set_status("running", kind="trial")
    try:
        yield
    except PrunedRun:
        place.set_status("pruned", kind="trial")
        raise
    except BaseException as error:
        if not isinstance(error, InterruptedRun):
            place.set_status("failed", kind="trial", error=str(error))
        raise
    place.set_status("finished", kind="trial")


def scores_so_far(place: RunDir, monitor: str) -> list[float]:
    """The finished folds' numbers, in order."""
    found: list[float] = []
    while (run := fold_run(place, len(found) + 1)).is_finished:
        metrics: Mapping[str, Mapping[str, float]] = read_json(run.path / "metrics.json")
        found.append(float(metrics["val"][SCORES[monitor]]))
    return found


def cost_of(trial: Path) -> tuple[int, float]:
    """Epochs in the histories of a trial, all of its folds together, and their seconds."""
    epochs, seconds = 0, 0.0
    for path in (trial / "history.csv", *trial.glob("fold_*/history.csv")):
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            epochs += len(rows)
            seconds += sum(float(row["seconds"] or 0) for row in rows)
    return epochs, seconds


def drop_checkpoints(places: Sequence[Path]) -> None:
    """A trial that is over keeps its weights, and no checkpoints."""
    for place in places:
        for folder in (place / "checkpoints", *place.glob("fold_*/checkpoints")):
            shutil.rmtree(folder, ignore_errors=True)
