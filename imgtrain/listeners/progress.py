"""What a person sees while a model trains: a live display, or one plain line an epoch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from imgtrain import console
from imgtrain.events import EpochEnded, Evaluating, Event, RunEnded, RunStarted, StepEnded

Row = Mapping[str, int | float | None]
_RECENT = 8
"""Epochs whose rows the live table shows."""


def percent(value: float | None) -> str:
    """``93.4 %``, or a dash."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def number(value: float | None) -> str:
    """Four digits, or a dash."""
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"


def epoch_line(row: Row, epochs: int) -> str:
    """One epoch in words, for logs."""
    words = [
        f"epoch {row['epoch']}/{epochs}",
        f"train loss {number(row['train_loss'])}",
        f"train top-1 {percent(row['train_top1'])}",
    ]
    if row.get("val_loss") is not None:
        words += [
            f"val loss {number(row['val_loss'])}",
            f"val top-1 {percent(row['val_top1'])}",
            f"val macro F1 {percent(row['val_macro_f1'])}",
        ]
    words.append(f"{row['images_per_second']:.0f} images/s")
    if row.get("image_size") is not None:
        words[-1] += f" at {row['image_size']} px"
    return "  ".join(words) + ("  (best)" if row["is_best"] else "")


class PlainLines:
    """One line an epoch, for files and pipes."""

    def __call__(self, event: Event) -> None:
        """Say what ended."""
        if isinstance(event, EpochEnded):
            console.say(epoch_line(event.row, event.epochs))


class Display:
    """Bars over epochs and steps, the newest numbers, and a table of the last epochs."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[count]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            expand=True,
            console=console.console(),
        )
        self._all = self._bars.add_task("training", total=None, count="")
        self._epoch = self._bars.add_task("this epoch", total=None, count="")
        self._rows: list[Row] = []
        self._now = Text("loading pictures ...")
        self._epochs, self._per_epoch = 1, 1

    def __rich__(self) -> RenderableType:
        """The whole display."""
        parts: list[RenderableType] = [self._bars, self._now]
        return Group(self._table(), *parts) if self._rows else Group(*parts)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="dim")
        heads = (
            "epoch",
            "lr",
            "train loss",
            "train",
            "val loss",
            "val",
            "macro F1",
            "images/s",
            "",
        )
        for head in heads:
            table.add_column(head, justify="right" if head else "left")
        best = max((int(row["epoch"] or 0) for row in self._rows if row["is_best"]), default=None)
        for row in self._rows[-_RECENT:]:
            leads = row["epoch"] == best
            table.add_row(
                str(row["epoch"]),
                f"{row['lr']:.2e}",
                number(row["train_loss"]),
                percent(row["train_top1"]),
                number(row["val_loss"]),
                percent(row["val_top1"]),
                percent(row["val_macro_f1"]),
                f"{row['images_per_second']:.0f}",
                "* best" if leads else "",
                style="bold" if leads else "",
            )
        return table

    def __call__(self, event: Event) -> None:
        """Show the event."""
        match event:
            case RunStarted():
                self._start(event)
            case StepEnded():
                self._step(event)
            case Evaluating():
                self._now = Text(f"scoring {event.part}: batch {event.batch} of {event.batches}")
            case EpochEnded():
                self._rows.append(event.row)
                self._now = Text(f"epoch {event.epoch} is saved")
                console.log_only(epoch_line(event.row, event.epochs))
            case RunEnded():
                pass
        self._live.refresh()

    def _start(self, event: RunStarted) -> None:
        self._rows = list(event.history)
        self._epochs, self._per_epoch = event.epochs, event.steps_per_epoch
        self._move(event.epoch, event.step)

    def _move(self, epoch: int, step: int) -> None:
        """Both bars to this step of this epoch."""
        total = self._epochs * self._per_epoch
        done = (epoch - 1) * self._per_epoch + step
        shown = f"epoch {min(epoch, self._epochs)} of {self._epochs}"
        self._bars.update(self._all, total=total, completed=done, count=shown)
        shown = f"step {step} of {self._per_epoch}"
        self._bars.update(self._epoch, total=self._per_epoch, completed=step, count=shown)

    def _step(self, event: StepEnded) -> None:
        self._epochs = event.epochs or self._epochs
        self._move(event.epoch, event.step)
        self._now = Text(
            f"loss {number(event.train_loss)}   top-1 {percent(event.train_top1)}   "
            f"lr {event.lr:.2e}   {event.images_per_second:.0f} images/s   "
            f"{event.memory_mb:,.0f} MB"
        )


@contextlib.contextmanager
def progress() -> Iterator[Callable[[Event], None]]:
    """A listener for people: live on a terminal, plain lines elsewhere."""
    if not console.is_live():
        yield PlainLines()
        return
    with Live(console=console.console(), auto_refresh=False, transient=False) as live:
        display = Display(live)
        live.update(display)
        yield display
