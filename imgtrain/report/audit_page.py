"""``label_audit.html``: likely wrong labels with their pictures, to be judged one by one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from imgtrain.checking.audit import TABLE, Audit
from imgtrain.files import write_text
from imgtrain.report.frame import embedded
from imgtrain.report.gallery import Reader, thumbnail
from imgtrain.report.markup import name, percent, plural, section, text, whole
from imgtrain.starters import filled, read_template

MOST_SHOWN = 400
"""Pictures on the page; the list holds the others too."""

_MOST_PAIRS = 30
_TINY = 64


def write_audit_page(found: Audit, rows: Sequence[Sequence[str]], read: Reader | None) -> Path:
    """Show the list of a label audit.

    Args:
        found: The audit.
        rows: The rows of its list, with what is accepted already.
        read: The bytes of a picture by its path; what cannot be read becomes a placeholder.

    Returns:
        The page's path.

    Raises:
        DiskError: If the page cannot be written.
    """
    page = found.run / "label_audit.html"
    cards = "\n".join(_card(i, row, read) for i, row in enumerate(rows[:MOST_SHOWN]))
    classes = found.predictions.classes
    names = "".join(f'<option value="{text(label)}"></option>' for label in classes)
    body = [
        section("suspects", "Likely wrong labels", _shown(rows), _then(found), _gallery(cards))
        if rows
        else '<p class="empty">No label looks wrong.</p>',
        section("noise", "Which classes are mixed up", _pairs(found)),
    ]
    pieces = {
        "title": text(found.run.resolve().name),
        "style": read_template("report.css") + read_template("audit.css"),
        "lead": _lead(found),
        "tools": _tools(rows) if rows else "",
        "classes": f'<datalist id="classes">{names}</datalist>',
        "body": "\n".join(body),
        "rows": embedded({"rows": [list(row) for row in rows]}),
        "script": read_template("audit.js"),
    }
    write_text(page, filled("audit.html", pieces))
    return page


def _lead(found: Audit) -> str:
    pictures, suspects = len(found.predictions.paths), len(found.suspects)
    return (
        f"<strong>{whole(suspects)}</strong> of {plural(pictures, 'label')} "
        f"{'is' if suspects == 1 else 'are'} likely wrong; estimated noise "
        f"<strong>{percent(found.noise.share)}</strong>. Hard pictures look like wrong ones to a "
        "model: look before you accept."
    )


def _shown(rows: Sequence[Sequence[str]]) -> str:
    if len(rows) <= MOST_SHOWN:
        return ""
    return (
        f'<p class="note">The first {MOST_SHOWN} of {whole(len(rows))}; label_audit.csv lists all.'
        "</p>"
    )


def _then(found: Audit) -> str:
    """What to do with the answers."""
    place = shlex.quote(str(found.run / TABLE))
    return (
        f'<p class="note">When you have judged some, save the list in the place of '
        f"<code>{text(place)}</code>; <code>imgtrain data clean --from-audit {text(place)}</code> "
        "says what it would do.</p>"
    )


def _gallery(cards: str) -> str:
    return f'<ul class="suspects">{cards}</ul>' if cards else ""


def _tools(rows: Sequence[Sequence[str]]) -> str:
    """The filter, what the keys do, and the button that saves."""
    counts: dict[str, int] = {}
    for row in rows[:MOST_SHOWN]:
        for label in {row[1], row[2]}:
            counts[label] = counts.get(label, 0) + 1
    options = "".join(
        f'<option value="{text(label)}">{text(label, 40)} ({count})</option>'
        for label, count in sorted(counts.items())
    )
    return (
        '<div class="tools" role="toolbar" aria-label="Review">'
        f'<label>Class <select id="class"><option value="">all</option>{options}</select></label>'
        '<label>Show <select id="state"><option value="">all</option>'
        '<option value="open">not judged</option><option value="done">judged</option></select>'
        '</label><span id="count" role="status"></span>'
        '<button type="button" id="save">Save label_audit.csv</button>'
        '<p class="keys"><kbd>\u2190</kbd> <kbd>\u2192</kbd> next picture, <kbd>y</kbd> take the '
        "suggestion, <kbd>n</kbd> keep the label, <kbd>r</kbd> remove, <kbd>c</kbd> another class, "
        "<kbd>u</kbd> undo</p></div>"
    )


def _card(i: int, row: Sequence[str], read: Reader | None) -> str:
    path, label, suggested, _, own, other, _ = row
    picture = thumbnail(read, path)
    if picture is None:
        image = '<div class="missing">picture not found</div>'
    else:
        tiny = ' class="tiny"' if max(picture.width, picture.height) < _TINY else ""
        image = (
            f'<img src="{picture.uri}" width="{picture.width}" height="{picture.height}" '
            f'alt="{text(f"labelled {label}, likely {suggested}")}" loading="lazy"{tiny}>'
        )
    return (
        f'<li tabindex="{-1 if i else 0}" data-row="{i}">{image}'
        f'<p class="said"><span>label {name(label)}</span> <b>{_percent(own)}</b></p>'
        f'<p class="likely"><span>likely {name(suggested)}</span> <b>{_percent(other)}</b></p>'
        f'<p class="path" title="{text(path)}">{name(path)}</p>'
        '<p class="judge"><button type="button" data-answer="yes">change</button>'
        '<button type="button" data-answer="no">keep</button>'
        '<button type="button" data-answer="remove">remove</button>'
        '<input list="classes" placeholder="other class" aria-label="another class" size="8"></p>'
        "</li>"
    )


def _percent(cell: str) -> str:
    try:
        return percent(float(cell))
    except ValueError:
        return percent(None)


def _pairs(found: Audit) -> str:
    pairs = found.pairs()[:_MOST_PAIRS]
    if not pairs:
        return ""
    rows = "\n".join(
        f'<tr><th scope="row">{name(label)}</th><td>{name(other)}</td>'
        f'<td class="number">{whole(number)}</td><td class="number">{percent(share)}</td></tr>'
        for label, other, number, share in pairs
    )
    heads = "".join(
        f'<th scope="col"{kind}>{title}</th>'
        for title, kind in (
            ("Label", ""),
            ("Likely", ""),
            ("Pictures, about", ' class="number"'),
            ("Share of the label", ' class="number"'),
        )
    )
    return (
        '<p class="note">Estimated from all predictions; the pictures above are the likeliest.</p>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Noise by pairs of classes">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
