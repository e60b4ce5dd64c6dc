"""``imgtrain bench data``: pictures per second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from imgtrain.commands.flags import takes_settings
from imgtrain.settings.layers import Loaded

if TYPE_CHECKING:
    from imgtrain.bench_data import Report


@takes_settings("data", "augment")
def data(
    loaded: Loaded,
    *,
    pictures: Annotated[
        int, typer.Option("--pictures", metavar="N", min=1, help="Take at most so many.")
    ] = 2000,
    turns: Annotated[
        int, typer.Option("--turns", metavar="N", min=1, help="Measure so often; medians count.")
    ] = 3,
    json_: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, with the machine.")
    ] = False,
) -> None:
    """Measure bare decoding, an epoch that decodes and stores, and one from the store."""
    import json

    from imgtrain import console
    from imgtrain.bench_data import bench_data

    report = bench_data(loaded.settings, pictures=pictures, turns=turns)
    if json_:
        console.result(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        console.result(_table(report))


def _table(report: Report) -> str:
    """One row a measurement: pictures a second, a core, and as a share of bare decoding."""
    rates, threads = report.rates, report.threads
    rows = [
        ("bare decoding, whole, 1 thread", rates.bare, 1),
        ("imgtrain's decoder, 1 thread", rates.decoder, 1),
        (f"cold epoch, {threads} threads", rates.cold, threads),
        (f"warm epoch, {threads} threads", rates.warm, threads),
        ("warm epoch, 1 thread", rates.warm_one, 1),
    ]
    lines = [f"{'':32}{'pictures/s':>12}{'a core':>12}{'x bare':>9}"]
    lines += [
        f"{name:32}{rate:12,.0f}{rate / cores:12,.0f}{rate / cores / rates.bare:9.2f}"
        for name, rate, cores in rows
    ]
    if rates.memory_mb is not None:
        lines.append(f"memory of 8 threads beyond that of 1: {rates.memory_mb:,.0f} MB")
    side, machine = report.size, report.machine
    lines.append(
        f"{report.pictures:,} pictures, {side} x {side} x {report.channels}; "
        f"{machine['cores']} cores of {machine['processor']}"
    )
    return "\n".join(lines)
