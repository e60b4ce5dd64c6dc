"""What stands on stdout: lines for people, one JSON list, JSON lines, or nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Literal

from imgtrain import console
from imgtrain.predicting.answers import Answer, Asked, as_json, as_text

Kind = Literal["text", "json", "jsonl", "nothing"]


class Screen:
    """Prints answers batch by batch.

    Args:
        kind: How.
        asked: What is said of a picture.
        total: How many pictures there are.
    """

    def __init__(self, kind: Kind, asked: Asked, total: int) -> None:
        self.kind, self._asked, self._total = kind, asked, total
        self._between = "["

    @property
    def is_watched(self) -> bool:
        """Whether a person sees the rows pass by."""
        return self.kind != "nothing" and sys.stdout.isatty()

    def show(self, said: Sequence[Answer]) -> None:
        """Print a batch."""
        match self.kind:
            case "text":
                alone = self._total == 1
                console.result("\n".join(as_text(each, alone=alone) for each in said))
            case "jsonl":
                console.result("\n".join(json.dumps(as_json(each, self._asked)) for each in said))
            case "json":  # ASCII: any terminal, any name
                for each in said:
                    console.result(self._between + json.dumps(as_json(each, self._asked)), end="")
                    self._between = ", "

    def end(self) -> None:
        """Every picture was shown."""
        if self.kind == "json":
            console.result("]")
