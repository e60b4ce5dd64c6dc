"""Weights on disk, with the recipe that gives them meaning; read without running any code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from imgtrain.engine.checkpoint import load_tensors
from imgtrain.engine.model import build
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.transfer import Start
from imgtrain.errors import RunError, SettingsError
from imgtrain.files import write_bytes

_KEY = "imgtrain"


def save_model(path: Path, model: nn.Module | Mapping[str, Tensor], recipe: Recipe) -> None:
    """Write weights, recipe, classes and preprocessing into one ``.safetensors`` file.

    Raises:
        DiskError: If it cannot be written.
    """
    weights = model.state_dict() if isinstance(model, nn.Module) else model
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}
    text = json.dumps(recipe.to_dict(), ensure_ascii=True)
    write_bytes(path, safetensors.torch.save(tensors, metadata={_KEY: text}))


def replace_recipe(path: Path, recipe: Recipe) -> None:
    """Give such a file another recipe; its weights stay as they are, to the bit.

    Raises:
        RunError: If the file is not there, broken, or not ours.
        DiskError: If it cannot be written.
    """
    tensors, metadata = _read_safetensors(path)
    _recipe_of(metadata, path)
    text = json.dumps(recipe.to_dict(), ensure_ascii=True)
    write_bytes(path, safetensors.torch.save(tensors, metadata=metadata | {_KEY: text}))


def read_model(path: Path) -> tuple[nn.Module, Recipe]:
    """The network of a file that ``save_model`` wrote, ready to score.

    Raises:
        RunError: If the file is not there, broken, or not ours.
    """
    tensors, metadata = _read_safetensors(path)
    recipe = _recipe_of(metadata, path)
    try:
        model = build(recipe)
        model.load_state_dict(tensors)
    except (AttributeError, ValueError, TypeError, RuntimeError, SettingsError) as error:
        raise _unfit(path, error) from error
    return model.eval(), recipe


def read_recipe(path: Path) -> Recipe:
    """What the network of such a file is, without its weights.

    Raises:
        RunError: If the file is not there, broken, or not ours.
    """
    return _recipe_of(_read_metadata(path), path)


def _read_metadata(path: Path) -> dict[str, str]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except FileNotFoundError as error:
        raise RunError(f"no such model file: {path}") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path} is broken or no safetensors file ({error})") from error


def _recipe_of(metadata: dict[str, str], path: Path) -> Recipe:
    if _KEY not in metadata:
        raise RunError(
            f"{path} holds weights but no imgtrain recipe",
            "to start a training from it use: imgtrain train --weights FILE",
        )
    try:
        return Recipe.from_dict(json.loads(metadata[_KEY]))
    except (AttributeError, ValueError, TypeError, RecursionError) as error:
        raise _unfit(path, error) from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118  # no mapping
    except FileNotFoundError as error:
        raise RunError(f"no such model file: {path}") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path} is broken or no safetensors file ({error})") from error


def read_start(where: str, output: Path) -> Start:
    """The tensors of a ``.safetensors`` or ``.pt`` file, or of a run's model, with its recipe.

    Raises:
        RunError: If there is nothing of that name, or it cannot be read.
    """
    path = _start_path(where, output)
    if not path.exists():
        raise RunError(f"--weights {where}: no such file or run", "give a file or a run's folder")
    if path.suffix == ".safetensors":
        tensors, metadata = _read_safetensors(path)
        return Start(tensors, _recipe_of(metadata, path) if _KEY in metadata else None)
    value: Any = load_tensors(path)
    for key in ("model", "state_dict"):
        if isinstance(value.get(key), dict):
            value = value[key]
    tensors = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor)}
    return Start({k.removeprefix("module."): v for k, v in tensors.items()})


def _start_path(where: str, output: Path) -> Path:
    """The file that ``--weights`` names, whether it is there or not."""
    folders = (folder for folder in (Path(where), output / where) if folder.is_dir())
    folder = next(folders, None)
    return Path(where) if folder is None else folder / "model.safetensors"


def pruned_start(where: str | None, output: Path) -> str | None:
    """How narrow the network of ``--weights`` is, if it is a pruned one's; see ``Recipe.pruned``.

    Raises:
        RunError: If the file is there and broken.
    """
    path = None if where is None else _start_path(where, output)
    if path is None or path.suffix != ".safetensors" or not path.is_file():
        return None
    metadata = _read_metadata(path)
    return _recipe_of(metadata, path).pruned if _KEY in metadata else None


def _unfit(path: Path, error: Exception) -> RunError:
    reason = (str(error).splitlines() or [""])[0]
    return RunError(f"{path} does not fit its own recipe: {reason}")


def as_layout(model: nn.Module, *, device: torch.device, channels_last: bool) -> nn.Module:
    """The model on its device, in its memory layout."""
    if channels_last:
        return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's stub lacks this pair
    return model.to(device)
