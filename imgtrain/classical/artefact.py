"""A classical model in one file: the frozen network's weights, and the estimator without pickle."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from imgtrain import console
from imgtrain.classical.estimators import log_probabilities
from imgtrain.engine.features import pooled
from imgtrain.engine.model import build
from imgtrain.engine.recipe import Recipe
from imgtrain.errors import OutsideError, RunError, SettingsError
from imgtrain.files import write_bytes

FORMAT = 1
_KEY, _ESTIMATOR = "imgtrain-classical", "sklearn.skops"

TRUSTED = frozenset(
    {
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    }
)
"""What the five models are made of beyond what skops itself trusts; a file with more is refused."""


def require_skops() -> Any:
    """The package that writes and reads estimators without running code of theirs.

    Raises:
        OutsideError: If it is not installed.
    """
    try:
        import skops.io
    except ImportError as error:
        raise OutsideError(
            "models of scikit-learn are saved with skops, which is not installed",
            'python -m pip install "imgtrain[classical]"',
        ) from error
    return skops.io


class ClassicalNet(nn.Module):
    """An estimator that behaves like a network: pictures in, logits (log probabilities) out.

    Args:
        network: Whose features the estimator sees; None: raw pixels.
        estimator: One of scikit-learn's, fitted.
        classes: How many classes there are; the estimator may not have seen all.
    """

    def __init__(self, network: nn.Module | None, estimator: Any, classes: int) -> None:
        super().__init__()
        self.network, self.estimator, self.classes = network, estimator, classes

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, channels, H, W) as prepared -> (B, C)."""
        features = features_of(self.network, inputs).cpu().numpy()  # waits for the device
        found = log_probabilities(self.estimator, features, self.classes)
        return torch.from_numpy(found).to(inputs.device)


def features_of(network: nn.Module | None, inputs: Tensor) -> Tensor:
    """What the estimator sees of prepared pictures: (B, D), float32."""
    if network is None:
        return inputs.permute(0, 2, 3, 1).reshape(len(inputs), -1).float()
    return pooled(network, inputs).float()


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """Everything that predicts.

    Args:
        recipe: Classes and preprocessing.
        network: The recipe of the frozen network, its own classes in it; None: raw pixels.
        model: The whole.
    """

    recipe: Recipe
    network: Recipe | None
    model: ClassicalNet


def save(path: Path, artefact: Artefact) -> None:
    """Write one ``.safetensors`` file.

    Raises:
        DiskError: If it cannot be written.
    """
    import sklearn

    model, network = artefact.model, artefact.network
    data = require_skops().dumps(model.estimator)
    tensors = {_ESTIMATOR: torch.frombuffer(bytearray(data), dtype=torch.uint8)}
    if model.network is not None:
        state = model.network.state_dict()
        tensors |= {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}
    value = {
        "format": FORMAT,
        "sklearn": sklearn.__version__,
        "recipe": artefact.recipe.to_dict(),
        "network": None if network is None else network.to_dict(),
    }
    write_bytes(path, safetensors.torch.save(tensors, metadata={_KEY: json.dumps(value)}))


def is_classical(path: Path) -> bool:
    """Whether the file holds a classical model; False for one that cannot be read."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return _KEY in (file.metadata() or {})
    except (OSError, safetensors.SafetensorError):
        return False


def read_recipe(path: Path) -> Recipe:
    """Classes and preprocessing of such a file, without the rest.

    Raises:
        RunError: If it is broken, or of a later version.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            value = json.loads(file.metadata()[_KEY])
        return Recipe.from_dict(value["recipe"])
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is broken: {error}", "train again") from error


def replace_recipe(path: Path, recipe: Recipe) -> None:
    """Give such a file another recipe; the rest stays as it is, to the bit.

    Raises:
        RunError: If it is broken.
        DiskError: If it cannot be written.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
        value = json.loads(metadata[_KEY]) | {"recipe": recipe.to_dict()}
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is broken: {error}", "train again") from error
    write_bytes(path, safetensors.torch.save(tensors, metadata={_KEY: json.dumps(value)}))


def read(path: Path) -> Artefact:
    """What ``save`` wrote; no code in the file is run.

    Raises:
        RunError: If it is broken, hostile, or of a later version.
        OutsideError: If skops is not installed.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            value = json.loads(file.metadata()[_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
        if value["format"] > FORMAT:
            raise RunError(
                f"{path} was saved by a later version of imgtrain (format {value['format']})",
                "update imgtrain: python -m pip install --upgrade imgtrain",
            )
        recipe = Recipe.from_dict(value["recipe"])
        own = None if value["network"] is None else Recipe.from_dict(value["network"])
        estimator = _estimator(tensors.pop(_ESTIMATOR), path)
        network = None if own is None else build(own)
        if network is not None:
            network.load_state_dict(tensors)
            network.eval()
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, SettingsError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"{path} is broken: {reason[:200]}", "train again") from error
    _check_fit(estimator, recipe, path)
    _say_if_other(str(value.get("sklearn")))
    model = ClassicalNet(network, estimator, len(recipe.classes)).eval()
    _try_out(model, recipe, path)
    return Artefact(recipe=recipe, network=own, model=model)


def _estimator(data: Tensor, path: Path) -> Any:
    skops = require_skops()
    whole = data.numpy().tobytes()
    try:
        _check_stored(whole)
        found = frozenset(skops.get_untrusted_types(data=whole))
        strangers = sorted(found - TRUSTED)
        if not strangers:
            return skops.loads(whole, trusted=sorted(found))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ImportError, IndexError) as error:
        raise RunError(f"the estimator in {path} is broken ({error})", "train again") from error
    raise RunError(
        f"the estimator in {path} holds what no model of imgtrain is made of: {strangers[0]}",
        "do not use this file unless you know who made it",
    )


def _check_stored(whole: bytes) -> None:
    """Ours are stored as they are: nothing in them unpacks to more than the file."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        if sum(each.file_size for each in archive.infolist()) > len(whole):
            raise ValueError("it claims to hold more than it does")


def _check_fit(estimator: Any, recipe: Recipe, path: Path) -> None:
    """An estimator of these classes."""
    seen = np.asarray(getattr(estimator, "classes_", ()))
    good = callable(getattr(estimator, "predict_proba", None)) and seen.dtype.kind == "i"
    if not good or not len(seen) or seen.min() < 0 or seen.max() >= len(recipe.classes):
        raise RunError(f"the estimator in {path} does not fit its classes", "train again")


def _try_out(model: ClassicalNet, recipe: Recipe, path: Path) -> None:
    """It takes pictures of the size that its recipe names."""
    p = recipe.preprocess
    try:
        with torch.inference_mode():
            model(torch.zeros(1, p.channels, p.size, p.size))
    except Exception as error:  # numbers that were changed make scikit-learn raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(
            f"{path} does not fit its own recipe: {reason[:200]}", "train again"
        ) from error


def _say_if_other(saved: str) -> None:
    import sklearn

    if saved != sklearn.__version__:
        console.warn(
            f"the model was saved with scikit-learn {saved}, this is {sklearn.__version__}: "
            "probabilities may differ in the last digits"
        )
