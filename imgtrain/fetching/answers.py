"""Asking a server: what went wrong, whether another try can help, and how long to wait for it."""

from __future__ import annotations

import contextlib
import email.utils
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from imgtrain import __version__, console

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524})
"""Statuses that may be better in a moment."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is waited for. Times in seconds.

    Args:
        tries: In a row without a megabyte of progress; those without a connection count double.
        connect: For a connection.
        stall: For the next bytes; a flow below ``trickle`` bytes/s over so long counts as none.
        trickle: Bytes per second.
        pause: Before the second try; doubled before each further one.
        longest_pause: Also caps what a server asks for by Retry-After.
    """

    tries: int = 5
    connect: float = 8.0
    stall: float = 30.0
    trickle: float = 200.0
    pause: float = 1.0
    longest_pause: float = 60.0


class RefusedError(Exception):
    """This source will not give the file; another may."""


class UnreachableError(RefusedError):
    """There is no connection to this server."""


class FalteredError(Exception):
    """This try failed; the next may not.

    Args:
        reason: In a few words.
        retry_after: Seconds that the server asked for.
        progressed: Whether a good deal had arrived.
        cost: How many tries it counts for.
    """

    def __init__(
        self,
        reason: str,
        *,
        retry_after: float | None = None,
        progressed: bool = False,
        cost: int = 1,
    ) -> None:
        super().__init__(reason)
        self.retry_after, self.progressed, self.cost = retry_after, progressed, cost


def shown(url: str) -> str:
    """A URL without the user and password in it."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"


def client(patience: Patience) -> httpx.Client:
    """A client that follows redirects and obeys the usual proxy variables."""
    import httpx

    return httpx.Client(
        follow_redirects=True,
        timeout=httpx.Timeout(patience.stall, connect=patience.connect),
        headers={"User-Agent": f"imgtrain/{__version__}", "Accept-Encoding": "identity"},
    )


def patiently(url: str, step: Callable[[], T], patience: Patience) -> T:
    """Do ``step`` until it works, with growing pauses between the tries.

    Raises:
        RefusedError: If it is hopeless, or after the last try.
    """
    tries = spent = 0
    while True:
        try:
            return step()
        except FalteredError as error:
            tries, spent = (0, 0) if error.progressed else (tries, spent)
            tries, spent = tries + 1, spent + error.cost
            if spent >= patience.tries:
                ended = UnreachableError if error.cost > 1 else RefusedError
                often = f", {tries} times" if tries > 1 else ""
                raise ended(f"{error}{often}") from error
            pause = _pause(tries, error.retry_after, patience)
            console.say(f"{shown(url)}: {error}; again in {pause:.1f} s")
            time.sleep(pause)


def _pause(tries: int, retry_after: float | None, patience: Patience) -> float:
    grown = patience.pause * (1 << (tries - 1))
    spread = random.uniform(0.5, 1.0)  # noqa: S311  # spreads clients that failed together
    asked: float = retry_after or 0.0
    return min(max(grown * spread, asked), patience.longest_pause)


@contextlib.contextmanager
def answering(
    http: httpx.Client, url: str, headers: dict[str, str], progressed: Callable[[], bool]
) -> Iterator[httpx.Response]:
    """The answer to a GET; what goes wrong on the way is ``RefusedError`` or ``FalteredError``."""
    import httpx

    try:
        with http.stream("GET", url, headers=headers) as response:
            if response.status_code in _AGAIN:
                raise FalteredError(status_of(response), retry_after=_retry_after(response))
            yield response
    except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
        raise RefusedError(str(error) or type(error).__name__) from error
    except httpx.TransportError as error:
        reason = {
            httpx.ConnectError: "no connection",
            httpx.ConnectTimeout: "no connection in time",
            httpx.ReadTimeout: "it fell silent",
            httpx.RemoteProtocolError: "the connection was cut",
            httpx.ReadError: "the connection was cut",
        }.get(type(error), type(error).__name__)
        unconnected = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
        detail = f" ({error})" if unconnected and str(error) else ""
        cost = 1 + unconnected
        raise FalteredError(reason + detail, progressed=progressed(), cost=cost) from error


def status_of(response: httpx.Response) -> str:
    """``404 Not Found``."""
    code = response.status_code
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, or those until a date."""
    given = response.headers.get("Retry-After", "")
    if given.strip().isdigit():
        return float(given)
    with contextlib.suppress(TypeError, ValueError):
        until = email.utils.parsedate_to_datetime(given)
        return max(0.0, until.timestamp() - time.time())
    return None
