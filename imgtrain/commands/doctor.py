"""``imgtrain doctor``: what works on this machine, what does not, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtrain import console
from imgtrain.errors import OutsideError, SettingsError

if TYPE_CHECKING:
    from imgtrain.doctor.examining import Asked
    from imgtrain.doctor.lines import Line


def doctor(
    *,
    network: Annotated[
        bool, typer.Option("--network", help="Ask the servers of weights and sets, too.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Open no socket.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder that is to hold the runs."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at this machine: what works, what does not, what to do. Opens no socket by itself."""
    from imgtrain.doctor.examining import examine

    if network and offline:
        raise SettingsError("--network asks servers, --offline forbids it", "leave out one of them")
    lines = examine(_asked(output, network=network, offline=offline))
    console.result(_as_json(lines) if json_ else _table(lines))
    problems = [line for line in lines if line.verdict == "problem"]
    if problems:
        names = ", ".join(line.name for line in problems)
        raise OutsideError(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''}: {names}",
            "each line marked so says what to do",
        )


def _asked(output: Path | None, *, network: bool, offline: bool) -> Asked:
    """What the settings say, as far as they can be read: what is wrong with them is a line."""
    from imgtrain.doctor.examining import Asked
    from imgtrain.settings.layers import load_settings

    try:
        settings = load_settings().settings
    except SettingsError:
        settings = load_settings(environ={}).settings
    return Asked(
        runs=output or settings.run.output,
        mirror=settings.data.mirror,
        network=network,
        offline=offline or settings.hardware.offline,
    )


def _table(lines: Sequence[Line]) -> str:
    """A heading for each topic; what to do stands below what was found."""
    width = max(len(line.name) for line in lines)
    shown: list[str] = []
    topic = ""
    for line in lines:
        if line.topic != topic:
            topic = line.topic
            shown += ["", topic] if shown else [topic]
        found = console.one_line(line.found)
        shown.append(f"  {line.verdict:<7}  {console.one_line(line.name):<{width}}  {found}")
        if line.advice:
            shown.append(f"  {'':7}  {'':{width}}  -> {console.one_line(line.advice)}")
    return "\n".join(shown)


def _as_json(lines: Sequence[Line]) -> str:
    import json
    from dataclasses import asdict

    counts = {
        verdict: sum(line.verdict == verdict for line in lines)
        for verdict in ("ok", "note", "problem")
    }
    value = {"format": 1, "counts": counts, "lines": [asdict(line) for line in lines]}
    return json.dumps(value, indent=2, ensure_ascii=False)
