"""The confusion matrix as a table whose cells show their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imgtrain.metrics.confusion import Ints
from imgtrain.report.album import Album
from imgtrain.report.markup import Cell, Column, percent, plural, sortable, text, whole
from imgtrain.report.predictions import Predictions
from imgtrain.report.selection import confused, one_line

MOST_CELLS = 40
"""Classes in the matrix; more would be too small to point at."""

MOST_PAIRS = 50
"""Rows of the list of confusions."""

_PICTURES = 6
"""Of one cell; of the others only the names are told."""

_NAMES = 24
_DENSE = 14
"""Classes above which columns are headed aslant."""


@dataclass(frozen=True, slots=True)
class Confusions:
    """HTML of matrix and list, and what their cells show when they are opened."""

    html: str
    cells: dict[str, Any]


def confusions(
    part: str, rows: Predictions, matrix: Ints, classes: Sequence[str], album: Album
) -> Confusions:
    """Which class is taken for which.

    Args:
        part: Of the data; names the cells.
        rows: The part's predictions.
        matrix: Shape (C, C), rows are true classes.
        classes: The C names.
        album: Where the pictures come from.
    """
    pairs = _commonest(matrix)
    shown = _shown(matrix, pairs)
    wanted = dict.fromkeys([*pairs, *((t, p) for t in shown for p in shown if matrix[t, p])])
    cells = {f"{t}-{p}": entry for (t, p), entry in _pictured(rows, wanted, matrix, album).items()}
    note = (
        "Rows are true classes, columns what they were taken for; the stronger the colour, the "
        "larger the share of the row. Choose a cell to see its pictures."
    )
    if len(classes) > len(shown):
        of = whole(len(classes))
        note = f"The {len(shown)} classes of the most common confusions, of {of}. {note}"
    table = _matrix(part, matrix, classes, shown)
    figure = f'<div><h3>Confusion matrix</h3>{table}<p class="note">{note}</p></div>'
    return Confusions(
        f'<div class="matrix">{figure}{_list(part, matrix, classes, pairs)}</div>', cells
    )


def _shown(matrix: Ints, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """All classes, or those of the most common confusions and then those with most mistakes."""
    told = [label for pair in pairs for label in pair] if len(matrix) > MOST_CELLS else []
    return sorted([*dict.fromkeys([*told, *confused(matrix, MOST_CELLS)])][:MOST_CELLS])


def _commonest(matrix: Ints) -> list[tuple[int, int]]:
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    pairs = zip(*(axis.tolist() for axis in np.unravel_index(order, wrong.shape)), strict=True)
    return [(t, p) for t, p in pairs if wrong[t, p]]


def _pictured(
    rows: Predictions, wanted: Iterable[tuple[int, int]], matrix: Ints, album: Album
) -> dict[tuple[int, int], list[list[Any]]]:
    """Path, probability and picture of the surest wrong, and the least sure right, of each cell.

    Pictures are dealt out one a cell, the fullest wrong cells first, while there is room.
    """
    cells = sorted(wanted, key=lambda cell: (cell[0] == cell[1], -int(matrix[cell])))
    code = rows.labels * len(matrix) + rows.predicted
    order = np.argsort(code, kind="stable")
    ends = np.searchsorted(
        code[order], [[t * len(matrix) + p + k for k in (0, 1)] for t, p in cells]
    )
    found: dict[tuple[int, int], list[list[Any]]] = {}
    for (t, p), (first, last) in zip(cells, ends.tolist(), strict=True):
        own = order[first:last]
        sure = rows.probs[own, p]
        chosen = own[np.argsort(sure if t == p else -sure, kind="stable")[:_NAMES]].tolist()
        found[t, p] = [[rows.paths[i], round(float(rows.probs[i, p]), 4), None] for i in chosen]
    for turn in range(_PICTURES):
        for entries in found.values():
            if turn < len(entries):
                entries[turn][2] = album.number(entries[turn][0])
    return found


def _label(matrix: Ints, classes: Sequence[str], t: int, p: int) -> str:
    """``8 of 63 Shine taken for Cloudy``; not escaped."""
    told = f"{whole(matrix[t, p])} of {whole(matrix[t].sum())}"
    true, taken = one_line(classes[t]), one_line(classes[p])
    return f"{told} {true} recognised" if t == p else f"{told} {true} taken for {taken}"


def _matrix(part: str, matrix: Ints, classes: Sequence[str], shown: Sequence[int]) -> str:
    support = matrix.sum(axis=1)

    def cell(t: int, p: int) -> str:
        if not matrix[t, p]:
            return "<td></td>"
        share = matrix[t, p] / support[t]
        kind = ' class="strong"' if share > 0.5 else ""  # noqa: PLR2004  # dark enough for light letters
        return (
            f'<td style="--share:{share:.3f}"{kind}><button type="button" tabindex="-1" '
            f'data-cell="{part} {t}-{p}" aria-label="{text(_label(matrix, classes, t, p))}">'
            f"{matrix[t, p]}</button></td>"
        )

    heads = "".join(f'<th scope="col"><span>{_short(classes[p])}</span></th>' for p in shown)
    body = "\n".join(
        f'<tr><th scope="row"><span>{_short(classes[t])}</span></th>'
        f"{''.join(cell(t, p) for p in shown)}</tr>"
        for t in shown
    )
    letters = sum(len(one_line(classes[p], 18)) for p in shown)
    dense = " dense" if len(shown) > _DENSE or letters > 60 else ""  # noqa: PLR2004  # letters side by side
    return (
        '<div class="scroll plain" tabindex="0" role="region" aria-label="Confusion matrix">'
        f'<table class="confusion{dense}"><caption class="unseen">Confusion matrix: rows are true '
        "classes, columns predicted ones; arrow keys go from cell to cell</caption>"
        f'<thead><tr><th class="corner"><span class="unseen">true class</span></th>{heads}</tr>'
        f"</thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _short(label: str) -> str:
    return f'<bdi title="{text(label)}">{text(label, 22)}</bdi>'


def _list(part: str, matrix: Ints, classes: Sequence[str], pairs: Sequence[tuple[int, int]]) -> str:
    if not pairs:
        return ""
    support = matrix.sum(axis=1)
    columns = [
        Column("True class", "name"),
        Column("Taken for", "name"),
        Column("Pictures", "cell"),
        Column("Share of class", "percent"),
    ]
    rows = [
        (
            classes[t],
            classes[p],
            _opener(part, matrix, classes, (t, p)),
            _share(matrix, support, t, p),
        )
        for t, p in pairs
    ]
    every = int(np.count_nonzero(matrix) - np.count_nonzero(matrix.diagonal()))
    note = (
        f'<p class="note">The {len(pairs)} most common of {plural(every, "kind")} of mistakes.</p>'
        if every > len(pairs)
        else ""
    )
    table = sortable("Most common confusions", columns, rows)
    return f"<div><h3>Most common confusions</h3>{note}{table}</div>"


def _share(matrix: Ints, support: Ints, t: int, p: int) -> float:
    return float(matrix[t, p] / support[t])


def _opener(part: str, matrix: Ints, classes: Sequence[str], pair: tuple[int, int]) -> Cell:
    t, p = pair
    count = int(matrix[t, p])
    share = percent(_share(matrix, matrix.sum(axis=1), t, p))
    return Cell(
        count,
        f'<button type="button" class="link" data-cell="{part} {t}-{p}" '
        f'aria-label="{text(_label(matrix, classes, t, p))} ({share})">{whole(count)}</button>',
    )
