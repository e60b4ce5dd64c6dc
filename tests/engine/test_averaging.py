"""The mean of the weights after each of the last epochs."""

import pytest
import torch
from small import After, Staged, checkpoints, small_state
from test_processes import trained

from imgtrain.engine.averaging import LastAverage
from imgtrain.engine.checkpoint import load_tensors
from imgtrain.engine.loop import fit
from imgtrain.engine.world import World
from imgtrain.errors import RunError, SettingsError
from imgtrain.events import EpochEnded
from imgtrain.loading.loader import Batch
from imgtrain.settings.schema import Settings

TIMES = {"seconds", "images_per_second"}


def _state(last=2, epochs=4, **model):
    train = {"epochs": epochs, "batch_size": 8, "average_last": last}
    return small_state(settings={"train": train, "model": model}, staged=True)


def _run(state, folder, **more):
    """The parameters after each epoch."""
    return [
        {n: p.detach().clone().double() for n, p in state.model.named_parameters()}
        for event in fit(state, checkpoints(folder), **more)
        if isinstance(event, EpochEnded)
    ]


def test_what_is_kept_is_the_mean_of_the_last_epochs(tmp_path):
    """By hand: of epochs 2, 3 and 4; the last row of the history is the mean's, and it is kept."""
    state = _state(last=3)
    after = _run(state, tmp_path / "c")
    best = load_tensors(tmp_path / "c" / "best.pt")

    assert len(after) == 4
    assert best["epoch"] == state.progress.best_epoch == 4
    for name in after[0]:
        mean = (after[1][name] + after[2][name] + after[3][name]) / 3
        assert torch.equal(best["model"][name], mean.float())
    assert state.progress.history[-1]["is_best"] == 1
    assert state.progress.best_value == state.progress.history[-1]["val_top1"]
    plain = small_state(settings={"train": {"epochs": 4, "batch_size": 8}}, staged=True)
    _run(plain, tmp_path / "d")
    for ours, theirs in zip(state.progress.history[:3], plain.progress.history[:3], strict=True):
        assert {k: ours[k] for k in ours.keys() - TIMES} == {
            k: theirs[k] for k in ours.keys() - TIMES
        }


def test_running_means_are_those_of_torchs_update_bn():
    """On batches of one size, as ``torch.optim.swa_utils.update_bn`` (dropout off in both)."""
    torch.manual_seed(1)
    model = Staged()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    inputs = torch.randn(24, 1, 8, 8)
    average = LastAverage(1, 1)
    average.make(model.train())
    ones = torch.ones(8, dtype=torch.bool)
    batches = [Batch(part, ones, ones, 8, ones.numpy()) for part in inputs.split(8)]
    list(average.estimate_norms(batches, lambda pixels: pixels, World()))
    tracked = [int(b) for n, b in average.model.named_buffers() if "tracked" in n]
    torch.optim.swa_utils.update_bn(inputs.split(8), model)

    for name, buffer in average.model.named_buffers():
        if "tracked" not in name:
            torch.testing.assert_close(buffer, model.get_buffer(name), rtol=1e-5, atol=1e-6)
    assert tracked == [0] * len(tracked)
    assert not any(m.training for m in average.model.modules())


def test_unreadable_pictures_and_lone_ones_count_nowhere():
    """Masked rows leave the statistics; a batch of one picture has no variance."""
    torch.manual_seed(1)
    inputs, found = torch.randn(9, 1, 8, 8), []
    mask = torch.tensor([True] * 6 + [False] * 2)
    whole = torch.ones(8, dtype=torch.bool)
    lone = Batch(inputs[8:], whole[:1], whole[:1], 1, whole[:1].numpy())
    for batches in (
        [Batch(inputs[:8], whole, mask, 6, whole.numpy()), lone],
        [Batch(inputs[:6], whole[:6], whole[:6], 6, whole[:6].numpy())],
    ):
        torch.manual_seed(2)
        average = LastAverage(1, 1)
        average.make(Staged().train())
        list(average.estimate_norms(batches, lambda pixels: pixels, World()))
        found.append(list(average.model.buffers()))

    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_frozen_norms_keep_their_running_means(tmp_path):
    """What is frozen is not estimated anew, and its mean is itself."""
    state = _state(freeze=1)
    before = {n: t.clone() for n, t in state.model.state_dict().items()}
    _run(state, tmp_path / "c")
    best = load_tensors(tmp_path / "c" / "best.pt")["model"]

    same = {n.split(".")[0] for n, t in before.items() if torch.equal(t, best[n])}
    assert same & {"stem", "s1"} == {"stem", "s1"}
    assert all(torch.equal(best[n], t) for n, t in before.items() if n.startswith(("stem", "s1")))


@pytest.mark.parametrize("moment", [9, 14, 25, 36, 38, 40])
def test_stopped_anywhere_and_resumed_is_the_same_to_the_bit(tmp_path, moment):
    """In the epochs that count, between them, and while the mean is validated."""
    whole, first, second = (_state(last=3) for _ in range(3))
    _run(whole, tmp_path / "whole")
    _run(first, tmp_path / "c", stopped=After(moment))
    checkpoints(tmp_path / "c").restore(second)
    _run(second, tmp_path / "c")
    ours, theirs = (load_tensors(tmp_path / n / "best.pt")["model"] for n in ("c", "whole"))

    assert all(torch.equal(t, theirs[n]) for n, t in ours.items())
    a, b = whole.progress.history[-1], second.progress.history[-1]
    assert {k: a[k] for k in a.keys() - TIMES} == {k: b[k] for k in b.keys() - TIMES}


@pytest.mark.parametrize(("epochs", "fits"), [(5, False), (6, True)])
def test_a_longer_training_averages_its_own_last_epochs(tmp_path, epochs, fits):
    """Those after the first end alone; refused where some of them are over."""
    _run(_state(last=2), tmp_path / "c")
    longer = _state(last=2, epochs=epochs)
    kept = checkpoints(tmp_path / "c")
    if not fits:
        with pytest.raises(RunError, match="epochs 4 to 5, and epoch 4 is over"):
            kept.restore(longer)
        return
    kept.restore(longer)
    longer.progress.reason = None
    after = _run(longer, tmp_path / "c")
    best = load_tensors(tmp_path / "c" / "best.pt")["model"]
    assert torch.equal(
        best["head.bias"], ((after[0]["head.bias"] + after[1]["head.bias"]) / 2).float()
    )


@pytest.mark.parametrize("flag", ["patience", "target_metric", "budget"])
def test_what_may_end_a_training_early_is_refused(flag):
    """The last epochs are counted from the planned end."""
    with pytest.raises(SettingsError, match=f"--{flag.replace('_', '-')} may end"):
        Settings.model_validate({"train": {"average_last": 2, flag: 5}})


@pytest.mark.long
def test_processes_whose_norms_wait_for_each_other_average_alike():
    """Two processes with SyncBN and uneven shares of the training part find what one finds."""
    settings = {
        "train": {"epochs": 2, "batch_size": 6, "average_last": 2},
        "hardware": {"sync_bn": True},
    }
    sizes = {"effective": 6, "train": 150, "val": 20}
    alone = trained(1, settings, **sizes)
    settings["train"]["batch_size"] = 3
    two = trained(2, settings, **sizes)

    for key in ("train_loss", "val_loss"):
        ours, theirs = ([row[key] for row in run["history"]] for run in (alone, two))
        assert ours == pytest.approx(theirs, abs=1e-3)
