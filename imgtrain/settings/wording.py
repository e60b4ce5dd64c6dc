"""What a setting accepts, in words, from its annotation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic_core import core_schema

from imgtrain.registry import Table

_KINDS = {int: "a whole number", float: "a number", str: "text", Path: "a path"}


@dataclass(frozen=True, slots=True)
class Accepts:
    """Stands in an annotation where its own wording is too long or too vague."""

    words: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """Stands in the annotation of a text: one of the names in a table, plugins' ones included."""

    table: Table[Any]

    @property
    def words(self) -> tuple[str, ...]:
        """The names, as they are now."""
        return self.table.names()

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """As pydantic wants it: text, then looked up."""
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        """The names, for editors."""
        return {**handler(schema), "enum": [*self.words]}

    def _known(self, name: str) -> str:
        if name not in self.table:
            raise ValueError("unknown")
        return name


@dataclass(frozen=True, slots=True)
class SomeOf(OneOf):
    """The same for a list of names."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        """The names of its items, for editors."""
        return {**handler(schema), "items": {"type": "string", "enum": [*self.words]}}

    def _known(self, name: Any) -> Any:
        for each in name:
            super(SomeOf, self)._known(each)
        return name


def accepts(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """``auto or a whole number from 4 to 4096``."""
    *most, last = _choices(annotation, tuple(metadata))
    return f"{', '.join(most)} or {last}" if most else last


def takes(kind: type, field: Any) -> bool:
    """Whether ``kind`` is the annotation of this field, or one of its union's members."""
    return kind in members(field.annotation)


def members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the only one; bounds are dropped."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return tuple(m for a in get_args(annotation) for m in members(a))
    return (annotation,)


def words_of(annotation: Any) -> tuple[Any, ...]:
    """The fixed values among what is accepted: ``("auto", "cpu", "cuda", "mps")``."""
    found = members(annotation)
    return tuple(v for m in found if get_origin(m) is Literal for v in get_args(m))


def names_of(annotation: Any, metadata: Iterable[Any] = ()) -> tuple[Any, ...]:
    """The same, or the names of a table where that is what is accepted."""
    table = next((m for m in metadata if isinstance(m, OneOf)), None)
    return words_of(annotation) if table is None else table.words


def _choices(annotation: Any, metadata: tuple[Any, ...]) -> Iterator[str]:
    own = next((m for m in metadata if isinstance(m, Accepts)), None)
    names = next((m for m in metadata if isinstance(m, OneOf)), None)
    origin = get_origin(annotation)
    if names is not None:
        yield from names.words
    elif own is not None:
        yield own.words
        if NoneType in get_args(annotation):
            yield "none"
    elif origin is Annotated:
        kind, *more = get_args(annotation)
        yield from _choices(kind, (*more, *metadata))
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _choices(member, metadata)
    elif origin is Literal:
        yield from map(str, get_args(annotation))
    elif annotation is bool:
        yield from ("true", "false")
    elif annotation is NoneType:
        yield "none"
    else:
        yield _KINDS[annotation] + _bounds(metadata)


def _bounds(metadata: tuple[Any, ...]) -> str:
    """`` from 4 to 4096``, `` above 0``, or nothing."""
    flat = [m for item in metadata for m in (item, *getattr(item, "metadata", ()))]
    found = {
        name: f"{value:g}"
        for name in ("gt", "ge", "lt", "le")
        for m in flat
        if (value := getattr(m, name, None)) is not None
    }
    match found:
        case {"ge": low, "le": high}:
            return f" from {low} to {high}"
        case {"ge": low, "lt": high}:
            return f" from {low} to below {high}"
        case {"gt": low, "le": high}:
            return f" above {low} and up to {high}"
        case {"ge": low}:
            return f" of at least {low}"
        case {"gt": low}:
            return f" above {low}"
    assert not found, f"no words for {found}"
    return ""
