"""Everything that shapes a network and gives its answers meaning; it travels with the weights."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from imgtrain.engine.attention import Kind
from imgtrain.errors import RunError
from imgtrain.loading.preprocess import Preprocess

FORMAT = 3
"""2 knows heads, attention and spatial dropout, 3 a temperature and conformity; what an older one
leaves out has its default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that shapes a network, what its classes mean, and what it wants to see."""

    architecture: str
    classes: tuple[str, ...]
    stem: Literal["standard", "small"]
    drop_rate: float
    drop_path: float
    preprocess: Preprocess
    head: Literal["linear", "mlp"] = "linear"
    drop_block: float = 0.0
    attention: Kind | None = None
    attention_index: int | None = None
    plugin: str | None = None
    """The module that brings the architecture, where it is not timm's."""
    temperature: float = 1.0
    """What logits are divided by before the softmax (Guo et al. 2017, arXiv:1706.04599)."""
    conformity: tuple[float, ...] = ()
    """Calibration pictures' scores, ascending; see ``imgtrain.metrics.conformal``."""
    pruned: str | None = None
    """Which layers kept how many of their channels; see ``imgtrain.engine.pruned``."""

    def to_dict(self) -> dict[str, Any]:
        """As it travels with the weights."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The inverse of ``to_dict``.

        Raises:
            RunError: If a later version wrote it, or something is missing.
        """
        if values.get("format", 0) > FORMAT:
            raise RunError(
                f"the model was saved by a later version of imgtrain (format {values['format']})",
                "update imgtrain: python -m pip install --upgrade imgtrain",
            )
        known = {f.name: values[f.name] for f in fields(cls) if f.name in values}
        try:
            known["classes"] = tuple(values["classes"])
            known["conformity"] = tuple(map(float, values.get("conformity", ())))
            known["preprocess"] = Preprocess.from_dict(values["preprocess"])
            # names are text
            "".join((known["architecture"], *known["classes"], known.get("pruned") or ""))
            if not 0 < known.get("temperature", 1.0) < math.inf:
                raise RunError("the model's temperature is not above 0", "save it again")
            return cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError("the model's recipe is incomplete", "save it again") from error
