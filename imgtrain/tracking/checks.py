"""What of tracking is refused before any work: a missing package, a socket with --offline."""

from __future__ import annotations

import os
import warnings
from importlib import import_module

from imgtrain.errors import OutsideError, SettingsError
from imgtrain.passwords import without_user
from imgtrain.registry import TRACKERS
from imgtrain.settings.schema import Settings

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}
"""Libraries read these when they are imported: no reports to their makers, no chatter."""

SERVER = "MLFLOW_TRACKING_URI"


def check_trackers(settings: Settings) -> None:
    """Import what the trackers need, so that a missing package is known before training.

    Raises:
        OutsideError: If a package is not there, or cannot be imported.
        SettingsError: If --offline forbids what a tracker has to do.
    """
    if not settings.track.to or os.environ.get("RANK", "0") != "0":
        return  # of several processes the first tracks
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    for name in settings.track.to:
        for package in TRACKERS[name].packages:
            _import(name, package)
    if settings.hardware.offline and "mlflow" in settings.track.to:
        _refuse_server(settings)


def _import(tracker: str, package: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of theirs about each other
            import_module(package)
    except ImportError as error:
        top = package.partition(".")[0]
        missing = isinstance(error, ModuleNotFoundError) and error.name == top
        how = "is not installed" if missing else f"cannot be imported: {error}"
        raise OutsideError(
            f"--track {tracker}: the package {top} {how}",
            f'install it: python -m pip install "imgtrain[{tracker}]"',
        ) from error


def _refuse_server(settings: Settings) -> None:
    own = settings.track.uri
    address = own or os.environ.get(SERVER) or ""
    if "://" not in address and not address.startswith("databricks"):
        return
    if address.startswith(("sqlite:", "file:")):
        return
    who = "--track-uri" if own else SERVER
    raise SettingsError(
        f"--offline opens no socket, and {who} {without_user(address)} is a server's",
        "leave --offline out, or let mlflow write a file: "
        + ("leave --track-uri out" if own else f"unset {SERVER}"),
    )
