"""Learning from a teacher."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small import PREPROCESS, Net, checkpoints, plan_cpu, small_state

from imgtrain.engine.distill import Teacher, as_channels, can_convert, divergence
from imgtrain.engine.loop import fit
from imgtrain.engine.state import Normalise
from imgtrain.engine.step import train_step


def _teacher(model=None, **changes):
    if model is None:
        torch.manual_seed(7)
        model = Net(norm=True, dropout=0.5).eval()
    normalise = Normalise(replace(PREPROCESS, mean=(0.2,), std=(0.5,)), plan_cpu())
    fixed = {"size": 8, "channels": 1, "order": None, "alpha": 1.0, "temperature": 2.0}
    return Teacher(model=model, normalise=normalise, **(fixed | changes))


def test_the_divergence_is_the_papers():
    """``T^2 sum_c p_c (log p_c - log q_c)`` in float64, for each picture; nothing for equals."""
    generator = np.random.default_rng(3)
    student, teacher = generator.normal(0, 3, (2, 5, 4))
    expected = []
    for s, t in zip(student / 3, teacher / 3, strict=True):
        q, p = np.exp(s) / np.exp(s).sum(), np.exp(t) / np.exp(t).sum()
        expected.append(9 * (p * (np.log(p) - np.log(q))).sum())
    found = divergence(torch.tensor(student), torch.tensor(teacher), 3.0)

    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert divergence(torch.tensor(student), torch.tensor(student), 3.0).abs().max() < 1e-6


def test_the_gradient_of_a_linear_student_is_that_by_hand():
    """With A = 1 it is ``T (q - p) x`` on average over the pictures, whatever their labels."""
    settings = {
        "train": {"epochs": 1, "batch_size": 8},
        "optim": {"lr": 0.01, "weight_decay": 0.0, "clip_norm": None},
        "augment": {"policy": "none"},
    }
    state = small_state(settings=settings, train=8)
    torch.manual_seed(1)
    state.model = state.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    state.teacher = _teacher()
    batch = next(state.training_batches())
    x = state.normalise(batch.pixels).flatten(1)
    with torch.no_grad():
        q = (state.model[1](x) / 2).softmax(dim=1)
        p = (state.teacher.model(state.teacher.normalise(batch.pixels)) / 2).softmax(dim=1)
    train_step(state, state.training_batches())

    torch.testing.assert_close(state.model[1].weight.grad, 2 * (q - p).T @ x / 8)
    torch.testing.assert_close(state.model[1].bias.grad, 2 * (q - p).mean(dim=0))
    expected = divergence(state.model[1](x).detach(), torch.zeros(8, 3), 2.0)
    assert expected.shape == (8,)
    assert all(p.grad is None for p in state.teacher.model.parameters())


def _gradients(teacher, **sections):
    batch = {"epochs": 1, **sections.pop("train", {"batch_size": 12})}
    optim = {"lr": 0.01, "weight_decay": 0.0, "clip_norm": None}
    state = small_state(
        settings={"train": batch, "optim": optim, **sections}, train=24, bad=frozenset({3})
    )
    state.teacher = teacher
    train_step(state, state.training_batches())
    loss = state.tally.read().loss
    return [p.grad for p in state.model.parameters()], loss


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"augment": {"mixup_alpha": 0.4}, "loss": {"name": "bce"}},
        {"augment": {"cutmix_alpha": 1.0}, "loss": {"name": "focal"}},
    ],
    ids=["plain", "mixup and bce", "cutmix and focal"],
)
def test_micro_batches_do_not_change_what_is_learnt(sections):
    """Cut into pieces, with an unreadable picture and mixed: the gradient of the whole batch.

    The teacher is of another size, and its batch norm is in evaluation mode.
    """
    teacher = _teacher(size=12, alpha=0.4)
    whole, loss = _gradients(teacher, **sections)
    cut, again = _gradients(teacher, train={"batch_size": 4, "accumulation_steps": 3}, **sections)
    plain, without = _gradients(None, **sections)

    for a, b in zip(whole, cut, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert again == pytest.approx(loss, rel=1e-5)
    assert loss != pytest.approx(without, rel=1e-3)
    assert any((a - b).abs().max() > 1e-4 for a, b in zip(whole, plain, strict=True))


def test_the_loss_told_is_the_whole():
    """``train_loss`` is linear in A: half-way between the labels' and the teacher's."""
    labels, half, all_of_it = (
        _gradients(None if alpha == 0 else _teacher(alpha=alpha))[1] for alpha in (0, 0.5, 1)
    )

    assert half == pytest.approx((labels + all_of_it) / 2, rel=1e-5)


def test_a_teachers_classes_are_put_in_the_students_order():
    """A teacher whose outputs are turned round says the same through ``order``."""
    teacher = _teacher()
    turned = torch.nn.Sequential(teacher.model, _Turn()).eval()
    same = _gradients(replace(teacher, model=turned, order=torch.tensor([2, 0, 1])))

    for a, b in zip(_gradients(teacher)[0], same[0], strict=True):
        assert torch.equal(a, b)


class _Turn(torch.nn.Module):
    """Classes 0, 1, 2 come out as 1, 2, 0."""

    def forward(self, logits):
        return logits[:, [1, 2, 0]]


def test_colour_and_grey_are_shown_to_each_other():
    """Grey is colour thrice; colour is grey as OpenCV and Pillow see it; else there is no way."""
    grey = torch.tensor([[[[10]]]], dtype=torch.uint8)
    colour = torch.tensor([[[[255, 0, 100]]]], dtype=torch.uint8)

    assert as_channels(grey, 3).tolist() == [[[[10, 10, 10]]]]
    assert as_channels(colour, 1).item() == pytest.approx(0.299 * 255 + 0.114 * 100)
    assert as_channels(colour, 3) is colour
    assert [can_convert(*pair) for pair in ((1, 3), (3, 1), (5, 5), (5, 3))] == [True] * 3 + [False]


def test_a_student_learns_without_labels(tmp_path):
    """With A = 1 and labels that say nothing, the student finds what its teacher knows."""
    settings = {
        "train": {"epochs": 6, "batch_size": 8},
        "optim": {"lr": 0.02, "weight_decay": 0.0},
        "augment": {"policy": "none"},
    }
    first = small_state(settings=settings, train=60)
    list(fit(first, checkpoints(tmp_path / "teacher")))
    student = small_state(settings=settings | {"train": {**settings["train"], "seed": 1}}, train=60)
    student.loader.labels = np.where(np.arange(81) < 60, 0, student.loader.labels)
    normalise = student.normalise
    student.teacher = replace(_teacher(first.model.eval(), temperature=2.0), normalise=normalise)
    list(fit(student, checkpoints(tmp_path / "student")))

    assert first.progress.best_value > 0.9
    assert student.progress.best_value > 0.9
