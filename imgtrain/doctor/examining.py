"""All checks in the order of the table; torch and the packages in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from imgtrain.children import Outcome, in_child
from imgtrain.doctor import extras, machine, network, packages, places, variables
from imgtrain.doctor.lines import Line, isolated

_SECONDS = 120.0
"""How long torch may take to start: a cold network disk is slow."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line and the settings say.

    Args:
        runs: Folder of the runs.
        mirror: ``data.mirror``.
        network: Whether servers are asked.
        offline: Whether they must not be.
    """

    runs: Path
    mirror: str | None = None
    network: bool = False
    offline: bool = False


def examine(asked: Asked) -> list[Line]:
    """Every line; takes about as long as importing torch."""
    with ThreadPoolExecutor(2) as pool:
        torch = pool.submit(in_child, "imgtrain.doctor.torch_side:look", None, seconds=_SECONDS)
        others = pool.submit(
            in_child, "imgtrain.doctor.packages:import_all", packages.IMPORTED, seconds=_SECONDS
        )
        before = [
            *isolated(packages.TOPIC, "versions", packages.versions),
            *isolated(packages.TOPIC, "builds", packages.same_index),
        ]
        after = [
            *isolated(places.TOPIC, "runs", lambda: places.runs(asked.runs)),
            *isolated(places.TOPIC, "caches", places.caches),
            *isolated(extras.TOPIC, "extras", extras.extras),
            *isolated("Fonts", "plots", _fonts),
            *isolated(variables.TOPIC, "variables", variables.variables),
            *isolated(variables.TOPIC, "settings", variables.settings),
            *isolated(network.TOPIC, "servers", lambda: _servers(asked)),
        ]
        here = [
            *isolated(packages.TOPIC, "imports", lambda: packages.imports(others.result())),
            *_machine(torch.result()),
        ]
    return [*before, *here, *after]


def _machine(ended: Outcome) -> list[Line]:
    broken = machine.broken_torch(ended)
    if broken:
        return broken
    checks = (machine.devices, machine.cores, machine.memory, machine.shared_memory)
    return [
        line
        for check in checks
        for line in isolated(machine.TOPIC, check.__name__, partial(check, ended))
    ]


def _servers(asked: Asked) -> Iterator[Line]:
    return network.reach(asked.mirror, ask=asked.network, offline=asked.offline)


def _fonts() -> Iterator[Line]:
    """Letters that plots can show."""
    from imgtrain.report.fonts import scripts_without_font

    missing = scripts_without_font()
    if missing:
        found = f"no font has the letters of {', '.join(missing)}: PNG plots show boxes for them"
        advice = "install one such as Noto Sans CJK if your class names have them"
        yield Line("Fonts", "plots", "note", found, advice)
    else:
        yield Line("Fonts", "plots", "ok", "Chinese, Japanese and Korean letters too")
