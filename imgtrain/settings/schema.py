"""Every setting: type, bounds, default and one sentence; flags, variables and files derive from it.

A field's ``Flag`` says how it reads on the command line and what a resumed run may change;
without one it is ``--`` and the field's name with dashes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from imgtrain.settings import rules
from imgtrain.settings.classical import check_classical
from imgtrain.settings.fields import (
    FREE,
    Auto,
    Devices,
    FileName,
    Flag,
    Modules,
    Name,
    Seconds,
    Section,
    SizeSteps,
    number_or_word,
)
from imgtrain.settings.learning import (
    BalanceSettings,
    LossSettings,
    ModelSettings,
    OptimSettings,
    ScheduleSettings,
)
from imgtrain.settings.modules import import_plugins, modules_in
from imgtrain.settings.pictures import AugmentSettings, DataSettings
from imgtrain.settings.predicting import PredictSettings, check_urls
from imgtrain.settings.studies import CvSettings, TuneSettings
from imgtrain.settings.tracking import TrackSettings

__all__ = [
    "AugmentSettings",
    "BalanceSettings",
    "CvSettings",
    "DataSettings",
    "HardwareSettings",
    "LossSettings",
    "ModelSettings",
    "OptimSettings",
    "PredictSettings",
    "RunSettings",
    "ScheduleSettings",
    "Settings",
    "TrackSettings",
    "TrainSettings",
    "TuneSettings",
]


class TrainSettings(Section):
    """How long, in which batches, and what is kept."""

    epochs: Annotated[PositiveInt, Flag(identity="grows")] = 30
    """Passes over the training part."""

    batch_size: Annotated[
        Auto | PositiveInt,
        BeforeValidator(number_or_word),
        Flag(("--batch-size", "-b"), metavar="N|auto"),
    ] = 64
    """Pictures per process and forward pass; auto finds what memory and speed recommend."""

    accumulation_steps: PositiveInt = 1
    """Forward passes per update: effective batch = batch x accumulation x processes."""

    global_batch_size: PositiveInt | None = None
    """Effective batch, whatever the processes; the accumulation follows."""

    image_sizes: Annotated[SizeSteps | None, Flag(metavar="SIZE:SHARE,...")] = None
    """Sides of the pictures and their shares of the training, as in 96:0.5,128:0.5."""

    budget: Annotated[Seconds | None, Flag(metavar="10m", identity="grows")] = None
    """Wall-clock from the start of the command to its exit, as in 90s, 10m or 1h30m."""

    realised: Annotated[Name | None, Flag(metavar="TEXT", hidden=True)] = None
    """Steps, rates and sizes that a training with a budget came to; realised.yaml holds them."""

    monitor: Annotated[
        Auto | Literal["val_top1", "val_macro_f1", "val_loss"], Flag(metavar="METRIC|auto")
    ] = "auto"
    """What decides on the best epoch; auto: val_macro_f1 for imbalanced classes, else val_top1."""

    patience: PositiveInt | None = None
    """Stop after so many epochs without a better one."""

    target_metric: float | None = None
    """Stop once the monitored value is as good as this, as in 0.95."""

    ema: bool = False
    """Validate, keep and predict with a moving average of the weights."""

    ema_decay: Annotated[
        Auto | Annotated[float, Field(gt=0, lt=1)],
        BeforeValidator(number_or_word),
        Flag(metavar="DECAY|auto"),
    ] = "auto"
    """What stays of the average at each step; auto averages over a twentieth of the training."""

    average_last: PositiveInt | None = None
    """Keep and predict with the mean of the weights after each of the last K epochs."""

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
        enders = {
            "--patience": self.patience,
            "--target-metric": self.target_metric,
            "--budget": self.budget,
            "train.realised": self.realised,
        }
        rules.check_averages(
            ema=self.ema,
            last=self.average_last,
            epochs=self.epochs,
            early=[flag for flag, value in enders.items() if value is not None],
        )
        return self


class HardwareSettings(Section):
    """On what, and how it computes."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto takes the first GPU, else the CPU."""

    gpus: Annotated[Devices | None, Flag(metavar="0,1", identity="grows")] = None
    """GPUs by number: one process each."""

    processes: Annotated[PositiveInt, Flag(identity="grows")] = 1
    """Processes on the CPU, or one for each of so many GPUs."""

    amp: Annotated[bool | None, Flag(("--amp/--no-amp",))] = None
    """Mixed precision, the best that the hardware has; unset leaves it to --precision."""

    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    """Arithmetic of training; weights are always fp32. auto is bf16 where the hardware has it."""

    compile: Annotated[bool | Auto, Flag(("--compile/--no-compile",))] = "auto"
    """Let torch compile the network; auto does where the time saved repays the compiling."""

    channels_last: Annotated[bool | Auto, Flag(("--channels-last/--no-channels-last",))] = "auto"
    """Memory layout NHWC; auto uses it."""

    threads: Annotated[
        Auto | Annotated[int, Field(ge=1, le=1024)],
        BeforeValidator(number_or_word),
        Flag(metavar="N|auto"),
    ] = "auto"
    """Threads that compute; auto: as many as cores, at most OMP_NUM_THREADS where that is set."""

    memory_limit: Annotated[PositiveFloat | None, Flag(metavar="GB", identity="free")] = None
    """Gigabytes that the training may take, of a GPU's memory or of the machine's."""

    memory_profile: Annotated[bool, FREE] = False
    """Write where the memory went, phase by phase, into the run."""

    sync_bn: bool = False
    """Batch normalisation over the pictures of all processes, not of each."""

    fsdp: bool = False
    """Share out weights, gradients and optimizer state over the GPUs, where a model is too big."""

    max_restarts: Annotated[NonNegativeInt, FREE] = 0
    """How often a group of processes is started again after one of them died."""

    offline: Annotated[bool, FREE] = False
    """Open no socket."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        rules.check_precision(amp=self.amp, precision=self.precision)
        rules.check_gpus(self.gpus, device=self.device, processes=self.processes)
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


class Settings(Section):
    """Everything that can be set, in sections."""

    plugins: Annotated[Modules, Flag(("--plugin",), "MODULE", repeats=True)] = ()
    """Modules of yours: models, losses, augmentations, sources of pictures, trackers."""

    data: DataSettings = Field(default_factory=DataSettings)
    augment: AugmentSettings = Field(default_factory=AugmentSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    loss: LossSettings = Field(default_factory=LossSettings)
    balance: BalanceSettings = Field(default_factory=BalanceSettings)
    optim: OptimSettings = Field(default_factory=OptimSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    hardware: HardwareSettings = Field(default_factory=HardwareSettings)
    track: TrackSettings = Field(default_factory=TrackSettings)
    run: RunSettings = Field(default_factory=RunSettings)
    predict: PredictSettings = Field(default_factory=PredictSettings)
    cv: CvSettings = Field(default_factory=CvSettings)
    tune: TuneSettings = Field(default_factory=TuneSettings)

    @model_validator(mode="before")
    @classmethod
    def _import_plugins(cls, values: Any) -> Any:
        """First of all, so that the names they register are known when values are checked."""
        found = values.get("plugins") if isinstance(values, dict) else None
        if found:
            import_plugins(modules_in(found))
        return values

    @model_validator(mode="after")
    def _agree(self) -> Self:
        loss = self.loss
        rules.check_loss(
            "focal" if self.balance.strategy == "focal" else loss.name,
            alpha=loss.focal_alpha is not None,
            weights=loss.class_weights is not None,
            pos_weight=loss.pos_weight is not None,
        )
        rules.check_sizes(self.data.image_size, self.train.image_sizes)
        check_urls(urls=self.predict.urls, offline=self.hardware.offline)
        rules.check_budget(
            self.train.budget,
            schedule=self.schedule.name,
            realised=self.train.realised is not None,
            sizes=self.train.image_sizes is not None,
            epochs=[
                flag
                for flag, value in (
                    ("--unfreeze-epochs", self.model.unfreeze_epochs),
                    ("--mix-off-epoch", self.augment.mix_off_epoch),
                )
                if value is not None
            ],
        )
        optimizer = self.optim.name
        rules.check_sharing(
            self.hardware.fsdp,
            {
                "--ema": self.train.ema,
                "--average-last": self.train.average_last is not None,
                "--freeze": self.model.freeze is not None,
                "--compile": self.hardware.compile is True,
                "--channels-last": self.hardware.channels_last is True,
                "--precision fp16": self.hardware.precision == "fp16",
                f"--optimizer {optimizer}": optimizer in ("lamb", "lion", "muon"),
            },
        )
        schedule = self.schedule
        rules.check_schedule(
            schedule.name,
            milestones=schedule.milestones is not None,
            warmups=[
                f"--{name.replace('_', '-')}"
                for name, off in (
                    ("warmup_epochs", 1.0),
                    ("warmup_steps", None),
                    ("warmup_fraction", None),
                )
                if getattr(schedule, name) != off
            ],
        )
        check_classical(
            self.model.name,
            features=self.model.features,
            starts={
                "--pretrained": self.model.pretrained is True,
                "--weights": self.model.weights is not None,
            },
            balance=self.balance.strategy,
            weighted=self.balance.auto_weights
            or self.balance.strategy == "weights"
            or loss.class_weights is not None,
            processes=len(self.hardware.gpus or ()) or self.hardware.processes,
        )
        rules.check_balance(
            self.balance.strategy,
            loss=loss.name,
            auto_weights=self.balance.auto_weights,
            given=loss.class_weights is not None or loss.focal_alpha is not None,
        )
        rules.check_thawing(self.model.freeze, self.model.unfreeze_epochs, total=self.train.epochs)
        model = self.model
        rules.check_probe(
            model.freeze,
            thaws=model.unfreeze_epochs is not None,
            layer_decay=self.optim.layer_decay,
        )
        if isinstance(self.optim.lr, float):
            rules.check_rates(
                self.optim.lr, warmup_lr=self.schedule.warmup_lr, min_lr=self.schedule.min_lr
            )
        return self
