"""One loss per picture, against torch and by hand."""

from functools import partial

import pytest
import timm.loss
import torch
from torch.nn import functional

from imgtrain.data.class_weights import inverse_weights
from imgtrain.engine.loss import binary_cross_entropy, cross_entropy, focal, make_loss
from imgtrain.errors import SettingsError
from imgtrain.settings.schema import LossSettings, Settings

LOGITS = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)) * 3
TARGETS = torch.tensor([0, 1, 2, 3, 3, 0, 1])
SOFT = functional.one_hot(TARGETS, 4) * 0.7 + functional.one_hot(TARGETS.roll(1), 4) * 0.3
WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 3.0])


@pytest.mark.parametrize("targets", [TARGETS, SOFT], ids=["numbers", "shares"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_focal_with_gamma_0_is_cross_entropy(targets, weights, smoothing):
    """Weights, smoothing and mixed targets mean the same in both: torch's, one at a time."""
    if weights is not None and smoothing:
        wanted = cross_entropy(LOGITS, targets, label_smoothing=smoothing, weights=weights)
    else:
        wanted = functional.cross_entropy(
            LOGITS, targets, weight=weights, label_smoothing=smoothing, reduction="none"
        )
    ours = focal(LOGITS, targets, gamma=0.0, label_smoothing=smoothing, weights=weights)

    torch.testing.assert_close(ours, wanted)
    torch.testing.assert_close(
        cross_entropy(LOGITS, targets, label_smoothing=smoothing, weights=weights), wanted
    )


def test_a_weight_counts_for_the_whole_smoothed_loss_of_a_picture():
    """The weight of its class times torch's smoothed loss; of a mixed one, the weights' mixture."""
    even = functional.cross_entropy(LOGITS, TARGETS, label_smoothing=0.1, reduction="none")
    one = cross_entropy(LOGITS, TARGETS, label_smoothing=0.1, weights=WEIGHTS)
    torch.testing.assert_close(one, even * WEIGHTS[TARGETS])

    logs = LOGITS.log_softmax(1)
    own = SOFT * WEIGHTS
    wanted = -(0.9 * (own * logs).sum(1) + 0.1 * own.sum(1) * logs.mean(1))
    two = cross_entropy(LOGITS, SOFT, label_smoothing=0.1, weights=WEIGHTS)
    torch.testing.assert_close(two, wanted)


@pytest.mark.parametrize("loss", [cross_entropy, partial(focal, gamma=2.0)], ids=["ce", "focal"])
def test_a_rare_class_is_not_the_best_guess_for_the_others(loss):
    """Smoothing and the weights of 1000 to 10 pictures: the best logits still name each class."""
    counts = torch.tensor([1000, 500, 10])
    weights = torch.from_numpy(inverse_weights(counts.numpy())).float()
    logits = torch.zeros(3, 3, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        losses = loss(logits, torch.arange(3), label_smoothing=0.1, weights=weights)
        (losses * counts).sum().backward()
        optimizer.step()

    assert logits.argmax(dim=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_is_the_papers_formula(gamma):
    """-(1 - p)^gamma log p of the target's probability."""
    p = LOGITS.double().softmax(1)[torch.arange(7), TARGETS]
    wanted = -((1 - p) ** gamma) * p.log()

    torch.testing.assert_close(focal(LOGITS, TARGETS, gamma=gamma), wanted.float())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_has_a_gradient_where_the_model_is_sure(gamma):
    """Probabilities of exactly 1 and 0 give finite losses and gradients."""
    logits = torch.tensor([[100.0, -100.0], [-100.0, 100.0]], requires_grad=True)
    focal(logits, torch.tensor([0, 0]), gamma=gamma).sum().backward()

    assert torch.isfinite(logits.grad).all()


def test_the_settings_choose():
    """--loss focal with its gamma; cross-entropy else; class weights in both."""
    sharp = make_loss(LossSettings(name="focal", focal_gamma=3.0, label_smoothing=0), WEIGHTS)
    plain = make_loss(LossSettings(label_smoothing=0.2), WEIGHTS)
    weighted = functional.cross_entropy(LOGITS, TARGETS, label_smoothing=0.2, reduction="none")

    torch.testing.assert_close(
        sharp(LOGITS, TARGETS), focal(LOGITS, TARGETS, gamma=3.0, weights=WEIGHTS)
    )
    torch.testing.assert_close(plain(LOGITS, TARGETS), weighted * WEIGHTS[TARGETS])


@pytest.mark.parametrize("targets", [TARGETS, SOFT], ids=["numbers", "shares"])
@pytest.mark.parametrize("pos_weight", [None, 3.0])
def test_bce_is_torchs_mean_over_the_classes(targets, pos_weight):
    """The mean over all pictures is torch's BCEWithLogitsLoss on shares of the classes."""
    soft = SOFT if targets is SOFT else functional.one_hot(TARGETS, 4).float()
    more = None if pos_weight is None else torch.full((4,), pos_weight)
    wanted = torch.nn.BCEWithLogitsLoss(weight=WEIGHTS, pos_weight=more)(LOGITS, soft)
    ours = binary_cross_entropy(LOGITS, targets, pos_weight=pos_weight, weights=WEIGHTS)

    assert ours.shape == (7,)
    torch.testing.assert_close(ours.mean(), wanted)


def test_bce_smooths_as_timm():
    """Timm's BinaryCrossEntropy with smoothing, averaged over pictures and classes."""
    wanted = timm.loss.BinaryCrossEntropy(smoothing=0.1)(LOGITS, TARGETS)
    ours = binary_cross_entropy(LOGITS, TARGETS, label_smoothing=0.1).mean()

    torch.testing.assert_close(ours, wanted)


def test_nll_is_the_log_likelihood_of_the_softmax():
    """Torch's NLLLoss on log-probabilities."""
    loss = make_loss(LossSettings(name="nll", label_smoothing=0), WEIGHTS)
    wanted = functional.nll_loss(LOGITS.log_softmax(1), TARGETS, WEIGHTS, reduction="none")

    torch.testing.assert_close(loss(LOGITS, TARGETS), wanted)


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        ({"pos_weight": 2.0}, "--pos-weight belongs to --loss bce, not to ce"),
        ({"focal_alpha": [1, 2]}, "--focal-alpha belongs to --loss focal, not to ce"),
        (
            {"name": "focal", "focal_alpha": [1, 2], "class_weights": [1, 2]},
            "--focal-alpha and --class-weights both weight",
        ),
    ],
)
def test_what_belongs_to_another_loss_is_refused(loss, says):
    """Each with the flags concerned."""
    with pytest.raises(SettingsError) as error:
        Settings.model_validate({"loss": loss})
    assert says in error.value.message


@pytest.mark.parametrize("name", ["bce", "nll"])
def test_two_losses_are_refused(name):
    """--balance-strategy focal does not silently win over another --loss."""
    with pytest.raises(SettingsError) as error:
        Settings.model_validate({"loss": {"name": name}, "balance": {"strategy": "focal"}})
    assert f"--balance-strategy focal and --loss {name} are two losses" in error.value.message
