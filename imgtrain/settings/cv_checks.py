"""What cross-validation refuses of the settings of a training; each sentence names the flag."""

from __future__ import annotations

from imgtrain.errors import SettingsError
from imgtrain.settings.schema import Settings


def check_cv(settings: Settings) -> None:
    """What a single training may do, and folds that are to be compared may not.

    Raises:
        SettingsError: With the flag concerned.
    """
    train, cv = settings.train, settings.cv
    if train.budget is not None or train.realised is not None:
        raise SettingsError(
            "--budget fits a training to the clock, and folds that are compared must be equally "
            "long",
            "give --epochs; one training alone with --budget shows how many fit",
        )
    if settings.optim.lr == "find":
        raise SettingsError(
            "--lr find tests rates on a split of its own, which may hold pictures of the test part",
            "run imgtrain find-lr once, and give the rate with --lr",
        )
    check_calibration(settings)
    if cv.folds_file is not None and settings.data.on_leak in ("error", "fix"):
        raise SettingsError(
            f"--on-leak {settings.data.on_leak} looks for copies before folds are cut, and "
            "--folds-file has them cut",
            "leave out one of them; imgtrain data validate lists copies",
        )
    if cv.fold is not None and settings.run.fresh:
        raise SettingsError(
            f"--fresh begins a new folder, and --fold {cv.fold} joins the one of the other folds",
            "leave out --fresh; --name gives them all a new folder",
        )
    check_parallel(settings)


def check_calibration(settings: Settings) -> None:
    """Folds keep no part for calibration.

    Raises:
        SettingsError: If one is asked for.
    """
    share = settings.data.calibration_fraction
    if share is not None:
        raise SettingsError(
            f"--calibration-fraction {share:g} keeps pictures out of one training, and folds learn "
            "from all of them",
            "leave it out here; imgtrain train --calibration-fraction with the settings that won",
        )


def check_parallel(settings: Settings) -> None:
    """Each fold that trains at once with others has a device of its own.

    Raises:
        SettingsError: With the flag concerned.
    """
    parallel, hardware = settings.cv.parallel, settings.hardware
    if parallel == 1:
        return
    flag = f"--parallel {parallel}"
    if hardware.processes > 1:
        raise SettingsError(
            f"{flag} gives each fold one process, --processes {hardware.processes} several",
            "leave out one of them",
        )
    if hardware.gpus is not None and len(hardware.gpus) != parallel:
        raise SettingsError(
            f"{flag} wants one GPU a fold, --gpus names {len(hardware.gpus)}",
            f"name {parallel} with --gpus, or ask for --parallel {len(hardware.gpus)}",
        )
    if hardware.device == "mps":
        raise SettingsError(f"{flag} wants one GPU a fold, --device mps is one", "leave it out")
    if hardware.max_restarts:
        raise SettingsError(
            f"{flag} starts no group of processes that --max-restarts could start again",
            "leave out one of them; the same command goes on",
        )
