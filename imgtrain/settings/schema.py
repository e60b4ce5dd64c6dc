"""Every setting: type, bounds, default and one sentence. Flags, variables and files derive from here.

A field's ``Flag`` says how it reads on the command line and what a resumed run may change;
``FLAG`` without arguments is ``--`` and the field's name with dashes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)


@dataclass(frozen=True, slots=True)
class Flag:
    """How a setting reads on the command line.

    Args:
        names: Option names; empty for ``--field-name``.
        metavar: What stands for the value in the help.
        identity: ``part`` of what a run is; ``grows``: a resumed run may change it (more epochs);
            ``free``: it changes where or how fast, never what.
    """

    names: tuple[str, ...] = ()
    metavar: str | None = None
    identity: Literal["part", "grows", "free"] = "part"


FREE = Flag(identity="free")


def _pieces(value: object) -> object:
    return re.split(r"\s*,\s*", value.strip()) if isinstance(value, str) else value


def _floats_or_word(value: object) -> object:
    """``"0.5,0.5,0.5"`` is three numbers; a word stays a word."""
    if isinstance(value, str) and re.match(r"\s*[-+.\d]", value):
        return _pieces(value)
    return value


def _int_or_word(value: object) -> object:
    """A number in text is a number, so that ``"64"`` never meets the list of words first."""
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d+\s*", value):
        return int(value)
    return value


def _float_or_word(value: object) -> object:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _no_bool(value: object) -> object:
    """YAML's ``yes`` is no number."""
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a truth value")
    return value


Number = BeforeValidator(_no_bool)
Fractions = Annotated[tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat], BeforeValidator(_pieces)]
Colour = Annotated[str, Field(pattern=r"^(white|black|grey|#[0-9a-fA-F]{6})$")]
Statistics = Annotated[
    Literal["model", "auto"] | tuple[float, ...], BeforeValidator(_floats_or_word)
]
Devices = Annotated[tuple[NonNegativeInt, ...], BeforeValidator(_pieces)]
Auto = Literal["auto"]


class Section(BaseModel):
    """Settings that belong together: frozen, and strict about names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=False
    )


class DataSettings(Section):
    """Which pictures, and how they are cut into parts."""

    root: Annotated[str, Flag(("--data", "-d"), "PATH|NAME")] = "digits"
    """A folder of pictures, a manifest (.csv, .parquet), or the name of a known set."""

    split_ratio: Annotated[Fractions, Flag(metavar="TRAIN,VAL,TEST")] = (0.8, 0.1, 0.1)
    """Shares of train, val and test where the data has no parts of its own."""

    split_seed: NonNegativeInt = 0
    """Seed of the split, apart from the seed of the training."""

    group_by: str | None = None
    """Manifest column, or regular expression on the path: pictures of a group stay in one part."""

    image_size: Annotated[
        Auto | Annotated[int, Field(ge=4, le=4096)],
        BeforeValidator(_int_or_word),
        Number,
        Flag(metavar="PIXELS|auto"),
    ] = "auto"
    """Side of the square that the model sees; auto takes it from the model, or from small pictures."""

    channels: Annotated[
        Auto | Literal[1, 3], BeforeValidator(_int_or_word), Number, Flag(metavar="1|3|auto")
    ] = "auto"
    """1 for grey, 3 for colour; auto looks at the pictures."""

    normalize_mean: Annotated[Statistics, Flag(metavar="R,G,B|model|auto")] = "model"
    """Mean per channel in [0, 1]: the model's, measured on the training part (auto), or given."""

    normalize_std: Annotated[Statistics, Flag(metavar="R,G,B|model|auto")] = "model"
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
        BeforeValidator(_int_or_word),
        Number,
        Flag(("--workers", "-j"), "N|auto", identity="free"),
    ] = "auto"
    """Loader threads."""


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

    name: Annotated[str, Flag(("--model", "-m"), "NAME")] = "resnet18"
    """Any model that timm knows."""

    pretrained: Annotated[Auto | bool, Flag(("--pretrained/--no-pretrained",))] = "auto"
    """Start from downloaded weights; auto does so for natural-sized pictures where they can be had."""

    weights: Annotated[str | None, Flag(metavar="FILE|RUN")] = None
    """File (.safetensors, .pt) or run to start from."""

    stem: Literal["auto", "standard", "small"] = "auto"
    """small leaves out the early down-scaling; auto does so up to 64 pixels."""

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
        Auto | PositiveFloat, BeforeValidator(_float_or_word), Number, Flag(metavar="RATE|auto")
    ] = "auto"
    """Peak learning rate; auto fits it to optimizer, effective batch and start."""

    weight_decay: Annotated[
        Auto | NonNegativeFloat, BeforeValidator(_float_or_word), Number, Flag(metavar="DECAY|auto")
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
    """Learning rate at the first step of the warm-up."""

    min_lr: NonNegativeFloat = 0.0
    """Learning rate at the end."""


class TrainSettings(Section):
    """How long, in which batches, and what is kept."""

    epochs: Annotated[PositiveInt, Number, Flag(identity="grows")] = 30
    """Passes over the training part."""

    batch_size: Annotated[PositiveInt, Number, Flag(("--batch-size", "-b"))] = 64
    """Pictures per process and forward pass."""

    accumulation_steps: Annotated[PositiveInt, Number] = 1
    """Forward passes per update: effective batch = batch x accumulation x processes."""

    global_batch_size: PositiveInt | None = None
    """Effective batch, whatever the processes; the accumulation follows."""

    monitor: Annotated[
        Auto | Literal["val_top1", "val_macro_f1", "val_loss"], Flag(metavar="METRIC|auto")
    ] = "auto"
    """What decides on the best epoch; auto is val_macro_f1 for imbalanced classes, else val_top1."""

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
        BeforeValidator(_int_or_word),
        Number,
        Flag(metavar="N|auto"),
    ] = "auto"
    """Threads that compute."""

    offline: Annotated[bool, FREE] = False
    """Open no socket."""


class RunSettings(Section):
    """Where the run lies."""

    output: Annotated[Path, Flag(("--output", "-o"), "DIR", identity="free")] = Path("runs")
    """Folder that holds the runs."""

    name: Annotated[str | None, FREE] = None
    """Name of the run; from data and model when not given."""

    resume: Annotated[str | None, Flag(metavar="RUN|latest", identity="free")] = None
    """Go on with this run."""

    fresh: Annotated[bool, FREE] = False
    """Start anew even where an unfinished run could go on."""


class PredictSettings(Section):
    """How pictures are scored."""

    top_k: Annotated[PositiveInt, Flag(("--top-k", "-k"), identity="free")] = 5
    """How many classes to show per picture."""


class Settings(Section):
    """Everything that can be set, in sections."""

    data: DataSettings = DataSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    optim: OptimSettings = OptimSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    train: TrainSettings = TrainSettings()
    hardware: HardwareSettings = HardwareSettings()
    run: RunSettings = RunSettings()
    predict: PredictSettings = PredictSettings()


@dataclass(frozen=True, slots=True)
class Setting:
    """One declared setting, found again: its dotted key, flag, annotation, default and sentence."""

    section: str
    name: str
    flag: Flag
    annotation: Any
    default: Any
    help: str

    @property
    def key(self) -> str:
        """``section.name``."""
        return f"{self.section}.{self.name}"


def all_settings() -> dict[str, Setting]:
    """Every setting by its dotted key, in the order of declaration."""
    found: dict[str, Setting] = {}
    for section, outer in Settings.model_fields.items():
        kind = outer.annotation
        assert isinstance(kind, type) and issubclass(kind, Section)
        for name, field in kind.model_fields.items():
            flag = next((m for m in field.metadata if isinstance(m, Flag)), Flag())
            setting = Setting(
                section=section,
                name=name,
                flag=flag,
                annotation=field.annotation,
                default=field.default,
                help=field.description or "",
            )
            found[setting.key] = setting
    return found
