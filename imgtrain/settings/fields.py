"""What settings are made of: types that read text as well as numbers, and their wording."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

from imgtrain.settings import modules
from imgtrain.settings.wording import Accepts, takes


@dataclass(frozen=True, slots=True)
class Flag:
    """How a setting reads on the command line.

    Args:
        names: Option names; empty for ``--field-name``.
        metavar: What stands for the value in the help.
        identity: ``part`` of what a run is; ``grows``: a resumed run may change it (more epochs);
            ``free``: it changes where or how fast, never what.
        repeats: Whether it may be given several times, each giving a part.
        hidden: Whether the help leaves it out: programs write it, nobody types it.
    """

    names: tuple[str, ...] = ()
    metavar: str | None = None
    identity: Literal["part", "grows", "free"] = "part"
    repeats: bool = False
    hidden: bool = False


FREE = Flag(identity="free")


def pieces(value: object) -> object:
    """``"0.8, 0.1,0.1"`` is three texts, and a lone number a list of one."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [value]
    return re.split(r"\s*,\s*", value.strip()) if isinstance(value, str) else value


def pieces_or_word(value: object) -> object:
    """``"0.5,0.5,0.5"`` is three numbers; a word stays a word."""
    is_word = isinstance(value, str) and not re.match(r"\s*[-+.\d]", value)
    return value if is_word else pieces(value)


def number_or_word(value: object) -> object:
    """A number in text is a number, so that ``"64"`` never meets the list of words first."""
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return kind(value)
            except ValueError:
                continue
    return value


def _visible(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("text is needed")
    return text


Auto = Literal["auto"]
Name = Annotated[str, AfterValidator(_visible)]


def _one_folder(text: str) -> str:
    if "/" in text or "\\" in text or text.startswith("."):
        raise ValueError("must be the name of a folder, not a path")
    return text


FileName = Annotated[
    str,
    AfterValidator(_visible),
    AfterValidator(_one_folder),
    Accepts("the name of a folder (no slashes)"),
]
Fractions = Annotated[
    tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat],
    BeforeValidator(pieces),
    Accepts("three shares, as in 0.8,0.1,0.1"),
]
Colour = Annotated[
    str,
    Field(pattern=r"^(white|black|grey|#[0-9a-fA-F]{6})$"),
    Accepts("white, black, grey or #rrggbb"),
]
Means = Annotated[
    Literal["model", "auto"] | Annotated[tuple[float, ...], Field(min_length=1)],
    BeforeValidator(pieces_or_word),
    Accepts("model, auto or one number per channel, as in 0.5,0.5,0.5"),
]
Spreads = Annotated[
    Literal["model", "auto"] | Annotated[tuple[PositiveFloat, ...], Field(min_length=1)],
    BeforeValidator(pieces_or_word),
    Accepts("model, auto or one number above 0 per channel, as in 0.5,0.5,0.5"),
]


def _weights(value: object) -> object:
    """``"1,2,0.5"`` is three numbers, ``"cat=2,dog=1"`` numbers by name."""
    if isinstance(value, str) and "=" in value:
        pairs = (piece.rpartition("=") for piece in value.split(","))
        return {name.strip(): weight.strip() for name, _, weight in pairs}
    return pieces(value)


Weights = Annotated[
    Annotated[tuple[PositiveFloat, ...], Field(min_length=2)] | dict[str, PositiveFloat],
    BeforeValidator(_weights),
    Accepts("weights above 0, as in 1,2,0.5 or cat=2,dog=1"),
]
Whole = Annotated[
    Annotated[tuple[PositiveInt, ...], Field(min_length=1)],
    BeforeValidator(pieces),
    Accepts("whole numbers above 0, as in 30,60,80"),
]
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(value: object) -> object:
    """``"1h30m"`` is 5400.0; a lone number counts seconds."""
    if not isinstance(value, str) or not re.fullmatch(r"(\d+(\.\d+)?[smh]\s*)+", value.strip()):
        return value
    found = re.findall(r"([\d.]+)([smh])", value)
    return math.fsum(float(number) * _UNITS[unit] for number, unit in found)


Seconds = Annotated[
    PositiveFloat, BeforeValidator(_seconds), Accepts("a time, as in 90s, 10m or 1h30m")
]


def sizes_and_shares(text: str) -> list[tuple[int, float]]:
    """``"96:0.5,128:0.5"`` is [(96, 0.5), (128, 0.5)]."""
    return [(int(size), float(s)) for size, s in re.findall(r"(\d+):(\d*\.?\d+)", text)]


def _size_steps(text: str) -> str:
    """``"96:0.5, 128:0.5"`` without blanks, once its shares add up to 1."""
    steps = sizes_and_shares(text)
    clean = ",".join(f"{size}:{share:g}" for size, share in steps)
    if len(steps) != text.count(",") + 1 or len(steps) != text.count(":"):
        raise ValueError("must be sizes with shares")
    if any(size < 4 or share <= 0 for size, share in steps):  # noqa: PLR2004  # as image_size
        raise ValueError("sizes begin at 4, shares are above 0")
    if not math.isclose(math.fsum(share for _, share in steps), 1, abs_tol=1e-3):
        raise ValueError("the shares must add up to 1")
    if steps[-1][0] < max(size for size, _ in steps):
        raise ValueError("the last size must be the largest")
    return clean


SizeSteps = Annotated[
    str,
    AfterValidator(_size_steps),
    Accepts("sizes with shares that add up to 1, the largest last, as in 96:0.5,128:0.5"),
]
Devices = Annotated[
    Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)],
    BeforeValidator(pieces),
    Accepts("numbers of GPUs, as in 0,1"),
]


STRICT = ConfigDict(
    allow_inf_nan=False,
    defer_build=True,
    extra="forbid",
    frozen=True,
    use_attribute_docstrings=True,
)
"""Frozen, strict about names, built when first used."""


class Section(BaseModel):
    """Settings that belong together."""

    model_config = STRICT

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: Any) -> Any:
        """``true`` must not count as 1."""
        if isinstance(value, bool) and not takes(bool, cls.model_fields[info.field_name]):
            raise ValueError("a truth value does not fit")
        return value


class Operation(BaseModel):
    """One operation of the policy ``custom``: a name of the library's, and its arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: Name
    """Name of the operation."""

    args: dict[str, Any] = Field(default_factory=dict)
    """Its arguments by name."""

    p: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Probability of applying it."""


Modules = Annotated[
    tuple[Annotated[str, Field(pattern=rf"^{modules.MODULE.pattern}$")], ...],
    BeforeValidator(modules.pieces),
    Accepts("names of modules, as in my_module"),
]


def _operations(value: object) -> object:
    """From the command line, the list is YAML (or JSON) text."""
    if not isinstance(value, str):
        return value
    from imgtrain.settings.strict_yaml import parse

    return parse(value)


Operations = Annotated[
    Annotated[tuple[Operation, ...], Field(min_length=1)],
    BeforeValidator(_operations),
    Accepts("a list of operations, as in [{name: rotate, args: {degrees: 15}, p: 0.5}]"),
]
