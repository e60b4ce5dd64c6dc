"""Pictures behind addresses: fetched with a limit on time, size and redirects."""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

from imgtrain import __version__

if TYPE_CHECKING:
    import httpx

TOGETHER = 8
"""Addresses that are fetched side by side."""

_REDIRECTS = 5
_OF_NO_PICTURE = ("text/html", "application/json", "application/xml", "text/xml")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much is waited for.

    Args:
        silence: Seconds without a byte.
        whole: Seconds for all of a picture.
        size: Bytes of a picture.
    """

    silence: float = 10.0
    whole: float = 60.0
    size: int = 100_000_000


class Web:
    """Reads addresses; safe for threads. What goes wrong is an ``OSError`` that says so."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        import httpx

        self._client = httpx.Client(
            follow_redirects=True,
            max_redirects=_REDIRECTS,
            timeout=self._limits.silence,
            headers={
                "User-Agent": f"imgtrain/{__version__}",
                "Accept": "image/*,*/*;q=0.5",
                "Accept-Encoding": "identity",
            },
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()

    def read(self, address: str) -> bytes:
        """The bytes behind ``address``.

        Raises:
            OSError: If they cannot be had, are too many or too slow, or are a page of text.
        """
        import httpx

        try:
            return self._read(address)
        except httpx.TooManyRedirects as error:
            raise _failed(f"more than {_REDIRECTS} redirects") from error
        except httpx.TimeoutException as error:
            raise _failed(f"no answer within {self._limits.silence:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failed(str(error) or type(error).__name__) from error

    def _read(self, address: str) -> bytes:
        assert self._client is not None
        ends = time.monotonic() + self._limits.whole
        with self._client.stream("GET", address) as response:
            if response.status_code != HTTPStatus.OK:
                raise _failed(f"{response.status_code} {response.reason_phrase}".strip())
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind in _OF_NO_PICTURE:
                raise _failed(f"no picture but {kind}")
            said = response.headers.get("Content-Length", "")
            if said.isdecimal() and int(said) > self._limits.size:
                raise self._too_large()
            found = bytearray()
            for part in response.iter_bytes():
                found += part
                if len(found) > self._limits.size:
                    raise self._too_large()
                if time.monotonic() > ends:
                    raise _failed(f"not all of it came within {self._limits.whole:g} s")
            return bytes(found)

    def _too_large(self) -> OSError:
        return _failed(f"more than {self._limits.size:,} bytes")


def _failed(reason: str) -> OSError:
    return OSError(errno.EIO, reason)
