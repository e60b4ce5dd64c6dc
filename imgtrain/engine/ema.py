"""An exponential moving average of the weights: what is validated, kept as best, and predicts."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

_HORIZON = 0.05
"""Share of the training over which ``auto`` averages."""

_SHORTEST, _LONGEST = 0.9, 0.9999


def auto_decay(total_steps: int) -> float:
    """A decay whose horizon, ``1 / (1 - decay)`` steps, is a twentieth of the training."""
    decay = 1 - 1 / max(1.0, _HORIZON * total_steps)
    return min(max(decay, _SHORTEST), _LONGEST)


class Ema:
    """The average, in fp32 beside the weights (Polyak & Juditsky 1992).

    Early on it follows faster: the decay of update ``n`` is at most ``(1 + n) / (10 + n)``, as in
    TensorFlow. Running means of batch normalisation are averaged, too; whole numbers are copied.

    Args:
        model: The network that learns; its present weights are where the average begins.
        decay: In (0, 1): what stays of the average at each update.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(requires_grad=False)
        self.decay = decay
        self.updates = 0
        self._mine, self._theirs = _places(self.model), _places(model)
        self._learning = model

    @torch.no_grad()
    def update(self, model: nn.Module, skipped: Tensor | None = None) -> None:
        """Move the average towards ``model``'s weights. Never waits for the device.

        Where the number ``skipped`` is 1, there was no step, and the average stays.
        """
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        if model is not self._learning:
            self._theirs, self._learning = _places(model), model
        pairs = [(a[i], b[j]) for (a, i), (b, j) in zip(self._mine, self._theirs, strict=True)]
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        averages, weights = [mine for mine, _ in floats], [theirs for _, theirs in floats]
        if skipped is None:
            torch._foreach_lerp_(averages, weights, 1 - decay)  # as fused as optimizers
        else:
            gaps = torch._foreach_sub(weights, averages)  # noqa: SLF001  # as torch's optimizers do
            torch._foreach_mul_(gaps, (1 - decay) * (1 - skipped))
            torch._foreach_add_(averages, gaps)
        if len(floats) < len(pairs):
            whole = [pair for pair in pairs if not pair[0].is_floating_point()]
            torch._foreach_copy_([mine for mine, _ in whole], [theirs for _, theirs in whole])

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {"model": self.model.state_dict(), "updates": self.updates}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's."""
        self.model.load_state_dict(state["model"])
        self.updates = int(state["updates"])


def _places(model: nn.Module) -> list[tuple[dict[str, Any], str]]:
    """Where each tensor that a checkpoint holds is found, once each: a dictionary and its key.

    Walking the modules at every step would cost more than the average; tensors themselves may be
    replaced.
    """
    found: dict[int, tuple[dict[str, Any], str]] = {}
    for module in model.modules():
        passing = module._non_persistent_buffers_set  # noqa: SLF001  # there is no public name
        for held in (module._parameters, module._buffers):  # noqa: SLF001  # likewise
            for name, tensor in held.items():
                if tensor is not None and name not in passing:
                    found.setdefault(id(tensor), (held, name))
    return list(found.values())
