"""``history.csv`` (one row an epoch) and ``history.jsonl`` (every event), true after any crash."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

from imgtrain.errors import disk_error
from imgtrain.events import EpochEnded, Event, RunEnded, RunStarted, StepEnded
from imgtrain.files import write_csv, write_text

COLUMNS = [
    "epoch",
    "step",
    "lr",
    "train_loss",
    "train_top1",
    "val_loss",
    "val_top1",
    "val_top5",
    "val_macro_f1",
    "is_best",
    "gpu_memory_mb",
    "seconds",
    "images_per_second",
    "image_size",
]


class _History:
    """Rows so far; the files are made anew from them at the start, so none is lost or doubled."""

    def __init__(self, folder: Path) -> None:
        self._csv, self._jsonl = folder / "history.csv", folder / "history.jsonl"
        self._rows: list[dict[str, int | float | None]] = []

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._rows = [dict(row) for row in event.history]
                self._write_csv()
                self._keep_lines(event)
            case StepEnded():
                self._append(
                    "step",
                    epoch=event.epoch,
                    step=event.global_step,
                    lr=event.lr,
                    train_loss=event.train_loss,
                    train_top1=event.train_top1,
                )
            case EpochEnded():
                self._rows.append(dict(event.row))
                self._write_csv()
                self._append("epoch", **event.row)
            case RunEnded():
                self._append("end", reason=event.reason, best_epoch=event.best_epoch)
            case _:
                pass

    def _write_csv(self) -> None:
        write_csv(self._csv, COLUMNS, ([row.get(c) for c in COLUMNS] for row in self._rows))

    def _keep_lines(self, start: RunStarted) -> None:
        """Of an earlier try, keep what lies before the point where training goes on."""
        steps = (start.epoch - 1) * start.steps_per_epoch + start.step
        lines = self._jsonl.read_text(encoding="utf-8").splitlines() if self._jsonl.exists() else []
        kept = [line for line in lines if _is_before(line, start.epoch, steps)]
        write_text(self._jsonl, "".join(f"{line}\n" for line in kept))

    def _append(self, kind: str, **values: object) -> None:
        try:
            with self._jsonl.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"event": kind, **_finite(values)}) + "\n")
        except OSError as error:
            raise disk_error(error, self._jsonl) from error


def _finite(values: dict[str, object]) -> dict[str, object]:
    """JSON knows no NaN: null."""
    return {
        k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()
    }


def _is_before(line: str, epoch: int, steps: int) -> bool:
    """Whether the line tells of an epoch before ``epoch``, or of the first ``steps`` steps."""
    try:
        value = json.loads(line)
    except ValueError:
        return False  # cut off by a crash
    if value.get("event") == "step":
        return bool(value["step"] <= steps)
    return "epoch" in value and bool(value["epoch"] < epoch)


@contextlib.contextmanager
def history(folder: Path) -> Iterator[Callable[[Event], None]]:
    """Keep the history of a run in ``folder``."""
    yield _History(folder)
