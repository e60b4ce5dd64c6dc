"""A run's folder: its name, whose it is, and whether somebody works in it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imgtrain.errors import DiskError, RunError
from imgtrain.files import write_json
from imgtrain.rundir import RunDir, find_run, identity_of, locked, new_run, unfinished_run

HOLD = (
    "import sys, pathlib; from imgtrain.rundir import RunDir, locked\n"
    "with locked(RunDir(pathlib.Path(sys.argv[1]))):\n"
    "    print('mine', flush=True); sys.stdin.read()\n"
)


def make_run(output, name, *, state="finished", when=0, identity=()):
    """A run's folder whose status was written at second ``when``."""
    run = RunDir(output / name)
    run.path.mkdir(parents=True)
    run.set_status(state)
    write_json(run.provenance, {"identity": list(identity)})
    os.utime(run.path / "status.json", (when, when))
    return run


def test_a_taken_name_gets_a_number(tmp_path):
    """name, name-2, name-3; any file of that name counts."""
    names = []
    for _ in range(2):
        run = new_run(tmp_path / "runs", "a")
        run.set_status("running")
        names.append(run.name)
    (tmp_path / "runs" / "a-3").write_text("x")
    names.append(new_run(tmp_path / "runs", "a").name)

    assert names == ["a", "a-2", "a-4"]
    assert (tmp_path / "runs" / "a-2" / "checkpoints").is_dir()


def test_a_place_that_cannot_be_written_is_a_disk_error(tmp_path):
    """A file in the way: the path and --output."""
    (tmp_path / "runs").write_text("x")
    with pytest.raises(DiskError, match=r"cannot write .*/runs/a: File exists") as error:
        new_run(tmp_path / "runs", "a")
    assert "--output" in error.value.hint


def test_the_unfinished_run_is_the_newest_of_equal_identity(tmp_path):
    """Newer runs of other settings do not count, nor do runs of other names."""
    make_run(tmp_path, "a", state="interrupted", when=1, identity=["x"])
    make_run(tmp_path, "a-2", state="running", when=3, identity=["w", "x"])
    make_run(tmp_path, "a-3", state="failed", when=2, identity=["x"])
    make_run(tmp_path, "a-4", state="interrupted", when=5, identity=["y"])
    make_run(tmp_path, "b", state="interrupted", when=6, identity=["x"])
    (tmp_path / "a-5").mkdir()
    (tmp_path / "a-6").write_text("no folder")

    assert unfinished_run(tmp_path, "a", "x") == RunDir(tmp_path / "a-2")
    assert unfinished_run(tmp_path, "a", "z") is None
    assert unfinished_run(tmp_path / "none", "a", "x") is None


def test_once_the_newest_is_finished_none_is_gone_on_with(tmp_path):
    """An older unfinished one is left alone: a new folder is made."""
    make_run(tmp_path, "a", state="interrupted", when=1, identity=["x"])
    make_run(tmp_path, "a-2", state="finished", when=2, identity=["x"])
    assert unfinished_run(tmp_path, "a", "x") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"identity": []}'])
def test_a_run_whose_provenance_is_broken_is_not_gone_on_with(tmp_path, text):
    """What cannot be read is of unknown identity."""
    run = make_run(tmp_path, "a", state="interrupted", identity=["x"])
    run.provenance.write_text(text)
    assert unfinished_run(tmp_path, "a", "x") is None


def test_identity_hangs_on_values_not_on_their_order():
    """Settings, data and name: a change of any is another run."""
    one = identity_of({"a": 1, "b": "ü"}, "data", "run")

    assert identity_of({"b": "ü", "a": 1}, "data", "run") == one
    others = [
        identity_of({"a": 2, "b": "ü"}, "data", "run"),
        identity_of({"a": 1}, "data", "run"),
        identity_of({"a": 1, "b": "ü"}, "other", "run"),
        identity_of({"a": 1, "b": "ü"}, "data", "walk"),
    ]
    assert len({one, *others}) == 5
    assert len(identity_of({"name": "\udcff"}, "data", "\udcff")) == 64


def test_a_run_is_found_by_name_path_or_age(tmp_path, monkeypatch):
    """A path wins over a name; latest, or nothing, is the newest."""
    monkeypatch.chdir(tmp_path)
    runs = Path("runs")
    old, new = make_run(runs, "old", when=1), make_run(runs, "new", when=2)
    here = make_run(Path(), "new", when=9)

    assert find_run("old", runs) == old
    assert find_run("new", runs) == RunDir(here.path)
    assert find_run(str(tmp_path / "runs" / "old"), runs).name == "old"
    assert find_run("latest", runs) == new
    assert find_run(None, runs) == new
    old.weights.write_bytes(b"x")
    assert find_run(None, runs, having="model.safetensors") == old


def test_a_run_that_is_not_there_is_an_error_with_the_nearest(tmp_path):
    """The name, the nearest one, all others."""
    make_run(tmp_path, "digits-resnet18")
    with pytest.raises(RunError, match="did you mean 'digits-resnet18'") as error:
        find_run("digits-resnet", tmp_path)
    assert error.value.hint == f"runs in {tmp_path}: digits-resnet18"
    with pytest.raises(RunError, match="no run with a model") as error:
        find_run(None, tmp_path, having="model.safetensors")
    assert "imgtrain train" in error.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"state": 3}'])
def test_a_broken_status_means_unfinished(tmp_path, text):
    """A status cut off by a crash is none."""
    (tmp_path / "status.json").write_text(text)
    run = RunDir(tmp_path)
    assert isinstance(run.status(), dict)
    assert not run.is_finished


def test_status_says_who_works(tmp_path):
    """State, process and format number."""
    RunDir(tmp_path).set_status("finished", epochs=3)
    assert RunDir(tmp_path).status() == {
        "format": 1,
        "state": "finished",
        "pid": os.getpid(),
        "epochs": 3,
    }
    assert RunDir(tmp_path).is_finished


def test_the_lock_keeps_others_out_and_dies_with_its_process(tmp_path):
    """A second process is refused with the first one's number; after kill -9 it may."""
    run = RunDir(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "mine\n"
        write_json(tmp_path / "status.json", {"pid": holder.pid})
        with (
            pytest.raises(RunError, match=rf"another process \(pid {holder.pid}\)") as error,
            locked(run),
        ):
            pass
        assert "--fresh" in error.value.hint
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
        with locked(run):
            pass
    with locked(run):
        pass


def test_the_lock_sweeps_what_a_killed_process_left(tmp_path):
    """Drafts of files go, files stay."""
    run = new_run(tmp_path, "a")
    litter = [run.path / ".history.csv.77.tmp", run.checkpoints / ".last.pt.77.tmp"]
    for path in (*litter, run.checkpoints / "last.pt"):
        path.write_text("x")
    with locked(run):
        assert not any(path.exists() for path in litter)
    assert (run.checkpoints / "last.pt").exists()
