"""Where memory goes in the first steps of a training: ``--memory-profile``."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imgtrain import console
from imgtrain.engine.device import memory_in_use_mb
from imgtrain.engine.state import TrainState
from imgtrain.files import write_json
from imgtrain.report.memory_plot import write_memory_plot

STEPS = 3
"""Steps that are looked at: from the second on, the optimizer's state is there."""

_EVERY = 0.002
"""Seconds between two looks at the memory within a phase."""

PHASES = ("loading", "forward", "backward", "optimizer", "average")


@dataclass(slots=True)
class _Profile:
    """What is seen from outside a step: by hooks at the ends of phases, by a thread between them.

    ``loading`` is all before a forward pass; ``average`` what follows the optimizer (EMA, tally).
    """

    state: TrainState
    run: Path
    phase: str = "loading"
    steps: int = 0
    begun: float = field(default_factory=time.perf_counter)
    samples: list[tuple[float, float, str]] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)
    hooks: list[Any] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """One sample, for the phase that runs. Never waits for the device."""
        at = time.perf_counter() - self.begun
        self.samples.append((at, _now_mb(self.state), self.phase))

    def enters(self, phase: str) -> None:
        """A phase ends and another begins: both are looked at."""
        self.look()
        self.phase = phase
        self.look()

    def watch(self) -> None:
        """What the thread does."""
        while not self.ended.wait(_EVERY):
            self.look()

    def before_forward(self, *_: object) -> None:
        """Of a network that learns: all steps are over, or one more pass begins."""
        if self.state.model.training and not self.ended.is_set():
            if self.steps >= STEPS:
                self.finish()
            else:
                self.enters("forward")

    def after_forward(self, *_: object) -> None:
        """The loss and the way back follow."""
        if self.state.model.training:
            self.enters("backward")

    def before_update(self, *_: object) -> None:
        """All gradients are there."""
        grads = [p.grad for p in self.state.model.parameters() if p.grad is not None]
        self.parts["gradients"] = _megabytes(grads)
        self.enters("optimizer")

    def after_update(self, *_: object) -> None:
        """The optimizer's state is there."""
        self.steps += 1
        kept = self.state.optimizer.state.values()
        tensors = [v for own in kept for v in own.values() if isinstance(v, Tensor)]
        self.parts["optimizer"] = _megabytes(tensors)
        self.enters("average")

    def begin(self) -> None:
        """Put the hooks in place."""
        model, optimizer = self.state.model, self.state.optimizer
        self.parts["weights"] = _megabytes(model.parameters())
        self.parts["buffers"] = _megabytes(model.buffers())
        if self.state.ema is not None:
            self.parts["average"] = _megabytes(self.state.ema.model.state_dict().values())
        aside: Any = torch.compiler.disable  # a network that is compiled would compile its hooks
        self.hooks = [
            model.register_forward_pre_hook(aside(self.before_forward)),
            model.register_forward_hook(aside(self.after_forward)),
            optimizer.register_step_pre_hook(self.before_update),
            optimizer.register_step_post_hook(self.after_update),
        ]
        if self.state.compute.torch_device.type == "cuda":
            torch.cuda.memory._record_memory_history(max_entries=100_000)  # noqa: SLF001  # documented under this name

    def finish(self) -> None:
        """Take the hooks away and write what was seen, once."""
        if self.ended.is_set():
            return
        self.look()
        self.ended.set()
        for hook in self.hooks:
            hook.remove()
        names = ["memory.json", "memory.png"]
        if self.state.compute.torch_device.type == "cuda":
            snapshot = self.run / "memory_snapshot.pickle"
            memory: Any = torch.cuda.memory  # torch leaves these untyped
            memory._dump_snapshot(str(snapshot))  # noqa: SLF001  # documented under this name
            memory._record_memory_history(enabled=None)  # noqa: SLF001  # likewise
            names.append(f"{snapshot.name} (for https://pytorch.org/memory_viz)")
        found = self.summary()
        write_json(self.run / "memory.json", found)
        write_memory_plot(self.run / "memory.png", self.samples, found["parts_mb"])
        console.say(
            f"memory   peak {found['peak_mb']:,.0f} MB in {found['peak_phase']}, in the first "
            f"{self.steps} steps: {', '.join(names)} in {self.run}"
        )

    def summary(self) -> dict[str, Any]:
        """Peaks by phase and the sizes of what stays, in MB (2^20 bytes)."""
        first = self.samples[0][1]
        peaks = {
            phase: max((mb for _, mb, name in self.samples if name == phase), default=None)
            for phase in PHASES
        }
        seen = {phase: mb for phase, mb in peaks.items() if mb is not None}
        highest = max(seen, key=lambda phase: seen[phase])
        return {
            "format": 1,
            "device": str(self.state.compute),
            "what": "allocated on the GPU" if _on_gpu(self.state) else "resident in this process",
            "steps": self.steps,
            "batch": self.state.batches.micro // self.state.batches.pieces,
            "before_mb": round(first, 1),
            "peak_mb": round(seen[highest], 1),
            "peak_phase": highest,
            "phases_mb": {phase: round(mb, 1) for phase, mb in seen.items()},
            "parts_mb": {name: round(mb, 1) for name, mb in self.parts.items()},
        }


def _on_gpu(state: TrainState) -> bool:
    return state.compute.torch_device.type == "cuda"


def _now_mb(state: TrainState) -> float:
    """What torch has allocated on the GPU now, or what this process holds of the machine's RAM."""
    device = state.compute.torch_device
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / 2**20
    return memory_in_use_mb(device)


def _megabytes(tensors: Any) -> float:
    return float(sum(t.numel() * t.element_size() for t in tensors)) / 2**20


@contextlib.contextmanager
def memory_profiled(state: TrainState, run: Path, *, wanted: bool) -> Iterator[None]:
    """Within the block, the first steps are looked at; what was seen is written into ``run``.

    It changes no bit of the training. Only the first process looks.
    """
    if not wanted or not state.world.is_first or state.progress.reason is not None:
        yield
        return
    profile = _Profile(state, run)
    profile.begin()
    watcher = threading.Thread(target=profile.watch, name="memory-profile", daemon=True)
    profile.look()
    watcher.start()
    try:
        yield
        if profile.steps:
            profile.finish()
    finally:
        profile.ended.set()
        for hook in profile.hooks:
            hook.remove()
        watcher.join()
