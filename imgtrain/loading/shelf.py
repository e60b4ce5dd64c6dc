"""Decoded pictures of one set, for all trainings of a process."""

from __future__ import annotations

from typing import Self

from imgtrain.data.index import Index
from imgtrain.loading.cache import decoding_digest, open_store
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.stores import Store


class Shelf:
    """The stores of a set, one for each way of decoding: opened once, closed together.

    Args:
        index: The set's pictures.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._open: dict[tuple[str, str, float], Store] = {}

    def store(self, preprocess: Preprocess, *, kind: str, gigabytes: float) -> Store:
        """Where pictures stay that are decoded in this way; see ``open_store``."""
        root = self._index.root
        key = decoding_digest(root, preprocess), kind, gigabytes
        if key not in self._open:
            source = self._index.source
            self._open[key] = open_store(source, root, preprocess, kind=kind, gigabytes=gigabytes)
        return self._open[key]

    def __enter__(self) -> Self:
        """Ready to open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Save and close all."""
        while self._open:
            self._open.popitem()[1].close()
