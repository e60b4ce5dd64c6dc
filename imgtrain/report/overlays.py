"""What ``imgtrain explain`` left: where the model looked, by the picture that it explains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imgtrain.report.predictions import read_rows


@dataclass(frozen=True, slots=True)
class Overlay:
    """A row of ``explain/overlays.csv``: which class was explained, how, and where the file is."""

    label: str
    method: str
    layer: str
    file: Path

    @property
    def words(self) -> str:
        """``gradcam for Cloudy, layer4``; not escaped."""
        for_class = f" for {self.label}" if self.label else ""
        return f"{self.method or 'overlay'}{for_class}{f', {self.layer}' if self.layer else ''}"


def read_overlays(folder: Path) -> Mapping[str, tuple[Overlay, ...]]:
    """The overlays of a run by the path of their picture; empty where there are none.

    Args:
        folder: The run's. Files outside of its ``explain`` folder are not looked at.
    """
    root = (folder / "explain").resolve()
    rows = read_rows(root / "overlays.csv")
    header = next(rows, [])
    found: dict[str, tuple[Overlay, ...]] = {}
    for row in rows:
        cells = dict(zip(header, row, strict=False))
        path, file = cells.get("path"), root / cells.get("file", "")
        if path and file.resolve().is_relative_to(root) and file.is_file():
            label, method, layer = (cells.get(key, "") for key in ("class", "method", "layer"))
            found[path] = (*found.get(path, ()), Overlay(label, method, layer, file))
    return found
