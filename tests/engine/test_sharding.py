"""Weights shared out over processes, and batches shared anew by another number of them."""

import pytest
import timm

from imgtrain.engine.schedule import cut_batches, keep_effective
from imgtrain.engine.sharding import _blocks, is_shared_out, whole
from imgtrain.errors import SettingsError
from imgtrain.settings.schema import Settings, TrainSettings


def test_a_model_is_gathered_block_by_block():
    """Residual blocks and transformer blocks; what stands before and behind them is the rest."""
    names = [
        [type(block).__name__ for block in _blocks(timm.create_model(name))]
        for name in ("resnet18", "test_vit")
    ]
    assert names == [["BasicBlock"] * 8, ["Block"] * 6]


def test_what_is_not_shared_out_stays_as_it_is():
    """One process: nothing is copied or changed."""
    model = timm.create_model("test_vit")
    state = model.state_dict()

    assert not is_shared_out(model)
    assert all(whole(dict(state))[name] is tensor for name, tensor in state.items())


@pytest.mark.parametrize(
    ("more", "flag"),
    [
        ({"train": {"ema": True}}, "--ema"),
        ({"train": {"average_last": 2}}, "--average-last"),
        ({"model": {"freeze": "backbone"}}, "--freeze"),
        ({"hardware": {"fsdp": True, "channels_last": True}}, "--channels-last"),
        ({"optim": {"name": "muon"}}, "--optimizer muon"),
    ],
)
def test_what_needs_whole_weights_is_refused(more, flag):
    """Before any data is read, naming both flags."""
    with pytest.raises(SettingsError, match=f"--fsdp shares the weights out .* {flag} needs"):
        Settings.model_validate({"hardware": {"fsdp": True}} | more)


@pytest.mark.parametrize(
    ("micro", "accumulation", "before", "now", "expected"),
    [
        (8, 1, 2, 1, (8, 2, 1)),
        (8, 2, 1, 2, (8, 1, 2)),
        (6, 1, 3, 2, (3, 3, 2)),
        (4, 1, 2, 4, (2, 1, 4)),
        (5, 1, 1, 5, (1, 1, 5)),
    ],
)
def test_other_processes_share_the_same_effective_batch(
    micro, accumulation, before, now, *, expected
):
    """As many pictures at a time as before, where that divides their share."""
    train = TrainSettings(batch_size=micro, accumulation_steps=accumulation)
    kept = keep_effective(train, micro * accumulation * before, world_size=now)
    cut = cut_batches(kept, world_size=now, pictures=1000)

    assert (cut.micro, cut.accumulation, cut.world_size) == expected


def test_a_batch_that_cannot_be_shared_is_refused_with_the_numbers_that_can():
    """Sixteen pictures a step, three processes."""
    with pytest.raises(SettingsError, match="16 pictures a step, which 3 processes") as error:
        keep_effective(TrainSettings(batch_size=8), 16, world_size=3)
    assert error.value.hint == "go on with 1, 2, 4, 8, 16 processes, or begin another run"
