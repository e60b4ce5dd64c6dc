"""What can be found, how bad it is, and the sentence that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing to look for: how bad it is, what it means, and what to do about it."""

    code: str
    severity: Severity
    title: str
    advice: str


_KINDS = (
    Kind("unusable", "error", "The set cannot be trained on as it is", "see the sentence"),
    Kind("unreadable", "error", "Broken: the pixels cannot be decoded", "data clean moves them"),
    Kind(
        "truncated", "error", "Cut short: the end of the file is missing", "data clean moves them"
    ),
    Kind("not-a-picture", "error", "Named like a picture, but none", "data clean moves them"),
    Kind("too-large", "error", "Larger than --max-pixels allows", "raise --max-pixels, or shrink"),
    Kind(
        "leak", "error", "The same picture in more than one part", "clean --drop-duplicates --near"
    ),
    Kind(
        "conflict", "error", "The same picture in more than one class", "decide which label holds"
    ),
    Kind("group-leak", "error", "Groups with pictures in more than one part", "cut by group"),
    Kind("exact-duplicate", "warning", "Copies with the same bytes", "clean --drop-duplicates"),
    Kind(
        "near-duplicate",
        "warning",
        "Copies that are re-encoded, resized or mirrored",
        "clean --drop-duplicates --near",
    ),
    Kind("wrong-extension", "warning", "Named as another format", "clean --fix-extensions"),
    Kind("incomplete", "warning", "The end mark is missing, the pixels are there", "save anew"),
    Kind("damaged", "warning", "Damaged inside: part of the pixels is made up", "look at them"),
    Kind(
        "broken-link", "warning", "Links that lead nowhere, pipes, devices", "mend or remove them"
    ),
    Kind("name-collision", "warning", "Names that differ only in case or Unicode form", "rename"),
    Kind("missing-class", "warning", "Classes that a part lacks", "add pictures there"),
    Kind("imbalance", "warning", "Classes of very unequal size", "train --balance-strategy"),
    Kind("too-small", "warning", "Shorter side below --min-side", "leave them out"),
    Kind("odd-aspect", "warning", "Much longer than wide, or wider than high", "crop them"),
    Kind("constant", "warning", "Nearly one colour all over", "look at them"),
    Kind("dark", "info", "Very dark", "look at them"),
    Kind("bright", "info", "Very bright", "look at them"),
    Kind("blurred", "info", "Blurred", "look at them"),
    Kind("mode", "info", "Neither 8-bit grey nor RGB", "read all the same; clean --convert-modes"),
    Kind("channels", "info", "Pictures of different channel counts", "data.channels decides"),
    Kind("rotated", "info", "Turned by a note of the camera (EXIF)", "turned when read"),
    Kind("other-file", "info", "Files that are no pictures", "left out in training"),
    Kind("note", "info", "What reading the set said", "nothing"),
)
KINDS = {kind.code: kind for kind in _KINDS}
"""By code, the worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: about a file, about files that belong together, or about the set.

    Args:
        code: Of its kind.
        files: Names as people read them.
        detail: A sentence about this one; may be empty.
    """

    code: str
    files: tuple[str, ...] = ()
    detail: str = ""

    @property
    def severity(self) -> Severity:
        """Of its kind."""
        return KINDS[self.code].severity


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """The worst kinds first, by name within a kind."""
    places = {code: place for place, code in enumerate(KINDS)}
    return sorted(findings, key=lambda f: (places[f.code], f.files, f.detail))


def count_findings(findings: Iterable[Finding]) -> dict[str, int]:
    """How many of each kind, in their order."""
    return dict(Counter(finding.code for finding in sort_findings(findings)))


def at_or_above(findings: Iterable[Finding], severity: Severity) -> list[Finding]:
    """Those that are at least so bad."""
    worst = SEVERITIES[: SEVERITIES.index(severity) + 1]
    return [finding for finding in findings if finding.severity in worst]
