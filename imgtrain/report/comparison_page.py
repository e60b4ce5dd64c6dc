"""The page of several runs: which is better, by how much, and what was done differently."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from imgtrain.files import write_text
from imgtrain.report.comparison_figures import figures, scores_on_test
from imgtrain.report.contenders import Contender
from imgtrain.report.disagreements import disagreements
from imgtrain.report.figures import Figure
from imgtrain.report.frame import framed
from imgtrain.report.gallery import Reader, reader_of
from imgtrain.report.markup import (
    Column,
    chart,
    name,
    percent,
    plural,
    section,
    shown,
    sortable,
    text,
)
from imgtrain.report.pairs import METRICS, Gap, Pair, compare
from imgtrain.report.verdicts import (
    between,
    chance,
    kind_of,
    letters,
    place_of,
    signed,
    value_of,
    verdicts,
)
from imgtrain.settings.catalog import all_settings

MOST_SENTENCES = 12

_SHARES = {
    "top1": "Accuracy (top-1)",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
}
_NUMBERS = {"macro_auroc": "Macro AUROC", "log_loss": "Log loss", "ece": "Calibration error"}
NUMBER = ' class="number"'

_QUIET = {"run.name", "run.output", "run.resume", "run.fresh"}
"""Settings that always differ, and say nothing."""


def page_name(contenders: Sequence[Contender]) -> str:
    """``A-vs-B.html``; of many or very long names, the first and how many."""
    names = [each.run.name for each in contenders]
    whole = "-vs-".join(names)
    most = 120
    if len(whole.encode()) > most:
        first = names[0].encode()[: most - 40].decode(errors="ignore")
        whole = f"{first}-vs-{len(names) - 1}-more"
    return f"{whole}.html"


def write_comparison_page(
    page: Path, contenders: Sequence[Contender], *, read: Reader | None = None
) -> Path:
    """Show several runs side by side.

    Runs that cannot be compared are shown, too, with the reason.

    Args:
        page: Where it goes.
        contenders: At least two.
        read: The bytes of a test picture by its path; looked for where the first run found it, if
            not given.

    Returns:
        ``page``.

    Raises:
        DiskError: If the page cannot be written.
    """
    pairs = compare(contenders, strict=False)
    first = contenders[0].run
    root = first.provenance.get("data_root") or first.settings.get("data.root")
    write_text(page, _rendered(page.parent, contenders, pairs, read or reader_of(root)))
    return page


def _rendered(
    folder: Path, contenders: Sequence[Contender], pairs: Sequence[Pair], read: Reader | None
) -> str:
    drawn = figures(contenders, pairs)
    joined = any(each.folds for each in contenders)
    body = [
        section("overview", "Which is better", _summary(contenders, pairs)),
        section(
            "scores",
            "Scores",
            _scores(folder, contenders),
            _place(drawn, "scores", " Dots are folds." if joined else ""),
        ),
        section(
            "differences", "Differences", _place(drawn, "differences"), _gaps(contenders, pairs)
        ),
        section(
            "learning",
            "How they learned",
            _learning(drawn, "Of a cross-validation, the mean of its folds." if joined else ""),
        ),
        disagreements(contenders, pairs, read),
        section("settings", "What was done differently", _settings(contenders)),
    ]
    title = " and ".join(each.label for each in contenders[:2])
    if len(contenders) > 2:  # noqa: PLR2004  # the first two stand for all
        title = f"{plural(len(contenders), 'run')} compared"
    return framed(title, _header(title, contenders), body, {}, drawn)


def _header(title: str, contenders: Sequence[Contender]) -> str:
    told = ", ".join(
        f"<strong>{letter}</strong> {name(each.label)} ({kind_of(each)})"
        for letter, each in zip(letters(contenders), contenders, strict=True)
    )
    return f'<header><div><h1>{name(title)}</h1></div><p class="lead">{told}.</p></header>'


def _summary(contenders: Sequence[Contender], pairs: Sequence[Pair]) -> str:
    """Sentences; of very many, those that say something."""
    every = [sentence for pair in pairs for sentence in verdicts(pair, contenders, len(pairs))]
    shown_ = every
    if len(every) > MOST_SENTENCES:
        shown_ = [sentence for sentence in every if " is better than " in sentence]
    left = len(every) - len(shown_)
    items = "".join(
        f"<li>{text(sentence).replace(' %', '&nbsp;%')}</li>" for sentence in shown_[:200]
    )
    more = (
        [f"For the other {plural(left, 'comparison')} there is no such evidence."] if left else []
    )
    if len(pairs) > 1:
        more.append(f"p is adjusted for {len(pairs)} comparisons of each score (Holm).")
    if any(sentence.startswith("No evidence") for sentence in every):
        more.append(
            "No evidence of a difference is not evidence of none: the intervals say how much "
            "better either could be."
        )
    return f'<ul class="findings">{items}</ul><p class="note">{" ".join(more)}</p>'


def _scores(folder: Path, contenders: Sequence[Contender]) -> str:
    """A row a run: what it is, and its scores on test with their intervals."""
    columns = [
        Column("Run", "link"),
        Column("Model", "name"),
        Column("Test pictures"),
        *(Column(title, "percent") for title in _SHARES.values()),
        *(Column(title) for title in _NUMBERS.values()),
    ]
    rows = [
        [
            (f"{letter}  {each.label}", _link(folder, each)),
            str(each.run.settings.get("model.name", "")),
            scores.get("n"),
            *(_number(scores.get(key)) for key in (_SHARES | _NUMBERS)),
        ]
        for letter, each in zip(letters(contenders), contenders, strict=True)
        if (scores := scores_on_test(each)) is not None
    ]
    note = (
        '<p class="note">On the test part; of a cross-validation, its ensemble. '
        "A run's name leads to its own page.</p>"
    )
    return note + sortable("Scores", columns, rows) + _intervals(contenders)


def _link(folder: Path, each: Contender) -> str | None:
    page = each.folder / "report.html"
    if not page.is_file():
        return None
    try:
        return quote(os.path.relpath(page, folder))
    except ValueError:  # another drive
        return None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _intervals(contenders: Sequence[Contender]) -> str:
    """The 95% intervals of the shares, in words."""
    told = []
    for letter, each in zip(letters(contenders), contenders, strict=True):
        ends = scores_on_test(each).get("intervals", {}).get("top1")
        if isinstance(ends, list):
            low, high = (percent(end).removesuffix("%") for end in ends)
            told.append(f"{letter} {low} \u2013 {high}%")
    if not told:
        return ""
    return f'<p class="note">95% intervals of the accuracy: {", ".join(told)}.</p>'


_NOTES = {
    "scores": "Bars are 95% intervals.",
    "differences": """Bars are 95% intervals of one comparison by itself. Right of the dotted line
        the first run is better; what reaches over the line may be chance.""",
}


def _place(drawn: Mapping[str, Figure], key: str, more: str = "") -> str:
    titles = {"scores": "Accuracy (top-1)", "differences": "Differences in accuracy"}
    if key not in drawn:
        return ""
    return chart(key, titles[key], legend=key == "scores", note=_NOTES[key] + more)


def _learning(drawn: Mapping[str, Figure], note: str) -> str:
    titles = {"curves-loss": "Validation loss", "curves-top1": "Validation accuracy (top-1)"}
    places = [chart(key, title, note=note) for key, title in titles.items() if key in drawn]
    return f'<div class="charts two">{"".join(places)}</div>' if places else ""


def _gaps(contenders: Sequence[Contender], pairs: Sequence[Pair]) -> str:
    """Every comparison in a table."""
    short = letters(contenders)
    heads = ("Score", "Pair", "First", "Second", "Difference", "95% interval", "p", "By")
    rows = [
        _gap_row(gap, " \u2212 ".join(short[place] for place in pair.places))
        for pair in pairs
        for gap in pair.gaps
    ]
    if not rows:
        return ""
    head = "".join(
        f'<th scope="col"{"" if h in {"Score", "By"} else NUMBER}>{h}</th>' for h in heads
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table: differences"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _gap_row(gap: Gap, pair: str) -> str:
    by = gap.test
    if gap.alone is not None:
        by += f" ({gap.alone[0]} and {gap.alone[1]} pictures alone)"
    numbers = (
        value_of(gap, gap.first),
        value_of(gap, gap.second),
        signed(gap),
        between(gap),
        chance(gap).removeprefix("p ").removeprefix("= "),
    )
    cells = "".join(f"<td{NUMBER}>{text(cell)}</td>" for cell in numbers)
    mark = "<strong>{}</strong>" if gap.is_sure else "{}"
    what = mark.format(text(f"{METRICS[gap.metric]} {place_of(gap)}"))
    who = f'<th scope="row">{what}</th><td{NUMBER}>{text(pair)}</td>'
    return f"<tr>{who}{cells}<td>{text(by)}</td></tr>"


def _settings(contenders: Sequence[Contender]) -> str:
    """Settings and surroundings that are not the same in all runs."""
    about = all_settings()
    rows = [
        (key, about[key].help if key in about else "", values)
        for key, values in _differing([each.run.settings for each in contenders])
        if key not in _QUIET
    ]
    rows += [
        (title, "", values)
        for title, values in _differing([dict(_surroundings(each)) for each in contenders])
    ]
    if not rows:
        return '<p class="empty">Nothing: the same settings, data, versions and device.</p>'
    head = "".join(
        f'<th scope="col">{h}</th>' for h in ("Setting", *letters(contenders), "Meaning")
    )
    cells = "".join(
        f'<tr><th scope="row"><code>{text(key)}</code></th>'
        + "".join(f'<td class="set">{text(value)}</td>' for value in values)
        + f"<td>{text(meaning)}</td></tr>"
        for key, meaning, values in rows
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Settings that differ">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table></div>"
    )


def _differing(found: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Keys whose values are not the same everywhere, and the values as text."""
    for key in dict.fromkeys(key for each in found for key in each):
        values = [shown(each[key]) if key in each else "" for each in found]
        if len(set(values)) > 1:
            yield key, values


def _surroundings(each: Contender) -> Iterator[tuple[str, str]]:
    about = each.run.provenance
    yield "pictures", str(about.get("fingerprint", ""))[:16]
    yield "device", str(about.get("device", ""))
    yield "code", str(about.get("git", ""))
    versions = about.get("versions")
    for package, version in versions.items() if isinstance(versions, dict) else ():
        yield str(package), str(version)
