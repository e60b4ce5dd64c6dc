"""``imgtrain evaluate``: trained models scored on labelled pictures, from start to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtrain import console
from imgtrain.continuing import read_saved
from imgtrain.data.listing import count
from imgtrain.errors import DataError, ImgtrainError, SettingsError
from imgtrain.evaluating.answers import Answers, ask
from imgtrain.evaluating.asked import Asked, Evaluation, Run
from imgtrain.evaluating.calibrating import (
    before_and_after,
    calibrate,
    refuse_learnt,
    refuse_several,
    reheated,
)
from imgtrain.evaluating.goals import threshold_for
from imgtrain.evaluating.pictures import Labelled, Own, read_given, read_own
from imgtrain.evaluating.places import Subject, place_of, subjects
from imgtrain.evaluating.seen import warn_of_seen
from imgtrain.evaluating.slicing import check_columns, slices_of
from imgtrain.evaluating.writing import write_evaluation
from imgtrain.loading.corruptions import Corruption, all_corruptions
from imgtrain.loading.tta import check_views
from imgtrain.metrics.groups import macro_f1_of, robustness
from imgtrain.predictor import Predictor, load


def evaluate(
    run: Run | Sequence[Run] | None = None,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    calibrate: bool = False,
    to: str | Path | None = None,
) -> Evaluation:
    """Score a model on labelled pictures, as ``imgtrain evaluate`` does.

    Args:
        run: A run, a cross-validation, a ``model.safetensors``, or a list of such; the newest run
            if not given.
        data: Labelled pictures; the run's own if not given.
        split: The part; ``test`` if not given.
        calibrate: Whether a temperature is fitted and stored first.
        to: Folder of the evaluation, if not the run's.

    Raises:
        ImgtrainError: One of its kinds, with a message for the user.
    """
    runs = () if run is None else (run,) if isinstance(run, str | Path) else tuple(run)
    return evaluate_asked(
        Asked(
            runs=runs,
            data=None if data is None else str(data),
            split=split,
            calibrate=calibrate,
            to=None if to is None else Path(to),
        )
    )


def evaluate_asked(asked: Asked) -> Evaluation:
    """Score a model on labelled pictures, and write all about it.

    Raises:
        ImgtrainError: One of its kinds, with a message for the user.
    """
    which = subjects(asked.runs, asked.output)
    predictor = load(
        [each.path for each in which],
        output=asked.output,
        hardware=asked.hardware,
        ensemble=asked.ensemble,
        folds=False,
    )
    return _Work(asked, which, predictor).done()


@dataclass(slots=True)
class _Work:
    """An evaluation whose model is there."""

    asked: Asked
    which: tuple[Subject, ...]
    predictor: Predictor
    own_: Own | None = None

    def done(self) -> Evaluation:
        """Score, and write."""
        asked, classes = self.asked, self.predictor.classes
        if asked.goal is not None:
            asked.goal.check(classes)
        self._check_views()
        pictures = self._pictures()
        columns = check_columns(pictures.index, asked.slices)
        place = place_of(
            asked.to, self.which, asked.output, name=pictures.name, data=pictures.index.root
        )
        judges = self._judges() if asked.goal is not None else None
        calibrated = self._calibrated(pictures) if asked.calibrate else None
        seen = self._seen(pictures)
        changes = all_corruptions() if asked.corrupt else []
        answers = ask(self.predictor, pictures, tta=asked.tta, changes=changes)
        _tell_bad(answers)
        if calibrated is not None:
            before, after = calibrated["temperature"]
            cold = reheated(answers, before=before, after=after)
            scored = before_and_after(cold, answers.probs, answers.labels)
            calibrated = calibrated | {"scored": scored}
        more: dict[str, Any] = {"calibrated": calibrated, "threshold": {}}
        if asked.goal is not None and judges is not None:
            chosen_on = ask(self.predictor, judges, tta=asked.tta)
            more["threshold"] = threshold_for(asked.goal, chosen_on, answers, classes)
        more |= {
            "slices": slices_of(answers, columns, all_=bool(asked.slices)),
            **_corrupted(answers, changes),
        }
        about = self._about(pictures, answers, seen)
        metrics = write_evaluation(place, answers, classes, about=about, more=more)
        return Evaluation(place, metrics)

    @property
    def run(self) -> Subject:
        """Whose own pictures count: the first."""
        return self.which[0]

    def own(self) -> Own:
        """The pictures of the run.

        Raises:
            DataError: If there is no run, or they are gone.
        """
        if self.run.run is None:
            raise DataError(
                f"{self.run.path} belongs to no run, so that it has no pictures of its own",
                "name labelled pictures with --data PATH",
            )
        if self.own_ is None:
            self.own_ = read_own(self.run.run)
        return self.own_

    def _pictures(self) -> Labelled:
        """What is scored; with ``--calibrate --data`` the run's own test part, where there is."""
        asked, classes = self.asked, self.predictor.classes
        if asked.data is None:
            return self.own().part(asked.split or "test", classes)
        if asked.calibrate and self.run.run is not None:
            try:
                return self.own().part("test", classes)
            except ImgtrainError as error:
                console.warn(f"{error.message}: the calibration pictures themselves are scored")
        return read_given(asked.data, asked.split, classes, self.run.run)

    def _judges(self) -> Labelled:
        """The part that thresholds are chosen on.

        Raises:
            SettingsError: If the run has none.
        """
        own, classes = self.own(), self.predictor.classes
        for part in ("calibration", "val"):
            if len(own.parts.get(part, ())):
                if part == "val":
                    console.say(
                        "the threshold is chosen on the val part, which chose the best epoch, too; "
                        "a training with --calibration-fraction has a better one"
                    )
                return own.part(part, classes)
        raise SettingsError(
            f"{own.run.path} has neither a calibration nor a val part to choose a threshold on",
            "train with --calibration-fraction 0.1",
        )

    def _calibrated(self, scored: Labelled) -> dict[str, Any]:
        """Fit and store the temperature.

        Raises:
            SettingsError: If there is nothing to fit, or nothing to fit it on.
        """
        asked, predictor = self.asked, self.predictor
        file = self._calibrated_file()
        if asked.data is None:
            return calibrate(predictor, file, self._kept_apart())
        given = read_given(asked.data, asked.split, predictor.classes, self.run.run)
        if given.run is not None:  # the run's own pictures: it has a part for this, or none
            return calibrate(predictor, file, self._kept_apart())
        refuse_learnt(given, self._own_if_any())
        if scored.run is None:
            console.warn("the scores are of the calibration pictures themselves: they flatter")
        return calibrate(predictor, file, given)

    def _calibrated_file(self) -> Path:
        """The one file of weights that may be told a temperature."""
        refuse_several(len(self.predictor.members))
        if self.asked.tta is not None:
            raise SettingsError(
                f"--calibrate is about single views, and --tta {self.asked.tta} averages several",
                "leave out one of them",
            )
        file = self.run.weights or self.run.path
        if file.suffix != ".safetensors":
            raise SettingsError(
                f"--calibrate changes what a model.safetensors says, and {file} is none",
                "calibrate a single run; what was exported from it is exported again",
            )
        return file

    def _kept_apart(self) -> Labelled:
        """The run's own calibration part."""
        own = self.own()
        if not len(own.parts.get("calibration", ())):
            raise SettingsError(
                f"{own.run.path} has no calibration part",
                "train with --calibration-fraction 0.1, or give labelled pictures that were "
                "kept apart: --data PATH --calibrate",
            )
        return own.part("calibration", self.predictor.classes)

    def _own_if_any(self) -> Own | None:
        try:
            return self.own()
        except ImgtrainError:
            console.warn("whether the model learnt from some of these pictures cannot be told")
            return None

    def _seen(self, pictures: Labelled) -> dict[str, dict[str, int]]:
        recipe = self.predictor.recipe
        temperature = 1.0 if recipe is None else recipe.temperature
        found = {
            str(each.path): warn_of_seen(pictures, each.run, temperature=temperature)
            for each in self.which
            if each.run is not None
        }
        return {run: parts for run, parts in found.items() if parts}

    def _check_views(self) -> None:
        if self.run.run is not None and self.asked.tta is not None:
            augment = read_saved(self.run.run).augment
            check_views(augment.model_copy(update={"tta": self.asked.tta}))

    def _about(
        self, pictures: Labelled, answers: Answers, seen: Mapping[str, Any]
    ) -> dict[str, Any]:
        recipe = self.predictor.recipe
        return {
            "format": 1,
            "name": pictures.name,
            "runs": [str(each.path) for each in self.which],
            "data": pictures.index.root,
            "part": pictures.part,
            "tta": self.asked.tta,
            "ensemble": None if recipe is not None else self.predictor.how,
            "temperature": None if recipe is None else recipe.temperature,
            "unreadable": len(answers.bad),
            "seen": dict(seen),
        }


def _corrupted(answers: Answers, changes: Sequence[Corruption]) -> dict[str, Any]:
    """Scores by kind and severity."""
    classes, labels = answers.probs.shape[1], answers.labels
    rows = [
        {
            "kind": change.kind,
            "severity": change.severity,
            "top1": float((found == labels).mean()),
            "macro_f1": macro_f1_of(labels, found, classes),
        }
        for change, found in zip(changes, answers.changed, strict=True)
    ]
    clean = float((answers.probs.argmax(axis=1) == labels).mean())
    return {"corruptions": rows, "robustness": robustness(clean, rows) if rows else None}


def _tell_bad(answers: Answers) -> None:
    for path, reason in answers.bad[:3]:
        console.warn(f"cannot read {path}: {reason}")
    if answers.bad:
        console.warn(
            f"{count(len(answers.bad), 'picture')} cannot be read and "
            f"{'does' if len(answers.bad) == 1 else 'do'} not count: see bad_images.csv"
        )
