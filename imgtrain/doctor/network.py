"""Which servers imgtrain would ask, and, only when asked to, whether they answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from imgtrain.doctor.lines import Line

TOPIC = "Network"

_SECONDS = 5.0


def servers(mirror: str | None) -> dict[str, str]:
    """Addresses, without a path, and what would be fetched there."""
    from imgtrain.fetching.catalogue import CATALOGUE

    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    found = {_root(hub): "pretrained weights"}
    if mirror is not None:
        found.setdefault(_root(mirror), "known sets (the mirror)")
    for entry in CATALOGUE.values():
        for archive in entry.archives:
            for url in archive.urls:
                place = _root(url)
                known = found.get(place)
                if known is None:
                    found[place] = entry.name
                elif entry.name not in known.split(", "):
                    found[place] = f"{known}, {entry.name}"
    return found


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def reach(mirror: str | None, *, ask: bool, offline: bool) -> Iterator[Line]:
    """A line for each server; without ``ask`` one line, and no socket is opened."""
    from imgtrain.fetching.answers import shown

    found = servers(mirror)
    if offline:
        why = "not asked: offline (--offline or hardware.offline)"
        yield Line(TOPIC, "servers", "ok", why)
    elif not ask:
        hosts = dict.fromkeys(shown(place).partition("://")[2] for place in found)
        yield Line(TOPIC, "servers", "ok", f"not asked; --network would ask {', '.join(hosts)}")
    else:
        with ThreadPoolExecutor(len(found)) as pool:
            for (place, holds), said in zip(found.items(), pool.map(_ask, found), strict=True):
                name = shown(place).partition("://")[2]
                if said is None:
                    yield Line(TOPIC, name, "ok", f"answers ({holds})")
                else:
                    yield Line(TOPIC, name, "note", f"{said} ({holds})", _advice(holds))


def _advice(holds: str) -> str:
    if holds.startswith("pretrained weights"):
        return "--weights FILE, --no-pretrained, or HF_ENDPOINT for a mirror of the hub"
    return "imgtrain data download NAME --mirror URL asks a server of yours first; or a proxy"


def _ask(place: str) -> str | None:
    """Why the server does not answer; None if it does, whatever it says."""
    import httpx

    try:
        answer = httpx.head(place, timeout=_SECONDS, follow_redirects=False)
    except httpx.HTTPError as error:
        return f"does not answer: {str(error) or type(error).__name__}"
    if answer.status_code == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
        return "the proxy wants a password"
    return None
