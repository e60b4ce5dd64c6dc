"""fp16's loss scale: gradients too small for fp16 are lifted, steps that overflow are left out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_SPENT = 2.0**-10
"""A scale below this means that gradients overflow whatever one does."""


class LossScale:
    """What the loss is multiplied by before the backward pass (Micikevicius et al. 2018).

    torch's own scaler: it halves the scale when a gradient overflows, leaves that step out, and
    doubles it after 2,000 good ones. All on the device: nothing waits, but with an optimizer that
    is not fused.

    Args:
        optimizer: Whose gradients are scaled.
        device: Where they lie.
        enabled: Whether the arithmetic is fp16; otherwise everything here does nothing.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, device: torch.device, *, enabled: bool
    ) -> None:
        self._optimizer = optimizer
        self._scaler = torch.amp.GradScaler(device.type, enabled=enabled)
        if enabled:
            _begin_momentum(optimizer)

    @property
    def enabled(self) -> bool:
        """Whether there is a scale."""
        return bool(self._scaler.is_enabled())

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss whose gradients fit."""
        return self._scaler.scale(loss)

    def unscale(self) -> None:
        """Give the gradients their true size, before they are clipped."""
        self._scaler.unscale_(self._optimizer)

    def step(self) -> Tensor | None:
        """Let the optimizer step where no gradient overflowed, and fit the scale.

        Returns:
            1 where the step was left out, else 0: a number on the device; None without a scale.
        """
        self._scaler.step(self._optimizer)
        if not self.enabled:
            return None
        found = self._scaler._found_inf_per_device(self._optimizer)  # noqa: SLF001  # its one reader
        self._scaler.update()
        (skipped,) = found.values()
        assert isinstance(skipped, Tensor)
        return skipped

    def again(self) -> None:
        """The step in hand failed before the weights moved, and is repeated."""
        if self.enabled:  # it would refuse to unscale twice
            self._scaler._per_optimizer_states.clear()  # noqa: SLF001  # there is no public way

    def is_spent(self) -> bool:
        """Whether no scale is small enough. Waits for the device."""
        return self.enabled and self._scaler.get_scale() < _SPENT

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs; empty without a scale."""
        found: dict[str, Any] = self._scaler.state_dict()
        return found

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's."""
        if self.enabled and state:
            self._scaler.load_state_dict(state)


class RunningMeans:
    """A network's running means before a step, for the case that the step is left out.

    A pass whose values fp16 cannot hold makes them infinite, and nothing would mend them.

    Args:
        model: The network; its buffers of floating point are copied, on the device.
    """

    @torch.no_grad()
    def __init__(self, model: nn.Module) -> None:
        self._buffers = [b for b in model.buffers() if b.is_floating_point() and b.numel()]
        self._before = self._joined()

    def _joined(self) -> Tensor | None:
        """One tensor instead of many small ones."""
        return torch.cat([b.flatten() for b in self._buffers]) if self._buffers else None

    @torch.no_grad()
    def restore(self, skipped: Tensor) -> None:
        """As they were, where the number ``skipped`` is 1. Never waits for the device."""
        now = self._joined()
        if now is None or self._before is None:
            return
        parts = torch.where(skipped > 0, self._before, now).split_with_sizes(
            [b.numel() for b in self._buffers]
        )
        shaped = [part.view_as(b) for part, b in zip(parts, self._buffers, strict=True)]
        torch._foreach_copy_(self._buffers, shaped)


def _begin_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Momentum that begins at 0: torch's fused SGD leaves it undefined if its first step overflows.

    The first step is the same: 0 x momentum + gradient.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        if group["momentum"]:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
