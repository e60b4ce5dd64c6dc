"""``--track``: TensorBoard, W&B offline, and a tracker of the user's, in one training."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import warm
from conftest import TINY, make_folder

from imgtrain import registry
from imgtrain.cli import run as run_cli

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

pytestmark = pytest.mark.slow


def ledger(run, *kinds):
    lines = (run / "ledger.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if not kinds or line["kind"] in kinds]


def values(folder, tag):
    """Steps and values of a TensorBoard series, as TensorBoard itself reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"), {"images": 0, "scalars": 0})
    found.Reload()
    return [(each.step, each.value) for each in found.Scalars(tag)], found


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A working folder with pictures and the user's module; what it registers is forgotten."""
    folder = tmp_path_factory.mktemp("tracked")
    make_folder(folder / "photos", {"left": 20, "middle": 20, "right": 20})
    (folder / "ledger.py").write_text(LEDGER)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setenv("WANDB_MODE", "offline")
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(folder / "home"))
        yield folder
    for table in registry.TABLES:
        table.forget("ledger")


def inet_sockets(pid):
    """TCP sockets that a process holds."""
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    inodes = {line.split()[9] for line in table.splitlines() if ":" in line.split()[0]}
    held = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(handle.readlink())
        except OSError:
            continue
        held |= {target[8:-1]} if target.startswith("socket:") else set()
    return held & inodes


def wandb_core():
    """The number of the service process that this one started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"wandb-core") and str(os.getpid()).encode() in words:
            return int(folder.name)
    raise AssertionError("there is no wandb-core")


@pytest.fixture(scope="module")
def run(work):
    """One training that three trackers hear of; ``(folder, what it printed)``."""
    command = ["train", "--data", "photos", *TINY, "--epochs", "3", "--plugin", "ledger"]
    command += ["--loss", "doubled", "--track", "tensorboard,wandb", "--track", "ledger"]
    before = set(work.iterdir())
    hooks = sys.exit, sys.excepthook, sys.stdout, signal.getsignal(signal.SIGINT)
    assert run_cli(command) == 0
    service = wandb_core()
    assert not inet_sockets(service)
    assert not inet_sockets(os.getpid())
    import wandb

    wandb.teardown()
    assert (sys.exit, sys.excepthook, sys.stdout, signal.getsignal(signal.SIGINT)) == hooks
    assert {path.name for path in set(work.iterdir()) - before} <= {"runs", "__pycache__", "home"}
    return work / "runs" / "photos-test_resnet"


def test_a_tracker_of_the_users_hears_it_all(run):
    """Parameters first, then steps and epochs, the user's own numbers, scores, and the end."""
    metrics = json.loads((run / "metrics.json").read_text())
    (opened,) = ledger(run, "open")
    parameters, began = ledger(run, "Parameters", "Began")
    epochs, (scores,), (outcome,) = (ledger(run, kind) for kind in ("epoch", "end", "Outcome"))

    assert (opened["name"], opened["job"], opened["known"]) == ("photos-test_resnet", "train", {})
    assert parameters["values"]["loss.name"] == "doubled"
    assert parameters["values"]["train.epochs"] == 3
    assert parameters["values"]["run.fingerprint"]
    assert parameters["values"]["versions.torch"]
    assert began["steps"] == 0
    assert [line["step"] for line in epochs] == [6, 12, 18]
    assert epochs[-1]["values"]["epoch/val_loss"] > 0
    steps = ledger(run, "step")
    assert steps[-1]["step"] == 18
    assert steps[-1]["values"]["own/spread"] > 0
    assert {"step/lr", "step/train_loss", "step/images_per_second"} <= steps[0]["values"].keys()
    assert scores["values"]["test/top1"] == metrics["test"]["top1"]
    assert scores["values"]["val/log_loss"] == metrics["val"]["log_loss"]
    assert {"report.html", "config.yaml", "model.safetensors"} <= set(outcome["files"])
    assert "plots/roc_curve_test.png" in outcome["files"]
    assert ledger(run)[-1] == {"kind": "Ended", "state": "finished", "error": "", "parts": []}


def test_tensorboard_reads_it_back(run):
    """Scalars, hyperparameters, figures and mistakes, as TensorBoard itself reads them."""
    series, board = values(run, "epoch/val_top1")
    rows = [line["values"]["epoch/val_top1"] for line in ledger(run, "epoch")]
    wrong = round((1 - json.loads((run / "metrics.json").read_text())["test"]["top1"]) * 6)
    images = board.Tags()["images"]

    assert series == [(6 * (i + 1), pytest.approx(value)) for i, value in enumerate(rows)]
    assert "plots/confusion_matrix_test" in images
    assert sum(name.startswith("mistakes/") for name in images) == wrong
    png = board.Images("plots/confusion_matrix_test")[0]
    assert png.encoded_image_string == (run / "plots" / "confusion_matrix_test.png").read_bytes()
    told = board.Tensors("state/text_summary")[0].tensor_proto.string_val[0]
    assert told == b"finished"
    assert "_hparams_/session_start_info" in board.summary_metadata
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    content = board.summary_metadata["_hparams_/session_end_info"].plugin_data.content
    end = plugin_data_pb2.HParamsPluginData.FromString(content).session_end_info
    assert end.status == api_pb2.STATUS_SUCCESS


def test_wandb_keeps_files_in_the_run(run):
    """Offline, everything waits there for ``wandb sync``; no secret of the command is copied."""
    (folder,) = (run / "wandb").glob("offline-run-*")
    identifier = json.loads((run / "trackers.json").read_text())["wandb"]["id"]

    assert folder.name.endswith(identifier)
    record = (folder / f"run-{identifier}.wandb").read_bytes()
    for words in (b"epoch/val_top1", b"test/top1", b"loss.name", b"own/spread", b"fingerprint"):
        assert words in record
    assert (folder / "files" / "report.html").resolve() == (run / "report.html").resolve()


def test_killed_and_continued_nothing_is_there_twice(work, run):
    """After kill -9 the same trackers' runs go on: each step once, and the end is told."""
    command = ["train", "--data", "photos", *TINY, "--epochs", "40", "--plugin", "ledger"]
    command += ["--track", "tensorboard,ledger", "--name", "killed"]
    command += ["--checkpoint-minutes", "0.001"]
    child = warm.Popen([sys.executable, "-m", "imgtrain", *command], cwd=work, env=dict(os.environ))
    killed = work / "runs" / "killed"
    end = time.monotonic() + 60
    while not (killed / "ledger.jsonl").exists() or len(ledger(killed, "epoch")) < 2:
        assert child.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    child.kill()
    child.wait()
    for line in ("epoch", "step"):
        assert ledger(killed, line)
    assert not ledger(killed, "Ended")

    assert run_cli(command) == 0

    epochs = [line["step"] for line in ledger(killed, "epoch")]
    steps = [line["step"] for line in ledger(killed, "step")]
    assert epochs == [6 * (i + 1) for i in range(40)]
    assert steps == sorted(set(steps))
    assert len(ledger(killed, "open")) == 2
    assert ledger(killed, "open")[1]["known"] == {"id": "killed"}
    series, board = values(killed, "epoch/train_loss")
    assert [step for step, _ in series] == epochs
    shown = [step for step, _ in values(killed, "step/train_loss")[0]]
    assert shown == sorted(set(shown))
    assert shown[-1] == 240
    assert len(board.Tensors("state/text_summary")) == 1
