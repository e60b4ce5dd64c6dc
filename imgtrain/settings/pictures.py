"""Settings of the pictures: which, and how they are varied."""

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

from imgtrain.registry import POLICIES
from imgtrain.settings import rules
from imgtrain.settings.fields import (
    FREE,
    Auto,
    Colour,
    Flag,
    Fractions,
    Means,
    Name,
    Operations,
    Section,
    Spreads,
    number_or_word,
)
from imgtrain.settings.wording import OneOf


class DataSettings(Section):
    """Which pictures, and how they are cut into parts."""

    root: Annotated[Name, Flag(("--data", "-d"), "PATH|NAME")] = "digits"
    """A folder of pictures, a manifest (.csv, .parquet), or the name of a known set."""

    auto_download: Annotated[bool, FREE] = False
    """Fetch a known set when it is not there (digits needs none)."""

    mirror: Annotated[Name | None, Flag(metavar="URL", identity="free")] = None
    """Server that has the archives of known sets, asked before all others."""

    split_ratio: Annotated[Fractions, Flag(metavar="TRAIN,VAL,TEST")] = (0.8, 0.1, 0.1)
    """Shares of train, val and test where the data has no parts of its own."""

    split_seed: NonNegativeInt = 0
    """Seed of the split, apart from the seed of the training."""

    calibration_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the training part kept aside to calibrate probabilities, never learnt from."""

    group_by: Name | None = None
    """Manifest column, or regular expression on the path: pictures of a group stay in one part."""

    subset: Annotated[float, Field(gt=0, le=1)] | None = None
    """Train on this share of the training part: stratified, at least one picture a class."""

    image_size: Annotated[
        Auto | Annotated[int, Field(ge=4, le=4096)],
        BeforeValidator(number_or_word),
        Flag(metavar="PIXELS|auto"),
    ] = "auto"
    """Side of the square that the model sees; auto: the model's, or that of small pictures."""

    channels: Annotated[
        Auto | Annotated[int, Field(ge=1, le=64)],
        BeforeValidator(number_or_word),
        Flag(metavar="1|3|N|auto"),
    ] = "auto"
    """1 for grey, 3 for colour, N for pages of a TIFF or planes of an .npy; auto looks."""

    normalize_mean: Annotated[Means, Flag(metavar="R,G,B|model|auto")] = "model"
    """Mean per channel in [0, 1]: the model's, measured on the training part (auto), or given."""

    normalize_std: Annotated[Spreads, Flag(metavar="R,G,B|model|auto")] = "model"
    """Standard deviation per channel in [0, 1], like the mean."""

    background: Annotated[Colour, Flag(metavar="COLOUR")] = "white"
    """Colour under transparent pixels: white, black, grey or #rrggbb."""

    max_pixels: PositiveInt = 100_000_000
    """Pictures with more pixels count as bad."""

    on_bad_image: Literal["error", "skip", "quarantine"] = "skip"
    """Unreadable pictures end the run, are left out and listed, or are copied aside as well."""

    on_leak: Literal["error", "warn", "fix", "off"] = "warn"
    """Pictures of test or val that are in train too: stop, say so, or drop them from train."""

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

    policy: Annotated[str, OneOf(POLICIES), Flag(("--augmentation-policy",), "POLICY")] = "auto"
    """auto, none, light, medium, heavy, groups, auto- or randaugment, trivial, augmix, custom."""

    library: Annotated[
        Literal["torchvision", "albumentations"], Flag(("--augmentation-library",))
    ] = "torchvision"
    """Who carries out the operations of a policy."""

    rand_n: Annotated[int, Field(ge=1, le=16)] = 2
    """Operations per picture of randaugment (Cubuk et al. 2019)."""

    rand_m: Annotated[int, Field(ge=0, le=30)] = 9
    """Magnitude of randaugment's operations, of 30."""

    custom: Annotated[Operations | None, Flag(metavar="LIST")] = None
    """Operations of the policy custom, in order: a list of {name, args}."""

    erase: Annotated[float, Field(ge=0, le=1), Flag(("--random-erasing",))] = 0.0
    """Probability of erasing a rectangle (Zhong et al. 2017)."""

    mixup_alpha: Annotated[
        Auto | NonNegativeFloat, BeforeValidator(number_or_word), Flag(metavar="ALPHA|auto")
    ] = "auto"
    """Blend pairs of pictures by Beta(a, a); 0.2 is usual; auto: 0, heavy: 0.2 (Zhang 2017)."""

    cutmix_alpha: Annotated[
        Auto | NonNegativeFloat, BeforeValidator(number_or_word), Flag(metavar="ALPHA|auto")
    ] = "auto"
    """Paste boxes of other pictures by Beta(a, a); 1 is usual; auto: 0, heavy: 1 (Yun 2019)."""

    mix_prob: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the batches that mixup and cutmix mix."""

    mix_off_epoch: PositiveInt | None = None
    """Epoch from which nothing is mixed."""

    tta: Annotated[Literal["flip", "five", "ten"] | None, FREE] = None
    """Views that final scores average: mirrored, five crops, or five crops and mirrored."""

    crop_scale: Annotated[float, Field(gt=0, le=1)] = 0.35
    """Smallest share of the picture's area that a random resized crop may keep."""

    flip: bool = True
    """Mirror half of the pictures; digits and letters must not be."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        rules.check_policy(self.policy, custom=self.custom is not None)
        return self
