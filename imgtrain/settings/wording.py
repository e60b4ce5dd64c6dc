"""What a setting accepts, in words, from its annotation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

_KINDS = {int: "a whole number", float: "a number", str: "text", Path: "a path"}


@dataclass(frozen=True, slots=True)
class Accepts:
    """Stands in an annotation where its own wording is too long or too vague."""

    words: str


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


def _choices(annotation: Any, metadata: tuple[Any, ...]) -> Iterator[str]:
    own = next((m for m in metadata if isinstance(m, Accepts)), None)
    origin = get_origin(annotation)
    if own is not None:
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
