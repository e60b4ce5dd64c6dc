"""The page of ``data validate --html``: one file with thumbnails that loads nothing else."""

from __future__ import annotations

import base64
import html
import io
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from imgtrain.checking.findings import KINDS, Finding
from imgtrain.checking.survey import Survey, read_entry
from imgtrain.checking.tables import classes_of, summary
from imgtrain.console import one_line
from imgtrain.data.index import PARTS
from imgtrain.files import write_text
from imgtrain.starters import filled, read_template

MOST_SHOWN = 24
"""Findings of a kind that the page shows; it names how many more there are."""

MOST_OF_ONE = 6
"""Pictures of one finding that the page shows."""

SIDE = 128
_MOST_PIXELS = 100_000_000

Thumbnails = Callable[[str], str | None]


def write_page(path: Path, survey: Survey) -> None:
    """Show the findings of a survey.

    Raises:
        DiskError: If the page cannot be written.
    """
    write_text(path, render(survey))


def render(survey: Survey) -> str:
    """The page's HTML."""
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in survey.findings:
        by_kind[finding.code].append(finding)
    thumbnails = _thumbnails(survey)
    body = [_classes(classes_of(survey))]
    body += [_section(code, found, thumbnails) for code, found in by_kind.items()]
    return filled(
        "checks.html",
        {
            "title": _text(Path(survey.tree.root).name),
            "style": read_template("report.css") + read_template("checks.css"),
            "root": _text(survey.tree.root),
            "summary": _text(summary(survey)),
            "navigation": "".join(_link(code, found) for code, found in by_kind.items()),
            "body": "\n".join(body),
        },
    )


def _text(value: str) -> str:
    return html.escape(one_line(value))


def _name(value: str) -> str:
    """A path: its own direction of writing, never breaking that of its surroundings."""
    return f'<bdi title="{_text(value)}">{_text(value)}</bdi>'


def _link(code: str, found: list[Finding]) -> str:
    return f'<a href="#{code}">{code} {len(found):,}</a>'


def _classes(counts: Mapping[str, Mapping[str, int]]) -> str:
    parts = [part for part in (*PARTS, "all") if any(part in c for c in counts.values())]
    if not parts:
        return ""
    head = "".join(f'<th scope="col" class="number">{part}</th>' for part in parts)
    rows = "\n".join(
        f'<tr><th scope="row"><bdi>{_text(name)}</bdi></th>'
        + "".join(f'<td class="number">{by_part.get(part, 0):,}</td>' for part in parts)
        + "</tr>"
        for name, by_part in counts.items()
    )
    return (
        '<section id="classes"><h2>Classes</h2>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Pictures by class and part">'
        f'<table><thead><tr><th scope="col">class</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _section(code: str, found: list[Finding], thumbnails: Thumbnails) -> str:
    kind = KINDS[code]
    items = "\n".join(_item(finding, thumbnails) for finding in found[:MOST_SHOWN])
    more = len(found) - MOST_SHOWN
    rest = f'<p class="note">... and {more:,} more: --json lists all.</p>' if more > 0 else ""
    return (
        f'<section id="{code}"><h2><span class="state {kind.severity}">{kind.severity}</span> '
        f"{kind.title} <small>{code}, {len(found):,}; {_text(kind.advice)}</small></h2>"
        f'<ul class="finds">{items}</ul>{rest}</section>'
    )


def _item(finding: Finding, thumbnails: Thumbnails) -> str:
    pictures = "".join(_picture(name, thumbnails(name)) for name in finding.files[:MOST_OF_ONE])
    more = len(finding.files) - MOST_OF_ONE
    rest = f"<p>... and {more:,} more</p>" if more > 0 else ""
    detail = f"<p>{_text(finding.detail)}</p>" if finding.detail else ""
    many = ' class="many"' if len(finding.files) > 1 else ""
    return f'<li{many}><div class="row">{pictures}</div>{detail}{rest}</li>'


def _picture(name: str, uri: str | None) -> str:
    shown = (
        f'<img src="{uri}" alt="" loading="lazy">'
        if uri
        else '<span class="missing">cannot be shown</span>'
    )
    return f"<figure>{shown}<figcaption>{_name(name)}</figcaption></figure>"


def _thumbnails(survey: Survey) -> Thumbnails:
    """What makes the thumbnail of a file, by its name."""
    places = {entry.name: entry for entry in survey.tree.entries}
    good = {
        entry.name
        for entry, look in zip(survey.tree.entries, survey.looks, strict=True)
        if look.quality is not None
    }

    def thumbnail(name: str) -> str | None:
        if name not in good:
            return None
        try:
            return _as_uri(read_entry(survey.tree, places[name]))
        except OSError:
            return None

    return thumbnail


def _as_uri(data: bytes) -> str | None:
    """A small JPEG as a data URI; None for what cannot be shown as colour."""
    from PIL import Image

    from imgtrain.data.decode import BadImage, decode

    try:
        pixels = decode(
            data, channels=3, background=(255, 255, 255), max_pixels=_MOST_PIXELS, side=SIDE
        )
    except BadImage:
        return None
    picture = Image.fromarray(pixels)
    picture.thumbnail((2 * SIDE, 2 * SIDE))
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
