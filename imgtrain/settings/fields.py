"""What settings are made of: types that read text as well as numbers, and their wording."""

from __future__ import annotations

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
    field_validator,
)

from imgtrain.settings.wording import Accepts, takes


@dataclass(frozen=True, slots=True)
class Flag:
    """How a setting reads on the command line.

    Args:
        names: Option names; empty for ``--field-name``.
        metavar: What stands for the value in the help.
        identity: ``part`` of what a run is; ``grows``: a resumed run may change it (more epochs);
            ``free``: it changes where or how fast, never what.
    """

    names: tuple[str, ...] = ()
    metavar: str | None = None
    identity: Literal["part", "grows", "free"] = "part"


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
Devices = Annotated[
    Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)],
    BeforeValidator(pieces),
    Accepts("numbers of GPUs, as in 0,1"),
]


class Section(BaseModel):
    """Settings that belong together: frozen, strict about names, built when first used."""

    model_config = ConfigDict(
        allow_inf_nan=False,
        defer_build=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: Any) -> Any:
        """``true`` must not count as 1."""
        if isinstance(value, bool) and not takes(bool, cls.model_fields[info.field_name]):
            raise ValueError("a truth value does not fit")
        return value
