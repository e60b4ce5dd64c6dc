"""A search space: which settings a study varies, and between which values.

In a file each line is a setting and what it may be; on the command line the same stands in a text::

    optim.lr: {low: 1e-4, high: 1e-1, log: true}               1e-4..1e-1 log
    train.batch_size: [32, 64, 128]                            32,64,128
    model.drop_rate: {low: 0, high: 0.5, step: 0.1}            0..0.5 step 0.1
    optim.momentum: {low: 0.8, high: 0.99,
                     when: {optim.name: [sgd, muon]}}          0.8..0.99 if optim.name=sgd|muon
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    StrictFloat,
    StrictInt,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from imgtrain.errors import SettingsError, nearest
from imgtrain.settings.fields import STRICT
from imgtrain.settings.wording import Accepts

Number = StrictInt | StrictFloat
When = Mapping[str, tuple[Any, ...]]
"""Settings of the space, and the values of each with which a dimension counts."""

_WAYS = "as in {low: 1e-4, high: 1e-1, log: true} or [32, 64, 128]"
_WORDS = re.compile(r"(?:[\s,]+(?P<log>log))?(?:[\s,]+step[\s=]+(?P<step>\S+))?", re.ASCII)
_FEWEST = 2
"""Values that a choice is between."""


class _Dimension(BaseModel):
    """What both kinds share."""

    model_config = STRICT

    when: Annotated[dict[str, tuple[Any, ...]], WithJsonSchema({"type": "object"})] = Field(
        default_factory=dict
    )
    """Settings of the space, and the values of each with which this one is varied."""

    def plain(self) -> Any:
        """As YAML and JSON have it, what is left at its default left out."""
        found = self.model_dump(exclude_defaults=True)
        when = found.pop("when", None)
        found = {key: _lists(value) for key, value in found.items()}
        return {**found, "when": _lists(when)} if when else found


class Range(_Dimension):
    """Numbers from ``low`` to ``high``; whole ones where the setting is a whole number."""

    low: Number
    """The smallest."""

    high: Number
    """The largest."""

    log: bool = False
    """Drawn so that each power of ten is as likely."""

    step: Number | None = None
    """Only every so many, from low on."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        low, high, step = self.low, self.high, self.step
        if not low < high:
            raise ValueError(f"low {low:g} is not below high {high:g}")
        if self.log and low <= 0:
            raise ValueError(f"a log scale has no {low:g}: low must be above 0")
        if step is None:
            return self
        if self.log:
            raise ValueError("log and step do not go together; leave out one of them")
        if step <= 0:
            raise ValueError(f"step {step:g} must be above 0")
        steps = (high - low) / step
        if abs(steps - round(steps)) > 1e-8 * max(1.0, steps):
            reached = low + math.floor(steps) * step
            near = reached if reached > low else low + step
            raise ValueError(
                f"steps of {step:g} from {low:g} never meet high {high:g}; high {near:g} would do"
            )
        return self


class Choices(_Dimension):
    """One of several values."""

    choices: tuple[Any, ...]
    """The values, each one that the setting takes."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.choices) < _FEWEST:
            raise ValueError(
                "a choice is between two values or more; a single one is a setting like others"
            )
        names = [named(value) for value in self.choices]
        twin = next((name for name in names if names.count(name) > 1), None)
        if twin is not None:
            raise ValueError(f"{twin} stands twice among the choices")
        return self

    def plain(self) -> Any:
        """A list, where nothing else is said."""
        found = super().plain()
        return found if self.when else found["choices"]


Dimension = Range | Choices
Space = Mapping[str, Dimension]
"""What may vary, by dotted key, in the order of writing."""


def named(value: object) -> str:
    """A value as one text, different for different values: ``sgd``, ``0.1``, ``[3, 6]``."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plain_space(space: Space) -> dict[str, Any]:
    """As a settings file has it."""
    return {key: dimension.plain() for key, dimension in space.items()}


def in_words(dimension: Dimension) -> str:
    """As it is typed: ``0.0001..0.1 log``, ``adamw,sgd``, ``0.8..0.99 if optim.name=sgd``."""
    if isinstance(dimension, Choices):
        has_lists = any(isinstance(value, (list, tuple)) for value in dimension.choices)
        names = ",".join(map(named, dimension.choices))
        text = f"[{names}]" if has_lists else names
    else:
        text = f"{dimension.low:g}..{dimension.high:g}{' log' if dimension.log else ''}"
        text += "" if dimension.step is None else f" step {dimension.step:g}"
    conditions = [f"{key}={'|'.join(map(named, values))}" for key, values in dimension.when.items()]
    return f"{text} if {' and '.join(conditions)}" if conditions else text


def read_space(value: object) -> object:
    """A space from what a file, a variable or flags say; None where nothing is varied.

    Raises:
        SettingsError: With the setting concerned.
    """
    if isinstance(value, str):
        value = _from_text(value)
    if isinstance(value, list) and value in (["none"], ["off"]):
        return None
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = dict(map(_pair, value))
    if not isinstance(value, Mapping):
        return value
    if not value:
        raise SettingsError(
            "tune.space names no setting", "leave it out: then the default space counts"
        )
    return {key: _dimension(key, each) for key, each in _dotted(value)}


def _from_text(text: str) -> object:
    from imgtrain.settings.strict_yaml import parse

    return parse(text) if text.lstrip().startswith("{") else text.split(";")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(
            f"--space {text} has no =",
            "write --space KEY=SPEC, as in --space optim.lr=1e-4..1e-1,log",
        )
    return key.strip(), value


def _dotted(value: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Sections are spread out: ``{optim: {lr: ...}}`` is ``optim.lr``, as TOML reads it."""
    for key, each in value.items():
        if "." not in str(key) and isinstance(each, Mapping) and not _is_dimension(each):
            yield from ((f"{key}.{name}", inner) for name, inner in each.items())
        else:
            yield str(key), each


def _is_dimension(value: Mapping[Any, Any]) -> bool:
    return bool({"low", "high", "choices"} & value.keys())


def _dimension(key: str, value: object) -> Dimension:
    where = f"tune.space: {key}"
    if isinstance(value, (Range, Choices)):
        return value
    if isinstance(value, str):
        value = _spec(where, value)
    if isinstance(value, (list, tuple)):
        value = {"choices": value}
    if not isinstance(value, Mapping):
        raise SettingsError(f"{where}: {named(value)} is one value, not several", _WAYS)
    kind = Choices if "choices" in value else Range
    for name in value:
        if name not in kind.model_fields:
            raise SettingsError(
                f"{where}: there is no {str(name)!r} in a "
                f"{'choice' if kind is Choices else 'range'}"
                f"{nearest(str(name), kind.model_fields)}",
                _WAYS,
            )
    missing = [name for name in ("low", "high") if kind is Range and value.get(name) is None]
    if missing:
        raise SettingsError(f"{where}: a range needs {' and '.join(missing)}", _WAYS)
    if value.get("when"):
        value = {**value, "when": _conditions(where, value["when"])}
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise SettingsError(f"{where}: {_reason(error)}", _WAYS) from error


def _reason(error: ValidationError) -> str:
    """The first thing that does not fit, in our words."""
    first = error.errors()[0]
    if not first["loc"]:
        return str(first["ctx"]["error"])
    name, given = first["loc"][0], first["input"]
    must = {"log": "true or false", "choices": "a list of values"}.get(str(name), "a number")
    return f"{name} = {named(given)} must be {must}"


def _conditions(where: str, value: object) -> dict[str, tuple[Any, ...]]:
    if not isinstance(value, Mapping):
        raise SettingsError(
            f"{where}: when = {named(value)} names no setting", "as in when: {optim.name: sgd}"
        )
    found = {}
    for key, each in _dotted(value):
        values = tuple(each) if isinstance(each, (list, tuple)) else (each,)
        if not values:
            raise SettingsError(f"{where}: when {key} has no value, it would never be varied")
        found[key] = values
    return found


def _spec(where: str, text: str) -> dict[str, Any]:
    """``1e-4..1e-1 log``, ``32,64,128``, each with ``if KEY=VALUE|VALUE and ...`` behind it."""
    from imgtrain.settings.strict_yaml import parse

    body, has_condition, rest = text.strip().partition(" if ")
    try:
        found = _range(where, body) if ".." in body else _listed(parse(_bracketed(body)))
    except ValueError as error:
        raise SettingsError(f"{where}: cannot read {body!r}: {error}", _WAYS) from error
    if not has_condition:
        return found
    pairs = [each.partition("=") for each in re.split(r"\s+and\s+", rest.strip())]
    if not all(equals for _, equals, _ in pairs):
        raise SettingsError(
            f"{where}: cannot read the condition {rest!r}", "as in 0.8..0.99 if optim.name=sgd|muon"
        )
    when = {key.strip(): [parse(v.strip()) for v in values.split("|")] for key, _, values in pairs}
    return {**found, "when": when}


def _bracketed(body: str) -> str:
    return body if body.startswith(("[", "{")) else f"[{body}]"


def _listed(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"choices": value}


def _range(where: str, body: str) -> dict[str, Any]:
    from imgtrain.settings.strict_yaml import parse

    low, _, rest = body.partition("..")
    high, *words = re.split(r"(?=[\s,])", rest.strip(), maxsplit=1)
    found = _WORDS.fullmatch("".join(words).rstrip())
    if found is None:
        raise SettingsError(
            f"{where}: cannot read {''.join(words).strip(' ,')!r} behind the range",
            "as in 1e-4..1e-1 log, or 0..0.5 step 0.1",
        )
    step = found["step"]
    return {
        "low": parse(low),
        "high": parse(high),
        **({"log": True} if found["log"] else {}),
        **({"step": parse(step)} if step else {}),
    }


def _lists(value: Any) -> Any:
    """Lists in place of tuples, all the way down."""
    if isinstance(value, Mapping):
        return {key: _lists(each) for key, each in value.items()}
    return list(map(_lists, value)) if isinstance(value, (list, tuple)) else value


SearchSpace = Annotated[
    dict[str, Dimension],
    BeforeValidator(
        read_space, json_schema_input_type=dict[str, Range | Choices | list[Any] | str]
    ),
    Accepts("settings and what each may be, as in {optim.lr: {low: 1e-4, high: 1e-1, log: true}}"),
]
