"""What an exported file says of itself: classes, preprocessing and all else of the recipe."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import imgtrain
from imgtrain.engine.recipe import Recipe
from imgtrain.errors import RunError

FORMAT = 1
"""Number of this description; a later one is refused."""

KEY = "imgtrain"
"""Under which name it stands in a file."""

INPUT = "pixels"
OUTPUTS = ("logits", "probabilities")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The description.

    Args:
        recipe: Of the model; of several, the first one's, with the architectures of all. What it
            says of means, deviations and temperature is done inside of the file.
        how: How several are combined; None for one.
        precision: ``fp32`` or ``int8``.
    """

    recipe: Recipe
    how: str | None
    precision: str

    def to_text(self) -> str:
        """As JSON, in ASCII."""
        p = self.recipe.preprocess
        value = {
            "format": FORMAT,
            "version": imgtrain.__version__,
            "precision": self.precision,
            "ensemble": self.how,
            "input": {
                "name": INPUT,
                "dtype": "uint8",
                "shape": ["batch", p.size, p.size, p.channels],
            },
            "outputs": {name: ["batch", len(self.recipe.classes)] for name in OUTPUTS},
            "recipe": self.recipe.to_dict(),
        }
        return json.dumps(value)

    @classmethod
    def from_text(cls, text: str | None, path: Path) -> About:
        """The inverse of ``to_text``; the recipe is checked as that of any weights is.

        Args:
            text: What stands in the file; None where nothing does.
            path: The file, for messages.

        Raises:
            RunError: If nothing stands there, it is broken, or a later version wrote it.
        """
        if text is None:
            raise RunError(
                f"{path} was not exported by imgtrain: it does not name its classes",
                "predict takes runs, and files of imgtrain export",
            )
        try:
            value = json.loads(text)
            if value["format"] > FORMAT:
                raise RunError(
                    f"{path} was exported by a later version of imgtrain (format "
                    f"{value['format']}, known: {FORMAT})",
                    "update imgtrain: python -m pip install --upgrade imgtrain",
                )
            how = value["ensemble"]
            return cls(
                recipe=Recipe.from_dict(value["recipe"]),
                how=None if how is None else str(how),
                precision=str(value["precision"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise RunError(f"what {path} says of itself is broken", "export it again") from error
