"""Weights & Biases: a run of its client, whose files lie in the run's own folder, ``wandb/``."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from imgtrain import console
from imgtrain.registry import Tracker
from imgtrain.tracking.told import (
    Ended,
    Hears,
    Numbers,
    Outcome,
    Parameters,
    Told,
    Tracked,
)

_SECONDS = 45.0
"""What the client may take to send what is left."""


def _settings(run: Tracked) -> Any:
    """Quiet, out of the way of stdout and stderr; the rest is the user's, by ``WANDB_*``.

    The command is not copied: it may tell secrets.
    """
    import wandb

    return wandb.Settings(
        console="off",
        silent=True,
        finish_timeout=_SECONDS,
        init_timeout=20,
        x_disable_meta=True,
        x_save_requirements=False,
        **({"mode": "offline"} if run.offline else {}),
    )


@contextmanager
def _hooks_kept() -> Iterator[None]:
    """Starting its service replaces two functions of Python's, to learn of the exit code."""
    leave, hook = sys.exit, sys.excepthook
    try:
        yield
    finally:
        sys.exit, sys.excepthook = leave, hook


def _check_key(run: Tracked) -> None:
    """Without a key its client would ask for one, under the display of a training.

    Raises:
        RuntimeError: If there is none.
    """
    import wandb

    mode = "offline" if run.offline else wandb.setup().settings.mode
    if mode in ("online", "run", "shared") and not wandb.login(prompt=False):
        raise RuntimeError("there is no API key: type wandb login, or set WANDB_MODE=offline")


def _begun(run: Tracked) -> Any:
    import wandb

    identifier = str(run.known.get("id") or os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:12])
    run.remember({"id": identifier})
    group = run.group and run.group.name
    with _hooks_kept():
        _check_key(run)
        own = wandb.init(
            id=identifier,
            resume="allow",
            reinit="create_new",
            dir=run.folder,
            project=run.settings.project or os.environ.get("WANDB_PROJECT") or "imgtrain",
            entity=run.settings.entity,
            name=os.environ.get("WANDB_NAME") or run.name,
            group=group or os.environ.get("WANDB_RUN_GROUP"),
            job_type=run.job,
            settings=_settings(run),
        )
    console.say(f"wandb    {own.url or f'offline; wandb sync {run.folder}/wandb/offline-run-*'}")
    return own


class _Client:
    """What is sent for each thing that is told."""

    def __init__(self, run: Tracked, own: Any) -> None:
        self._run, self._own, self._is_over = run, own, False

    def __call__(self, told: Told) -> None:
        match told:
            case Parameters():
                self._own.config.update(dict(told.values), allow_val_change=True)
            case Numbers(of="end"):
                self._own.summary.update(dict(told.values))
            case Numbers():
                self._own.log(dict(told.values), step=told.step)
            case Outcome():
                self._outcome(told)
            case Ended():
                self._ended(told)
            case _:
                pass

    def _outcome(self, told: Outcome) -> None:
        import io

        import wandb
        from PIL import Image

        for path in told.files:
            self._own.save(path, base_path=self._run.folder, policy="now")
        shown = {}
        for picture in told.pictures:
            with Image.open(io.BytesIO(picture.data)) as image:
                shown[picture.name] = wandb.Image(image.convert("RGB"), caption=picture.caption)
        if shown:
            self._own.log(shown)

    def _ended(self, told: Ended) -> None:
        self._own.summary.update({"state": told.state, "error": told.error or None})
        if told.state != "finished":
            self._own.tags = (*(self._own.tags or ()), told.state)
        self._is_over = True
        self._own.finish(exit_code=told.exit_code)

    def close(self) -> None:
        """Whatever happened, the client's own run does not stay open."""
        if not self._is_over:
            self._own.finish(exit_code=1)


@contextmanager
def _open(run: Tracked) -> Iterator[Hears]:
    client = _Client(run, _begun(run))
    try:
        yield client
    finally:
        client.close()


TRACKER = Tracker(_open, ("wandb",))
