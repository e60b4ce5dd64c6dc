"""The data of a run: how many pictures, of what, and what is wrong with them."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from imgtrain.report.album import Album
from imgtrain.report.markup import (
    Cell,
    Column,
    definitions,
    name,
    plural,
    section,
    sortable,
    text,
    whole,
)
from imgtrain.report.outcome import MOST_ROWS
from imgtrain.report.reading import PARTS, LeakedPicture, RunFiles
from imgtrain.report.record import data_facts, left_out

_MOST_EMBEDDED = 2_000_000
"""Bytes of a picture file that the page takes in."""

_LEAKS_SHOWN, _LEAKS_LISTED, _COPIES = 4, 200, 3
_KINDS = {".png": "png", ".jpg": "jpeg"}


def data_section(run: RunFiles, album: Album) -> str:
    """Pictures per part and class, what was left out, and what lies in two parts."""
    parts = Counter[str]()
    for (_, part), count in run.counts.items():
        parts[part] += count
    facts = [(title, whole(parts[part])) for part, title in PARTS.items() if parts[part]]
    facts += [
        (text(part or "In no part"), whole(n)) for part, n in parts.items() if part not in PARTS
    ]
    if run.groups:
        facts.append(("Groups that stay together", whole(run.groups)))
    facts += data_facts(run)
    return section(
        "data",
        "Data",
        definitions(facts),
        _leaks(run.leaks, album),
        left_out(run),
        _class_counts(run),
        _sheet(run.folder / "contact_sheet.jpg"),
    )


def _leaks(leaks: Sequence[LeakedPicture], album: Album) -> str:
    """Pictures that lie in more than one part: some to see, many by name."""
    if not leaks:
        return ""
    clusters = [list(rows) for _, rows in groupby(leaks, key=lambda row: row.cluster)]
    cards = "\n".join(
        _leaked(row) + f"{album.image(row.path, f'{row.label}, in {row.part}')}</li>"
        for rows in clusters[:_LEAKS_SHOWN]
        for row in rows[:_COPIES]
    )
    items = "".join(
        "<li>" + ", ".join(f"{name(row.path)} <small>{text(row.part)}</small>" for row in rows)
        + "</li>"
        for rows in clusters[:_LEAKS_LISTED]
    )  # fmt: skip
    left = len(clusters) - _LEAKS_LISTED
    more = f"<p>and {whole(left)} more in leaks.csv</p>" if left > 0 else ""
    count = plural(len(clusters), "picture")
    return (
        f'<div class="warning"><p><strong>{count} {"lies" if len(clusters) == 1 else "lie"} in '
        "more than one part</strong>, copied or nearly so: what a model has seen in training it "
        "recognises in the test, and scores flatter. <code>--on-leak fix</code> trains without "
        f"the copies.</p></div><details><summary>Show the copies</summary>"
        f'<ul class="gallery">{cards}</ul><ul class="paths" tabindex="0">{items}</ul>{more}'
        "</details>"
    )


def _leaked(row: LeakedPicture) -> str:
    return f'<li><p class="true">{text(PARTS.get(row.part, row.part))}</p>'


def _class_counts(run: RunFiles) -> str:
    """A row a class: pictures by part, and a bar of all of them in the parts' colours."""
    if not run.counts:
        return ""
    found = {label for label, _ in run.counts}
    labels = [label for label in run.classes if label in found]
    labels += sorted(found.difference(labels))
    parts = [part for part in PARTS if any(run.counts.get((label, part)) for label in labels)]
    largest = max(sum(run.counts.get((label, part), 0) for part in parts) for label in labels) or 1
    rows = []
    for label in labels[:MOST_ROWS]:
        counts = [run.counts.get((label, part), 0) for part in parts]
        rows.append([label, *counts, Cell(sum(counts), _stack(counts, largest))])
    columns = [Column("Class", "name"), *(Column(PARTS[part]) for part in parts)]
    note = f'<p class="note">The first {whole(MOST_ROWS)} of {whole(len(labels))} classes.</p>'
    chips = "".join(
        f'<span><i style="--c:var(--c{k})"></i>{PARTS[part].lower()}</span>'
        for k, part in enumerate(parts)
    )
    table = sortable("Pictures per class", [*columns, Column("All", "cell")], rows)
    return (
        f'<h3>Pictures per class</h3><p class="chips" aria-hidden="true">{chips}</p>'
        f"{note if len(labels) > MOST_ROWS else ''}{table}"
    )


def _stack(counts: Sequence[int], largest: int) -> str:
    pieces = "".join(
        f'<i style="--c:var(--c{k});width:{100 * count / largest:.2f}%"></i>'
        for k, count in enumerate(counts)
        if count
    )
    return (
        f'<span class="stacked"><span class="stack" aria-hidden="true">{pieces}</span>'
        f"<span>{whole(sum(counts))}</span></span>"
    )


def _sheet(path: Path) -> str:
    picture = embedded_picture(path, "Training pictures beside the variations that the model saw")
    if not picture:
        return ""
    return (
        "<h3>What the model saw</h3>"
        '<p class="note">In each row a training picture as it is stored, then as augmentation '
        f'varies it.</p><div class="sheet" tabindex="0" role="region" aria-label="Contact sheet">'
        f"{picture}</div>"
    )


def embedded_picture(path: Path, words: str) -> str:
    """A picture file of the run as an element; nothing where there is none, or a huge one."""
    try:
        data = path.read_bytes() if path.stat().st_size <= _MOST_EMBEDDED else b""
    except OSError:
        return ""
    if not data:
        return ""
    kind = _KINDS[path.suffix]
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return f'<img src="{uri}" alt="{text(words)}" loading="lazy">'
