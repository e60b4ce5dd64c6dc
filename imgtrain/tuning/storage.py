"""Where studies are kept: an SQLite file, or a PostgreSQL database that many machines share."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgtrain.errors import OutsideError, SettingsError, disk_error
from imgtrain.passwords import without_password

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import URL

_PATIENCE = 60
"""Seconds to wait for another process that writes into the same SQLite file."""

_CONNECTING = 30
"""Seconds for a server to answer."""

_ASK_AGAIN = 0.05
"""Seconds between two tries to be alone."""

_TRIES = 5
"""Of making the tables: others may make the same ones at the same moment."""

_DRIVERS = ("pg8000", "psycopg")
"""Modules that talk to PostgreSQL, the first that is installed is taken."""


class StorageError(OutsideError):
    """The database cannot be used: no fault of the trial that needed it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A database of studies.

    Args:
        url: As SQLAlchemy takes it, with its password.
        shown: The same for people: without.
        file: The SQLite file; None for a server.
    """

    url: str
    shown: str
    file: Path | None

    @property
    def is_shared(self) -> bool:
        """Whether others may meet here from other machines."""
        return self.file is None


def file_place(path: Path) -> Place:
    """A study's own file."""
    return Place(f"sqlite:///{path.absolute()}", str(path), path)


def place_of(text: str) -> Place:
    """The database that ``--storage`` names.

    Raises:
        SettingsError: If it is no URL, or of a kind that studies are not kept in.
        OutsideError: If the package that talks to it is missing.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    hint = "give one as in sqlite:///study.db or postgresql://user@host/database"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise SettingsError(f"--storage {without_password(text)} is no URL", hint) from error
    kind = url.get_backend_name()
    if kind == "sqlite":
        if not url.database or url.database == ":memory:":
            raise SettingsError("--storage sqlite:// names no file: nothing would be kept", hint)
        return file_place(Path(url.database))
    if kind not in ("postgresql", "postgres"):
        raise SettingsError(
            f"--storage {url.render_as_string()}: studies are kept in SQLite or PostgreSQL, "
            f"not in {kind}",
            hint,
        )
    shown = without_password(url.render_as_string(hide_password=False))
    whole = _with_driver(url).render_as_string(hide_password=False)
    return Place(whole, shown, None)


def _with_driver(url: URL) -> URL:
    """A plain ``postgresql://`` with the driver that is installed."""
    if "+" in url.drivername:
        module = url.drivername.partition("+")[2]
        found = module if find_spec(module) else None
    else:
        found = next((name for name in _DRIVERS if find_spec(name)), None)
    if found is None:
        raise OutsideError(
            "the package that talks to PostgreSQL is not installed",
            'install it: python -m pip install "imgtrain[postgres]"',
        )
    return url.set(drivername=f"postgresql+{found}")


def connected(place: Place) -> RDBStorage:
    """Optuna's storage there, its tables made where they are missing.

    Raises:
        StorageError: If the server cannot be reached or does not let us in, or the tables are of
            another version.
        DiskError: If the file cannot be written.
    """
    arguments: dict[str, Any] = {"timeout": _PATIENCE}
    options: dict[str, Any] = {"pool_pre_ping": True}
    if place.is_shared:
        name = "timeout" if "+pg8000" in place.url else "connect_timeout"
        arguments = {name: _CONNECTING}
    else:
        assert place.file is not None
        try:
            place.file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, place.file) from error
    with reached(place):
        return _opened(place, {**options, "connect_args": arguments})


def _opened(place: Place, options: dict[str, Any]) -> RDBStorage:
    from optuna.exceptions import StorageInternalError
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    for left in range(_TRIES - 1, -1, -1):
        try:
            return RDBStorage(place.url, dict(options))
        except (SQLAlchemyError, StorageInternalError) as error:
            told = str(error).lower()
            if not left or not any(word in told for word in ("already exists", "unique")):
                raise
            time.sleep(_ASK_AGAIN)
        except RuntimeError as error:  # Optuna's word for tables that it does not know
            raise StorageError(
                f"cannot use {place.shown}: another version of Optuna made its tables",
                "update it: python -m pip install --upgrade optuna; "
                "older tables are brought up to date by: optuna storage upgrade",
            ) from error
    raise AssertionError


@contextlib.contextmanager
def reached(place: Place) -> Iterator[None]:
    """What the database complains of in the block, in one sentence.

    Raises:
        StorageError: With the URL, never with its password.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise StorageError(
            f"cannot use {place.shown}: {_reason(error)}",
            "is the server up, the database there, and the password right? "
            "the same command goes on from here"
            if place.is_shared
            else "if another process holds it or the disk is full, the same command goes on later; "
            "else name another file, or begin with --fresh",
        ) from None


def _reason(error: BaseException) -> str:
    """What the server or its driver said first, in a line."""
    inner: Any = error
    while getattr(inner, "orig", None) is not None or inner.__cause__ is not None:
        inner = getattr(inner, "orig", None) or inner.__cause__
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    told = inner.args[0] if inner.args else inner
    text = told.get("M", told) if isinstance(told, dict) else told  # pg8000: fields of the message
    return (str(text).strip().splitlines() or [type(inner).__name__])[0]


@contextlib.contextmanager
def alone(storage: RDBStorage, place: Place, study: str) -> Iterator[None]:
    """Nobody else gives out trials of the study during the block; death ends it, too."""
    if place.is_shared:
        with _advisory(storage, study):
            yield
        return
    assert place.file is not None
    with flocked(place.file.with_name(f".{place.file.name}.lock")):
        yield


@contextlib.contextmanager
def _advisory(storage: RDBStorage, study: str) -> Iterator[None]:
    """PostgreSQL's lock on a number; it ends with the transaction, or with the connection.

    It is asked for again and again: a driver's limit of time holds for every answer.
    """
    from sqlalchemy import text

    digest = hashlib.sha256(f"imgtrain {study}".encode()).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    with storage.engine.begin() as connection:
        ask = text("SELECT pg_try_advisory_xact_lock(:n)")
        while not connection.execute(ask, {"n": number}).scalar():
            time.sleep(_ASK_AGAIN)
        yield


@contextlib.contextmanager
def flocked(path: Path) -> Iterator[None]:
    """Wait until nobody else is in the block with this file (no wait on Windows)."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise disk_error(error, path) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
