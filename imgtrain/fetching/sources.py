"""Where a file may come from, in which order, and the check that it is the right one."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imgtrain import console
from imgtrain.errors import OutsideError, SettingsError
from imgtrain.fetching.answers import (
    Patience,
    RefusedError,
    UnreachableError,
    answering,
    client,
    patiently,
    shown,
)
from imgtrain.fetching.entry import Archive, SetEntry
from imgtrain.fetching.progress import metering, size_text
from imgtrain.fetching.transfer import Source, forget, transfer
from imgtrain.files import read_json, sync_folder, write_json

if TYPE_CHECKING:
    import httpx

SUMS = "SHA256SUMS"
"""A mirror's own checksums, beside its archives."""

_LARGEST_SUMS = 2**20
_BLOCK = 2**20
_SLOW_TO_READ = 10**9
"""Files above so many bytes get a progress bar while they are checked."""

_SUM = re.compile(r"^\\?([0-9a-fA-F]{64})[ \t]+\*?(?:\./)?(.+?)\s*$")


@dataclass(frozen=True, slots=True)
class Obtained:
    """An archive that is here and was checked.

    Args:
        path: Where.
        url: Where it came from.
        size: In bytes.
        digest: What it amounts to, ``sha256:HEX`` or ``md5:HEX``.
        checked_against: Who vouches for that; None if nobody does.
    """

    path: Path
    url: str
    size: int
    digest: str
    checked_against: str | None


def digest_of(path: Path, kind: str) -> str:
    """``sha256:HEX`` or ``md5:HEX`` of a file."""
    size = path.stat().st_size
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        if size < _SLOW_TO_READ:
            while block := file.read(_BLOCK):
                digest.update(block)
        else:
            with metering(f"checking {path.name}", size) as meter:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    meter.at(file.tell())
    return f"{kind}:{digest.hexdigest()}"


def check_mirror(mirror: str) -> str:
    """A mirror's address without the slashes at its end.

    Raises:
        SettingsError: If it is none.
    """
    try:
        parts = urlsplit(mirror)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # half an IPv6 address, or a port that is no number
        known = False
    if not known:
        raise SettingsError(
            f"data.mirror = {shown(mirror)!r} is no address of a server",
            "it begins with http:// or https://, as in --mirror http://files.local/sets",
        )
    return mirror.rstrip("/")


def reachable(mirror: str | None, patience: Patience) -> str | None:
    """The mirror, if it can be connected to at all; else None, and that is said.

    Otherwise each of its addresses would be waited for in turn, again and again.
    """
    if mirror is None:
        return None
    once = replace(patience, tries=1)
    try:
        with client(once) as http:
            patiently(mirror, lambda: _touch(http, mirror), once)
    except UnreachableError as error:
        console.warn(f"--mirror {shown(mirror)}: {error}; going on without it")
        return None
    except RefusedError:
        return mirror  # there is somebody, at least
    return mirror


def _touch(http: httpx.Client, url: str) -> None:
    with answering(http, url, {}, lambda: False):
        return


def sources_of(
    http: httpx.Client, entry: SetEntry, archive: Archive, mirror: str | None, patience: Patience
) -> Iterator[Source]:
    """The mirror's two places, then the publisher's and theirs.

    A mirror's own checksum, where it has one, counts for what it sends; and that is said.
    """
    for base in () if mirror is None else (f"{mirror}/{entry.name}", mirror):
        own = _own_sum(http, base, archive.name, patience)
        if own is None:
            yield Source(f"{base}/{archive.name}", archive.size, archive.digest, archive.vouched_by)
        else:
            said = f"{shown(base)}/{SUMS}"
            console.warn(f"{archive.name} is checked against {said}, not against its publisher")
            yield Source(f"{base}/{archive.name}", None, f"sha256:{own}", said)
    for url in archive.urls:
        yield Source(url, archive.size, archive.digest, archive.vouched_by)


def _own_sum(http: httpx.Client, base: str, name: str, patience: Patience) -> str | None:
    """The SHA-256 that a mirror publishes for a file, if it does."""
    url = f"{base}/{SUMS}"
    try:
        text = patiently(url, lambda: _small_text(http, url), patience)
    except RefusedError as error:
        console.detail(f"{shown(url)}: {error}")
        return None
    found = filter(None, map(_SUM.match, text.splitlines()))
    return next((line[1].lower() for line in found if line[2] == name), None)


def _small_text(http: httpx.Client, url: str) -> str:
    with answering(http, url, {}, lambda: False) as response:
        if response.status_code != HTTPStatus.OK:
            raise RefusedError(f"{response.status_code}")
        text = b""
        for block in response.iter_bytes():
            text += block
            if len(text) > _LARGEST_SUMS:
                raise RefusedError("it is too large")
    return text.decode("utf-8", "replace")


def obtain(
    http: httpx.Client,
    entry: SetEntry,
    archive: Archive,
    folder: Path,
    *,
    mirror: str | None,
    patience: Patience,
) -> Obtained:
    """Bring an archive into ``folder``, from the first source that gives the right one.

    Raises:
        OutsideError: If none does; each is named with its reason.
    """
    path = folder / archive.name
    here = already_here(path)
    if here is not None:
        return here
    search = _Search(http, path, patience)
    last = None
    for last in sources_of(http, entry, archive, mirror, patience):
        found = search.ask(last)
        if found is not None:
            return found
        if len(search.wrong) > 1:
            break
    if last is not None and search.wrong == [last]:  # nobody else has it: once more
        found = search.ask(last)
        if found is not None:
            return found
    reasons = dict.fromkeys(search.reasons)
    raise OutsideError(
        "\n  ".join([f"cannot fetch {archive.name} of {entry.name}:", *reasons]),
        "check the network, or name a server that has it with --mirror URL",
    )


@dataclass(frozen=True, slots=True)
class _Search:
    """Asking one source after the other for a file.

    Args:
        http: Client.
        path: Where the file is to lie.
        patience: With each source.
        reasons: Why those asked so far did not do.
        wrong: Those whose file was not the right one.
    """

    http: httpx.Client
    path: Path
    patience: Patience
    reasons: list[str] = field(default_factory=list)
    wrong: list[Source] = field(default_factory=list)

    def ask(self, source: Source) -> Obtained | None:
        """Fetch and check; None where that failed, which is said and noted."""
        part = self.path.with_name(f"{self.path.name}.part")
        console.say(f"fetching {shown(source.url)}")
        try:
            transfer(self.http, source, part, self.patience)
            return _checked(source, part, self.path)
        except RefusedError as error:
            if isinstance(error, _WrongError):
                forget(part)
                self.wrong.append(source)
            self.reasons.append(f"{shown(source.url)}: {error}")
        console.say(self.reasons[-1])
        return None


class _WrongError(RefusedError):
    """What was fetched is not what it should be."""


def _checked(source: Source, part: Path, path: Path) -> Obtained:
    """Give a file its name once it is known to be the right one.

    Raises:
        _WrongError: If its checksum is not the one that was published.
    """
    kind = source.digest.partition(":")[0] if source.digest else "sha256"
    found = digest_of(part, kind)
    if source.digest is not None and found != source.digest:
        raise _WrongError(
            f"wrong checksum: got {found}, expected {source.digest} ({source.vouched_by})"
        )
    if source.digest is None:
        console.warn(f"{path.name}: nobody published a checksum; it is {found}")
    size = part.stat().st_size
    checked_against = source.vouched_by if source.digest else None
    _keep(part)
    write_json(
        _record(path),
        {
            "url": shown(source.url),
            "size": size,
            "digest": found,
            "checked_against": checked_against,
        },
    )
    part.replace(path)
    forget(part)
    console.say(f"{path.name} is here: {size_text(size)}, {found.partition(':')[0]} is right")
    return Obtained(path, shown(source.url), size, found, checked_against)


def _keep(part: Path) -> None:
    """Make what was fetched outlive a power cut."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(part.parent)


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def already_here(path: Path) -> Obtained | None:
    """An archive that an earlier process fetched and checked."""
    try:
        record = read_json(_record(path))
        if path.stat().st_size == record["size"]:
            return Obtained(path=path, **record)
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return None
