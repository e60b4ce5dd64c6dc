"""A store of the pictures that were decoded last: for several views of each, in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

from imgtrain.loading.preprocess import Pixels


class Newest:
    """Keeps the newest ``most`` pictures; safe for threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pictures: OrderedDict[int, Pixels] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, i: int) -> Pixels | None:
        """Picture ``i`` or None."""
        with self._lock:
            return self._pictures.get(i)

    def put(self, i: int, pixels: Pixels) -> None:
        """Keep it, and let go of the oldest."""
        with self._lock:
            self._pictures[i] = pixels
            while len(self._pictures) > self._most:
                self._pictures.popitem(last=False)

    def save(self) -> None:
        """Memory does not outlive the process."""

    def close(self) -> None:
        """Nothing to do."""
