"""What the run was made of: data, settings, environment, and how to repeat it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any

from imgtrain.report.markup import (
    Column,
    definitions,
    duration,
    name,
    plural,
    section,
    shown,
    sortable,
    text,
    whole,
)
from imgtrain.report.outcome import MOST_ROWS
from imgtrain.report.reading import PARTS, RunFiles
from imgtrain.settings.catalog import all_settings


def data_section(run: RunFiles) -> str:
    """Pictures per part and class, and what was left out."""
    parts = Counter[str]()
    for (_, part), count in run.counts.items():
        parts[part] += count
    facts = [(title, whole(parts[part])) for part, title in PARTS.items() if parts[part]]
    facts += [
        (text(part or "In no part"), whole(n)) for part, n in parts.items() if part not in PARTS
    ]
    facts += data_facts(run)
    return section("data", "Data", definitions(facts), left_out(run), _class_counts(run))


def data_facts(run: RunFiles) -> list[tuple[str, str]]:
    """Where the data lay, and what they are known by; HTML."""
    facts = []
    fingerprint = run.provenance.get("fingerprint")
    if run.provenance.get("data_root"):
        facts.append(("Data", name(str(run.provenance["data_root"]))))
    if fingerprint:
        facts.append(("Fingerprint", f"<code>{text(str(fingerprint)[:16])}</code>"))
    return facts


def left_out(run: RunFiles) -> str:
    """Pictures that could not be read, by name."""
    bad = run.bad_pictures
    if not bad:
        return ""
    items = "".join(
        f"<li>{name(row.path)} <small>{text(f'{row.part}: {row.reason}')}</small></li>"
        for row in bad[:MOST_ROWS]
    )
    more = f"<p>and {whole(len(bad) - MOST_ROWS)} more</p>" if len(bad) > MOST_ROWS else ""
    return (
        f"<details><summary>{plural(len(bad), 'picture')} left out: not readable</summary>"
        f'<ul class="paths">{items}</ul>{more}</details>'
    )


def _class_counts(run: RunFiles) -> str:
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
        rows.append([label, *counts, (sum(counts), sum(counts) / largest)])
    columns = [Column("Class", "name"), *(Column(PARTS[part]) for part in parts)]
    note = f'<p class="note">The first {whole(MOST_ROWS)} of {whole(len(labels))} classes.</p>'
    table = sortable("Pictures per class", [*columns, Column("All", "bar")], rows)
    return (note if len(labels) > MOST_ROWS else "") + table


def settings_section(run: RunFiles) -> str:
    """Every setting, its value, who set it, and what it means."""
    if not run.settings:
        return ""
    told = run.provenance.get("origins")
    origins = told if isinstance(told, dict) else {}
    about = all_settings()
    rows = "".join(
        _setting(key, value, str(origins.get(key, "")), about[key].help if key in about else "")
        for key, value in run.settings.items()
    )
    heads = "".join(
        f'<th scope="col">{title}</th>' for title in ("Setting", "Value", "Set by", "Meaning")
    )
    switch = (
        '<label class="switch"><input type="checkbox" id="hide-defaults" checked> '
        "hide defaults</label>"
    )
    return section(
        "settings",
        "Settings",
        switch if "default" in origins.values() else "",
        '<div class="scroll" tabindex="0" role="region" aria-label="Settings">'
        f'<table class="settings"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>",
    )


def _setting(key: str, value: object, origin: str, about: str) -> str:
    kind = ' class="default"' if origin == "default" else ""
    return (
        f'<tr{kind}><th scope="row"><code>{text(key)}</code></th>'
        f'<td class="set">{text(shown(value))}</td><td>{text(origin)}</td>'
        f"<td>{text(about)}</td></tr>"
    )


def environment_section(run: RunFiles) -> str:
    """Where it ran, with what, how long, and the command that did it."""
    about = run.provenance
    facts = [
        (title, text(shown(about[key])))
        for key, title in (("device", "Device"), ("git", "Code"))
        if about.get(key)
    ]
    facts += _pairs(about.get("versions"))
    times = {k: v for k, v in run.timing.items() if isinstance(v, int | float)}
    return section(
        "environment",
        "Environment",
        _repeat(run),
        definitions(facts),
        _titled("Plan", _pairs(about.get("plan"))),
        _titled("Time", [(text(key), duration(float(value))) for key, value in times.items()]),
    )


def _pairs(found: Any) -> list[tuple[str, str]]:
    pairs = found.items() if isinstance(found, Mapping) else ()
    return [(text(str(key).replace("_", " ")), text(shown(value))) for key, value in pairs]


def _titled(title: str, pairs: list[tuple[str, str]]) -> str:
    return f"<h3>{title}</h3>{definitions(pairs)}" if pairs else ""


def _repeat(run: RunFiles) -> str:
    argv = run.provenance.get("argv")
    if not isinstance(argv, list) or not argv:
        return ""
    command = shlex.join(str(word) for word in argv)
    return f"<h3>Command</h3><pre><code>{text(command)}</code></pre>"
