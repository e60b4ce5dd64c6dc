"""A tracker of a user's, and what trackers were told, read back."""

import json
import sys

from imgtrain import registry
from imgtrain.settings import modules

LEDGER = '''
"""A tracker and a loss of a user's."""
import json
from contextlib import contextmanager
from torch.nn import functional
from imgtrain.plugins import register_loss, register_tracker, report_number


@register_loss("doubled")
def doubled(logits, targets):
    if logits.requires_grad:
        report_number("own/spread", logits.std())
    return 2 * functional.cross_entropy(logits.float(), targets, reduction="none")


@register_tracker("ledger")
@contextmanager
def ledger(run):
    with (run.folder / "ledger.jsonl").open("a") as file:
        def write(kind, **what):
            print(json.dumps({"kind": kind, **what}), file=file, flush=True)
        write("open", name=run.name, job=run.job, known=dict(run.known), above=dict(run.above))
        run.remember({"id": run.name})
        def hear(told):
            kind = type(told).__name__
            if kind == "Numbers":
                write(told.of, step=told.step, values=told.values)
            if kind == "Parameters":
                write(kind, values=told.values)
            if kind == "Began":
                write(kind, steps=told.steps)
            if kind == "Ended":
                write(kind, state=told.state, error=told.error, parts=list(told.parts))
            if kind == "Outcome":
                files = [str(path.relative_to(run.folder)) for path in told.files]
                write(kind, files=files, pictures=[[p.name, p.caption] for p in told.pictures])
        yield hear
'''


def ledger(run, *kinds):
    lines = (run / "ledger.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if not kinds or line["kind"] in kinds]


def values(folder, tag):
    """Steps and values of a TensorBoard series, as TensorBoard itself reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"), {"images": 0, "scalars": 0})
    found.Reload()
    return [(each.step, each.value) for each in found.Scalars(tag)], found


def forget():
    """What the module registered, so that another working folder's may come."""
    for table in registry.TABLES:
        table.forget("ledger")
    modules._imported.discard("ledger")
    sys.modules.pop("ledger", None)
