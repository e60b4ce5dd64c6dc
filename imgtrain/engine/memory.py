"""Out of memory in a step: all is as before it, the pieces are smaller, the step is repeated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from imgtrain import console
from imgtrain.engine.checkpoint import SLOTS
from imgtrain.engine.schedule import Batches
from imgtrain.engine.state import TrainState
from imgtrain.engine.step import add_gradients, seed_step, train_step
from imgtrain.engine.syncbn import fewest_at_once, is_synchronised
from imgtrain.errors import MemoryLimitError, is_out_of_memory
from imgtrain.loading.arenas import give_back
from imgtrain.loading.loader import Batch

WAYS_OUT = (
    "try a smaller --image-size or --model, --gradient-checkpointing, or --precision bf16 where "
    "the hardware has it"
)


class Guard:
    """What a step changes before the weights move, so that one that failed leaves no trace.

    These are the tally and running means, which are copied beside the originals at each step, on
    the device. Gradients are added anew, and what is drawn is a function of the step.
    """

    def __init__(self, state: TrainState) -> None:
        self._state = state
        buffers = list(state.model.buffers())
        kinds = {buffer.dtype for buffer in buffers}
        self._buffers = [[b for b in buffers if b.dtype == kind] for kind in kinds]
        self._copies = [[b.clone() for b in group] for group in self._buffers]
        self._tally = state.tally.held()
        self._weights = list(state.model.parameters())
        self._versions: list[int] = []
        self._moved = 0

    @torch.no_grad()
    def remember(self) -> None:
        """Before a step. Never waits for the device."""
        for copies, group in zip(self._copies, self._buffers, strict=True):
            torch._foreach_copy_(copies, group)
        self._tally = self._state.tally.held()
        self._moved = len(self._state.optimizer.state)
        self._versions = _versions(self._weights)

    @torch.no_grad()
    def undo(self) -> bool:
        """After a step that failed: as it was before; False where weights have moved already."""
        state = self._state
        state.optimizer.zero_grad(set_to_none=True)
        if state.moved or self._versions != _versions(self._weights):
            return False  # fused optimizers leave the versions, but need no memory on the way
        state.scale.again()
        for copies, group in zip(self._copies, self._buffers, strict=True):
            torch._foreach_copy_(group, copies)
        state.tally.restore(self._tally)
        for weight in list(state.optimizer.state)[self._moved :]:  # half made, perhaps
            del state.optimizer.state[weight]
        if state.compute.torch_device.type == "cuda":
            torch.cuda.empty_cache()
        else:
            give_back()
        return True


def _versions(weights: list[nn.Parameter]) -> list[int]:
    """How often each was changed in place."""
    return [weight._version for weight in weights]  # noqa: SLF001  # there is no public name


def guarded_step(state: TrainState, micro_batches: Iterator[Batch], guard: Guard) -> bool:
    """One step; where memory was short, False: nothing has happened but that pieces are smaller.

    Then the step wants its pictures anew, from ``state.training_batches()``.

    Raises:
        MemoryLimitError: If pieces cannot be smaller, the weights were moving already, or other
            processes wait for this one.
    """
    guard.remember()
    try:
        train_step(state, micro_batches)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if state.world.size > 1:
            raise MemoryLimitError(
                f"process {state.world.rank} ran out of memory in {_where(state)}; the others wait "
                "for it, so that the step cannot be repeated",
                "lower --batch-size (--global-batch-size keeps the effective batch); the same "
                "command with --resume goes on from the last checkpoint",
            ) from error
    else:
        return True
    # out of the block, so that the failed pass's tensors are free
    if not guard.undo():
        raise MemoryLimitError(
            f"out of memory while the optimizer moved the weights, in {_where(state)}", WAYS_OUT
        )
    cut_smaller(state)
    return False


def cut_smaller(state: TrainState) -> None:
    """Halve the pieces of every micro-batch, for the rest of the run; the batch stays the same.

    Raises:
        MemoryLimitError: If they are as small as can be.
    """
    found = smaller(state.batches, least=fewest_at_once(state.model))
    if found is None:
        size = state.batches.micro // state.batches.pieces
        pictures = "a single picture" if size <= 1 else f"a piece of {size} pictures"
        raise MemoryLimitError(
            f"out of memory in {_where(state)}, even with {pictures} at a time", WAYS_OUT
        )
    state.batches, state.progress.pieces = found, found.pieces
    console.warn(
        f"out of memory in {_where(state)}: from here on, each {found.micro} pictures go through "
        f"the network in {found.pieces} pieces (same batch, same pictures)"
    )


def smaller(batches: Batches, *, least: int) -> Batches | None:
    """Twice as many pieces, each of ``least`` pictures at least; None where that is no more."""
    pieces = min(2 * batches.pieces, batches.micro // least)
    return replace(batches, pieces=pieces) if pieces > batches.pieces else None


def _where(state: TrainState) -> str:
    return f"epoch {state.progress.epoch}, step {state.progress.step + 1}"


def rehearse(state: TrainState) -> None:
    """With several processes: one pass in each, before they wait for one another.

    A process that fails inside a step would leave the others waiting, so all find out together
    beforehand whether a micro-batch fits, beside what the optimizer will hold. Nothing remains of
    it. Networks that exchange numbers inside a pass (SyncBN, shards) are not rehearsed.

    Raises:
        MemoryLimitError: If not even the smallest pieces fit.
    """
    if state.world.size == 1 or state.progress.reason is not None or not _is_local(state):
        return
    largest = replace(state.plan, sizes=(), course=None)
    beginning = replace(state.progress, step=0)  # an epoch that is over has no pictures left
    alone = replace(state, net=state.model, plan=largest, progress=beginning)
    guard = Guard(state)
    state.model.train()
    while True:
        guard.remember()
        failed = _fails(alone)
        guard.undo()
        if not state.world.largest(int(failed)):
            return
        cut_smaller(state)
        alone.batches = state.batches


def _is_local(state: TrainState) -> bool:
    wrapped = isinstance(state.net, nn.parallel.DistributedDataParallel)
    return wrapped and not is_synchronised(state.model)


def _fails(state: TrainState) -> bool:
    """Whether a forward and backward pass of this process's first piece is too much."""
    seed_step(state)
    try:
        with contextlib.closing(state.training_batches()) as batches:
            reserve = _optimizer_memory(state)
            add_gradients(state, next(batches), state.batches.effective)
            del reserve
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return True
    return False


def _optimizer_memory(state: TrainState) -> list[Tensor]:
    """As much as the optimizer will hold after its first step."""
    if state.optimizer.state:
        return []
    slots = SLOTS[type(state.optimizer).__name__.lower()]
    weights = [p for p in state.model.parameters() if p.requires_grad]
    return [torch.empty_like(p) for p in weights for _ in range(slots)]
