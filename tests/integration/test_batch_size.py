"""``imgtrain find-batch-size`` and ``--batch-size auto``: real children, real steps."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from test_train import rows

SMALL = ["--model", "test_resnet", "--image-size", "32", "--no-pretrained", "--device", "cpu"]


@pytest.mark.long
def test_the_largest_is_the_whole_set_where_all_of_it_fits(imgtrain, photos):
    """Sixty small pictures: every size passes, and a small one is recommended."""
    found = imgtrain("find-batch-size", "--data", photos, *SMALL, "--json")

    assert found.code == 0, found.err
    assert found.json["maximum"] == 48
    assert found.json["maximum_bounded_by"] == "the training part"
    assert found.json["recommended"] == 8
    sizes = found.json["sizes"]
    assert [row["size"] for row in sizes] == [8, 16, 32, 48]
    assert all(row["images_per_second"] > 0 for row in sizes)
    assert 0 < sizes[-1]["memory_gb"] < found.json["limit_gb"]


@pytest.mark.long
def test_where_nothing_fits(imgtrain, photos):
    """Python alone takes more than the limit: exit code 5, in one sentence."""
    found = imgtrain("find-batch-size", "--data", photos, *SMALL, "--memory-limit", "0.05")

    assert found.code == 5
    assert "--memory-limit 0.05" in found.words
    assert "Traceback" not in found.err


@pytest.mark.slow
def test_auto_is_found_once_and_saved(imgtrain, photos):
    """The run has a number; the same command knows it for the same run, and looks no more."""
    first = imgtrain("train", "--data", photos, *SMALL, "--epochs", "1", "--auto-batch-size")
    more = imgtrain("train", "--resume", "latest", "--epochs", "2")

    assert first.code == more.code == 0, first.err + more.err
    assert "batch 8 pictures" in first.words
    assert "looking for a size" not in more.words
    run = Path("runs/photos-test_resnet")
    saved = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert saved["train"]["batch_size"] == 8
    assert len(rows(run / "history.csv")) == 2


def test_two_ways_of_saying_a_size(imgtrain):
    """A number and the search for one: one of them is too much."""
    found = imgtrain("train", "--auto-batch-size", "--batch-size", "32")

    assert found.code == 2
    assert "--auto-batch-size" in found.words
    assert "--batch-size 32" in found.words


@pytest.mark.long
def test_a_stopped_search_leaves_nothing(photos, tmp_path):
    """After Ctrl-C to the parent alone: exit code 130 at once, no child, no temporary file."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-m", "imgtrain", "find-batch-size", "--data", str(photos), *SMALL],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stderr is not None
    while "trying batch sizes" not in parent.stderr.readline():
        assert parent.poll() is None
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    end = time.monotonic() + 60
    while not list(temporary.glob("imgtrain-*/said.txt")) or not children.read_text().split():
        assert time.monotonic() < end
        time.sleep(0.02)
    child = int(children.read_text().split()[0])
    parent.send_signal(signal.SIGINT)
    _, said = parent.communicate(timeout=60)

    assert parent.returncode == 130, said
    assert "Traceback" not in said
    assert not Path(f"/proc/{child}").exists()
    assert not list(temporary.glob("imgtrain-*"))
