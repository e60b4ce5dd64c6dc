"""Every setting: type, bounds, default and one sentence; flags, variables and files derive from it.

A field's ``Flag`` says how it reads on the command line and what a resumed run may change;
without one it is ``--`` and the field's name with dashes.
"""

from __future__ import annotations

from pathlib import Path
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

from imgtrain.settings import rules
from imgtrain.settings.fields import (
    FREE,
    Auto,
    Colour,
    Devices,
    FileName,
    Flag,
    Fractions,
    Means,
    Name,
    Section,
    Spreads,
    number_or_word,
)


class DataSettings(Section):
    """Which pictures, and how they are cut into parts."""

    root: Annotated[Name, Flag(("--data", "-d"), "PATH|NAME")] = "digits"
    """A folder of pictures, a manifest (.csv, .parquet), or the name of a known set."""

    split_ratio: Annotated[Fractions, Flag(metavar="TRAIN,VAL,TEST")] = (0.8, 0.1, 0.1)
    """Shares of train, val and test where the data has no parts of its own."""

    split_seed: NonNegativeInt = 0
    """Seed of the split, apart from the seed of the training."""

    group_by: Name | None = None
    """Manifest column, or regular expression on the path: pictures of a group stay in one part."""

    image_size: Annotated[
        Auto | Annotated[int, Field(ge=4, le=4096)],
        BeforeValidator(number_or_word),
        Flag(metavar="PIXELS|auto"),
    ] = "auto"
    """Side of the square that the model sees; auto: the model's, or that of small pictures."""

    channels: Annotated[
        Auto | Literal[1, 3], BeforeValidator(number_or_word), Flag(metavar="1|3|auto")
    ] = "auto"
    """1 for grey, 3 for colour; auto looks at the pictures."""

    normalize_mean: Annotated[Means, Flag(metavar="R,G,B|model|auto")] = "model"
    """Mean per channel in [0, 1]: the model's, measured on the training part (auto), or given."""

    normalize_std: Annotated[Spreads, Flag(metavar="R,G,B|model|auto")] = "model"
    """Standard deviation per channel in [0, 1], like the mean."""

    background: Annotated[Colour, Flag(metavar="COLOUR")] = "white"
    """Colour under transparent pixels: white, black, grey or #rrggbb."""

    max_pixels: PositiveInt = 100_000_000
    """Pictures with more pixels count as bad."""

    on_bad_image: Literal["error", "skip"] = "skip"
    """What an unreadable picture does: end the run, or be left out, counted and reported."""

    cache: Annotated[Literal["auto", "off", "disk", "ram"], FREE] = "auto"
    """Where decoded pictures stay between epochs; auto is ram for small sets, else disk."""

    cache_gb: Annotated[PositiveFloat, FREE] = 20.0
    """Largest size of the decoded pictures on disk, in GB."""

    workers: Annotated[
        Auto | Annotated[int, Field(ge=1, le=256)],
        BeforeValidator(number_or_word),
        Flag(("--workers", "-j"), "N|auto", identity="free"),
    ] = "auto"
    """Loader threads."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        rules.check_shares(self.split_ratio)
        return self


class AugmentSettings(Section):
    """How training pictures are varied."""

    policy: Annotated[Literal["auto", "none"], Flag(("--augmentation-policy",))] = "auto"
    """auto crops at random (and flips, see --flip); none shows every picture as it is."""

    crop_scale: Annotated[float, Field(gt=0, le=1)] = 0.35
    """Smallest share of the picture's area that a random resized crop may keep."""

    flip: bool = True
    """Mirror half of the pictures; digits and letters must not be."""


class ModelSettings(Section):
    """Which network, and from which weights it starts."""

    name: Annotated[Name, Flag(("--model", "-m"), "NAME")] = "resnet18"
    """Any model that timm knows."""

    pretrained: Annotated[Auto | bool, Flag(("--pretrained/--no-pretrained",))] = "auto"
    """Start from downloaded weights; auto does for natural-sized pictures where they can be had."""

    weights: Annotated[Name | None, Flag(metavar="FILE|RUN")] = None
    """File (.safetensors, .pt) or run to start from."""

    stem: Literal["auto", "standard", "small"] = "auto"
    """small leaves out the early down-scaling; auto does so up to 48 pixels."""

    drop_rate: Annotated[float, Field(ge=0, lt=1), Flag(("--dropout",))] = 0.0
    """Dropout before the classifier."""

    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Stochastic depth: share of residual branches left out (Huang et al. 2016)."""


class LossSettings(Section):
    """What training makes small."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the target spread over all classes (Szegedy et al. 2016)."""


class OptimSettings(Section):
    """How the weights move."""

    name: Annotated[Literal["sgd", "adamw"], Flag(("--optimizer",))] = "adamw"
    """sgd has Nesterov momentum; adamw is Loshchilov & Hutter 2019."""

    lr: Annotated[
        Auto | PositiveFloat, BeforeValidator(number_or_word), Flag(metavar="RATE|auto")
    ] = "auto"
    """Peak learning rate; auto fits it to optimizer, effective batch and start."""

    weight_decay: Annotated[
        Auto | NonNegativeFloat, BeforeValidator(number_or_word), Flag(metavar="DECAY|auto")
    ] = "auto"
    """Decay of weights, not of norms and biases; auto is 0.05 for adamw, 0.0005 for sgd."""

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd; the first beta of adamw."""

    clip_norm: PositiveFloat | None = 1.0
    """Largest L2 length of the whole gradient; none leaves it free."""


class ScheduleSettings(Section):
    """How the learning rate changes."""

    name: Annotated[Literal["cosine", "linear", "constant"], Flag(("--lr-scheduler",))] = "cosine"
    """Shape of the decay after the warm-up."""

    warmup_epochs: NonNegativeFloat = 1.0
    """Epochs of linear rise to the peak."""

    warmup_lr: NonNegativeFloat = 0.0
    """Learning rate from which the warm-up rises."""

    min_lr: NonNegativeFloat = 0.0
    """Learning rate at the end."""


class TrainSettings(Section):
    """How long, in which batches, and what is kept."""

    epochs: Annotated[PositiveInt, Flag(identity="grows")] = 30
    """Passes over the training part."""

    batch_size: Annotated[PositiveInt, Flag(("--batch-size", "-b"))] = 64
    """Pictures per process and forward pass."""

    accumulation_steps: PositiveInt = 1
    """Forward passes per update: effective batch = batch x accumulation x processes."""

    global_batch_size: PositiveInt | None = None
    """Effective batch, whatever the processes; the accumulation follows."""

    monitor: Annotated[
        Auto | Literal["val_top1", "val_macro_f1", "val_loss"], Flag(metavar="METRIC|auto")
    ] = "auto"
    """What decides on the best epoch; auto: val_macro_f1 for imbalanced classes, else val_top1."""

    patience: PositiveInt | None = None
    """Stop after so many epochs without a better one."""

    seed: NonNegativeInt = 0
    """Seed of weights, order, augmentation and dropout."""

    checkpoint_freq: Annotated[NonNegativeInt, FREE] = 10
    """Keep a numbered checkpoint every N epochs; 0 keeps none."""

    checkpoint_minutes: Annotated[PositiveFloat, FREE] = 5.0
    """Save inside an epoch after so many minutes."""

    keep: Annotated[PositiveInt, FREE] = 3
    """How many numbered checkpoints stay."""

    fast_dev: bool = False
    """Two tiny epochs through everything, to see whether it works."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        rules.check_batches(
            self.global_batch_size, batch=self.batch_size, accumulation=self.accumulation_steps
        )
        return self


class HardwareSettings(Section):
    """On what, and how it computes."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto takes the first GPU, else the CPU."""

    gpus: Annotated[Devices | None, Flag(metavar="0,1")] = None
    """GPUs by number: one process each."""

    amp: Annotated[bool | None, Flag(("--amp/--no-amp",))] = None
    """Mixed precision, the best that the hardware has; unset leaves it to --precision."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of training; weights are always fp32. auto is bf16 where the hardware has it."""

    channels_last: Annotated[bool | Auto, Flag(("--channels-last/--no-channels-last",))] = "auto"
    """Memory layout NHWC; auto uses it."""

    threads: Annotated[
        Auto | Annotated[int, Field(ge=1, le=1024)],
        BeforeValidator(number_or_word),
        Flag(metavar="N|auto"),
    ] = "auto"
    """Threads that compute."""

    offline: Annotated[bool, FREE] = False
    """Open no socket."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        rules.check_precision(amp=self.amp, precision=self.precision)
        rules.check_gpus(self.gpus, device=self.device)
        return self


class RunSettings(Section):
    """Where the run lies."""

    output: Annotated[Path, Flag(("--output", "-o"), "DIR", identity="free")] = Path("runs")
    """Folder that holds the runs."""

    name: Annotated[FileName | None, FREE] = None
    """Name of the run; from data and model when not given."""

    resume: Annotated[Name | None, Flag(metavar="RUN|latest", identity="free")] = None
    """Go on with this run."""

    fresh: Annotated[bool, FREE] = False
    """Start anew even where an unfinished run could go on."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        rules.check_start(resume=self.resume, fresh=self.fresh)
        return self


class PredictSettings(Section):
    """How pictures are scored."""

    top_k: Annotated[PositiveInt, Flag(("--top-k", "-k"), identity="free")] = 5
    """How many classes to show per picture."""


class Settings(Section):
    """Everything that can be set, in sections."""

    data: DataSettings = Field(default_factory=DataSettings)
    augment: AugmentSettings = Field(default_factory=AugmentSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    loss: LossSettings = Field(default_factory=LossSettings)
    optim: OptimSettings = Field(default_factory=OptimSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    hardware: HardwareSettings = Field(default_factory=HardwareSettings)
    run: RunSettings = Field(default_factory=RunSettings)
    predict: PredictSettings = Field(default_factory=PredictSettings)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.optim.lr != "auto":
            rules.check_rates(
                self.optim.lr, warmup_lr=self.schedule.warmup_lr, min_lr=self.schedule.min_lr
            )
        return self
