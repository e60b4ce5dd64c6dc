"""``--track``: TensorBoard, W&B offline, and a tracker of the user's, in one training."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from conftest import TINY, make_folder
from trackers import LEDGER, forget, ledger, values

from imgtrain.cli import run as run_cli

pytestmark = pytest.mark.slow


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
    forget()


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


def test_trials_are_parts_of_their_study(work):
    """Each trial is told by itself, under the study's name; the study gets the best in the end."""
    command = ["tune", "--data", "photos", *TINY, "--tune-epochs", "1", "--trials", "2"]
    command += ["--space", "optim.lr=1e-3..1e-1,log", "--pruner", "none", "--name", "study"]
    assert run_cli([*command, "--plugin", "ledger", "--track", "ledger"]) == 0

    study = work / "runs" / "study"
    found = json.loads((study / "study.json").read_text())
    opened, asked, best, scores, outcome, ended = ledger(study)
    assert (opened["name"], opened["job"], opened["above"]) == ("study", "tune", {})
    assert asked["values"]["tune.trials"] == 2
    assert float(best["values"]["best.optim.lr"]) == found["best"]["params"]["optim.lr"]
    assert scores["values"]["trials/finished"] == 2
    assert scores["values"]["best/val_top1"] == found["best"]["values"]["val_top1"]
    assert "trials.csv" in outcome["files"]
    assert ended["state"] == "finished"
    assert ended["parts"] == [{"id": "study/trial_0000"}, {"id": "study/trial_0001"}]
    for number in range(2):
        lines = ledger(study / f"trial_000{number}")
        assert lines[0]["name"] == f"study/trial_000{number}"
        assert (lines[0]["job"], lines[0]["above"]) == ("trial", {"id": "study"})
        assert [line["kind"] for line in lines if line["kind"] == "epoch"] == ["epoch"]
        assert lines[-2]["pictures"] == []
        assert "model.safetensors" not in lines[-2]["files"]
        assert lines[-1]["state"] == "finished"
