"""One update of the weights."""

import pytest
import torch
from small import small_state

from imgtrain.engine.step import seed_step, train_step


def _gradients(augment=None, **train):
    """Gradients of the first step, from clipping untouched, in float64."""
    state = small_state(
        settings={
            "train": {"epochs": 1, **train},
            "optim": {"lr": 0.01, "weight_decay": 0.0, "clip_norm": None},
            "augment": augment or {},
        },
        train=24,
        double=True,
    )
    train_step(state, state.training_batches())
    return [p.grad for p in state.model.parameters()]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 12])
def test_micro_batches_do_not_change_the_gradient(size):
    """Cutting a batch of 12 into pieces gives the gradient of the whole batch."""
    whole = _gradients(batch_size=12)
    cut = _gradients(batch_size=size, accumulation_steps=12 // size)

    for a, b in zip(whole, cut, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def test_global_batch_size_derives_the_accumulation():
    """--global-batch-size 12 with --batch-size 4 is three micro-batches, the same update."""
    for a, b in zip(
        _gradients(batch_size=12), _gradients(batch_size=4, global_batch_size=12), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def _weights_after_epoch(train, batch_size, **more):
    state = small_state(
        settings={
            "train": {"epochs": 1, "batch_size": batch_size},
            "optim": {"name": "sgd", "lr": 0.1, "weight_decay": 0.0},
            "augment": {"policy": "none"},
            "schedule": {"warmup_epochs": 0, "name": "constant"},
        },
        train=train,
        double=True,
        **more,
    )
    batches = state.training_batches()
    for _ in range(state.plan.steps_per_epoch):
        train_step(state, batches)
    return state


def test_rows_that_fill_a_last_batch_count_nowhere():
    """Ten pictures in batches of 8: the second step is the mean over two, not over eight."""
    state = _weights_after_epoch(10, 8)
    by_hand = small_state(train=10, double=True)
    by_hand.model.load_state_dict(_weights_after_epoch(10, 8).model.state_dict())

    assert state.plan.steps_per_epoch == 2
    assert state.tally.read().n == 10

    reference = small_state(
        settings={"train": {"epochs": 1, "batch_size": 8}}, train=10, double=True
    )
    order = _order(state)
    optimizer = torch.optim.SGD(reference.model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    inputs, targets = _all_inputs(state)
    for rows in (order[:8], order[8:]):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            reference.model(inputs[rows]), targets[rows], label_smoothing=0.1
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reference.model.parameters(), 1.0)
        optimizer.step()
    for a, b in zip(state.model.parameters(), reference.model.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def _order(state):
    return state.train.epoch(1, seed=0)


def _all_inputs(state):
    pictures = [state.loader.pictures.get(i) for i in range(len(state.train))]
    pixels = torch.stack([torch.tensor(p) for p in pictures])
    return state.normalise(pixels), torch.tensor(state.loader.labels[: len(pictures)])


def test_a_last_batch_of_one_picture_is_left_out():
    """Nine pictures in batches of 8: one step, because batch norm cannot learn from one."""
    assert small_state(train=9).plan.steps_per_epoch == 1


def test_a_set_smaller_than_a_batch_is_one_batch():
    """Five pictures with batch 8: one step of five."""
    state = small_state(train=5)

    assert state.batches.effective == 5
    assert state.plan.steps_per_epoch == 1


def test_an_unreadable_picture_leaves_the_mean():
    """A bad picture is neither replaced nor counted: the step is the mean over the others."""
    bad = _weights_after_epoch(8, 8, bad=frozenset({3}))
    inputs, targets = _all_inputs(_weights_after_epoch(8, 8))
    reference = small_state(train=8, double=True).model
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    kept = [i for i in range(8) if i != 3]
    loss = torch.nn.functional.cross_entropy(
        reference(inputs[kept]), targets[kept], label_smoothing=0.1
    )
    loss.backward()
    torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
    optimizer.step()

    assert bad.tally.read().n == 7
    assert list(bad.loader.pictures.bad) == [3]
    for a, b in zip(bad.model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("mixing", [{"mixup_alpha": 0.4}, {"cutmix_alpha": 1.0}])
@pytest.mark.parametrize("size", [1, 3, 4, 6])
def test_micro_batches_do_not_change_what_is_mixed(mixing, size):
    """Partners come from the effective batch: pieces give the gradient of the whole."""
    whole = _gradients(batch_size=12, augment=mixing)
    cut = _gradients(batch_size=size, accumulation_steps=12 // size, augment=mixing)
    plain = _gradients(batch_size=12)

    for a, b in zip(whole, cut, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
    assert any((a - b).abs().max() > 1e-4 for a, b in zip(whole, plain, strict=True))


def test_the_seed_of_a_step_is_torchs_own():
    """As ``torch.manual_seed`` with seed x 1,000,003 + step, x 4,099 + rank."""
    state = small_state(settings={"train": {"seed": 7}})
    state.progress.step = 2
    seed_step(state)
    drawn = torch.rand(5)

    torch.manual_seed((7 * 1_000_003 + 2) * 4099)
    assert torch.equal(drawn, torch.rand(5))
