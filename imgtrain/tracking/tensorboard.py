"""TensorBoard: event files in the run's own folder, ``tensorboard/``.

The records are TensorBoard's own, written by its own writer of records; torch's summaries give them
their form. ``SummaryWriter`` writes from a second thread, where a full disk is heard of too late.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from imgtrain.registry import Tracker
from imgtrain.tracking.told import (
    Began,
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

_SCORES = (
    "epoch/val_top1",
    "epoch/val_loss",
    "val/top1",
    "val/macro_f1",
    "test/top1",
    "test/macro_f1",
)
_OF_WHOLES = (
    "mean/top1",
    "std/top1",
    "oof/top1",
    "test/top1",
    "best/val_top1",
    "best/val_macro_f1",
)
"""Columns of the table of hyperparameters."""


def _summaries() -> Any:
    """How torch writes TensorBoard's records; without types."""
    from torch.utils.tensorboard import summary

    return summary


class _Events:
    """One file of events."""

    def __init__(self, run: Tracked) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = run.folder / "tensorboard"
        folder.mkdir(exist_ok=True)
        # files are read in the order of their names
        name = f"events.out.tfevents.{time.time():017.6f}.{platform.node()}.{os.getpid()}"
        self._file = (folder / name).open("wb")
        self._records, self._event = RecordWriter(self._file), Event
        self.write(0, file_version="brain.Event:2")

    def write(self, step: int, **what: Any) -> None:
        event = self._event(wall_time=time.time(), step=step, **what)
        self._records.write(event.SerializeToString())

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _Board:
    """What is written for each thing that is told."""

    def __init__(self, run: Tracked, events: _Events) -> None:
        self._run, self._events = run, events
        self._last, self._is_described = 0, bool(run.known)

    def __call__(self, told: Told) -> None:
        match told:
            case Parameters():
                self._parameters(told.values)
            case Began():
                self._goes_on(told.steps)
            case Numbers():
                self._numbers(told)
            case Outcome():
                for picture in told.pictures:
                    self._picture(picture.name, picture.data)
            case Ended():
                self._ended(told)
            case Pause():
                self._events.flush()

    def _goes_on(self, steps: int) -> None:
        """Readers forget what was written of later steps, before a kill."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        if self._is_described:
            self._events.write(steps + 1, session_log=SessionLog(status=SessionLog.START))
        self._is_described, self._last = True, steps
        self._run.remember({"folder": "tensorboard"})

    def _parameters(self, values: Mapping[str, Value]) -> None:
        summary = _summaries()
        title = "best" if any(key.startswith("best.") for key in values) else "parameters"
        rows = "".join(
            f"| {key} | {str(value).replace('|', ' ')} |\n" for key, value in values.items()
        )
        table = f"| parameter | value |\n|---|---|\n{rows}"
        self._events.write(self._last, summary=summary.text(title, table))
        if title == "parameters" and not self._is_described:
            wholes = self._run.job in ("cv", "tune")
            scores = dict.fromkeys(_OF_WHOLES if wholes else _SCORES, 0.0)
            for each in summary.hparams(dict(values), scores)[:2]:
                self._events.write(0, summary=each)

    def _numbers(self, told: Numbers) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._last = max(self._last, told.step)
        values = [Summary.Value(tag=name, simple_value=v) for name, v in told.values.items()]
        self._events.write(told.step, summary=Summary(value=values))

    def _picture(self, name: str, data: bytes) -> None:
        import io

        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
        image = Summary.Image(encoded_image_string=data, width=width, height=height, colorspace=3)
        value = Summary.Value(tag=name, image=image)
        self._events.write(self._last, summary=Summary(value=[value]))

    def _ended(self, told: Ended) -> None:
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

        summary = _summaries()
        session = summary.hparams({}, {})[2]
        if told.state in ("failed", "interrupted"):
            about = session.value[0].metadata.plugin_data
            found = plugin_data_pb2.HParamsPluginData.FromString(about.content)
            found.session_end_info.status = api_pb2.STATUS_FAILURE
            about.content = found.SerializeToString()
        self._events.write(self._last, summary=session)
        text = told.state + (f": {told.error}" if told.error else "")
        self._events.write(self._last, summary=summary.text("state", text))


@contextmanager
def _open(run: Tracked) -> Iterator[Hears]:
    events = _Events(run)
    try:
        yield _Board(run, events)
        events.flush()
    finally:
        events.close()


TRACKER = Tracker(_open, ("tensorboard", "torch.utils.tensorboard"), rewinds=True)
