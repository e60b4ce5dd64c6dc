"""The models that there are: names, parameters, picture sizes, whether weights are at hand."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import timm
import torch

from imgtrain.engine.hub import cached_weights
from imgtrain.engine.model import known_names, model_defaults
from imgtrain.engine.registered import build_registered
from imgtrain.errors import DiskError, SettingsError
from imgtrain.files import cache_folder, read_json, write_json
from imgtrain.registry import MODELS


@dataclass(frozen=True, slots=True)
class Listed:
    """One model.

    Args:
        name: What ``--model`` takes.
        parameters: Their number, with the classes it was made for.
        size: Side of the pictures it was made for.
        weights: Names of its weights, the default first; empty where there are none.
        cached: Whether the default weights lie on this machine.
    """

    name: str
    parameters: int
    size: int
    weights: tuple[str, ...]
    cached: bool


@dataclass(frozen=True, slots=True)
class Family:
    """Models of one kind: how many, how many of them with weights, and the shortest name."""

    name: str
    models: int
    pretrained: int
    example: str


def families() -> list[Family]:
    """Models by the module of timm that defines them."""
    found = []
    for module in timm.list_modules():
        names = timm.list_models(module=module)
        if names:
            known = sum(map(_has_weights, names))
            found.append(Family(module, len(names), known, min(names, key=lambda n: (len(n), n))))
    return found


def matching(pattern: str, *, pretrained: bool = False) -> list[str]:
    """Names that match, in timm's order of them.

    Args:
        pattern: With ``*``, ``?`` or ``[...]`` the whole name, else a part of it; capitals do not
            matter. With a dot it is looked for among names with those of weights, too.
        pretrained: Only models that have weights.

    Raises:
        SettingsError: If there is none, with the nearest.
    """
    known = timm.list_models(pretrained=True) if "." in pattern else known_names()
    wanted = pattern.lower()
    glob = wanted if set("*?[") & set(wanted) else f"*{wanted}*"
    found = [name for name in known if fnmatchcase(name.lower(), glob)]
    if not found:
        near = difflib.get_close_matches(wanted.strip("*"), known, n=3, cutoff=0.6)
        raise SettingsError(
            f"timm {timm.__version__} knows no model like {pattern}"
            + (f"; near: {', '.join(near)}" if near else ""),
            "imgtrain models lists the families",
        )
    return [name for name in found if _has_weights(name)] if pretrained else found


def _has_weights(name: str) -> bool:
    cfg = timm.get_pretrained_cfg(name)
    return cfg is not None and bool(cfg.has_weights)


def listed(names: Iterable[str]) -> Iterator[Listed]:
    """What is known of each; parameters are counted once a version of timm, then remembered."""
    counts = _Counts()
    try:
        for name in names:
            yield Listed(
                name,
                counts.of(name),
                int(model_defaults(name)["size"]),
                tuple(_tags(name)),
                cached_weights(name) is not None,
            )
    finally:
        counts.save()


def _tags(name: str) -> list[str]:
    base, _, tag = name.partition(".")
    tags: list[str] = [n.partition(".")[2] for n in timm.list_pretrained(f"{base}.*")]
    return [tag] if tag else tags if _has_weights(name) else []


class _Counts:
    """Parameters by name, in a file of the cache folder; one that cannot be read is no file."""

    def __init__(self) -> None:
        self._path: Path = cache_folder() / "models" / f"timm-{timm.__version__}.json"
        self._known: dict[str, int] = {}
        self._changed = False
        try:
            found: Any = read_json(self._path)
        except (OSError, ValueError):
            return
        if isinstance(found, dict):
            self._known = {k: v for k, v in found.items() if isinstance(v, int)}

    def of(self, name: str) -> int:
        """Count a model's parameters without making any; a plugin's, for ten classes, each time."""
        if name in MODELS:
            model = build_registered(
                name, classes=10, channels=3, size=int(model_defaults(name)["size"]), dropouts={}
            )
            return sum(p.numel() for p in model.parameters())
        if name not in self._known:
            self._changed = True
            with torch.device("meta"):
                model = timm.create_model(name)
            self._known[name] = sum(p.numel() for p in model.parameters())
        return self._known[name]

    def save(self) -> None:
        """Remember; a cache that cannot be written is done without."""
        if self._changed:
            try:
                write_json(self._path, self._known)
            except DiskError:
                return
