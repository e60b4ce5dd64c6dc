"""Folds joined: predictions of pictures that no training saw, summary, ensemble, and one test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imgtrain import console
from imgtrain.crossval.cutting import held_out
from imgtrain.crossval.files import (
    show_table,
    write_each,
    write_oof,
    write_test,
    write_words,
)
from imgtrain.crossval.folder import fold_name, fold_run, set_state
from imgtrain.crossval.members import Members, score_members
from imgtrain.data.folds import Folds
from imgtrain.data.index import Index
from imgtrain.data.listing import Ints, some
from imgtrain.data.split import Split
from imgtrain.engine.world import World
from imgtrain.ensemble import read_ensemble, write_ensemble
from imgtrain.errors import RunError, SettingsError
from imgtrain.files import write_json
from imgtrain.loading.shelf import Shelf
from imgtrain.metrics.combining import combine, greedy
from imgtrain.metrics.confusion import Floats
from imgtrain.metrics.over_folds import over_folds
from imgtrain.metrics.scores import score
from imgtrain.provenance import Origins
from imgtrain.report.cv_page import write_cv_page
from imgtrain.report.predictions import Predictions
from imgtrain.report.reading import RunFiles, read_run
from imgtrain.rundir import RunDir
from imgtrain.scoring import picture_reader, write_bad
from imgtrain.settings.schema import Settings

MONITORED = {"val_top1": "top1", "val_macro_f1": "macro_f1", "val_loss": "log_loss"}
"""What a monitored metric is called in ``metrics.json``."""


def check_pickable(settings: Settings, folds: Folds) -> None:
    """Members are picked where a part was kept aside for that.

    Raises:
        SettingsError: If they are to be picked, and there is none.
    """
    if settings.cv.ensemble == "greedy" and not len(folds.aside()):
        raise SettingsError(
            "--ensemble greedy picks members on pictures kept aside, and these folds keep none",
            "take mean, logits or vote, or have folds cut with --ensemble greedy",
        )


def is_done(cv: RunDir, folds: Folds, settings: Settings, origins: Origins) -> bool:
    """Whether all is joined and no fold is gone since.

    Raises:
        RunError: If another rule was asked for: ``--collect`` alone joins anew.
    """
    if not cv.is_finished or missing_folds(cv, folds):
        return False
    if origins.get("cv.ensemble", "default") == "default":
        return True
    asked, how = settings.cv.ensemble, read_ensemble(cv.path).how
    if asked != how:
        raise RunError(
            f"{cv.path} is finished, its folds are joined by {how}",
            f"imgtrain cv --collect {cv.path} --ensemble {asked} joins them anew",
        )
    return True


def missing_folds(cv: RunDir, folds: Folds) -> list[int]:
    """Those that are not finished, or gone."""
    return [k for k in range(1, folds.total + 1) if not fold_run(cv, k).is_finished]


def refuse_missing(cv: RunDir, folds: Folds) -> None:
    """Only whole cross-validations are joined.

    Raises:
        RunError: With the folds that are not finished.
    """
    left = missing_folds(cv, folds)
    if left:
        names = f"fold{'s' if len(left) > 1 else ''} {some(left, 12)}"
        raise RunError(
            f"{cv.path} lacks {names} of {folds.total}",
            f"imgtrain cv --resume {cv.path} --fold {left[0]} trains one of them, "
            f"imgtrain cv --resume {cv.path} all",
        )


@dataclass(frozen=True, slots=True)
class Fold:
    """A fold that is finished: its number, and what its run says."""

    number: int
    run: RunDir
    files: RunFiles

    @property
    def val(self) -> dict[str, Any]:
        """Its object of ``metrics.json``.

        Raises:
            RunError: If none of its pictures could be read.
        """
        found = self.files.scores("val")
        if not found:
            raise RunError(
                f"{self.run.path} has no validation scores: none of its pictures could be read",
                "bring them back and remove the fold's folder: the same command trains it again",
            )
        return found

    @property
    def predictions(self) -> Predictions:
        """Of the pictures that it validated.

        Raises:
            RunError: If they are gone.
        """
        if "val" not in self.files.predictions:
            raise RunError(
                f"{self.run.path}/predictions_val.csv is gone or broken",
                "remove the fold's folder, and the same command trains it again",
            )
        return self.files.predictions["val"]


def collect(
    cv: RunDir, settings: Settings, index: Index, folds: Folds, *, shelf: Shelf, world: World
) -> dict[str, Any]:
    """Join all folds, and score the test part: by the ensemble, and by the best fold.

    Returns:
        The content of ``metrics.json``, in all processes.

    Raises:
        RunError: If a fold is missing, or its files are.
    """
    world.from_first(lambda: refuse_missing(cv, folds))
    runs = tuple(fold_run(cv, k) for k in range(1, folds.total + 1))
    test, aside = held_out(settings, index, folds), folds.aside()
    console.say(f"joining {len(runs)} folds")
    chosen = Members(runs, settings, index, shelf, world)
    picked = score_members(chosen, aside) if settings.cv.ensemble == "greedy" else None
    found = score_members(chosen, test) if len(test) else None

    def join() -> dict[str, Any]:
        joined = _Joined(cv, settings, index, folds, tuple(map(_read, runs)))
        return joined.written(weights=joined.weights(picked), found=found, bad=chosen.bad)

    return world.from_first(join)


def _read(run: RunDir) -> Fold:
    return Fold(int(run.name.removeprefix(fold_name(0)[:-1])), run, read_run(run.path))


@dataclass(frozen=True, slots=True)
class _Joined:
    """All folds, in the first process."""

    cv: RunDir
    settings: Settings
    index: Index
    folds: Folds
    each: tuple[Fold, ...]

    @property
    def monitor(self) -> str:
        """What decides between folds."""
        monitor = self.settings.train.monitor
        return "val_top1" if monitor == "auto" else monitor

    def weights(self, picked: tuple[Ints, Floats] | None) -> Floats:
        """How often each fold counts: once, or as often as it was picked."""
        if picked is None:
            return np.ones(len(self.each))
        positions, probs = picked
        return greedy(probs, self.index.labels[positions], monitor=self.monitor)

    def best(self) -> Fold:
        """By the monitored metric, then by the log loss, then the first."""
        name = MONITORED[self.monitor]
        sign = 1 if name == "log_loss" else -1
        return min(self.each, key=lambda f: (sign * f.val[name], f.val["log_loss"], f.number))

    def written(
        self, *, weights: Floats, found: tuple[Ints, Floats] | None, bad: dict[int, str]
    ) -> dict[str, Any]:
        """All files but the page; the content of ``metrics.json``."""
        cv, how, best = self.cv.path, self.settings.cv.ensemble, self.best()
        names = [fold.run.name for fold in self.each]
        write_each(cv, [(fold.number, fold.run) for fold in self.each])
        members = [(n, w) for n, w in zip(names, weights.tolist(), strict=True) if w > 0]
        write_ensemble(cv, how, members)
        oof = self._oof()
        ensemble, alone = None, None
        if found is not None:
            positions, probs = found
            labels = self.index.labels[positions]
            paths = [self.index.source.path(i) for i in positions.tolist()]
            whole = combine(probs, how, weights)
            ensemble = write_test(cv, paths, labels, whole, self.index.classes)
            none = positions[:0]
            alone = score(labels, probs[self.each.index(best)], self.index.classes)
            split = Split(test=self.folds.test(), train=none, val=none)
            lost = {i: bad[i] for i in split.test.tolist() if i in bad}
            write_bad(self.cv, self.index, split, lost, quarantine=False)
        summary = self._summary(best, oof, ensemble, alone)
        write_words(cv, summary)
        metrics = {"format": 1, "best_epoch": None, "val": oof}
        metrics |= {} if ensemble is None else {"test": ensemble, "best_fold_test": alone}
        write_json(cv / "cv_summary.json", summary)
        write_json(cv / "metrics.json", metrics)
        page = write_cv_page(cv, read=picture_reader(self.index), state="finished")
        set_state(self.cv, "finished", epochs=self.settings.train.epochs)
        show_table(summary)
        console.say(f"report: {page}")
        return metrics

    def _oof(self) -> dict[str, Any]:
        """Write ``oof_predictions.csv``; the scores of each picture's mean over the repeats."""
        repeats, classes = len(self.folds.numbers), self.index.classes
        rows = [(f.number, self.folds.repeat_of(f.number), f.predictions) for f in self.each]
        places = {self.index.source.path(i): i for i in range(len(self.index.source))}
        write_oof(self.cv.path, rows, places, classes, repeats=repeats)
        total = np.zeros((len(places), len(classes)))
        times = np.zeros(len(places))
        for _, _, found in rows:
            where = [places[path] for path in found.paths]
            total[where] += found.probs
            times[where] += 1
        seen = np.flatnonzero(times)
        probs = total[seen] / total[seen].sum(axis=1, keepdims=True)
        return score(self.index.labels[seen], probs, classes)

    def _summary(
        self,
        best: Fold,
        oof: dict[str, Any],
        ensemble: dict[str, Any] | None,
        alone: dict[str, Any] | None,
    ) -> dict[str, Any]:
        sizes = [
            (sum(n for (_, part), n in f.files.counts.items() if part == "train"), f.val["n"])
            for f in self.each
        ]
        rows = [
            {
                "fold": fold.number,
                "repeat": self.folds.repeat_of(fold.number),
                "run": fold.run.name,
                "epochs": len(fold.files.history),
                "best_epoch": fold.files.metrics.get("best_epoch"),
                "n_train": n_train,
                "n_val": n_val,
                "val": {k: v for k, v in fold.val.items() if not isinstance(v, dict)},
            }
            for fold, (n_train, n_val) in zip(self.each, sizes, strict=True)
        ]
        ratio = sum(n_val for _, n_val in sizes) / max(1, sum(n_train for n_train, _ in sizes))
        return {
            "format": 1,
            "folds": rows,
            **over_folds([fold.val for fold in self.each], ratio=ratio),
            "best_fold": best.number,
            "monitor": self.monitor,
            "ensemble": {"how": self.settings.cv.ensemble, "oof": oof, "test": ensemble},
            "best_fold_test": alone,
        }
