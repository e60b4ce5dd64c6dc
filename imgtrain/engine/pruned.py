"""Layers that kept some of their channels: how a pruned network is built again, and described.

The description is a text, ``conv1=:8,bn1=:8,fc=8:``: for each layer that changed its path, the
channels that it takes and those that it gives, where they changed. So it says nothing of the
pictures' channels and of the classes, which another training may have others of.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from imgtrain.errors import SettingsError


def describe(full: nn.Module, pruned: nn.Module) -> str:
    """What has become narrower between a network and its pruned self, as ``narrow`` reads it."""
    said = []
    for path, layer in full.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            continue
        before, after = _channels(layer), _channels(pruned.get_submodule(path))
        if before != after:
            taken, given = (
                "" if old == new else str(new) for old, new in zip(before, after, strict=True)
            )
            said.append(f"{path}={taken}:{given}")
    return ",".join(said)


def narrow(model: nn.Module, widths: str) -> None:
    """Give the layers of a fresh network the channels that a pruned one has, the first of each.

    Raises:
        SettingsError: If there is no such layer, or it has fewer channels.
    """
    for path, taken, given in _parsed(widths):
        try:
            layer = model.get_submodule(path)
        except AttributeError as error:
            raise _unfit(path, "is not there") from error
        if not isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            raise _unfit(path, f"is a {type(layer).__name__}")
        most_in, most_out = _channels(layer)
        into = most_in if taken is None else taken
        out = most_out if given is None else given
        if not (min(1, most_in) <= into <= most_in and 1 <= out <= most_out):
            raise _unfit(path, f"has {most_in} and {most_out} channels")
        _narrowed(layer, into, out)


def _parsed(widths: str) -> Iterator[tuple[str, int | None, int | None]]:
    for entry in widths.split(","):
        path, _, channels = entry.rpartition("=")
        taken, colon, given = channels.partition(":")
        if not path or not colon or not all(n.isdecimal() for n in (taken, given) if n):
            raise SettingsError(
                f"model.pruned: {entry!r} names no layer and its channels",
                "leave it to --weights, which brings it along",
            )
        yield path, int(taken) if taken else None, int(given) if given else None


def _unfit(path: str, why: str) -> SettingsError:
    return SettingsError(
        f"the pruned weights do not fit this network: its layer {path} {why}",
        "use the --model, --head, --stem and --attention that the network was pruned with",
    )


def _channels(layer: nn.Module) -> tuple[int, int]:
    """How many a layer takes and gives; a norm's are the same."""
    match layer:
        case nn.Conv2d():
            return layer.in_channels, layer.out_channels
        case nn.Linear():
            return layer.in_features, layer.out_features
        case nn.BatchNorm2d():
            return 0, layer.num_features
    raise TypeError(type(layer).__name__)


def _narrowed(layer: nn.Module, taken: int, given: int) -> None:
    match layer:
        case nn.Conv2d():
            _conv(layer, taken, given)
        case nn.Linear():
            _linear(layer, taken, given)
        case nn.BatchNorm2d():
            _norm(layer, given)


def _conv(layer: nn.Conv2d, taken: int, given: int) -> None:
    if layer.groups == layer.in_channels > 1:  # depthwise: each channel is a group
        layer.groups = taken
    layer.in_channels, layer.out_channels = taken, given
    layer.weight = nn.Parameter(_first(layer.weight, given, taken // layer.groups))
    if layer.bias is not None:
        layer.bias = nn.Parameter(_first(layer.bias, given))


def _linear(layer: nn.Linear, taken: int, given: int) -> None:
    layer.in_features, layer.out_features = taken, given
    layer.weight = nn.Parameter(_first(layer.weight, given, taken))
    if layer.bias is not None:
        layer.bias = nn.Parameter(_first(layer.bias, given))


def _norm(layer: nn.BatchNorm2d, given: int) -> None:
    layer.num_features = given
    layer.weight = nn.Parameter(_first(layer.weight, given))
    layer.bias = nn.Parameter(_first(layer.bias, given))
    for name in ("running_mean", "running_var"):
        setattr(layer, name, _first(getattr(layer, name), given))


def _first(tensor: Tensor, rows: int, columns: int | None = None) -> Tensor:
    kept = tensor.detach()[:rows]
    return (kept if columns is None else kept[:, :columns]).clone()
