"""The classical models: how each is made, which variants are tried, and how they are compared."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imgtrain.errors import DataError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

FOLDS = 5
"""Parts of the training pictures by which the probabilities of ``svm`` are calibrated, at most."""

_GRIDS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "logreg": {"C": (1.0, 0.01, 0.1, 10.0)},
    "svm": {"C": (10.0, 1.0, 100.0)},
    "forest": {"min_samples_leaf": (1, 3)},
    "knn": {"n_neighbors": (5, 1, 3, 11)},
    "gbdt": {"max_leaf_nodes": (31, 7)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all variants of a model share.

    Args:
        kind: One of ``ESTIMATORS``.
        standardise: Whether features are brought to mean 0 and variance 1; pixels share a unit.
        class_weight: What each class counts, by its number; None: all the same.
        seed: Of what is drawn.
        threads: How many cores it may take.
    """

    kind: str
    standardise: bool
    class_weight: Mapping[int, float] | None
    seed: int
    threads: int


def variants(kind: str) -> Iterator[dict[str, Any]]:
    """Parameters to try, the usual ones first."""
    ((name, values),) = _GRIDS[kind].items()
    for value in values:
        yield {name: value}


def make(plan: Plan, parameters: Mapping[str, Any], labels: Ints) -> Any:
    """An estimator with probabilities, not fitted yet.

    Those of support vectors come from their decisions by temperature scaling (Guo et al. 2017),
    the temperature learnt on folds of the training pictures; the order of the classes stays.

    Raises:
        DataError: If a class has too few pictures for that.
    """
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    weights = None if plan.class_weight is None else dict(plan.class_weight)
    scale = [StandardScaler()] if plan.standardise else []
    match plan.kind:
        case "logreg":
            return make_pipeline(
                *scale, LogisticRegression(**parameters, class_weight=weights, max_iter=2000)
            )
        case "svm":
            inner = make_pipeline(*scale, SVC(**parameters, class_weight=weights))
            folds = _folds(labels)
            return CalibratedClassifierCV(inner, method="temperature", cv=folds, ensemble=False)
        case "forest":
            return RandomForestClassifier(
                300,
                **parameters,
                class_weight=weights,
                random_state=plan.seed,
                n_jobs=plan.threads,
            )
        case "knn":
            nearest = KNeighborsClassifier(
                **parameters, algorithm="brute", n_jobs=plan.threads
            )  # trees lose in more than a few dimensions
            return make_pipeline(*scale, nearest)
    return HistGradientBoostingClassifier(
        **parameters,
        max_iter=100,
        early_stopping=False,
        class_weight=weights,
        random_state=plan.seed,
    )


def _folds(labels: Ints) -> int:
    counts = np.bincount(labels)
    fewest = int(counts[counts > 0].min())
    if fewest < 2:  # noqa: PLR2004  # one fold learns, the other is judged
        raise DataError(
            "--model sklearn:svm learns its probabilities on folds of the training pictures: "
            "every class needs two of them, and one has a single one",
            "add pictures, or take another model, such as sklearn:logreg",
        )
    return min(FOLDS, fewest)


def fitted(plan: Plan, parameters: Mapping[str, Any], features: Floats, labels: Ints) -> Any:
    """The estimator after seeing the training pictures, (N, D) and (N,).

    Whatever number of threads fitted it, one thread asks it: so sums have one order.
    """
    from sklearn.exceptions import ConvergenceWarning

    estimator = make(plan, parameters, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # close to the best is good enough
        estimator.fit(features, labels)
    jobs = [key for key in estimator.get_params() if key.endswith("n_jobs")]
    estimator.set_params(**dict.fromkeys(jobs))
    return estimator


def log_probabilities(estimator: Any, features: Floats, classes: int) -> Floats:
    """Logarithms of every class's probability, (N, C); minus infinity for a class never seen."""
    found = np.zeros((len(features), classes), np.float32)
    if len(features):
        found[:, estimator.classes_] = estimator.predict_proba(features)
    with np.errstate(divide="ignore"):
        logs: Floats = np.log(found)
    return logs


@dataclass(frozen=True, slots=True)
class Trial:
    """A variant and how good it was on the validation part; None where there was none."""

    parameters: Mapping[str, Any]
    val_top1: float | None = None
    val_macro_f1: float | None = None
    val_loss: float | None = None

    def __str__(self) -> str:
        """``C=10: val top-1 98.3 %, val loss 0.0512``."""
        name = ", ".join(f"{key}={value:g}" for key, value in self.parameters.items())
        if self.val_top1 is None:
            return name
        return f"{name}: val top-1 {100 * self.val_top1:.1f} %, val loss {self.val_loss:.4f}"


def judged(parameters: Mapping[str, Any], probs: NDArray[np.float64], labels: Ints) -> Trial:
    """Scores of probabilities (N, C) on the validation part."""
    from imgtrain.metrics.calibration import log_loss
    from imgtrain.metrics.confusion import confusion_matrix, macro_f1

    if not len(labels):
        return Trial(parameters)
    predicted = probs.argmax(axis=1)
    matrix = confusion_matrix(labels, predicted, probs.shape[1])
    return Trial(
        parameters,
        float((predicted == labels).mean()),
        float(macro_f1(matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0))),
        log_loss(labels, probs),
    )


def is_better(trial: Trial, best: Trial | None, monitor: str) -> bool:
    """Whether it beats the best so far; of equals, the one with the lower loss, then the first."""
    if best is None or trial.val_loss is None or best.val_loss is None:
        return best is None
    sign = -1 if monitor == "val_loss" else 1
    mine, theirs = (sign * getattr(each, monitor) for each in (trial, best))
    return bool((mine, -trial.val_loss) > (theirs, -best.val_loss))
