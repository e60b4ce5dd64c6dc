"""One file over HTTP: resumed where it stopped, retried where that can help, given up for a reason.

What arrives goes to ``NAME.part`` at once, so that a killed process loses nothing; beside it
``NAME.part.json`` says of which file it is the beginning.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgtrain import console
from imgtrain.fetching.answers import (
    FalteredError,
    Patience,
    RefusedError,
    answering,
    patiently,
    shown,
    status_of,
)
from imgtrain.fetching.progress import metering
from imgtrain.files import read_json, write_json

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True)
class Source:
    """One place that may have a file.

    Args:
        url: Where.
        size: Bytes that it must have; None if unknown.
        digest: What it must amount to; None if unknown.
        vouched_by: Who says so.
    """

    url: str
    size: int | None
    digest: str | None
    vouched_by: str


def transfer(http: httpx.Client, source: Source, part: Path, patience: Patience) -> None:
    """Bring ``part`` to the whole length of the file at ``source``, from where it stands.

    Raises:
        RefusedError: If this source cannot give it.
    """
    patiently(source.url, lambda: _once(http, source, part, patience), patience)


def _once(http: httpx.Client, source: Source, part: Path, patience: Patience) -> None:
    start, headers = _beginning(source, part)
    if start and not headers:
        return
    arrived = 0

    def progressed() -> bool:
        return arrived >= 2**20

    with answering(http, source.url, headers, progressed) as response:
        start, total = _agreed(response, source, part, start)
        if start:
            console.say(f"{part.name.removesuffix('.part')}: going on from byte {start:,}")
        label = part.name.removesuffix(".part")
        with (
            part.open("ab" if start else "wb") as file,
            metering(label, total, done=start) as meter,
        ):
            _note(part, source, response, total)
            for block in _flowing(response, patience):
                file.write(block)
                file.flush()
                arrived += len(block)
                meter.at(start + arrived)
                if total is not None and start + arrived > total:
                    break
    _check_length(part, start + arrived, total, arrived)


def _check_length(part: Path, length: int, total: int | None, arrived: int) -> None:
    if total is None or length == total:
        return
    if length > total:
        forget(part)
        raise RefusedError(f"it sent more than the {total:,} bytes that it should")
    raise FalteredError(
        f"the connection was cut after {length:,} of {total:,} bytes", progressed=arrived >= 2**20
    )


def _flowing(response: httpx.Response, patience: Patience) -> Iterator[bytes]:
    """Blocks as they come; a mere trickle is a fault, too."""
    seen, since = 0, time.monotonic()
    for block in response.iter_raw():
        yield block
        seen += len(block)
        passed = time.monotonic() - since
        if passed > patience.stall:
            if seen < patience.trickle * passed:
                raise FalteredError(f"it sent {seen:,} bytes in {passed:.0f} s")
            seen, since = 0, time.monotonic()


def _beginning(source: Source, part: Path) -> tuple[int, dict[str, str]]:
    """How much is here that the source may continue, and the headers that ask for the rest.

    Without headers there is no rest: all of it is here.
    """
    have = part.stat().st_size if part.exists() else 0
    known = _known(part)
    if not have or known is None:
        return 0, {}
    same_url = known.get("url") == shown(source.url)
    if not same_url and (source.digest is None or known.get("digest") != source.digest):
        return 0, {}
    if source.size is not None and have > source.size:
        return 0, {}
    if source.digest is not None and have in {source.size, known.get("bytes")}:
        return have, {}
    headers = {"Range": f"bytes={have}-"}
    if same_url and known.get("validator"):
        headers["If-Range"] = known["validator"]
    elif source.digest is None:
        return 0, {}  # nothing would tell that the rest is of another file
    return have, headers


def _known(part: Path) -> dict[str, Any] | None:
    try:
        found = read_json(_side(part))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _side(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _note(part: Path, source: Source, response: httpx.Response, total: int | None) -> None:
    """Write down of which file ``part`` is the beginning."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
    write_json(
        _side(part),
        {
            "url": shown(source.url),
            "digest": source.digest,
            "validator": validator,
            "bytes": total,
        },
    )


def forget(part: Path) -> None:
    """Throw the beginning away."""
    part.unlink(missing_ok=True)
    _side(part).unlink(missing_ok=True)


def _agreed(
    response: httpx.Response, source: Source, part: Path, asked: int
) -> tuple[int, int | None]:
    """Where the answer begins, and how long the whole file is.

    Raises:
        RefusedError: If it is an error, or the length is not that of the file.
        FalteredError: If the beginning here does not fit, and is thrown away.
    """
    code = response.status_code
    if code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and asked:
        _check_total(source, _range_of(response)[1])
        forget(part)
        raise FalteredError("it has no such part of the file: from the beginning")
    if code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
        raise RefusedError(status_of(response))
    start, total = _range_of(response) if code == HTTPStatus.PARTIAL_CONTENT else (0, None)
    if start != (asked if code == HTTPStatus.PARTIAL_CONTENT else 0):
        forget(part)
        raise FalteredError("it sent another part than was asked for: from the beginning")
    if asked and not start:
        console.say(f"{shown(source.url)} cannot go on where it stopped: from the beginning")
    length = response.headers.get("Content-Length", "")
    if total is None and length.isdigit():
        total = start + int(length)
    _check_total(source, total)
    return start, source.size if total is None else total


def _check_total(source: Source, total: int | None) -> None:
    if source.size is not None and total is not None and total != source.size:
        raise RefusedError(f"it has {total:,} bytes there, not {source.size:,}")


def _range_of(response: httpx.Response) -> tuple[int, int | None]:
    """First byte and whole length in ``Content-Range: bytes 5-9/10``."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    span, _, total = rest.partition("/")
    first = span.partition("-")[0]
    known = int(total) if total.isdigit() else None
    return (int(first) if unit == "bytes" and first.isdigit() else -1), known
