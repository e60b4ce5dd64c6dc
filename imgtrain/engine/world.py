"""The processes that train together. One process is the special case of many.

Whoever calls these needs no ``if distributed``: with one process they do nothing.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import torch
from torch import Tensor, nn

from imgtrain.errors import SettingsError


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
        if self.size == 1:
            return model
        ids = [device] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids)

    def unsynced(self, model: nn.Module, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Gradients stay here until the last micro-batch."""
        if self.size == 1 or last:
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
        torch.distributed.all_gather_object(found, value)
        return found

    def same_buffers(self, model: nn.Module) -> None:
        """Give all processes the first one's buffers (running means), before evaluation."""
        if self.size == 1:
            return
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            torch.distributed.barrier()

    @classmethod
    @contextlib.contextmanager
    def joined(cls, device_type: str = "cpu") -> Iterator[World]:
        """Join the processes that a launcher (``torchrun``) started; alone otherwise.

        What was wrapped must be out of scope when the block ends: do the work in a function.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            yield cls()
            return
        backend = "nccl" if device_type == "cuda" else "gloo"
        try:
            torch.distributed.init_process_group(backend, timeout=timedelta(minutes=30))
        except ValueError as error:  # a variable of the launcher's is missing
            raise SettingsError(
                f"WORLD_SIZE says {size} processes, but they cannot meet: {error}",
                "start them with torchrun, or unset WORLD_SIZE",
            ) from error
        hosts = torch.distributed.new_group(backend="gloo") if backend == "nccl" else None
        try:
            yield cls(rank=torch.distributed.get_rank(), size=size, hosts=hosts)
        finally:
            gc.collect()  # a wrapped model in a cycle would outlive its group, and abort at exit
            torch.distributed.destroy_process_group()
