"""What a range test found, and the rate that it suggests. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import fmean, median
from typing import Any

KEPT = 0.9
"""Share of the running loss that stays at each step: an average over about ten."""

BLOWN_UP = 4.0
"""A running loss above so many times its lowest ends the test, as in fastai."""

FEWEST = 20
"""Steps of a test; with fewer, a tenth of them says nothing of where the loss began."""

_SURE, _LARGE = 4.0, 0.02
"""A fall counts from so many standard deviations of the running loss, and share of its start."""


@dataclass(slots=True)
class Running:
    """An exponential average without the bias of its beginning (Kingma & Ba 2015, section 3)."""

    total: float = 0.0
    weight: float = 0.0

    def add(self, value: float) -> float:
        """Take one in; returns the average."""
        self.total = KEPT * self.total + (1 - KEPT) * value
        self.weight = KEPT * self.weight + (1 - KEPT)
        return self.total / self.weight


def rates_between(low: float, high: float, steps: int) -> list[float]:
    """From ``low`` to ``high`` in equal ratios."""
    return [low * (high / low) ** (k / (steps - 1)) for k in range(steps)]


@dataclass(frozen=True, slots=True)
class Valley:
    """Where the running loss falls: rates at which it begins to, and is lowest; what to take."""

    begin: float
    lowest: float
    rate: float


@dataclass(slots=True)
class LrCurve:
    """Losses over rising rates, one a step.

    Args:
        know_nothing: Loss of a network that answers with the shares of the classes.
        rates: Learning rate of each step.
        losses: What the step began with.
        running: Its average with those before, the later the heavier.
    """

    know_nothing: float
    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    running: list[float] = field(default_factory=list)

    def add(self, rate: float, loss: float, running: float) -> None:
        """One step."""
        self.rates.append(rate)
        self.losses.append(loss)
        self.running.append(running)

    @property
    def blew_up(self) -> bool:
        """Whether the last step ended the test."""
        if not self.running:
            return False
        now = self.running[-1]
        return not math.isfinite(now) or now > BLOWN_UP * min(self.running)

    @property
    def valley(self) -> Valley | None:
        """The fall, where there is a clear one.

        It is clear where the running loss comes to lie below its beginning, and below what knowing
        nothing costs, by a fiftieth and by more than the noise explains. The valley begins where a
        tenth of the fall is done, and ends at the lowest point. The suggestion lies a third of the
        way from one to the other, in ratios: fastai's valley takes the middle of the longest
        fall, but the average lags behind the losses, and a training lasts longer than a test.
        """
        few = max(5, len(self.rates) // 10)
        if len(self.rates) < FEWEST:
            return None
        bottom = min(range(few, len(self.running)), key=self.running.__getitem__)
        start = min(fmean(self.losses[:few]), self.know_nothing)
        fall = start - self.running[bottom]
        if fall <= max(_LARGE * abs(start), _SURE * _noise(self.losses[:bottom])):
            return None
        begin = max((k for k in range(bottom) if self.running[k] > start - fall / 10), default=0)
        low, high = self.rates[begin], self.rates[bottom]
        return Valley(low, high, low * (high / low) ** (1 / 3))

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LrCurve:
        """The inverse of ``to_dict``."""
        return cls(**values)


def _noise(losses: list[float]) -> float:
    """Standard deviation of a running average of losses that only scatter.

    From the median step between two losses in a row, which a slow fall hardly touches; an average
    with weights that shrink by k has the share (1 - k) / (1 + k) of one loss's variance.
    """
    step = median([abs(b - a) for a, b in pairwise(losses)] or [0.0])
    return 1.4826 * step / math.sqrt(2) * math.sqrt((1 - KEPT) / (1 + KEPT))
