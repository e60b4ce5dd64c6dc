"""What the run was made of: settings, environment, and how to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from imgtrain.report.markup import (
    definitions,
    name,
    plural,
    search,
    section,
    shown,
    text,
    whole,
)
from imgtrain.report.outcome import MOST_ROWS
from imgtrain.report.reading import RunFiles
from imgtrain.settings.catalog import all_settings


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
        f'<ul class="paths" tabindex="0">{items}</ul>{more}</details>'
    )


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
        "only what is not a default</label>"
    )
    return section(
        "settings",
        "Settings",
        f'<div class="tools">{search("Search the settings")}'
        f"{switch if 'default' in origins.values() else ''}</div>",
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of settings">'
        '<table class="settings"><caption class="unseen">Settings, their values, who set them, '
        f"and what they mean</caption><thead><tr>{heads}</tr></thead>"
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
    return section(
        "environment",
        "Environment",
        _repeat(run),
        definitions(facts),
        _titled("Plan", _pairs(about.get("plan"))),
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
    first, *others = map(str, argv)
    command = shlex.join([first.replace("\\", "/").rpartition("/")[2] or first, *others])
    return (
        f'<h3>Command</h3><div class="copied"><pre tabindex="0"><code id="command">{text(command)}'
        '</code></pre><button type="button" class="copy" data-copy="command" hidden>Copy</button>'
        "</div>"
    )
