"""Settings of what learns: the network, the loss, the balance of classes, the optimizer."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from imgtrain.registry import LOSSES
from imgtrain.settings import rules
from imgtrain.settings.fields import Auto, Flag, Name, Section, Weights, Whole, number_or_word
from imgtrain.settings.wording import OneOf


class ModelSettings(Section):
    """Which network, and from which weights it starts."""

    name: Annotated[Name, Flag(("--model", "-m"), "NAME")] = "resnet18"
    """Any model that timm knows, or sklearn:logreg, svm, forest, knn, gbdt."""

    pretrained: Annotated[Auto | bool, Flag(("--pretrained/--no-pretrained",))] = "auto"
    """Start from downloaded weights; auto does for natural-sized pictures where they can be had."""

    weights: Annotated[Name | None, Flag(metavar="FILE|RUN")] = None
    """File (.safetensors, .pt) or run to start from."""

    pruned: Annotated[Name | None, Flag(metavar="TEXT", hidden=True)] = None
    """Channels of a pruned network's layers; --weights brings them along."""

    stem: Literal["auto", "standard", "small"] = "auto"
    """small leaves out the early down-scaling; auto does so up to 48 pixels."""

    drop_rate: Annotated[float, Field(ge=0, lt=1), Flag(("--dropout",))] = 0.0
    """Dropout before the classifier."""

    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Stochastic depth: share of residual branches left out (Huang et al. 2016)."""

    drop_block: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Spatial dropout in the blocks, where the family has it (DropBlock, Ghiasi et al. 2018)."""

    head: Literal["linear", "mlp"] = "linear"
    """What classifies the features: one layer, or two with a hidden one between (mlp)."""

    attention: Literal["se", "eca", "cbam"] | None = None
    """Attention block after a stage of a staged convolutional net."""

    attention_index: PositiveInt | None = None
    """Number of the stage that the attention follows, from 1; the last when not given."""

    freeze: Annotated[
        Literal["backbone"] | PositiveInt | None,
        BeforeValidator(number_or_word),
        Flag(metavar="backbone|N"),
    ] = None
    """What keeps its weights: all but the classifier, or the stem and the first N stages."""

    unfreeze_epochs: Annotated[Whole | None, Flag(metavar="EPOCH,EPOCH")] = None
    """Epochs at whose beginning one more frozen stage thaws, the last stage first."""

    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, a third more time."""

    features: Annotated[Name, Flag(metavar="auto|pixels|NAME")] = "auto"
    """What a sklearn:NAME model sees: raw pixels, or the features of a model of timm's."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        rules.check_attention(self.attention, index=self.attention_index)
        return self


class LossSettings(Section):
    """What training makes small."""

    name: Annotated[str, OneOf(LOSSES), Flag(("--loss",))] = "ce"
    """Cross-entropy (nll is the same); bce: each class for itself; focal: hard ones count more."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the target spread over all classes (Szegedy et al. 2016)."""

    focal_gamma: NonNegativeFloat = 2.0
    """How much less easy pictures count with focal; 0 is cross-entropy."""

    focal_alpha: Annotated[Weights | None, Flag(metavar="W,W,...|NAME=W,...")] = None
    """Weight of each class with focal, as --class-weights with the others."""

    pos_weight: PositiveFloat | None = None
    """How much more being of a class counts than not being of it, with bce; off is 1."""

    teacher: Annotated[Name | None, Flag(metavar="RUN|FILE")] = None
    """Trained model whose probabilities are learnt, too (distillation, Hinton et al. 2015)."""

    distill_alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the teacher in the loss; the labels have the rest."""

    temperature: PositiveFloat = 3.0
    """How far the teacher's probabilities are softened."""

    class_weights: Annotated[Weights | None, Flag(metavar="W,W,...|NAME=W,...")] = None
    """Weight of each class in the loss: in the order of the classes, or by name (others 1)."""


class BalanceSettings(Section):
    """How classes of unequal size are evened out."""

    strategy: Annotated[
        Literal["none", "weights", "focal", "oversample", "undersample", "batch"],
        Flag(("--balance-strategy",)),
    ] = "none"
    """By the loss (weights, focal) or by how often pictures are drawn (the rest)."""

    auto_weights: bool = False
    """Weight classes in the loss by their number of training pictures."""

    weighting: Literal["inverse", "effective"] = "inverse"
    """total / (classes x count), or effective numbers with beta 0.999 (Cui et al. 2019)."""


class OptimSettings(Section):
    """How the weights move."""

    name: Annotated[
        Literal["sgd", "adam", "adamw", "lamb", "lion", "muon"], Flag(("--optimizer",))
    ] = "adamw"
    """sgd has Nesterov momentum; muon leaves vectors, stem and classifier to AdamW."""

    lr: Annotated[
        Literal["auto", "find"] | PositiveFloat,
        BeforeValidator(number_or_word),
        Flag(metavar="RATE|auto|find"),
    ] = "auto"
    """Peak learning rate; auto fits it to optimizer, batch and start, find tests a range first."""

    weight_decay: Annotated[
        Auto | NonNegativeFloat, BeforeValidator(number_or_word), Flag(metavar="DECAY|auto")
    ] = "auto"
    """Decay of weights, not of norms and biases; auto fits it to the optimizer."""

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd and muon; the first beta of the others."""

    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Each earlier layer learns this many times slower: 0.65 to 0.9 for fine-tuning."""

    head_lr_factor: PositiveFloat = 1.0
    """The classifier learns this many times faster than the rest."""

    clip_norm: PositiveFloat | None = 1.0
    """Largest L2 length of the whole gradient; none leaves it free."""


class ScheduleSettings(Section):
    """How the learning rate changes."""

    name: Annotated[
        Literal["cosine", "onecycle", "step", "multistep", "plateau", "linear", "constant"],
        Flag(("--lr-scheduler",)),
    ] = "cosine"
    """Shape of the decay after the warm-up; onecycle brings its own warm-up."""

    warmup_epochs: NonNegativeFloat = 1.0
    """Epochs of linear rise to the peak."""

    warmup_steps: NonNegativeInt | None = None
    """The warm-up in steps, instead of epochs."""

    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] | None = None
    """The warm-up as a share of the training, instead of epochs."""

    warmup_lr: NonNegativeFloat = 0.0
    """Learning rate from which the warm-up rises."""

    min_lr: NonNegativeFloat = 0.0
    """Learning rate at the end, and the lowest anywhere after the warm-up."""

    step_size: PositiveInt = 10
    """Epochs between two drops of the schedule step."""

    milestones: Annotated[Whole, Flag(metavar="EPOCH,EPOCH")] | None = None
    """Epochs after which the schedule multistep drops."""

    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What a drop of step, multistep or plateau multiplies the rate by."""

    plateau_patience: NonNegativeInt = 5
    """Epochs without a better monitored value that plateau bears before it drops."""

    pct_start: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the training in which onecycle rises."""
