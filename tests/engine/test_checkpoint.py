"""Checkpoints: whole or absent, with a reserve, and read without running code."""

import os
import pickle

import pytest
import torch
from small import checkpoints, small_state

from imgtrain.engine.checkpoint import load_tensors
from imgtrain.engine.loop import fit
from imgtrain.errors import DiskError, RunError


def _trained(folder, **changes):
    kept = checkpoints(folder, **changes)
    list(fit(small_state(), kept))
    return kept


def test_a_checkpoint_cut_in_half_falls_back_to_the_one_before(tmp_path, capsys):
    """The broken file is named, and the epoch before is restored."""
    kept = _trained(tmp_path)
    data = kept.last.read_bytes()
    kept.last.write_bytes(data[: len(data) // 2])
    state = small_state()
    restored = kept.restore(state)

    assert restored == kept.reserve
    assert len(state.progress.history) == 2
    assert "last.pt is broken" in capsys.readouterr().err.replace("\n", "")


def test_at_no_moment_is_there_no_newest_checkpoint(tmp_path, monkeypatch):
    """Before and after every renaming, once there is a last.pt there always is one."""
    kept, seen = checkpoints(tmp_path, every=1), []
    rename = type(tmp_path).replace

    def watched(path, target):
        seen.append(kept.last.exists())
        found = rename(path, target)
        seen.append(kept.last.exists())
        return found

    monkeypatch.setattr(type(tmp_path), "replace", watched)
    list(fit(small_state(), kept))
    first = seen.index(True)

    assert len(seen) > first + 10
    assert all(seen[first:])


def test_nothing_that_can_be_read_is_an_error(tmp_path):
    """All broken: the sentence names them and --fresh."""
    kept = _trained(tmp_path)
    for path in (kept.last, kept.reserve):
        path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(RunError, match=r"last\.pt, previous\.pt") as error:
        kept.restore(small_state())
    assert "--fresh" in error.value.hint


def test_only_the_newest_numbered_ones_stay(tmp_path):
    """Every epoch, keep two: of three, the last two."""
    kept = _trained(tmp_path, every=1, keep=2)

    assert sorted(p.name for p in tmp_path.glob("epoch_*")) == ["epoch_002.pt", "epoch_003.pt"]
    assert {p.name for p in tmp_path.iterdir()} == {
        "best.pt",
        "epoch_002.pt",
        "epoch_003.pt",
        "last.pt",
        "previous.pt",
    }
    assert kept.exist()


def test_a_pickle_with_code_is_not_run(tmp_path):
    """A checkpoint that would call a function is refused."""

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    path = tmp_path / "evil.pt"
    torch.save({"format": 1, "model": Evil()}, path, pickle_module=pickle)
    with pytest.raises(RunError, match=r"evil\.pt is broken"):
        load_tensors(path)
    assert not (tmp_path / "pwned").exists()


def test_other_models_checkpoint_is_refused(tmp_path):
    """Tensors that do not fit: one sentence, not a page of keys."""
    kept = _trained(tmp_path)
    other = small_state(norm=True)
    with pytest.raises(RunError, match="does not fit this training") as error:
        kept.restore(other)
    assert "\n" not in error.value.message


def test_another_effective_batch_is_refused(tmp_path):
    """Steps would mean something else."""
    kept = _trained(tmp_path)
    other = small_state(settings={"train": {"epochs": 3, "batch_size": 4}})
    with pytest.raises(RunError, match="effective batch of 8, this one is 4"):
        kept.restore(other)


def test_too_little_room_is_noticed_before_the_first_step(tmp_path, monkeypatch):
    """The sentence names both sizes."""
    import shutil

    usage = type(shutil.disk_usage(tmp_path))(total=10, used=9, free=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DiskError, match="0 MB free"):
        checkpoints(tmp_path).check_room(small_state())
