"""A training's state on disk: whole or absent, and the one before it as a reserve."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from imgtrain import console
from imgtrain.engine.sharding import load_optimizer, load_weights, whole
from imgtrain.engine.state import Progress, TrainState
from imgtrain.engine.syncbn import fewest_at_once
from imgtrain.errors import DiskError, RunError
from imgtrain.files import replacing, sync_folder, write_bytes

FORMAT = 1


class _Remembering:
    """A file that keeps the error which torch's writer would turn into another one."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._handle.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._handle.flush()


def save_tensors(path: Path, value: Mapping[str, Any]) -> None:
    """Write tensors and plain values, atomically.

    Raises:
        DiskError: If the disk is full or cannot be written.
    """
    with replacing(path) as handle:
        file = _Remembering(handle)
        try:
            torch.save(dict(value), file)  # type: ignore[arg-type]  # write and flush are enough
        except RuntimeError as error:
            raise (file.error or error) from error


def load_tensors(path: Path) -> dict[str, Any]:
    """Read what ``save_tensors`` wrote, without running any code in it.

    Raises:
        RunError: If it is broken or not ours.
    """
    try:
        value: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # bytes that are no pickle make its reader raise anything
        reason = (str(error).splitlines() or [""])[0]
        raise RunError(f"{path} is broken or no checkpoint ({reason[:120]})") from error
    found: dict[str, Any] = value if isinstance(value, dict) else {"format": None}
    format_ = found.get("format", 0)
    if not isinstance(format_, int) or format_ > FORMAT:
        raise RunError(f"{path} is no checkpoint of this version of imgtrain")
    return found


SLOTS = {"sgd": 1, "lion": 1, "adam": 2, "adamw": 2, "lamb": 2, "muon": 2}
"""Tensors the size of the weights that an optimizer keeps, at most."""


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Where they lie.
        every: Keep a numbered one each so many epochs; 0 keeps none.
        keep: How many numbered ones stay.
    """

    folder: Path
    every: int
    keep: int

    @property
    def last(self) -> Path:
        """The newest state."""
        return self.folder / "last.pt"

    @property
    def reserve(self) -> Path:
        """The state before the newest."""
        return self.folder / "previous.pt"

    @property
    def best(self) -> Path:
        """Weights of the best epoch."""
        return self.folder / "best.pt"

    def check_room(self, state: TrainState) -> None:
        """Refuse to begin what cannot be saved.

        Raises:
            DiskError: If the disk has less room than the checkpoints will take.
        """
        weights = sum(t.numel() * t.element_size() for t in state.model.state_dict().values())
        slots = SLOTS[type(state.optimizer).__name__.lower()]
        more = (state.ema is not None) + 2 * (state.average is not None)
        full = weights * (1 + slots + more)
        numbered = min(self.keep, state.plan.epochs // self.every) if self.every else 0
        needed = full * (3 + numbered) + weights * 3
        here = sum(f.stat().st_size for f in self.folder.glob("*.pt"))
        free = shutil.disk_usage(self.folder).free + here
        if free < needed:
            raise DiskError(
                f"{self.folder} has {free / 2**20:,.0f} MB free, the run's checkpoints need "
                f"{needed / 2**20:,.0f} MB",
                "free some room, choose another place with --output DIR, or lower --keep",
            )

    def save_last(self, state: TrainState, *, epoch: int | None = None) -> None:
        """Write the state, all processes together; the one before becomes the reserve.

        When ``epoch`` has just ended and it is its turn, the same file stays under its number, too.
        """
        draft = self.folder / "next.pt"
        contents = _contents(state)
        if not state.world.is_first:
            return
        save_tensors(draft, contents)
        if epoch is not None and self.every and epoch % self.every == 0:
            self._keep(draft, epoch)
        if self.last.exists():
            _name_also(self.last, self.reserve)  # at no moment is there no last.pt
        draft.replace(self.last)
        sync_folder(self.folder)

    def save_best(self, state: TrainState) -> None:
        """Write the weights alone, all processes together."""
        epoch = state.progress.best_epoch
        value = {"format": FORMAT, "epoch": epoch, "model": _weights(state.scored)}
        if state.world.is_first:
            save_tensors(self.best, value)

    def _keep(self, draft: Path, epoch: int) -> None:
        """A second name for the file, and only the newest few such names."""
        _name_also(draft, self.folder / f"epoch_{epoch:03d}.pt")
        for old in self._numbered()[: -self.keep]:
            old.unlink(missing_ok=True)

    def _numbered(self) -> list[Path]:
        """The numbered ones, oldest first."""
        return sorted(self.folder.glob("epoch_*.pt"), key=lambda p: int(p.stem[6:]))

    def exist(self) -> bool:
        """Whether there is something to go on from."""
        return any(p.exists() for p in (self.last, self.reserve))

    def restore(self, state: TrainState) -> Path:
        """Go on from the newest state that can be read; return which.

        All processes go on from what the first one read.

        Raises:
            RunError: If none can.
        """
        value, path = state.world.from_first(self._read)
        _apply(state, value, path)
        return path

    def _read(self) -> tuple[dict[str, Any], Path]:
        """The newest state that can be read."""
        problems = []
        for path in (
            self.last,
            self.reserve,
            *reversed(self._numbered()),
        ):
            try:
                value = load_tensors(path)
            except FileNotFoundError:
                continue
            except RunError as error:
                console.warn(f"{error.message}; trying the one before")
                problems.append(path.name)
                continue
            return value, path
        found = ", ".join(problems) or "none is there"
        raise RunError(
            f"no checkpoint in {self.folder} can be read ({found})",
            "start anew with --fresh",
        )


def _name_also(file: Path, name: Path) -> None:
    """A second name for ``file``, in place of what had it; a copy where there are no hard links."""
    link = name.with_name(f".{name.name}.tmp")
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(file)
    except OSError:
        write_bytes(name, file.read_bytes())
        return
    link.replace(name)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return whole({name: tensor.detach() for name, tensor in model.state_dict().items()})


def _contents(state: TrainState) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "model": _weights(state.model),
        "ema": None if state.ema is None else state.ema.state(),
        "average": None if state.average is None else state.average.state(),
        "optimizer": whole(state.optimizer.state_dict()),
        "scale": state.scale.state(),
        "tally": state.tally.state(),
        "progress": state.progress.to_dict(),
        "batch": state.batches.effective,
        "bad": {str(i): reason for i, reason in state.loader.pictures.bad.items()},
    }


def _apply(state: TrainState, value: dict[str, Any], path: Path) -> None:
    try:
        if value["batch"] != state.batches.effective:
            raise RunError(
                f"{path} was trained with an effective batch of {value['batch']}, "
                f"this one is {state.batches.effective}",
                "use the same batch and accumulation, or --fresh",
            )
        load_weights(state.model, value["model"])
        load_optimizer(state.optimizer, value["optimizer"])
        state.scale.load(value.get("scale", {}))
        if state.ema is not None:
            state.ema.load(value["ema"])
        state.progress = Progress.from_dict(value["progress"])
        if state.average is not None:
            state.average.load(value["average"], done=state.progress.epoch - 1)
        most = max(1, state.batches.micro // fewest_at_once(state.model))  # others cut otherwise
        state.batches = replace(state.batches, pieces=min(state.progress.pieces, most))
        state.loader.pictures.bad.update({int(i): why for i, why in value["bad"].items()})
        if state.world.is_first:
            state.tally.load(value["tally"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise RunError(
            f"{path} does not fit this training: {reason}", "start anew with --fresh"
        ) from error
