"""The network that a recipe describes, built again wherever its weights go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers.drop import DropBlock2d
from timm.layers.patch_embed import PatchEmbed
from torch import nn

from imgtrain.engine.attention import add_attention, check_attention
from imgtrain.engine.dropping import spare_half_precision
from imgtrain.engine.heads import add_mlp_head
from imgtrain.engine.pruned import narrow
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.registered import (
    build_registered,
    check_registered,
    registered_defaults,
)
from imgtrain.errors import RunError, SettingsError, nearest
from imgtrain.registry import MODELS
from imgtrain.settings.schema import ModelSettings

_PATCH = 4
"""From this stride on, the first layer cuts patches and has no small form."""


def known_names() -> list[str]:
    """What ``--model`` takes: plugins' networks and timm's (weights' names may follow a dot)."""
    return [*MODELS.names(), *timm.list_models()]


def check_name(name: str, *, flag: str = "--model") -> None:
    """Refuse a model that timm does not know; ``flag`` is what named it.

    Raises:
        SettingsError: With the nearest name.
    """
    if name in MODELS or timm.is_model(name):
        return
    raise SettingsError(
        f"{flag} {name}: timm {timm.__version__} knows no model of that name"
        + nearest(name.partition(".")[0], known_names()),
        "imgtrain models lists all",
    )


def check_model(settings: ModelSettings) -> None:
    """Refuse an unknown model, and what this one does not have; builds nothing that costs memory.

    Raises:
        SettingsError: With the flag concerned.
    """
    check_name(settings.name)
    if settings.name in MODELS:
        check_registered(settings)
        return
    if settings.attention is not None:
        check_attention(settings.name, settings.attention_index)
    rates = {
        "drop_rate": settings.drop_rate,
        "drop_path_rate": settings.drop_path,
        "drop_block_rate": settings.drop_block,
    }
    asked = {name: rate for name, rate in rates.items() if rate}
    if not asked and settings.head == "linear":
        return
    with torch.device("meta"):
        model = _create(settings.name, {"num_classes": 2, **asked}, pretrained=False)
        if settings.drop_block:
            _check_drop_block(model, settings.name)
        if settings.head == "mlp":
            add_mlp_head(model, settings.name, classes=2, drop_rate=0.0)


def check_plugin(recipe: Recipe) -> None:
    """Refuse a model whose plugin is not there; nothing is imported because a file names it.

    Raises:
        RunError: With the way to name the plugin.
    """
    if recipe.plugin is not None and recipe.architecture not in MODELS:
        raise RunError(
            f"this model, {recipe.architecture}, needs the plugin {recipe.plugin}",
            f"if you trust that module, name it: --plugin {recipe.plugin} (in Python, import it)",
        )


def model_defaults(name: str) -> dict[str, Any]:
    """The model's own picture side (``size``), ``mean`` and ``std``."""
    if name in MODELS:
        return registered_defaults(name)
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None:
        return {"size": 224, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    return {"size": int(cfg.input_size[-1]), "mean": tuple(cfg.mean), "std": tuple(cfg.std)}


_FLAGS = {
    "drop_block_rate": "--drop-block",
    "drop_path_rate": "--drop-path",
    "drop_rate": "--dropout",
    "img_size": "--image-size",
    "in_chans": "--channels",
}
"""The flag behind each of timm's arguments."""


def build(recipe: Recipe, *, pretrained: bool = False, file: Path | None = None) -> nn.Module:
    """The network with fresh weights (drawn from torch's generator), or timm's own.

    Args:
        recipe: What to build.
        pretrained: With timm's weights.
        file: Where they lie; timm fetches them where it is not given.

    Raises:
        SettingsError: If the settings do not fit the architecture.
    """
    check_plugin(recipe)
    check_name(recipe.architecture)
    if recipe.architecture in MODELS:
        return build_registered(
            recipe.architecture,
            classes=len(recipe.classes),
            channels=recipe.preprocess.channels,
            size=recipe.preprocess.size,
            dropouts={
                "drop_rate": recipe.drop_rate,
                "drop_path": recipe.drop_path,
                "drop_block": recipe.drop_block,
            },
        )
    arguments = _arguments(recipe)
    if file is not None:
        arguments["pretrained_cfg_overlay"] = {"file": str(file)}
    model = _create(recipe.architecture, arguments, pretrained=pretrained)
    _check_patches(model, recipe.preprocess.size, recipe.architecture)
    if recipe.drop_block:
        _check_drop_block(model, recipe.architecture)
        spare_half_precision(model)
    if recipe.stem == "small":
        shrink_stem(model, recipe.architecture)
    if recipe.attention is not None:
        add_attention(model, recipe.attention, recipe.attention_index)
    if recipe.head == "mlp":
        add_mlp_head(
            model, recipe.architecture, classes=len(recipe.classes), drop_rate=recipe.drop_rate
        )
    if recipe.pruned is not None:
        narrow(model, recipe.pruned)
    return model


def _arguments(recipe: Recipe) -> dict[str, Any]:
    """What timm is told beside the name."""
    rates = {
        "drop_rate": recipe.drop_rate,
        "drop_path_rate": recipe.drop_path,
        "drop_block_rate": recipe.drop_block,
    }
    arguments: dict[str, Any] = {
        "num_classes": len(recipe.classes),
        "in_chans": recipe.preprocess.channels,
        **{name: rate for name, rate in rates.items() if rate},
    }
    cfg = timm.get_pretrained_cfg(recipe.architecture)
    size = recipe.preprocess.size
    if cfg is not None and cfg.fixed_input_size and int(cfg.input_size[-1]) != size:
        arguments["img_size"] = size
    return arguments


def _create(architecture: str, arguments: dict[str, Any], *, pretrained: bool) -> nn.Module:
    try:
        return timm.create_model(architecture, pretrained=pretrained, **arguments)
    except TypeError as error:
        flags = [flag for name, flag in _FLAGS.items() if f"'{name}'" in str(error)]
        if "--drop-block" in flags:
            raise _no_drop_block(architecture) from error
        raise SettingsError(
            f"--model {architecture} does not take these settings: {error}",
            f"leave out {flags[0] if flags else '--drop-path'}, or take another model",
        ) from error


def _check_patches(model: nn.Module, size: int, architecture: str) -> None:
    """Refuse pictures that patches do not cover."""
    cuts = getattr(model, "patch_embed", None)
    if not isinstance(cuts, PatchEmbed) or cuts.img_size is None or cuts.dynamic_img_pad:
        return
    patch = cuts.patch_size[0]
    if size % patch:
        raise SettingsError(
            f"--image-size {size}: {architecture} cuts pictures into patches of {patch} pixels",
            f"give a multiple of {patch}, as in --image-size {patch * (size // patch + 1)}",
        )


def _check_drop_block(model: nn.Module, architecture: str) -> None:
    """Refuse the rate where it reaches no block: timm passes some arguments on to nobody."""
    if not any(isinstance(module, DropBlock2d) for module in model.modules()):
        raise _no_drop_block(architecture)


def _no_drop_block(architecture: str) -> SettingsError:
    return SettingsError(
        f"--drop-block: the blocks of {architecture} have no spatial dropout",
        "leave it out, or take a model that has it: those of timm's resnet and byobnet families, "
        "such as resnet18, resnext50_32x4d, seresnet50 or gernet_s",
    )


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
    if architecture in MODELS:
        return False
    with torch.device("meta"):
        model = timm.create_model(architecture)
    found = _first_conv(model, architecture)
    return found is not None and max(found[1].stride) < _PATCH


def check_small_stem(architecture: str) -> None:
    """Refuse the small stem where there is none.

    Raises:
        SettingsError: If the network starts with patches.
    """
    if architecture in MODELS:
        raise SettingsError(
            f"--stem small: {architecture} is the model of a plugin, which has its own stem",
            "leave out --stem",
        )
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
