"""The mean of the weights after each of the last epochs: scored at the end, and kept.

A uniform mean, as in stochastic weight averaging (Izmailov et al. 2018, arXiv:1803.05407), of the
schedule's own last epochs. Running means of batch normalisation belong to no mean of weights; they
are estimated anew over the training part (section 3.2 there; torch's ``swa_utils.update_bn``), as
it is seen in scoring and without dropout: what predictions meet.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from imgtrain.engine.world import World
from imgtrain.errors import RunError
from imgtrain.loading.loader import Batch

_FEW = 2
"""Of fewer pictures there is no variance."""


class LastAverage:
    """Sums in float64 until the last epoch, then a network with the mean.

    Args:
        last: How many epochs count, K.
        epochs: How many the training has.
    """

    def __init__(self, last: int, epochs: int) -> None:
        self.last, self.epochs = last, epochs
        self.model: nn.Module | None = None
        self._sums: dict[str, Tensor] = {}
        self._norms: list[_BatchNorm] = []

    @property
    def first(self) -> int:
        """The first epoch that counts."""
        return self.epochs - self.last + 1

    def add(self, model: nn.Module, epoch: int) -> None:
        """Count the weights after ``epoch``, if it is one of those before the last."""
        if epoch == self.first:
            self._sums = {}
        if self.first <= epoch < self.epochs:
            for name, parameter in model.named_parameters():
                found = parameter.detach().to("cpu", torch.float64)
                self._sums[name] = self._sums[name] + found if name in self._sums else found

    def make(self, model: nn.Module) -> None:
        """``self.model``: the mean of what was added and of ``model``, after the last epoch."""
        self.model = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if name in self._sums:
                    total = self._sums[name] + parameter.to("cpu", torch.float64)
                    parameter.copy_(total / self.last)
        moving = {n for n, m in model.named_modules() if m.training}  # frozen ones keep still
        self._norms = [
            m
            for n, m in self.model.named_modules()
            if n in moving and isinstance(m, _BatchNorm) and m.running_mean is not None
        ]

    def estimate_norms(
        self, batches: Iterable[Batch], prepare: Callable[[Tensor], Tensor], world: World
    ) -> Iterator[int]:
        """Running means of ``self.model``, over all processes' batches; yields after each batch.

        Batches count by their pictures, and those of a single one do not.

        Args:
            batches: This process's share of the training part.
            prepare: Makes of pixels (B, H, W, C) what the model takes.
            world: The processes that share the part.
        """
        if not self._norms:
            return
        assert self.model is not None
        means = [_Mean(norm) for norm in self._norms]
        for number, batch in enumerate(batches, start=1):
            whole = batch.count == len(batch.mask)
            pixels = batch.pixels if whole else batch.pixels[batch.mask]  # waits for the device
            if len(pixels) >= _FEW:
                with torch.no_grad():
                    self.model(prepare(pixels))
                for mean in means:
                    mean.add(len(pixels))
            yield number
        for mean in means:
            mean.settle(world)

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {"epochs": self.epochs, "sums": self._sums}

    def load(self, state: dict[str, Any], *, done: int) -> None:
        """Go on from a checkpoint's, after ``done`` epochs.

        Raises:
            RunError: If epochs that count are over, and were not counted.
        """
        if state["epochs"] != self.epochs and self.first <= done:
            raise RunError(
                f"--average-last {self.last} wants the weights after epochs {self.first} to "
                f"{self.epochs}, and epoch {done} is over",
                f"raise --epochs to {done + self.last} or more",
            )
        self._sums = dict(state["sums"])


class _Mean:
    """What one norm sees, on average; ``momentum`` 1 makes each batch's statistics the running."""

    def __init__(self, norm: _BatchNorm) -> None:
        assert norm.running_mean is not None
        self._norm, self._momentum, self._count = norm, norm.momentum, 0
        self._tracked = None if norm.num_batches_tracked is None else int(norm.num_batches_tracked)
        exact = torch.float32 if norm.running_mean.device.type == "mps" else torch.float64
        self._sums = torch.zeros(2, norm.num_features, dtype=exact, device=norm.running_mean.device)
        norm.momentum = 1.0
        norm.train()

    def add(self, count: int) -> None:
        """Count the batch of ``count`` pictures that the norm saw last."""
        assert self._norm.running_mean is not None
        assert self._norm.running_var is not None
        self._count += count
        self._sums += count * torch.stack((self._norm.running_mean, self._norm.running_var))

    def settle(self, world: World) -> None:
        """Divide, and leave the norm as it was otherwise."""
        count, sums = world.total(self._count), world.add(self._sums)
        norm = self._norm.eval()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        if count:
            norm.running_mean.copy_(sums[0] / count)
            norm.running_var.copy_(sums[1] / count)
        norm.momentum = self._momentum
        if norm.num_batches_tracked is not None and self._tracked is not None:
            norm.num_batches_tracked.fill_(self._tracked)
