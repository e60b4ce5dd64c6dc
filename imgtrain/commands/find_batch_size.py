"""``imgtrain find-batch-size``: the largest batch that fits, and the one to take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from imgtrain.commands.flags import takes_settings
from imgtrain.settings.layers import Loaded

if TYPE_CHECKING:
    from imgtrain.batch_finding import Found


@takes_settings("data", "augment", "model", "loss", "optim", "train", "hardware")
def find_batch_size(
    loaded: Loaded,
    *,
    json_: Annotated[
        bool, typer.Option("--json", help="Print everything that was measured as JSON on stdout.")
    ] = False,
) -> None:
    """Try batch sizes in child processes: whole training steps at the real size and precision.

    Every size that is printed passed. Nothing is trained, and nothing is written.
    """
    import json

    from imgtrain import console
    from imgtrain.batch_finding import asked, find
    from imgtrain.errors import MemoryLimitError
    from imgtrain.launching import wanted_processes
    from imgtrain.settings.classical import refuse_without_steps
    from imgtrain.settings.layers import flatten

    refuse_without_steps(loaded.settings.model.name, "find-batch-size")
    console.say(f"reading {loaded.settings.data.root}")
    question = asked("imgtrain.batch_trials:ask", flatten(loaded.settings))
    if question is None:
        raise MemoryLimitError("out of memory while looking at the pictures", "free some")
    console.say("trying batch sizes in child processes")
    processes = wanted_processes(loaded.settings, is_told=True)
    found = find(question | {"processes": processes})
    if json_:
        console.result(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        console.result(_table(found))


def _table(found: Found) -> str:
    """One row a size that passed, then what follows from them."""
    lines = [f"{'pictures':>8}{'pictures/s':>14}{'memory, GB':>14}"]
    for rung in found.rungs:
        name = {found.maximum: "largest", found.knee: "fast"}.get(rung["size"], "")
        name = f"  {name}" if name else ""
        lines.append(f"{rung['size']:8}{rung['rate']:14,.1f}{rung['peak'] / 1e9:14.2f}{name}")
    lines += [
        f"limit: {found.limit / 1e9:.2f} GB ({found.bound}); {found.device}",
        f"largest: {found.maximum}, bounded by {found.ends}; {found.probes} probes",
        f"recommended: --batch-size {found.recommended}: {found.why}",
        "--lr auto follows the effective batch; a rate of your own does not",
    ]
    return "\n".join(lines)
