"""What a training to a deadline does at which step, and its one line of text. Pure arithmetic."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from imgtrain.engine.shapes import Switches
from imgtrain.errors import SettingsError

Pace = tuple[tuple[int, float, float], ...]


@dataclass(frozen=True, slots=True)
class Course:
    """A training whose length is found on the way.

    The learning rate's schedule is that of a training of a given length; ``pace`` tells where on it
    each step is.

    Args:
        steps: How many there are.
        pace: From which step on, where on the schedule (in its steps), how much further each step.
        sizes: From which step on, sides of the pictures; empty where none changes.
        checked: Epochs after which the validation part is scored, and the state saved.
    """

    steps: int
    pace: Pace
    sizes: Switches = ()
    checked: tuple[int, ...] = ()

    def position(self, step: int) -> float:
        """Where on the schedule update number ``step`` (from 0) is."""
        first, start, each = self.pace[bisect_right(self.pace, step, key=lambda leg: leg[0]) - 1]
        return start + (step - first) * each

    def __str__(self) -> str:
        """``steps=90; pace=0:0.0:1.5,40:60.0:1.2; sizes=0:96; checked=2,5``: read by ``parse``."""
        pace = ",".join(f"{first}:{start!r}:{each!r}" for first, start, each in self.pace)
        sizes = ",".join(f"{first}:{side}" for first, side in self.sizes)
        checked = ",".join(map(str, self.checked))
        return f"steps={self.steps}; pace={pace}; sizes={sizes}; checked={checked}"

    @classmethod
    def parse(cls, text: str) -> Course:
        """The inverse of ``str``, to the last bit.

        Raises:
            SettingsError: If the text is no such line.
        """
        try:
            parts = dict(part.strip().split("=") for part in text.split(";"))
            legs = [leg.split(":") for leg in parts["pace"].split(",")]
            switches = [one.split(":") for one in parts["sizes"].split(",") if one]
            found = cls(
                int(parts["steps"]),
                tuple((int(first), float(start), float(each)) for first, start, each in legs),
                tuple((int(first), int(side)) for first, side in switches),
                tuple(int(epoch) for epoch in parts["checked"].split(",") if epoch),
            )
        except (KeyError, ValueError) as error:
            raise _broken() from error
        firsts = [leg[0] for leg in found.pace]
        if found.steps < 1 or firsts[0] != 0 or firsts != sorted({*firsts}):
            raise _broken()
        if found.sizes and found.sizes[0][0] != 0:
            raise _broken()
        return found


def _broken() -> SettingsError:
    return SettingsError(
        "train.realised is no schedule that a training with --budget wrote",
        "take realised.yaml of such a run as it is: imgtrain train -c RUN/realised.yaml",
    )
