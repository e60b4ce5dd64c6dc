"""Train image classifiers from the command line: right, fast, safe and pleasant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgtrain.crossval.whole import cross_validate
    from imgtrain.evaluating.whole import evaluate
    from imgtrain.predictor import load
    from imgtrain.settings.schema import Settings
    from imgtrain.training import RunResult, train

__version__ = "0.1.0"
__all__ = ["RunResult", "Settings", "__version__", "cross_validate", "evaluate", "load", "train"]

_HOME = {
    "RunResult": "imgtrain.training",
    "Settings": "imgtrain.settings.schema",
    "cross_validate": "imgtrain.crossval.whole",
    "evaluate": "imgtrain.evaluating.whole",
    "load": "imgtrain.predictor",
    "train": "imgtrain.training",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then, so that ``import imgtrain`` stays light (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'imgtrain' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
