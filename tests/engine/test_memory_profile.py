"""Where memory went, seen from outside."""

import json

import torch
from PIL import Image
from small import checkpoints, small_state

from imgtrain.engine.loop import fit
from imgtrain.memory_profile import PHASES, memory_profiled


def _trained(folder, *, wanted):
    state = small_state(
        settings={"train": {"epochs": 1, "batch_size": 8, "ema": True}}, norm=True, dropout=0.3
    )
    with memory_profiled(state, folder, wanted=wanted):
        list(fit(state, checkpoints(folder / "kept")))
    return state


def test_looking_changes_nothing(tmp_path):
    """The same bits with and without; nothing stays hooked."""
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
    looked, plain = (
        _trained(tmp_path / name, wanted=name == "with") for name in ("with", "without")
    )

    for name, tensor in looked.model.state_dict().items():
        assert torch.equal(tensor, plain.model.state_dict()[name]), name
    assert not looked.model._forward_hooks
    assert not looked.model._forward_pre_hooks
    assert not (tmp_path / "without" / "memory.json").exists()


def test_what_is_written(tmp_path):
    """Sizes of what stays, to the byte; a peak for every phase; a picture."""
    state = _trained(tmp_path, wanted=True)
    found = json.loads((tmp_path / "memory.json").read_text(encoding="utf-8"))
    size = sum(p.numel() * 4 for p in state.model.parameters()) / 2**20

    assert found["steps"] == 3
    assert found["batch"] == 8
    assert found["parts_mb"]["weights"] == found["parts_mb"]["gradients"] == round(size, 1)
    assert set(found["phases_mb"]) == set(PHASES)
    assert found["peak_mb"] == max(found["phases_mb"].values()) >= found["before_mb"] > 0
    with Image.open(tmp_path / "memory.png") as picture:
        assert picture.width > 500


def test_looking_is_no_part_of_a_network_that_is_compiled(tmp_path):
    """The compiler sees the network's frames alone: no clock, no thread, no plot."""
    seen = torch._dynamo.utils.counters["frames"]
    seen.clear()
    state = small_state(settings={"train": {"epochs": 1, "batch_size": 8}})
    state.net = torch.compile(state.model, backend="eager", dynamic=False)
    with memory_profiled(state, tmp_path, wanted=True):
        list(fit(state, checkpoints(tmp_path / "kept")))

    assert (tmp_path / "memory.png").exists()
    assert 0 < seen["total"] <= 6


def test_a_training_without_a_step_writes_nothing(tmp_path):
    """Nothing to look at, no file."""
    state = small_state()
    with memory_profiled(state, tmp_path, wanted=True):
        pass

    assert not list(tmp_path.iterdir())
