"""Which store of decoded pictures a set has."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict

import PIL

from imgtrain import console
from imgtrain.data.listing import Source
from imgtrain.data.stamps import stamp_keys
from imgtrain.files import cache_folder
from imgtrain.loading.disk import SMALL_SET, OnDisk
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.stores import InMemory, Nowhere, Store

__all__ = ["InMemory", "Nowhere", "OnDisk", "Store", "decoding_digest", "open_store"]

_VERSION = 3
"""Raised whenever the decoder's result changes, so that no stale pixel survives."""


def decoding_digest(root: str, preprocess: Preprocess) -> str:
    """A name for what stored pixels depend on but for the files: the set, how it is decoded."""
    how = {k: v for k, v in asdict(preprocess).items() if k not in {"mean", "std", "size"}}
    decoder = f"{_VERSION} {PIL.__version__}"
    text = "\0".join((os.path.realpath(root), repr(sorted(how.items())), decoder))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def open_store(
    source: Source, root: str, preprocess: Preprocess, *, kind: str, gigabytes: float
) -> Store:
    """The store of a set under one way of decoding.

    ``auto`` is memory for small sets (at most 64 MB decoded, were all pictures square), else disk.
    """
    small = len(source) * preprocess.side**2 * preprocess.channels <= SMALL_SET
    if kind == "auto":
        kind = "ram" if small else "disk"
    if kind == "off":
        return Nowhere()
    if kind == "ram":
        return InMemory(len(source))
    folder = cache_folder() / "pictures" / decoding_digest(root, preprocess)
    keys = stamp_keys(source)
    try:
        return OnDisk(folder, keys, channels=preprocess.channels, limit=int(gigabytes * 1e9))
    except OSError as error:
        instead = "stay in memory" if small else "are not kept: each epoch decodes them anew"
        console.warn(f"decoded pictures {instead}; {folder} cannot be used ({error.strerror})")
        return InMemory(len(source)) if small else Nowhere()
