"""``explain.html`` and ``overlays.csv``: where a model looks, picture by picture."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imgtrain.files import write_csv, write_text
from imgtrain.report.markup import name, percent, plural, text, whole
from imgtrain.report.predictions import read_rows
from imgtrain.starters import filled, read_template

TABLE = "overlays.csv"
COLUMNS = ("path", "class", "method", "layer", "file")
"""``path`` as in ``splits.csv``, ``file`` in the table's own folder; ``class`` is empty where the
map is the same for every class."""

MOST_SHOWN = 200
"""Pictures on the page; the table lists the others too."""

_MARKS = "From blue to yellow, colour marks "
SAYS = {
    "gradcam": _MARKS + "the channels that on the whole raise the score of the class.",
    "gradcam++": _MARKS + "the channels that anywhere raise the score of the class.",
    "hirescam": _MARKS + "what raises the score of the class, each place by its own gradient.",
    "occlusion": _MARKS + "what the class needs: covered, it is less probable.",
    "attention": _MARKS + "what this layer of attention looks at, whatever the class.",
    "rollout": _MARKS + "what all layers of attention together look at, whatever the class.",
    "gradient-attention": _MARKS + "what attention looks at that raises the score of the class.",
}
"""What a map means, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One picture, and where the model looks in it.

    Args:
        path: As it was given, or as in ``splits.csv``.
        pred: The predicted class; None when the picture cannot be read.
        prob: Its probability.
        true: The true class, where it is known.
        true_prob: The probability that the model gives it.
        of: The class of which the map is; None where it is the same for every class.
        of_prob: Its probability.
        flat: Whether the map is 0 everywhere: nothing speaks for the class.
        file: Name of the overlay, in the folder of the page.
        picture: JPEG of what the model sees; None once there are ``MOST_SHOWN``.
        overlay: JPEG with the map on it.
        error: Why the picture cannot be read.
    """

    path: str
    pred: str | None = None
    prob: float | None = None
    true: str | None = None
    true_prob: float | None = None
    of: str | None = None
    of_prob: float | None = None
    flat: bool = False
    file: str | None = None
    picture: bytes | None = None
    overlay: bytes | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """How the maps were made: of which run's model, by which method, at which layer."""

    run: str
    method: str
    layer: str


def listed_files(folder: Path) -> list[str]:
    """The overlays that the table in ``folder`` lists: names alone, nothing outside of it."""
    header, *rows = list(read_rows(folder / TABLE)) or [[]]
    if "file" not in header:
        return []
    place = header.index("file")
    names = [row[place] for row in rows if len(row) == len(header)]
    return [name for name in names if name and Path(name).name == name]


def write_explained(folder: Path, way: Way, rows: Sequence[Explained]) -> Path:
    """Write the table and the page; returns the page's path.

    Raises:
        DiskError: If they cannot be written.
    """
    found = [
        [_storable(row.path), row.of or "", way.method, way.layer, row.file]
        for row in rows
        if row.file is not None
    ]
    write_csv(folder / TABLE, COLUMNS, found)
    page = folder / "explain.html"
    write_text(page, render(way, rows))
    return page


def _storable(path: str) -> str:
    """Bytes of a name that is no UTF-8 as escapes."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def render(way: Way, rows: Sequence[Explained]) -> str:
    """The page's HTML."""
    cards = "\n".join(map(_card, rows[:MOST_SHOWN]))
    more = (
        f'<p class="note">The first {MOST_SHOWN} of {whole(len(rows))}; {TABLE} lists all.</p>'
        if len(rows) > MOST_SHOWN
        else ""
    )
    return filled(
        "explain.html",
        {
            "title": text(way.run),
            "style": read_template("report.css") + read_template("explain.css"),
            "lead": f"{plural(len(rows), 'picture')} as the model sees them, and a map of where it "
            f"looks: <strong>{text(way.method)}</strong>, {text(way.layer)}.",
            "note": f"{SAYS[way.method]} Each map is scaled to its own largest value.",
            "body": f'{more}<ul class="looks">{cards}</ul>',
        },
    )


def _card(row: Explained) -> str:
    if row.error is not None or row.pred is None:
        images = f'<div class="missing">{text(row.error or "")}</div>'
        return f"<li>{images}{_path(row)}</li>"
    words = text(f"{row.path}, taken for {row.pred}")
    images = "".join(
        f'<img src="{_uri(data)}" alt="{words}{kind}" loading="lazy">'
        for data, kind in ((row.picture, ""), (row.overlay, ": where the model looks"))
        if data is not None
    )
    return f'<li><div class="pair">{images}</div>{_said(row)}{_path(row)}</li>'


def _uri(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")


def _said(row: Explained) -> str:
    """What the model takes the picture for, what it is, and of which class the map is."""
    assert row.pred is not None
    right = row.true == row.pred
    kind = "" if row.true is None else "good" if right else "wrong"
    lines = [_line(name(row.pred), row.prob, kind)]
    if row.true is not None and not right:
        lines.append(_line(f"is {name(row.true)}", row.true_prob, ""))
    if row.of is not None and row.of != row.pred:
        lines.append(_line(f"map of {name(row.of)}", row.of_prob, ""))
    if row.flat:
        lines.append('<p class="note">nothing speaks for the class here</p>')
    return "".join(lines)


def _line(words: str, prob: float | None, kind: str) -> str:
    return f'<p class="said {kind}"><span>{words}</span> <b>{percent(prob)}</b></p>'


def _path(row: Explained) -> str:
    return f'<p class="path" title="{text(row.path)}">{name(row.path)}</p>'
