"""MLflow: a server, or a database file beside the runs; one request carries many numbers."""

from __future__ import annotations

import getpass
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from imgtrain import console
from imgtrain.passwords import without_user
from imgtrain.registry import Tracker
from imgtrain.tracking.checks import SERVER
from imgtrain.tracking.told import (
    Ended,
    Hears,
    Numbers,
    Outcome,
    Parameters,
    Pause,
    Told,
    Tracked,
    Value,
)

_MOST = 1000
"""Numbers of one request; the limits of MLflow's log-batch."""

_MOST_PARAMETERS, _LONGEST = 100, 6000

_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "50",
}
"""Where the user says nothing: a server that is away is not waited for."""

_STATUS = {
    "finished": "FINISHED",
    "pruned": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
_FORBIDDEN = re.compile(r"[^\w\-. :/]")
_PARENT = "mlflow.parentRunId"
_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Lets the page of the experiment show trainings, not conversations."""


def address_of(run: Tracked) -> str:
    """As set, else by MLflow's variable, else where the whole is, else a file beside the runs."""
    text = run.settings.uri or os.environ.get(SERVER) or run.above.get("uri")
    if not text:
        return f"sqlite:///{run.output / 'mlflow.db'}"
    if "://" in text or text.startswith(("databricks", "file:", "uc:")):
        return str(text)
    return f"sqlite:///{Path(text).absolute() / 'mlflow.db'}"


def _let_in(address: str) -> str:
    """The address without whom it lets in, which MLflow's variables are told."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or parts.username is None:
        return address
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return without_user(address)


class _Client:
    """One run there, and what is to be sent at the next pause."""

    def __init__(self, run: Tracked) -> None:
        from mlflow import MlflowClient

        self._run = run
        address = _let_in(address_of(run))
        file = (
            Path(address.removeprefix("sqlite:///")) if address.startswith("sqlite:///") else None
        )
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=address)
        self._id, experiment = self._begun(without_user(address), file)
        where, page = without_user(address), f"/#/experiments/{experiment}/runs/{self._id}"
        console.say(f"mlflow   {where}{page if where.startswith('http') else ''}")
        self._metrics: list[Any] = []

    def _begun(self, shown: str, file: Path | None) -> tuple[str, str]:
        """Goes on with the run that is known, whatever state a kill left it in, or begins one."""
        known = self._run.known
        if known.get("uri") == shown:
            identifier = str(known["id"])
            self._client.update_run(identifier, status="RUNNING")
            self._adopt(identifier)
            return identifier, str(known.get("experiment"))
        tags = {
            "mlflow.source.name": "imgtrain",
            "mlflow.source.type": "LOCAL",
            "mlflow.user": _user(),
            "imgtrain.job": self._run.job,
            "imgtrain.folder": str(self._run.folder),
        }
        if self._run.group is not None:
            tags["imgtrain.group"] = self._run.group.name
        experiment = self._experiment(file)
        found = self._client.create_run(experiment, tags=tags, run_name=self._run.name)
        identifier = str(found.info.run_id)
        self._run.remember({"id": identifier, "uri": shown, "experiment": experiment})
        self._adopt(identifier)
        return identifier, experiment

    def _adopt(self, identifier: str) -> None:
        if self._run.above.get("id"):
            self._client.set_tag(identifier, _PARENT, self._run.above["id"])

    def _experiment(self, file: Path | None) -> str:
        """Its number; it is made where there is none of that name."""
        from mlflow.exceptions import MlflowException

        above = self._run.above.get("experiment")
        if above:
            return str(above)
        name = self._run.settings.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", "imgtrain")
        place = None if file is None else (file.parent / "mlartifacts").absolute().as_uri()
        for _ in range(2):
            found = self._client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            try:
                made = self._client.create_experiment(name, artifact_location=place, tags=_KIND)
                return str(made)
            except MlflowException as error:  # another run made it at the same moment
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        raise RuntimeError(f"the experiment {name!r} was deleted")

    def __call__(self, told: Told) -> None:
        match told:
            case Parameters():
                self._parameters(told.values)
            case Numbers():
                self._numbers(told)
            case Outcome():
                self._outcome(told)
            case Ended():
                self._ended(told)
            case Pause():
                self._send()
            case _:
                pass

    def _parameters(self, values: Mapping[str, Value]) -> None:
        """Once each: MLflow never changes one, so what a longer run has otherwise is a tag."""
        from mlflow.entities import Param

        known = self._client.get_run(self._id).data.params
        texts = {_named(key): str(value)[:_LONGEST] for key, value in values.items()}
        new = [Param(key, text) for key, text in texts.items() if key not in known]
        for at in range(0, len(new), _MOST_PARAMETERS):
            self._client.log_batch(self._id, params=new[at : at + _MOST_PARAMETERS])
        for key, text in texts.items():
            if known.get(key, text) != text:
                self._client.set_tag(self._id, f"now.{key}", text)

    def _numbers(self, told: Numbers) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._metrics += [Metric(_named(k), v, now, told.step) for k, v in told.values.items()]

    def _send(self) -> None:
        for at in range(0, len(self._metrics), _MOST):
            self._client.log_batch(self._id, metrics=self._metrics[at : at + _MOST])
        self._metrics = []

    def _outcome(self, told: Outcome) -> None:
        for path in told.files:
            inside = path.relative_to(self._run.folder).parent.as_posix()
            self._client.log_artifact(self._id, str(path), None if inside == "." else inside)
        for picture in told.pictures:
            if not picture.name.startswith("plots/"):  # which are files
                self._picture(picture.name, picture.data)

    def _picture(self, name: str, data: bytes) -> None:
        """One that is not among the files."""
        place = Path(name)
        with tempfile.TemporaryDirectory(prefix="imgtrain-") as folder:
            file = Path(folder, f"{place.name}.{'png' if data[1:4] == b'PNG' else 'jpg'}")
            file.write_bytes(data)
            self._client.log_artifact(self._id, str(file), place.parent.as_posix())

    def _ended(self, told: Ended) -> None:
        self._send()
        for part in told.parts:
            if part.get("id") and part.get("uri") == self._run_uri():
                self._client.set_tag(str(part["id"]), _PARENT, self._id)
        self._client.set_tag(self._id, "imgtrain.state", told.state)
        if told.error:
            self._client.set_tag(self._id, "imgtrain.error", told.error[:_LONGEST])
        self._client.set_terminated(self._id, _STATUS[told.state])

    def _run_uri(self) -> str:
        return without_user(_let_in(address_of(self._run)))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _named(key: str) -> str:
    """A name that MLflow takes."""
    return _FORBIDDEN.sub("_", key)


@contextmanager
def _open(run: Tracked) -> Iterator[Hears]:
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    yield _Client(run)


TRACKER = Tracker(_open, ("mlflow", "mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store"))
