"""Mixup and cutmix: as the papers and torchvision have them, drawn on the effective batch."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from imgtrain.engine.schedule import Batches
from imgtrain.loading.mix import Mix, Mixing, mixed
from imgtrain.loading.sampling import training_shares

CLASSES = 4


def _batch(count=6, height=9, width=13):
    generator = torch.Generator().manual_seed(3)
    inputs = torch.rand(count, 3, height, width, generator=generator)
    targets = torch.randint(0, CLASSES, (count,), generator=generator)
    return inputs, targets


def _with_partner(values):
    """The last row in front as well: the first one's partner."""
    return torch.cat([values[-1:], values])


def test_mixup_is_torchvisions():
    """The same inputs and targets for the same share."""
    inputs, targets = _batch()
    reference = v2.MixUp(num_classes=CLASSES)
    wanted = reference.transform(inputs, {"lam": 0.3, "labels": targets, "batch_size": len(inputs)})
    soft = reference.transform(targets, {"lam": 0.3, "labels": targets, "batch_size": len(inputs)})
    ours = mixed(
        _with_partner(inputs),
        _with_partner(targets),
        Mix(share=0.3, centre=None),
        classes=CLASSES,
    )

    torch.testing.assert_close(ours[0], wanted)
    torch.testing.assert_close(ours[1], soft)
    assert (ours[2] == targets.roll(1)).all()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.5, 0.5), (0.99, 0.1), (0.3, 0.8)])
def test_cutmix_is_torchvisions_box_for_box(share, centre):
    """Torchvision's own drawing, fed with our numbers, gives the same box and the same targets."""
    height, width = 9, 13
    inputs, targets = _batch(height=height, width=width)
    mix = Mix(share=share, centre=centre)
    reference = v2.CutMix(num_classes=CLASSES)
    reference._dist = _Always(share)
    draws = iter([int(centre[1] * width), int(centre[0] * height)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randint", lambda *_, **__: torch.tensor([next(draws)]))
        params = reference.make_params([inputs])
    params |= {"labels": targets, "batch_size": len(inputs)}
    left, top, right, bottom = params["box"]

    assert mix.box(height, width) == (top, bottom, left, right)
    assert mix.own_share(height, width) == pytest.approx(params["lam_adjusted"])
    ours = mixed(_with_partner(inputs), _with_partner(targets), mix, classes=CLASSES)
    torch.testing.assert_close(ours[0], reference.transform(inputs, params))
    torch.testing.assert_close(
        ours[1], reference.transform(targets, {**params, "lam": params["lam_adjusted"]})
    )


class _Always:
    def __init__(self, value):
        self.value = value

    def sample(self, _):
        return torch.tensor(self.value, dtype=torch.float64)


def test_a_batch_is_mixed_as_its_step_says():
    """A function of seed, epoch and step; about as often as asked; not from the last epochs on."""
    mixing = Mixing(mixup_alpha=0.2, cutmix_alpha=1.0, probability=0.5, off_epoch=3)
    drawn = [mixing.draw(seed=1, epoch=1, step=step) for step in range(400)]

    assert drawn == [mixing.draw(seed=1, epoch=1, step=step) for step in range(400)]
    assert drawn != [mixing.draw(seed=1, epoch=2, step=step) for step in range(400)]
    done = [mix for mix in drawn if mix is not None]
    assert 150 < len(done) < 250
    assert 60 < sum(mix.centre is not None for mix in done) < 140
    assert mixing.draw(seed=1, epoch=3, step=0) is None
    assert Mixing().draw(seed=1, epoch=1, step=0) is None


def test_shares_follow_the_beta_distribution():
    """Mean 1/2 and the variance of Beta(a, a): 1 / (4 (2a + 1))."""
    mixing = Mixing(mixup_alpha=0.4)
    shares = [mixing.draw(seed=0, epoch=1, step=step).share for step in range(3000)]

    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * 1.8), rel=0.05)


@pytest.mark.parametrize("cut", [(8, 1, 1), (4, 2, 1), (4, 1, 2), (1, 4, 2), (2, 2, 2)])
def test_partners_are_those_of_the_effective_batch_however_it_is_cut(cut):
    """Picture and place in the epoch of every partner, in a last batch of three too."""
    micro, accumulation, world_size = cut
    batches = Batches(micro=micro, accumulation=accumulation, world_size=world_size)
    order = np.random.default_rng(0).permutation(19)
    mix = Mix(share=0.3, centre=None)
    for step, rows in enumerate(np.split(order, [8, 16])):
        pairs = {}
        for rank in range(world_size):
            steps = training_shares(
                order, batches, steps=3, first_step=step, rank=rank, mix_at=lambda _: mix
            )
            for share in next(steps):
                assert len(share.pictures) == micro + 1
                assert not share.counts[0]
                assert (order[share.positions] == share.pictures).all()
                before, after = share.pictures[:-1], share.pictures[1:]
                pairs |= dict(zip(after[share.counts[1:]], before[share.counts[1:]], strict=True))
        assert pairs == dict(zip(rows, np.roll(rows, 1), strict=True))
