"""The range test in a process of its own, for ``find-lr`` and ``--lr find``.

The weights that it spends, and whatever diverges, end with that process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgtrain import console, errors
from imgtrain.children import Outcome, in_child
from imgtrain.engine.lr_curve import FEWEST, LrCurve, rates_between
from imgtrain.engine.lr_range import range_test
from imgtrain.engine.world import World
from imgtrain.errors import ImgtrainError, MemoryLimitError, SettingsError, is_out_of_memory
from imgtrain.opening import name_of
from imgtrain.preparing import prepare_alone
from imgtrain.report.range_test import write_range_test
from imgtrain.settings.layers import Loaded, flatten, from_flat
from imgtrain.settings.schema import Settings


@dataclass(frozen=True, slots=True)
class Span:
    """The rates that are tried, in equal ratios, one a step."""

    low: float = 1e-7
    high: float = 10.0
    steps: int = 100

    def __str__(self) -> str:
        """For people."""
        return f"from {self.low:g} to {self.high:g} in {self.steps} steps"


@dataclass(frozen=True, slots=True)
class Found:
    """What a range test found, and of what.

    Args:
        curve: The losses.
        optimizer: Whose rate it is.
        batch: Effective batch.
        micro: ``train.batch_size``, as given or, where that was open, as found.
        name: What a run of the same settings would be called.
        what: Model, optimizer, batch and device in one line.
    """

    curve: LrCurve
    optimizer: str
    batch: int
    micro: int
    name: str
    what: str

    @property
    def rate(self) -> float | None:
        """The suggestion, with two digits: the test knows no more."""
        valley = self.curve.valley
        return None if valley is None else float(f"{valley.rate:.2g}")

    @property
    def sentence(self) -> str:
        """The result in words."""
        curve, valley = self.curve, self.curve.valley
        end = f"{'diverged' if curve.blew_up else 'ended'} at {curve.rates[-1]:.2g}"
        if valley is None:
            return (
                f"no clear minimum: the loss did not fall by more than its noise (the test {end}); "
                "try more steps, other rates or a larger batch"
            )
        return (
            f"learning rate {self.rate:g}: the loss falls from {valley.begin:.2g} on, is lowest at "
            f"{valley.lowest:.2g}, and the test {end}"
        )

    def write(self, folder: Path, plots: Path) -> None:
        """Write ``lr_find.csv`` and ``.json`` into ``folder``, ``lr_find.png`` into ``plots``."""
        write_range_test(folder, plots, self.curve, self.to_dict(), self.sentence)

    def to_dict(self) -> dict[str, Any]:
        """For programs; what is undefined is None."""
        curve, valley = self.curve, self.curve.valley
        return {
            "format": 1,
            "lr": self.rate,
            "begin": valley and valley.begin,
            "lowest": valley and valley.lowest,
            "diverged": curve.rates[-1] if curve.blew_up else None,
            "optimizer": self.optimizer,
            "batch": self.batch,
            "steps": len(curve.rates),
        }


def checked_span(low: float, high: float, steps: int) -> Span:
    """The span of these options.

    Raises:
        SettingsError: If the rates do not rise, or the steps are too few.
    """
    if not 0 < low < high < math.inf:
        raise SettingsError(
            f"--from {low:g} and --to {high:g} are no rising rates above 0",
            "as in --from 1e-6 --to 1",
        )
    if steps < FEWEST:
        raise SettingsError(
            f"--steps {steps} are too few to tell a fall from noise", f"take at least {FEWEST}"
        )
    return Span(low, high, steps)


def check_rate_is_open(loaded: Loaded) -> None:
    """A rate in a file gives way; one that was typed contradicts the test.

    Raises:
        SettingsError: If it was typed.
    """
    rate = loaded.settings.optim.lr
    if loaded.origins["optim.lr"].startswith("flag") and isinstance(rate, float):
        raise SettingsError(
            f"--lr {rate:g} sets the rate that find-lr looks for",
            "leave it out; --from and --to set the range",
        )


def find_rate(settings: Settings, span: Span | None = None) -> Found:
    """Test a range of learning rates with the steps of a training that ``settings`` describe.

    One process tests for all: what counts is the effective batch, which it reaches by accumulation.

    Raises:
        ImgtrainError: As the training itself would.
    """
    span = span or Span()
    ask = {
        "settings": flatten(_alone(settings)),
        "span": [span.low, span.high, span.steps],
    }
    with _shown(span.steps) as hear:
        outcome = in_child(_measure, ask, environment=_ALONE, hear=hear)
    found = _checked(outcome)
    curve = LrCurve.from_dict(found["curve"])
    batch, micro = found["batch"], found["micro"]
    return Found(curve, settings.optim.name, batch, micro, found["name"], found["what"])


def settle_rate(settings: Settings, world: World) -> tuple[Settings, Found | None]:
    """``--lr find``: the suggestion in its place, the same in all processes; else nothing happens.

    Where there is no clear minimum the rate becomes ``auto``, and a warning says so. A batch that
    was open is the one that the rate was found for.

    Raises:
        SettingsError: If several processes are to look for their batch, too.
    """
    if settings.optim.lr != "find":
        return settings, None
    if settings.train.batch_size == "auto" and world.size > 1:
        raise SettingsError(
            "--lr find tests in one process, --batch-size auto looks for what fits into each of "
            f"{world.size}",
            "give --batch-size the number that imgtrain find-batch-size recommends",
        )
    if world.is_first:
        console.say(f"--lr find: testing learning rates {Span()}")
    found = world.from_first(lambda: find_rate(settings))
    if found.rate is None:
        console.warn(f"--lr find: {found.sentence}. Training with --lr auto instead")
    else:
        console.say(f"--lr find: {found.sentence}")
    decided = {"optim.lr": found.rate or "auto", "train.batch_size": found.micro}
    return from_flat(flatten(settings) | decided), found


_NO_ROOM = (
    "out of memory while testing learning rates",
    "lower --batch-size (--accumulation-steps keeps the effective batch)",
)
_KILLED = -9
"""By the kernel, for want of memory: nobody else does."""

_ALONE = {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0"}


def _alone(settings: Settings) -> Settings:
    """The same steps in one process, and nothing that only a whole training has."""
    hardware, train = settings.hardware, settings.train
    flat = flatten(settings)
    gpus = hardware.gpus
    processes = len(gpus) if gpus else hardware.processes
    flat |= {
        "optim.lr": "auto",
        "schedule.name": "constant",
        "schedule.milestones": None,
        "schedule.warmup_epochs": 0.0,
        "schedule.warmup_steps": None,
        "schedule.warmup_fraction": None,
        "schedule.warmup_lr": 0.0,
        "schedule.min_lr": 0.0,
        "train.budget": None,
        "train.realised": None,
        "train.average_last": None,
        "train.ema": False,
        "train.patience": None,
        "train.target_metric": None,
        "hardware.gpus": None if gpus is None else [gpus[0]],
        "hardware.processes": 1,
        "hardware.sync_bn": False,
        "hardware.fsdp": False,
        "hardware.max_restarts": 0,
        "hardware.compile": False,
        "hardware.memory_profile": False,
    }
    if settings.data.on_leak != "fix":  # the training itself looks
        flat["data.on_leak"] = "off"
    if train.global_batch_size is None:
        flat["train.accumulation_steps"] = train.accumulation_steps * processes
    return from_flat(flat)


def _measure(ask: dict[str, Any]) -> dict[str, Any]:
    """The child's side."""
    console.silence()
    try:
        with ExitStack() as stack:
            ready = prepare_alone(from_flat(ask["settings"]), stack)
            state, low_high_steps = ready.state, ask["span"]
            curve = range_test(state, rates_between(*low_high_steps), watch=_tell)
            recipe, batches = ready.recipe, state.batches
            return {
                "curve": curve.to_dict(),
                "batch": batches.effective,
                "micro": ready.settings.train.batch_size,
                "name": name_of(ready.settings, ready.index),
                "what": f"{recipe.architecture} at {recipe.preprocess.size} px, "
                f"{ready.settings.optim.name}, batch {batches.effective}, {state.compute}",
            }
    except ImgtrainError as error:
        return {"error": [type(error).__name__, error.message, error.hint]}
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return {"error": ["MemoryLimitError", *_NO_ROOM]}


def _tell(step: int, rate: float, loss: float) -> None:
    print(f"{step} {rate:.2g} {loss:.4g}", flush=True)  # noqa: T201  # the parent listens


def _checked(outcome: Outcome) -> dict[str, Any]:
    """What the child returned.

    Raises:
        ImgtrainError: As it was raised there, or because the child had no room.
        RuntimeError: If the child broke.
    """
    found: dict[str, Any] | None = outcome.value
    if found is None:
        if outcome.code == _KILLED:
            raise MemoryLimitError(*_NO_ROOM)
        raise RuntimeError(f"the range test broke (exit code {outcome.code}):\n{outcome.error}")
    if "error" in found:
        kind, message, hint = found["error"]
        raise getattr(errors, kind)(message, hint)
    return found


@contextmanager
def _shown(steps: int) -> Iterator[Callable[[str], None]]:
    """A live bar of the child's steps, where there is a terminal."""
    if not console.is_live():
        yield lambda _: None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"))
    with Progress(*columns, console=console.console(), transient=True) as bar:
        task = bar.add_task("testing learning rates", total=steps, now="starting")

        def hear(line: str) -> None:
            step, rate, loss = line.split()
            bar.update(task, completed=int(step), now=f"lr {rate}  loss {loss}")

        yield hear
