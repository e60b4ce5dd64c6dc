"""What classifies the features, where one layer is not enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from imgtrain.errors import SettingsError


class MlpHead(nn.Module):
    """Two layers with a hidden one as wide as the features between: (B, F) -> (B, C).

    Linear, LayerNorm, GELU, dropout, linear. One hidden layer is what transformers are pre-trained
    with (Dosovitskiy et al. 2021, section 3.1, arXiv:2010.11929); its width is that of the
    features, so that nothing is squeezed before the classes are told apart.

    Args:
        layer: Makes a layer from the numbers of its inputs and outputs.
        norm: Makes a norm from its number of inputs.
        features: F.
        classes: C.
        drop_rate: Share of the hidden values left out in training; timm's own dropout, at the
            same rate, stands before the features come here.
    """

    def __init__(
        self,
        layer: Callable[[int, int], nn.Module],
        norm: Callable[[int], nn.Module],
        *,
        features: int,
        classes: int,
        drop_rate: float,
    ) -> None:
        super().__init__()
        self.hidden = layer(features, features)
        self.norm = norm(features)
        self.act = nn.GELU()
        self.drop = nn.Dropout(drop_rate)
        self.out = layer(features, classes)
        for linear in (self.hidden, self.out):
            nn.init.trunc_normal_(linear.weight, std=0.02)  # type: ignore[arg-type]  # a tensor
            nn.init.zeros_(linear.bias)  # type: ignore[arg-type]  # a tensor

    def forward(self, features: Tensor) -> Tensor:
        """Logits of the classes."""
        hidden = self.drop(self.act(self.norm(self.hidden(features))))
        logits: Tensor = self.out(hidden)
        return logits


def add_mlp_head(model: nn.Module, architecture: str, *, classes: int, drop_rate: float) -> None:
    """Put an ``MlpHead`` in the place of the model's classifier (or of both, where it has two).

    Raises:
        SettingsError: If the model has none that is a single layer.
    """
    found = list(_classifiers(model, classes))
    if not found:
        raise SettingsError(
            f"--head mlp: the classifier of {architecture} is more than a layer that could be "
            "exchanged",
            "use --head linear, or another model",
        )
    for path, old in found:
        parent, _, leaf = path.rpartition(".")
        setattr(model.get_submodule(parent), leaf, _mlp_instead(old, classes, drop_rate))


def _mlp_instead(old: nn.Linear | nn.Conv2d, classes: int, drop_rate: float) -> MlpHead:
    """The head that takes what the layer took."""
    if isinstance(old, nn.Linear):
        return MlpHead(
            nn.Linear,
            nn.LayerNorm,
            features=old.in_features,
            classes=classes,
            drop_rate=drop_rate,
        )
    return MlpHead(
        partial(nn.Conv2d, kernel_size=1),
        LayerNorm2d,
        features=old.in_channels,
        classes=classes,
        drop_rate=drop_rate,
    )


def _classifiers(model: nn.Module, classes: int) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    """Paths and layers that timm calls the classifier; nothing where it has hidden layers."""
    find: Any = getattr(model, "get_classifier", None)
    found = find() if callable(find) else ()
    parts = found if isinstance(found, (tuple, list)) else (found,)
    inside = {id(m) for part in parts if isinstance(part, nn.Module) for m in part.modules()}
    layers = [
        (path, module)
        for path, module in model.named_modules()
        if id(module) in inside and isinstance(module, (nn.Linear, nn.Conv2d))
    ]
    if all(_ends_in(layer, classes) for _, layer in layers):
        yield from layers


def _ends_in(layer: nn.Linear | nn.Conv2d, classes: int) -> bool:
    if isinstance(layer, nn.Linear):
        return layer.out_features == classes
    return layer.out_channels == classes and layer.kernel_size == (1, 1)


def class_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Path and layer of what puts out the logits, one row a class; two where timm has two."""
    find: Any = getattr(model, "get_classifier", None)
    found = find() if callable(find) else ()
    parts = found if isinstance(found, (tuple, list)) else (found,)
    layers = []
    for part in parts:
        inside = part.modules() if isinstance(part, nn.Module) else ()
        ends = [m for m in inside if isinstance(m, (nn.Linear, nn.Conv2d))]
        layers += [id(layer) for layer in ends[-1:]]
    return [(path, module) for path, module in model.named_modules() if id(module) in layers]
