"""Trackers of a module of the user's."""

import json
import re
from pathlib import Path

from imgtrain.errors import InterruptedRun
from imgtrain.events import EpochEnded
from imgtrain.rundir import RunDir
from imgtrain.settings.layers import from_flat
from imgtrain.tracking.session import tracked

GUIDE = (Path(__file__).parents[2] / "docs" / "tracking.md").read_text(encoding="utf-8")
MODULE = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)[1]


def test_the_guides_example(imgtrain, work):
    """The settings accept the name, and the function hears it all."""
    Path("ledger.py").write_text(MODULE)
    ran = imgtrain("config", "show", "--plugin", "ledger", "--track", "ledger,tensorboard")
    assert ran.code == 0, ran.err
    assert "to: [ledger, tensorboard]" in ran.out
    wrong = imgtrain("config", "show", "--plugin", "ledger", "--track", "leger")
    assert "must be tensorboard, mlflow, wandb or ledger; did you mean 'ledger'?" in wrong.err

    run = RunDir(work / "mine")
    run.path.mkdir()
    run.set_status("running")
    row = {"epoch": 1, "step": 10, "train_loss": 0.5, "val_loss": None}
    try:
        with tracked(run, from_flat({"plugins": ["ledger"], "track.to": "ledger"})) as hear:
            hear(EpochEnded(epoch=1, epochs=2, row=row, is_best=True))
            raise InterruptedRun(15, "stopped")  # noqa: TRY301  # as a training does
    except InterruptedRun:
        pass
    lines = [json.loads(line) for line in (run.path / "ledger.jsonl").read_text().splitlines()]

    assert lines[0]["parameters"]["track.to"] == "ledger"
    assert lines[1:] == [
        {"of": "epoch", "step": 10, "epoch": 1.0, "epoch/train_loss": 0.5},
        {"state": "interrupted"},
    ]


def test_a_generator_is_no_context_manager(imgtrain, write):
    """A forgotten decorator is named."""
    write("mine", "@register_tracker('odd')\ndef odd(run):\n    yield print")

    ran = imgtrain("config", "show", "--plugin", "mine")

    assert ran.code == 2
    assert "the tracker 'odd' yields, but is no context manager" in ran.err
    assert "@contextmanager" in ran.err
