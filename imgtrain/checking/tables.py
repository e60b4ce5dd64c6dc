"""Findings for a person at a screen, and for programs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from imgtrain.checking.findings import KINDS, Finding
from imgtrain.checking.sets import count_classes
from imgtrain.checking.survey import Survey
from imgtrain.console import one_line
from imgtrain.data.index import PARTS
from imgtrain.data.listing import count, some

if TYPE_CHECKING:
    from rich.console import RenderableType

FORMAT = 1
_EXAMPLES = 2
_MOST_CLASSES = 20
_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}


def findings_table(findings: Iterable[Finding]) -> RenderableType:
    """One row a kind: severity, number, what it is, examples."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_kind[finding.code].append(finding)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("severity", no_wrap=True)
    table.add_column("number", justify="right", no_wrap=True)
    table.add_column("what", no_wrap=True)
    table.add_column("for example", overflow="fold")
    for code, found in by_kind.items():
        kind = KINDS[code]
        table.add_row(
            Text(kind.severity, style=_COLOURS[kind.severity]),
            f"{len(found):,}",
            Text(code),
            Text("\n".join([kind.title, *map(_example, found[:_EXAMPLES])])),
        )
    return table


def _example(finding: Finding) -> str:
    names = [one_line(name) for name in finding.files]
    text = " = ".join(names[:2]) + (f" and {len(names) - 2:,} more" if len(names) > 2 else "")  # noqa: PLR2004  # two are shown
    detail = one_line(finding.detail)
    return f"  {text}: {detail}" if text and detail else f"  {text or detail}"


def class_lines(survey: Survey) -> list[str]:
    """How many pictures each class has, by part."""
    counts = classes_of(survey)
    parts = [part for part in (*PARTS, "all") if any(part in c for c in counts.values())]
    lines = [
        f"{one_line(name)}: " + ", ".join(f"{part} {by_part.get(part, 0):,}" for part in parts)
        for name, by_part in list(counts.items())[:_MOST_CLASSES]
    ]
    more = len(counts) - len(lines)
    return [*lines, f"... and {count(more, 'more class', 'more classes')}"] if more else lines


def classes_of(survey: Survey) -> dict[str, dict[str, int]]:
    """Pictures that can be read, by class and part."""
    rows = zip(survey.tree.entries, survey.looks, strict=True)
    return count_classes(entry for entry, look in rows if look.quality is not None)


def summary(survey: Survey) -> str:
    """One sentence."""
    bad = Counter(finding.severity for finding in survey.findings)
    files, pictures = len(survey.tree.entries), survey.pictures
    classes = len(classes_of(survey))
    words = [count(bad["error"], "error"), count(bad["warning"], "warning")]
    return (
        f"{count(files, 'file')}, {count(pictures, 'picture')} in"
        f" {count(classes, 'class', 'classes')}: {some(words)} and {count(bad['info'], 'remark')}"
    )


def as_json(survey: Survey) -> dict[str, Any]:
    """What ``--json`` prints; ``docs/checking.md`` says what the keys mean."""
    counts: Mapping[str, int] = {
        code: sum(finding.code == code for finding in survey.findings)
        for code in dict.fromkeys(finding.code for finding in survey.findings)
    }
    return {
        "format": FORMAT,
        "root": survey.tree.root,
        "files": len(survey.tree.entries),
        "pictures": survey.pictures,
        "classes": classes_of(survey),
        "counts": counts,
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity,
                "files": list(finding.files),
                "detail": finding.detail,
            }
            for finding in survey.findings
        ],
    }
