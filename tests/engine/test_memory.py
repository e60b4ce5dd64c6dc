"""Out of memory: what was done half is undone, the pieces are smaller, the numbers are the same."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import warm
from hungry import Hungry, ask, feed
from small import checkpoints, small_state

from imgtrain.engine.ema import Ema
from imgtrain.engine.infer import count_part
from imgtrain.engine.loop import fit
from imgtrain.engine.memory import Guard, guarded_step, smaller
from imgtrain.engine.pieces import Pieces
from imgtrain.engine.schedule import Batches
from imgtrain.engine.tally import Tally
from imgtrain.errors import MemoryLimitError

TIMES = {"seconds", "images_per_second"}
VARIED = {
    "augment": {"mixup_alpha": 0.3, "cutmix_alpha": 1.0, "mix_prob": 0.7},
    "train": {"epochs": 2, "batch_size": 6, "accumulation_steps": 2, "ema": True},
}


class _NoRoom(Ema):
    """An average that finds no memory."""

    def update(self, *_):
        ask([0], 0)


def _bits(state):
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in state.progress.history]
    return rows, {k: v.clone() for k, v in state.model.state_dict().items()}


def _assert_same(a, b):
    assert a[0] == b[0]
    assert a[1].keys() == b[1].keys()
    for name in a[1]:
        assert torch.equal(a[1][name], b[1][name]), name


def _made(most=None, *, pieces=1, backward=False):
    state = small_state(settings=VARIED, norm=True, dropout=0.3)
    state.batches = replace(state.batches, pieces=pieces)
    state.progress.pieces = pieces
    return state if most is None else feed(state, most, backward=backward)


@pytest.mark.parametrize("backward", [False, True])
def test_a_step_that_failed_leaves_no_trace(tmp_path, capsys, backward):
    """Weights, running means, averages and history are those of small pieces from the start."""
    hungry, small = _made(3, backward=backward), _made(pieces=2)
    for state, name in ((hungry, "hungry"), (small, "small")):
        list(fit(state, checkpoints(tmp_path / name)))

    _assert_same(_bits(hungry), _bits(small))
    for a, b in zip(hungry.ema.model.parameters(), small.ema.model.parameters(), strict=True):
        assert torch.equal(a, b)
    said = capsys.readouterr().err
    assert said.count("out of memory in epoch 1, step 1") == 1
    assert "each 6 pictures go through the network in 2 pieces" in said.replace("\n", " ")


def test_the_pieces_are_part_of_the_checkpoint(tmp_path):
    """Memory gets short in the middle; killed after it and resumed: the same bits."""

    def whole(state, folder, steps):
        fails = Hungry(10**9)
        state.model.add_module("hungry", fails)
        asked = iter(range(10**9))

        def stopped():
            number = next(asked)
            fails.most = 3 if number >= 2 else 10**9
            return number >= steps

        list(fit(state, checkpoints(folder), stopped=stopped))
        return state

    uninterrupted = whole(_made(), tmp_path / "a", 10**9)
    whole(_made(), tmp_path / "b", 4)
    again = feed(_made(), 10**9)
    checkpoints(tmp_path / "b").restore(again)
    assert again.batches.pieces == 2
    list(fit(again, checkpoints(tmp_path / "b")))

    _assert_same(_bits(uninterrupted), _bits(again))


@pytest.mark.parametrize(("norm", "expected"), [(True, 2), (False, 4)])
def test_pieces_of_other_processes_leave_batch_norm_two_pictures(tmp_path, norm, expected):
    """A run that goes on with smaller micro-batches is cut into fewer pieces."""
    kept = checkpoints(tmp_path / "x")
    first = small_state(settings={"train": {"batch_size": 8}}, norm=norm)
    first.progress.pieces = 4
    kept.save_last(first)
    smaller_ones = {"batch_size": 4, "accumulation_steps": 2}
    again = small_state(settings={"train": smaller_ones}, norm=norm)
    kept.restore(again)
    assert again.batches.pieces == expected


def _insist(state):
    """A step, in as many pieces as it takes."""
    guard = Guard(state)
    while not guarded_step(state, state.training_batches(), guard):
        pass


def test_pieces_change_nothing_but_rounding():
    """Without batch norm, in float64: gradients within 1e-6 of the whole batch's, however cut."""

    def gradients(most):
        state = feed(
            small_state(settings={"train": {"epochs": 1, "batch_size": 13}}, train=26, double=True),
            most,
        )
        _insist(state)
        return state.batches.pieces, [p.grad for p in state.model.parameters()]

    _, expected = gradients(13)
    for most, pieces in ((7, 2), (6, 4), (3, 8), (1, 13)):
        found, cut = gradients(most)
        assert found == pieces
        for a, b in zip(cut, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("norm", "words"), [(False, "a single picture"), (True, "a piece of 2 pictures")]
)
def test_what_cannot_be_cut_ends_with_the_way_out(norm, words):
    """Not even the smallest piece fits: exit code 5, and what to change."""
    state = feed(small_state(norm=norm), 0)
    with pytest.raises(MemoryLimitError) as failed:
        _insist(state)

    assert words in failed.value.message
    assert "--image-size" in failed.value.hint
    assert failed.value.exit_code == 5


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_optimizer_that_found_no_room_begins_anew(precision):
    """State that was half made when memory ended goes; the repeated step makes all of it."""
    made = {"hardware": {"precision": precision}}
    state, expected = small_state(settings=made), small_state(settings=made)
    expected.batches = replace(expected.batches, pieces=2)
    failures = [True]

    def pre(optimizer, *_):
        if failures:
            failures.pop()
            optimizer.state[next(state.model.parameters())]["step"] = torch.zeros(())
            ask([0], 0)

    state.optimizer.register_step_pre_hook(pre)
    guard, other = Guard(state), Guard(expected)
    assert not guarded_step(state, state.training_batches(), guard)
    assert not state.optimizer.state
    assert guarded_step(state, state.training_batches(), guard)
    assert guarded_step(expected, expected.training_batches(), other)

    _assert_same(_bits(state), _bits(expected))


def test_weights_that_have_moved_are_not_moved_twice():
    """Memory that ends after the update began: an error, not a second update."""
    state = small_state(settings={"train": {"epochs": 1, "batch_size": 8, "ema": True}})
    state.ema = _NoRoom(state.model, 0.9)

    with pytest.raises(MemoryLimitError, match="while the optimizer moved the weights"):
        guarded_step(state, state.training_batches(), Guard(state))


@pytest.mark.parametrize("most", [40, 5])
def test_scoring_in_pieces_counts_the_same(capsys, most):
    """Sums are those of whole batches, and the pieces are remembered."""
    whole, hungry = small_state(val=130), feed(small_state(val=130), most)

    def counted(state):
        tally = Tally(3, torch.device("cpu"))
        list(
            count_part(
                state.model,
                state.scoring_batches(state.val),
                tally,
                state.normalise,
                state.compute,
                pieces=state.scoring,
            )
        )
        return tally

    expected, found = counted(whole).read(), counted(hungry).read()

    assert (found.n, found.top1, found.macro_f1) == (130, expected.top1, expected.macro_f1)
    assert found.loss == pytest.approx(expected.loss, abs=1e-6)
    assert hungry.scoring.count == (2 if most == 40 else 16)
    capsys.readouterr()
    counted(hungry)
    assert not capsys.readouterr().err


def test_other_errors_stay_what_they_are():
    """A bug is no lack of memory."""
    state = small_state()
    state.model.register_forward_pre_hook(lambda *_: {}["bug"])

    with pytest.raises(KeyError):
        guarded_step(state, state.training_batches(), Guard(state))


@pytest.mark.parametrize("micro", [1, 2, 5, 7, 64])
@pytest.mark.parametrize("least", [1, 2])
def test_pieces_share_out_every_picture(micro, least):
    """Each picture is in one piece, none has fewer than the least, and sizes differ by one."""
    batches = Batches(micro=micro, accumulation=2, world_size=1)
    seen = 0
    while True:
        cuts = list(batches.cuts())
        sizes = [last - first for first, last in cuts]
        assert [row for first, last in cuts for row in range(first, last)] == list(range(2 * micro))
        assert len(cuts) == batches.passes
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= least or batches.pieces == 1
        seen += 1
        following = smaller(batches, least=least)
        if following is None:
            break
        batches = following
    assert batches.pieces == max(1, micro // least)


@pytest.mark.slow
def test_several_processes_agree_before_they_depend_on_each_other():
    """Only one of two is short of memory: both cut alike, and the update is the usual one."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    children = [
        warm.Popen(
            [sys.executable, str(Path(__file__).with_name("hungry_of_two.py"))],
            env=os.environ
            | {
                "WORLD_SIZE": "2",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    found = [child.communicate(timeout=100)[0].split() for child in children]

    assert [child.returncode for child in children] == [0, 0]
    assert found[0][:1] == found[1][:1] == ["2"]
    assert found[0] == found[1]
    alone = small_state(settings={"train": {"epochs": 1, "batch_size": 12}}, train=24)
    batches, guard = alone.training_batches(), Guard(alone)
    while alone.progress.step < alone.plan.steps_per_epoch:
        assert guarded_step(alone, batches, guard)
    total = sum(float(p.detach().double().sum()) for p in alone.model.parameters())
    assert float(found[0][1]) == pytest.approx(total, abs=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_that_is_short_of_memory_recovers():
    """Under a real limit the pass is cut until it fits, and a step is made."""
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(2 * 2**30 / total)
    try:
        wide = torch.nn.Conv2d(3, 64, 3, padding=1).cuda()
        pixels = torch.zeros(1024, 128, 128, 3, dtype=torch.uint8, device="cuda")
        pieces = Pieces()
        with torch.inference_mode():
            found = pieces.logits(
                torch.nn.Sequential(wide, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()),
                pixels,
                lambda part: part.permute(0, 3, 1, 2).float(),
            )
        assert pieces.count > 1
        assert found.shape == (1024, 64)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
