"""The network, and the recipe that builds it again wherever its weights go."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, cast

import timm
import torch
from torch import nn

from imgtrain.errors import RunError, SettingsError, nearest
from imgtrain.loading.preprocess import Preprocess

FORMAT = 1
_PATCH = 4
"""From this stride on, the first layer cuts patches and has no small form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that shapes a network, what its classes mean, and what it wants to see."""

    architecture: str
    classes: tuple[str, ...]
    stem: Literal["standard", "small"]
    drop_rate: float
    drop_path: float
    preprocess: Preprocess

    def to_dict(self) -> dict[str, Any]:
        """As it travels with the weights."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The inverse of ``to_dict``.

        Raises:
            RunError: If a later version wrote it, or something is missing.
        """
        if values.get("format", 0) > FORMAT:
            raise RunError(
                f"the model was saved by a later version of imgtrain (format {values['format']})",
                "update imgtrain: python -m pip install --upgrade imgtrain",
            )
        known = {f.name: values.get(f.name) for f in fields(cls)}
        try:
            known["classes"] = tuple(values["classes"])
            known["preprocess"] = Preprocess.from_dict(values["preprocess"])
        except (KeyError, TypeError) as error:
            raise RunError("the model's recipe is incomplete", "save it again") from error
        return cls(**cast("dict[str, Any]", known))


def check_name(name: str) -> None:
    """Refuse a model that timm does not know.

    Raises:
        SettingsError: With the nearest name.
    """
    if timm.is_model(name):
        return
    known = timm.list_models()
    raise SettingsError(
        f"--model {name}: timm {timm.__version__} knows no model of that name"
        + nearest(name.partition(".")[0], known),
        "names: https://huggingface.co/timm, or python -c 'import timm; print(timm.list_models())'",
    )


def model_defaults(name: str) -> dict[str, Any]:
    """The model's own picture side (``size``), ``mean`` and ``std``."""
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None:
        return {"size": 224, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    return {"size": int(cfg.input_size[-1]), "mean": tuple(cfg.mean), "std": tuple(cfg.std)}


def build(recipe: Recipe, *, pretrained: bool = False) -> nn.Module:
    """The network with fresh weights (drawn from torch's generator), or timm's own.

    Raises:
        SettingsError: If the settings do not fit the architecture.
    """
    check_name(recipe.architecture)
    arguments: dict[str, Any] = {
        "num_classes": len(recipe.classes),
        "in_chans": recipe.preprocess.channels,
    }
    if recipe.drop_rate:
        arguments["drop_rate"] = recipe.drop_rate
    if recipe.drop_path:
        arguments["drop_path_rate"] = recipe.drop_path
    cfg = timm.get_pretrained_cfg(recipe.architecture)
    size = recipe.preprocess.size
    if cfg is not None and cfg.fixed_input_size and int(cfg.input_size[-1]) != size:
        arguments["img_size"] = size
    try:
        model = timm.create_model(recipe.architecture, pretrained=pretrained, **arguments)
    except TypeError as error:
        raise SettingsError(
            f"--model {recipe.architecture} does not take these settings: {error}",
            "leave out --drop-path, or take another model",
        ) from error
    if recipe.stem == "small":
        shrink_stem(model, recipe.architecture)
    return model


def _first_conv(model: nn.Module, name: str) -> tuple[str, nn.Conv2d] | None:
    """Path and layer of the convolution that sees the picture."""
    cfg = timm.get_pretrained_cfg(name)
    path = cfg.first_conv if cfg is not None else None
    if not isinstance(path, str):
        return None
    try:
        layer = model.get_submodule(path)
    except AttributeError:
        return None
    return (path, layer) if isinstance(layer, nn.Conv2d) else None


def has_small_stem(architecture: str) -> bool:
    """Whether the small stem exists here: the first layer is a convolution, not patches."""
    with torch.device("meta"):
        model = timm.create_model(architecture)
    found = _first_conv(model, architecture)
    return found is not None and max(found[1].stride) < _PATCH


def check_small_stem(architecture: str) -> None:
    """Refuse the small stem where there is none.

    Raises:
        SettingsError: If the network starts with patches.
    """
    if not has_small_stem(architecture):
        raise SettingsError(
            f"--stem small: {architecture} starts with patches, not with a convolution",
            "use --stem standard, or a convolutional net such as resnet18",
        )


def shrink_stem(model: nn.Module, architecture: str) -> None:
    """Take out the early down-scaling: a 3 x 3 first convolution of stride 1, no early pooling.

    As is usual for CIFAR-sized pictures (He et al. 2015, section 4.2, arXiv:1512.03385).
    """
    found = _first_conv(model, architecture)
    assert found is not None
    path, old = found
    new = nn.Conv2d(
        old.in_channels,
        old.out_channels,
        kernel_size=min(3, old.kernel_size[0]),
        stride=1,
        padding=min(3, old.kernel_size[0]) // 2,
        bias=old.bias is not None,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    parent, _, leaf = path.rpartition(".")
    setattr(model.get_submodule(parent), leaf, new)
    for pool in ("maxpool", "stem.pool", "features.pool0"):
        outer, _, name = pool.rpartition(".")
        try:
            if name in dict(model.get_submodule(outer).named_children()):
                setattr(model.get_submodule(outer), name, nn.Identity())
        except AttributeError:
            continue


SMALL_STEM = 48
"""Up to this side ``--stem auto`` is small. At 64 pixels it would cost ten times the standard stem
and gain nothing that was measured (sign-language digits: 99 % either way)."""


def small_stem_fits(architecture: str, size: int) -> bool:
    """What ``--stem auto`` decides: small for small pictures, where the architecture has it."""
    return size <= SMALL_STEM and has_small_stem(architecture)
