"""The processes that train together. One process is the special case of many.

Whoever calls these needs no ``if distributed``: with one process they do nothing.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from imgtrain.engine.sharding import exchange_gradients, is_shared_out
from imgtrain.errors import ImgtrainError, OutsideError, SettingsError

T = TypeVar("T")
_CPU = torch.device("cpu")
_LOST = ("Connection closed by peer", "Connection reset by peer", "NCCL communicator was aborted")
"""How gloo and NCCL say that a process is gone."""


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the process at once: torch waits for the others where Python hears nothing.

    Nothing is to be saved yet. One that went on waiting for those that left would stay for minutes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def local_place() -> tuple[int, int]:
    """This process's number on its machine, and how many there are, as a launcher says."""
    found = (os.environ.get("LOCAL_RANK", "0"), os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return int(found[0]), int(found[1])


@dataclass(frozen=True, slots=True)
class World:
    """``size`` processes, of which this one is ``rank`` (from 0); ``hosts`` links their CPUs."""

    rank: int = 0
    size: int = 1
    hosts: Any = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model, its gradients averaged over the processes."""
        if self.size == 1 or is_shared_out(model):
            return model
        ids = [device] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids)

    def unsynced(self, model: nn.Module, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients stay here until the last micro-batch."""
        if self.size == 1:
            return contextlib.nullcontext()
        if is_shared_out(model):
            exchange_gradients(model, now=last)
            return contextlib.nullcontext()
        if last:
            return contextlib.nullcontext()
        wrapped = cast("nn.parallel.DistributedDataParallel", model)
        return wrapped.no_sync()

    def largest(self, number: int) -> int:
        """The largest of every process's ``number``: how all agree to stop."""
        return self._reduced(number, torch.distributed.ReduceOp.MAX) if self.size > 1 else number

    def total(self, number: int) -> int:
        """The sum of every process's ``number``."""
        return self._reduced(number, torch.distributed.ReduceOp.SUM) if self.size > 1 else number

    def _reduced(self, number: int, how: Any) -> int:
        """Between the hosts alone, so that no GPU is waited for."""
        found = torch.tensor([number])
        torch.distributed.all_reduce(found, op=how, group=self.hosts)
        return int(found.item())

    def add(self, values: Tensor) -> Tensor:
        """The elementwise sum of every process's integers (exact, so order does not matter)."""
        if self.size == 1:
            return values
        values = values.clone()
        torch.distributed.all_reduce(values)
        return values

    def gather(self, value: Any) -> list[Any]:
        """Every process's ``value``, by rank, in every process."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(found, value, group=self.hosts)
        return found

    def from_first(self, function: Callable[[], T]) -> T:
        """What ``function`` gives in the first process, in all of them: others may see no files.

        Raises:
            ImgtrainError: In all, if it raises one in the first.
        """
        if self.size == 1:
            return function()
        found: list[Any] = [None, None]
        if self.is_first:
            try:
                found[0] = function()
            except ImgtrainError as error:
                found[1] = error
        torch.distributed.broadcast_object_list(found, src=0, group=self.hosts)
        if found[1] is not None:
            raise found[1]
        return cast("T", found[0])

    def same_buffers(self, model: nn.Module) -> None:
        """Give all processes the first one's buffers (running means), before evaluation."""
        if self.size == 1:
            return
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            torch.distributed.barrier(group=self.hosts)

    @classmethod
    @contextlib.contextmanager
    def joined(cls, device: torch.device = _CPU) -> Iterator[World]:
        """Join the processes that a launcher (``torchrun``) started; alone otherwise.

        What was wrapped must be out of scope when the block ends: do the work in a function.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            yield cls()
            return
        backend = "nccl" if device.type == "cuda" else "gloo"
        if backend == "nccl":
            torch.cuda.set_device(device)  # what is sent lies on this process's own GPU
        try:
            with _interruptible():
                torch.distributed.init_process_group(backend, timeout=timedelta(minutes=30))
        except ValueError as error:  # a variable of the launcher's is missing
            raise SettingsError(
                f"WORLD_SIZE says {size} processes, but they cannot meet: {error}",
                "start them with torchrun, or unset WORLD_SIZE",
            ) from error
        except RuntimeError as error:
            reason = (str(error).splitlines() or [""])[0]
            raise OutsideError(
                f"{size} processes cannot meet: {reason}",
                "are all of them started, and is the first one's port open to the others?",
            ) from error
        hosts = torch.distributed.new_group(backend="gloo") if backend == "nccl" else None
        try:
            yield cls(rank=torch.distributed.get_rank(), size=size, hosts=hosts)
        except RuntimeError as error:
            if not any(words in str(error) for words in _LOST):
                raise
            raise OutsideError(
                "the connection to another process is lost: it died, or its machine",
                "the same command goes on from the last checkpoint",
            ) from error
        finally:
            gc.collect()  # a wrapped model in a cycle would outlive its group, and abort at exit
            torch.distributed.destroy_process_group()
