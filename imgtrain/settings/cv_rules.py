"""Rules of cross-validation; each names the flags concerned and the way out."""

from __future__ import annotations

from imgtrain.errors import SettingsError


def check_folds(
    *, folds: int, repeats: int, fold: int | None, parallel: int, has_file: bool
) -> None:
    """There are folds to train on and to validate, and the one that is asked for is one of them.

    Raises:
        SettingsError: With the flag concerned.
    """
    if folds == 1:
        raise SettingsError(
            "--folds 1 is a single training: nothing is cut, nothing compared",
            "imgtrain train does that; --folds begins at 2",
        )
    total = folds * repeats
    if fold is not None and not has_file and fold > total:
        raise SettingsError(
            f"--fold {fold} is beyond the last, {total}", "folds count from 1, over all repeats"
        )
    if fold is not None and parallel > 1:
        raise SettingsError(
            f"--fold {fold} trains one fold, --parallel {parallel} several at once",
            "leave out one of them",
        )
    if not has_file and parallel > total:
        raise SettingsError(
            f"--parallel {parallel} is more than there are folds, {total}", "lower it"
        )
