"""``history.csv`` and ``history.jsonl``: true after any crash."""

import errno
import json

import pytest
from rows import ended, row, started, stepped

from imgtrain.errors import DiskError
from imgtrain.events import Evaluating, RunEnded
from imgtrain.listeners.history import history

HEADER = (
    "epoch,step,lr,train_loss,train_top1,val_loss,val_top1,val_top5,val_macro_f1,is_best,"
    "gpu_memory_mb,seconds,images_per_second,image_size"
)


def tell(folder, *events):
    with history(folder) as hear:
        for event in events:
            hear(event)


def lines(folder):
    text = (folder / "history.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def known(folder):
    """What the lines tell of: (event, epoch, step)."""
    return [(v["event"], v.get("epoch"), v.get("step")) for v in lines(folder)]


def test_a_row_an_epoch_under_the_promised_columns(tmp_path):
    """The file as a whole; what is unknown is an empty cell."""
    tell(tmp_path, started(), ended(1, is_best=1), ended(2, val_loss=None, gpu_memory_mb=12.5))

    assert (tmp_path / "history.csv").read_text(encoding="utf-8") == (
        f"{HEADER}\n"
        "1,10,0.001,1.0,0.5,0.25,0.75,1.0,0.7,1,,2.0,640.0,\n"
        "2,20,0.001,0.5,0.5,,0.75,1.0,0.7,0,12.5,2.0,640.0,\n"
    )


def test_before_the_first_epoch_there_is_a_header(tmp_path):
    """Whoever reads a run that has just begun finds a table without rows."""
    tell(tmp_path, started())
    assert (tmp_path / "history.csv").read_text(encoding="utf-8") == f"{HEADER}\n"
    assert lines(tmp_path) == []


def test_every_event_but_scoring_is_a_line_of_json(tmp_path):
    """In order: steps, epochs with the numbers of their row, the end."""
    tell(
        tmp_path,
        started(),
        stepped(1, 10),
        Evaluating(part="val", batch=1, batches=2),
        ended(1),
        RunEnded(reason="finished", epoch=1, best_epoch=1, best_value=0.75),
    )
    assert lines(tmp_path) == [
        {
            "event": "step",
            "epoch": 1,
            "step": 10,
            "lr": 0.001,
            "train_loss": 0.7,
            "train_top1": 0.6,
        },
        {"event": "epoch", **row(1)},
        {"event": "end", "reason": "finished", "best_epoch": 1},
    ]


def test_after_a_resume_the_rows_are_those_of_the_checkpoint(tmp_path):
    """A row that the file has and the checkpoint has not is done again: neither lost nor doubled.

    A row that the file has lost comes back from the checkpoint.
    """
    tell(tmp_path, started(), ended(1), ended(2, train_loss=9.0))
    tell(tmp_path, started(epoch=2, history=[row(1)]), ended(2), ended(3))
    after_one = (tmp_path / "history.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "history.csv").unlink()
    tell(tmp_path, started(epoch=4, history=[row(1), row(2), row(3)]))

    assert [line.partition(",")[0] for line in after_one] == ["epoch", "1", "2", "3"]
    assert "9.0" not in "".join(after_one)
    assert (tmp_path / "history.csv").read_text(encoding="utf-8").splitlines() == after_one


def test_after_a_resume_no_step_or_epoch_stands_twice(tmp_path):
    """Lines after the point where training goes on are dropped, those before it stay."""
    steps = [stepped(1, 5), stepped(1, 10), ended(1), stepped(2, 3), stepped(2, 7), stepped(2, 10)]
    tell(tmp_path, started(), *steps, ended(2))
    tell(tmp_path, started(epoch=2, step=4, history=[row(1)]), stepped(2, 7), stepped(2, 10))

    assert known(tmp_path) == [
        ("step", 1, 5),
        ("step", 1, 10),
        ("epoch", 1, 10),
        ("step", 2, 13),
        ("step", 2, 17),
        ("step", 2, 20),
    ]


@pytest.mark.parametrize("left", ['{"event": "st', '{"event": "step", "epoch": 1, "st', "\0\0\0"])
def test_a_torn_last_line_is_dropped(tmp_path, left):
    """What a crash cut off in the middle of writing is no line; the next one is whole."""
    tell(tmp_path, started(), stepped(1, 5))
    with (tmp_path / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write(left)
    tell(tmp_path, started(step=5), stepped(1, 10))
    assert known(tmp_path) == [("step", 1, 5), ("step", 1, 10)]


def test_the_end_of_an_earlier_try_is_dropped(tmp_path):
    """A run has one end."""
    over = RunEnded(reason="signal", epoch=1, best_epoch=1, best_value=0.75)
    tell(tmp_path, started(), ended(1), over)
    tell(tmp_path, started(epoch=2, history=[row(1)]), ended(2), over)
    assert [line["event"] for line in lines(tmp_path)] == ["epoch", "epoch", "end"]


def test_a_line_that_cannot_be_written_is_a_disk_error(tmp_path):
    """The path is named; what fails is the disk, not the program."""
    with history(tmp_path) as hear:
        hear(started())
        (tmp_path / "history.jsonl").unlink()
        (tmp_path / "history.jsonl").mkdir()
        with pytest.raises(DiskError, match=r"cannot write .*history\.jsonl") as error:
            hear(stepped(1, 5))
    assert isinstance(error.value.__cause__, OSError)
    assert error.value.__cause__.errno == errno.EISDIR
