"""Names that settings accept, and what they stand for: what ships and what plugins add.

What ships is entered as a place, ``module:name``, and imported when it is used, so that names can
be checked without torch. A plugin enters functions. ``imgtrain.plugins`` is the public face.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from imgtrain.errors import SettingsError

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])

_plugin: ContextVar[str | None] = ContextVar("plugin", default=None)
_files: dict[str, str] = {}
"""Which plugin a file belongs to."""


class Table(Generic[T]):
    """What one setting can name.

    Args:
        kind: For messages, as in ``loss``.
        shipped: Place of each value by its name.
        reserved: Place of a mapping whose names are taken, too.
    """

    def __init__(self, kind: str, shipped: Mapping[str, str], *, reserved: str = "") -> None:
        self.kind = kind
        self._values: dict[str, T | str] = dict(shipped)
        self._homes: dict[str, str] = {}
        self._reserved = reserved

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> T:
        """What the name stands for.

        Raises:
            KeyError: If there is no such name.
        """
        found = self._values[name]
        if isinstance(found, str):
            found = self._values[name] = cast("T", _at(found))
        return found

    def names(self) -> tuple[str, ...]:
        """Those that ship, then those of plugins."""
        return tuple(self._values)

    def plugin(self, name: str) -> str | None:
        """The module that registered the name; None where it ships (or is unknown)."""
        return self._homes.get(name)

    def add(self, name: str, value: T, function: Callable[..., Any]) -> None:
        """Enter what a plugin brings; the same function may come again (a module reloaded).

        Raises:
            SettingsError: If the name is none, or stands for something else already.
        """
        home = _plugin.get() or function.__module__
        if not isinstance(name, str) or not name or name != name.strip() or ":" in name:
            raise SettingsError(
                f"plugin {home}: {name!r} cannot be the name of a {self.kind}",
                "a name is text without colons and without blanks around it",
            )
        taken_by = self._taken_by(name, home, function)
        if taken_by is not None:
            raise SettingsError(
                f"plugin {home}: the {self.kind} {name!r} is registered by {taken_by} already",
                "choose another name",
            )
        self._values[name] = value
        self._homes[name] = home
        code = getattr(inspect.unwrap(function), "__code__", None)
        if code is not None:
            _files[code.co_filename] = home

    def forget(self, plugin: str) -> None:
        """Take out what ``plugin`` registered."""
        for name in [name for name, home in self._homes.items() if home == plugin]:
            del self._values[name], self._homes[name]

    def _taken_by(self, name: str, home: str, function: Callable[..., Any]) -> str | None:
        if name in self._homes:
            same = getattr(self._values[name], "function", self._values[name])
            again = self._homes[name] == home and _spelled(same) == _spelled(function)
            return None if again else self._homes[name]
        reserved = name in self._values or (self._reserved and name in _at(self._reserved))
        return "imgtrain" if reserved else None


def _at(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _spelled(function: object) -> tuple[object, object]:
    return getattr(function, "__module__", None), getattr(function, "__qualname__", None)


@dataclass(frozen=True, slots=True)
class Model:
    """A plugin's network: what builds it, and what pictures it likes."""

    function: Callable[..., Any]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """A plugin's operation on pictures."""

    function: Callable[..., Any]
    mirrors: bool


@dataclass(frozen=True, slots=True)
class Tracker:
    """Who is told how a training goes.

    Args:
        function: From what is tracked to a context manager of a function that hears what happens.
        packages: What it imports: the extra of its name brings them.
        rewinds: Whether it forgets what lies behind the point where a training goes on; others are
            not told again what they know.
    """

    function: Callable[..., Any]
    packages: tuple[str, ...] = ()
    rewinds: bool = False


_LOSS = "imgtrain.engine.loss"
_POLICY = "imgtrain.loading.policies.tables"

MODELS: Table[Model] = Table("model", {})
"""Beside timm's, which it lists itself."""

LOSSES: Table[Callable[..., Any]] = Table(
    "loss",
    {
        "ce": f"{_LOSS}:cross_entropy",
        "bce": f"{_LOSS}:binary_cross_entropy",
        "focal": f"{_LOSS}:focal",
        "nll": f"{_LOSS}:cross_entropy",
    },
)

POLICIES: Table[Augmentation | Callable[..., Any]] = Table(
    "augmentation policy",
    {
        name: f"{_POLICY}:{name}"
        for name in (
            *("auto", "none", "light", "medium", "heavy", "randaugment", "autoaugment"),
            *("trivial", "augmix", "groups", "custom"),
        )
    },
)
"""An operation, or a function from (settings, size, natural) to a tree of them, or None."""

AUGMENTATIONS: Table[Augmentation] = Table(
    "augmentation", {}, reserved="imgtrain.loading.policies.catalog:CATALOG"
)

SOURCES: Table[Callable[..., Any]] = Table(
    "source of pictures", {"digits": "imgtrain.data.digits:read_digits"}
)
"""Beside folders and manifests, which are found on disk, and sets that are downloaded."""

TRACKERS: Table[Tracker] = Table(
    "tracker",
    {name: f"imgtrain.tracking.{name}:TRACKER" for name in ("tensorboard", "mlflow", "wandb")},
)

TABLES: tuple[Table[Any], ...] = (MODELS, LOSSES, POLICIES, AUGMENTATIONS, SOURCES, TRACKERS)


def options_of(function: Callable[..., Any]) -> dict[str, bool]:
    """Its keyword-only parameters, and whether each must be given."""
    found = inspect.signature(function).parameters.values()
    return {p.name: p.default is p.empty for p in found if p.kind is p.KEYWORD_ONLY}


@contextmanager
def registering(plugin: str) -> Iterator[None]:
    """What is registered inside belongs to ``plugin``; nothing stays if it fails."""
    token = _plugin.set(plugin)
    try:
        yield
    except BaseException:
        for table in TABLES:
            table.forget(plugin)
        raise
    finally:
        _plugin.reset(token)


def registers_anything(plugin: str) -> bool:
    """Whether some name came from ``plugin``."""
    return any(table.plugin(name) == plugin for table in TABLES for name in table.names())


def blamed(error: BaseException, file: str | None = None) -> tuple[str, str] | None:
    """Which plugin an error came through, and ``FILE, line N: Kind: message``; None for ours.

    Args:
        error: What was raised.
        file: A file that counts as a plugin's, though nothing in it is registered.
    """
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if frame.filename in _files or frame.filename == file:
            told = " ".join(str(error).split())
            kind = type(error).__name__
            return _files.get(frame.filename, ""), (
                f"{Path(frame.filename)}, line {frame.lineno}: {kind}{told and ': '}{told}"
            )
    return None
