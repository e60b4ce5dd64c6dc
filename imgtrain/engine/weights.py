"""Weights on disk, with the recipe that gives them meaning; read without running any code."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import safetensors
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from imgtrain.engine.checkpoint import load_tensors
from imgtrain.engine.model import Recipe, build
from imgtrain.errors import ImgtrainError, OutsideError, RunError, SettingsError
from imgtrain.files import write_bytes

_KEY = "imgtrain"


def save_model(path: Path, model: nn.Module, recipe: Recipe) -> None:
    """Write weights, recipe, classes and preprocessing into one ``.safetensors`` file.

    Raises:
        DiskError: If it cannot be written.
    """
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}
    text = json.dumps(recipe.to_dict(), ensure_ascii=True)
    write_bytes(path, safetensors.torch.save(tensors, metadata={_KEY: text}))


def read_model(path: Path) -> tuple[nn.Module, Recipe]:
    """The network of a file that ``save_model`` wrote, ready to score.

    Raises:
        RunError: If the file is not there, broken, or not ours.
    """
    tensors, metadata = _read_safetensors(path)
    if _KEY not in metadata:
        raise RunError(
            f"{path} holds weights but no imgtrain recipe",
            "to start a training from it use: imgtrain train --weights FILE",
        )
    try:
        recipe = Recipe.from_dict(json.loads(metadata[_KEY]))
        model = build(recipe)
        model.load_state_dict(tensors)
    except (AttributeError, ValueError, TypeError, RuntimeError, SettingsError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise RunError(f"{path} does not fit its own recipe: {reason}") from error
    return model.eval(), recipe


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118  # no mapping
    except FileNotFoundError as error:
        raise RunError(f"no such model file: {path}") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path} is broken or no safetensors file ({error})") from error


def read_weights(where: str, output: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` or ``.pt`` file, or of a run's model.

    Raises:
        RunError: If there is nothing of that name, or it cannot be read.
    """
    path = Path(where)
    for folder in (path, output / where):
        if folder.is_dir():
            path = folder / "model.safetensors"
            break
    if not path.exists():
        raise RunError(f"--weights {where}: no such file or run", "give a file or a run's folder")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)[0]
    value: Any = load_tensors(path)
    for key in ("model", "state_dict"):
        if isinstance(value.get(key), dict):
            value = value[key]
    return {k.removeprefix("module."): v for k, v in value.items() if isinstance(v, Tensor)}


@dataclass(frozen=True, slots=True)
class Taken:
    """Which tensors a model took over from elsewhere."""

    taken: int
    total: int
    left: tuple[str, ...]

    def __str__(self) -> str:
        """``took 120 of 122 tensors (not fc.weight, fc.bias)``."""
        shown = ", ".join(self.left[:4]) + (", ..." if len(self.left) > 4 else "")  # noqa: PLR2004  # a short list
        return f"took {self.taken} of {self.total} tensors" + (f" (not {shown})" if shown else "")


def take_over(model: nn.Module, tensors: dict[str, Tensor], where: str) -> Taken:
    """Load what fits by name and shape.

    Raises:
        RunError: If less than half of the weights' tensors fit: another architecture.
    """
    own = model.state_dict()
    fits = {k: v for k, v in tensors.items() if k in own and v.shape == own[k].shape}
    if 2 * len(fits) < len(own):
        raise RunError(
            f"--weights {where}: {len(fits)} of the model's {len(own)} tensors are in there",
            "choose the --model that these weights were trained with",
        )
    model.load_state_dict(fits, strict=False)
    return Taken(len(fits), len(own), tuple(k for k in own if k not in fits))


def _hub_host() -> tuple[str, int]:
    from huggingface_hub import constants

    url = urlsplit(constants.ENDPOINT)
    return url.hostname or "", url.port or (80 if url.scheme == "http" else 443)


def cached_pretrained(name: str) -> bool:
    """Whether timm's weights of this model lie in the hub's cache on this machine."""
    from huggingface_hub import try_to_load_from_cache

    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights or not cfg.hf_hub_id:
        return False
    return any(
        isinstance(try_to_load_from_cache(cfg.hf_hub_id, file), str)
        for file in ("model.safetensors", "pytorch_model.bin")
    )


def can_get_pretrained(name: str, *, offline: bool) -> bool:
    """Whether timm's weights are at hand, or the hub answers within two seconds."""
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights:
        return False
    if cached_pretrained(name):
        return True
    if offline:
        return False
    try:
        with socket.create_connection(_hub_host(), timeout=2):
            return True
    except OSError:
        return False


def build_pretrained(recipe: Recipe, *, offline: bool) -> nn.Module:
    """The network with timm's weights.

    Raises:
        OutsideError: If they do not exist or cannot be had.
    """
    name = recipe.architecture
    if not can_get_pretrained(name, offline=offline):
        from huggingface_hub import constants

        raise OutsideError(
            f"no pretrained weights for {name}: looked in {constants.HF_HUB_CACHE}"
            + (" (--offline)" if offline else f" and at {constants.ENDPOINT}"),
            "use --weights FILE, or start from scratch with --no-pretrained",
        )
    try:
        return build(recipe, pretrained=True)
    except ImgtrainError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OutsideError(
            f"the pretrained weights of {name} cannot be had: {reason}",
            "use --weights FILE, or start from scratch with --no-pretrained",
        ) from error


def as_layout(model: nn.Module, *, device: torch.device, channels_last: bool) -> nn.Module:
    """The model on its device, in its memory layout."""
    if channels_last:
        return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's stub lacks this pair
    return model.to(device)
