"""``--track mlflow`` with a real server: what it is told, and what its death costs."""

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import warm
from conftest import TINY, make_folder
from trackers import LEDGER, forget, ledger, values

from imgtrain.cli import run as run_cli
from imgtrain.errors import InterruptedRun, PrunedRun
from imgtrain.events import EpochEnded, RunStarted
from imgtrain.rundir import RunDir
from imgtrain.settings.layers import from_flat
from imgtrain.tracking import mlflow as ours
from imgtrain.tracking.checks import check_trackers
from imgtrain.tracking.session import tracked

pytestmark = pytest.mark.slow


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Gate:
    """A way to the server that can be shut: connections end, new ones are refused."""

    def __init__(self, port):
        self.target, self.is_open = port, True
        self._door = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        self._open = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while self.is_open:
                came, _ = self._door.accept()
                if not self.is_open:
                    came.close()
                    return
                goes = socket.create_connection(("127.0.0.1", self.target))
                self._open += [came, goes]
                threading.Thread(target=self._carry, args=(came, goes), daemon=True).start()

    @staticmethod
    def _carry(came, goes):
        with selectors.DefaultSelector() as either, contextlib.suppress(OSError, ValueError):
            either.register(came, selectors.EVENT_READ, goes)
            either.register(goes, selectors.EVENT_READ, came)
            while True:
                for key, _ in either.select():
                    data = key.fileobj.recv(65536)
                    if not data:
                        came.close()
                        goes.close()
                        return
                    key.data.sendall(data)

    def shut(self):
        self.is_open = False
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # who waits at the door leaves
        self._door.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of an MLflow server of its own."""
    place, port = tmp_path_factory.mktemp("mlflow"), free_port()
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += [
        "--port",
        str(port),
        "--workers",
        "1",
        "--artifacts-destination",
        str(place / "art"),
    ]
    command += ["--backend-store-uri", f"sqlite:///{place / 'store.db'}"]
    with (place / "log.txt").open("wb") as log:
        child = subprocess.Popen(
            command, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True
        )
    end = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
            break
        except OSError:
            assert child.poll() is None, (place / "log.txt").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    os.killpg(child.pid, 15)
    child.wait()


@pytest.fixture(scope="module")
def work(tmp_path_factory, server):
    """A working folder with pictures, and the server in MLflow's own variable."""
    folder = tmp_path_factory.mktemp("tracked")
    make_folder(folder / "photos", {"left": 20, "middle": 20, "right": 20})
    (folder / "ledger.py").write_text(LEDGER)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setenv("MLFLOW_TRACKING_URI", server)
        yield folder
    forget()


@pytest.fixture(scope="module")
def client(server, work):
    check_trackers(from_flat({"track.to": "mlflow"}))
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=server)


def identifier(run):
    return json.loads((run / "trackers.json").read_text())["mlflow"]["id"]


def test_killed_and_continued_it_is_one_run(work, client):
    """After kill -9 the same trackers' runs go on: each step once, RUNNING mended to FINISHED."""
    command = ["train", "--data", "photos", *TINY, "--epochs", "30", "--plugin", "ledger"]
    command += ["--track", "mlflow,tensorboard,ledger", "--track-experiment", "bars"]
    command += ["--checkpoint-minutes", "0.001"]
    child = warm.Popen([sys.executable, "-m", "imgtrain", *command], cwd=work)
    run = work / "runs" / "photos-test_resnet"
    end = time.monotonic() + 300
    mark = run / ".mlflow.mark"  # of the last step and the last epoch that were sent
    try:
        while not (mark.exists() and mark.read_text() and "-1" not in mark.read_text()):
            assert child.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        child.kill()
        child.wait()
    first = identifier(run)
    assert client.get_run(first).info.status == "RUNNING"
    assert ledger(run, "epoch")
    assert not ledger(run, "Ended")

    assert run_cli([*command, "--track-max-mb", "0.5"]) == 0

    found, ends = client.get_run(first), [6 * (i + 1) for i in range(30)]
    assert identifier(run) == first
    assert (found.info.status, found.data.tags["imgtrain.state"]) == ("FINISHED", "finished")
    assert client.get_experiment(found.info.experiment_id).name == "bars"
    epochs = [each.step for each in client.get_metric_history(first, "epoch/val_loss")]
    steps = [each.step for each in client.get_metric_history(first, "step/train_loss")]
    assert epochs == ends
    assert len(steps) == len(set(steps))
    metrics = json.loads((run / "metrics.json").read_text())
    assert found.data.metrics["test/top1"] == metrics["test"]["top1"]
    assert found.data.params["train.epochs"] == "30"
    assert found.data.params["run.fingerprint"]
    assert found.data.params["model.name"] == "test_resnet"
    names = {each.path for each in client.list_artifacts(first)}
    assert {"metrics.json", "config.yaml", "plots"} <= names
    assert "model.safetensors" not in names  # above half a megabyte
    plots = {each.path for each in client.list_artifacts(first, "plots")}
    assert "plots/confusion_matrix_test.png" in plots

    assert [line["step"] for line in ledger(run, "epoch")] == ends
    told = [line["step"] for line in ledger(run, "step")]
    assert told == sorted(set(told))
    assert [line["known"] for line in ledger(run, "open")] == [{}, {"id": "photos-test_resnet"}]
    series, board = values(run, "epoch/train_loss")
    assert [step for step, _ in series] == ends
    shown = [step for step, _ in values(run, "step/train_loss")[0]]
    assert shown == sorted(set(shown))
    assert shown[-1] == ends[-1]
    assert len(board.Tensors("state/text_summary")) == 1


def test_folds_are_children_of_their_whole(work, client, capfd):
    """A cross-validation of a classical model: nested runs, mean and spread, and its state."""
    command = ["cv", "--data", "photos", "--model", "sklearn:knn", "--features", "pixels"]
    assert run_cli([*command, "--folds", "2", "--name", "cv", "--track", "mlflow"]) == 0
    assert "warning: --track" not in capfd.readouterr().err

    whole = client.get_run(identifier(work / "runs" / "cv"))
    summary = json.loads((work / "runs" / "cv" / "cv_summary.json").read_text())
    assert whole.data.metrics["mean/top1"] == summary["mean"]["top1"]
    assert whole.data.metrics["std/top1"] == summary["std"]["top1"]
    assert "oof/top1" in whole.data.metrics
    assert (whole.info.status, whole.data.tags["imgtrain.job"]) == ("FINISHED", "cv")
    for number in (1, 2):
        run = work / "runs" / "cv" / f"fold_{number}"
        fold = client.get_run(identifier(run))
        assert fold.data.tags["mlflow.parentRunId"] == whole.info.run_id
        assert fold.info.run_name == f"cv/fold_{number}"
        assert fold.info.status == "FINISHED"
        assert fold.data.params["model.name"] == "sklearn:knn"
        scores = json.loads((run / "metrics.json").read_text())
        assert fold.data.metrics["val/top1"] == scores["val"]["top1"]


def made_run(folder, name, kind=None):
    run = RunDir(folder / name)
    run.path.mkdir(parents=True)
    run.set_status("running")
    run.provenance.write_text(json.dumps({"kind": kind} if kind else {}))
    return run


@pytest.mark.parametrize(
    ("error", "status", "state"),
    [
        (InterruptedRun(2, "stopped"), "KILLED", "interrupted"),
        (KeyboardInterrupt(), "KILLED", "interrupted"),
        (ValueError("at http://me:secret@host/"), "FAILED", "failed"),
        (PrunedRun("fell behind"), "FINISHED", "pruned"),
    ],
)
def test_how_it_ended(tmp_path, client, error, status, state):
    """Ctrl-C, a failure, a trial that fell behind; a trial is its study's child."""
    settings = from_flat({"track.to": ["mlflow"]})
    study = made_run(tmp_path, "study", "tune")
    with tracked(study, settings, ends=False):
        run = made_run(study.path, "trial_0001")
        with pytest.raises(type(error)), tracked(run, settings):
            raise error

    found = client.get_run(identifier(run.path))
    assert (found.info.status, found.data.tags["imgtrain.state"]) == (status, state)
    assert found.data.tags["mlflow.parentRunId"] == identifier(study.path)
    assert found.data.tags["imgtrain.job"] == "trial"
    assert "secret" not in str(found.data.tags)
    assert client.get_run(identifier(study.path)).info.status == "RUNNING"


def test_a_whole_adopts_parts_that_were_there_first(tmp_path, client):
    """Folds that jobs of a cluster trained apart are nested when they are joined."""
    settings = from_flat({"track.to": "mlflow"})
    cv = made_run(tmp_path, "cv", "cv")
    fold = made_run(cv.path, "fold_1")
    with tracked(fold, settings):
        pass
    assert "mlflow.parentRunId" not in client.get_run(identifier(fold.path)).data.tags
    with tracked(cv, settings):
        pass

    tags = client.get_run(identifier(fold.path)).data.tags
    assert tags["mlflow.parentRunId"] == identifier(cv.path)


def row(epoch):
    return {"epoch": epoch, "step": 10 * epoch, "train_loss": 1 / epoch, "seconds": 1.0}


def test_a_longer_run_changes_what_cannot_be_changed(tmp_path, client):
    """MLflow keeps a parameter as it was; the new value is a tag. Earlier epochs are filled in."""
    run = made_run(tmp_path, "longer")
    begun = {"epochs": 4, "steps_per_epoch": 10, "step": 0, "monitor": None}
    for epochs, history in ((2, []), (4, [row(1), row(2)])):
        settings = from_flat({"track.to": ["mlflow"], "train.epochs": epochs})
        with tracked(run, settings) as hear:
            hear(RunStarted(epoch=len(history) + 1, history=tuple(history), **begun))
            for epoch in range(len(history) + 1, epochs + 1):
                hear(EpochEnded(epoch=epoch, epochs=4, row=row(epoch), is_best=False))

    found = client.get_run(identifier(run.path))
    assert found.data.params["train.epochs"] == "2"
    assert found.data.tags["now.train.epochs"] == "4"
    history = client.get_metric_history(found.info.run_id, "epoch/train_loss")
    assert [each.step for each in history] == [10, 20, 30, 40]


def test_the_server_dies_under_a_training(work, server, monkeypatch, capfd):
    """One warning, exit code 0, nothing of the run is missing, and no password is told or kept."""
    gate = Gate(int(server.rpartition(":")[2]))
    address = gate.uri.replace("//", "//me:se:c@ret@")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")
    confirm = ours._Client._send

    def dies(self):
        gate.shut()
        confirm(self)

    monkeypatch.setattr(ours._Client, "_send", dies)
    command = ["train", "--data", "photos", *TINY, "--epochs", "2", "--name", "orphan"]
    begun = time.monotonic()
    code = run_cli([*command, "--track", "mlflow", "--track-uri", address])
    err = capfd.readouterr().err

    assert code == 0
    assert err.count("warning") == 1
    assert "warning: --track mlflow: " in err
    assert "training goes on" in err
    run = work / "runs" / "orphan"
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    assert (run / "report.html").is_file()
    assert time.monotonic() - begun < 120
    texts = [path for path in run.rglob("*") if path.suffix in (".json", ".yaml", ".txt", ".html")]
    assert not [path for path in texts if "c@ret" in path.read_text(errors="replace")]
    assert gate.uri in (run / "config.yaml").read_text()


def test_without_a_server_it_is_a_file_beside_the_runs(tmp_path, monkeypatch):
    """SQLite in the folder of the runs, artefacts next to it, nothing in the working folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "my runs"
    settings = from_flat({"track.to": ["mlflow"], "run.output": str(output)})
    run = made_run(output, "mine")
    (run.path / "metrics.json").write_text('{"val": {"n": 3, "top1": 0.5}}')
    with tracked(run, settings):
        pass
    from mlflow import MlflowClient

    found = MlflowClient(tracking_uri=f"sqlite:///{output / 'mlflow.db'}").get_run(
        identifier(run.path)
    )

    assert found.info.status == "FINISHED"
    assert found.data.metrics["val/top1"] == 0.5
    assert Path(found.info.artifact_uri.removeprefix("file://").replace("%20", " ")).is_relative_to(
        output / "mlartifacts"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"my runs"}
