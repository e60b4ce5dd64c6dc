"""Names of classes as names of folders: readable, safe on every system, each its own."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')
_LONGEST = 80


def folder_name(name: str) -> str:
    """``T-shirt/top`` as ``T-shirt_top``, ``pink primrose`` as ``pink_primrose``."""
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode("utf-8"))
    joined = "_".join(_NOT_IN_NAMES.sub(" ", text).replace("_", " ").split())
    return joined.strip("._")[:_LONGEST].strip("._") or "unnamed"


def unique_names(words: Mapping[str, str]) -> dict[str, str]:
    """The folder of each key: its words, followed by the key where others have the same words."""
    plain = {key: folder_name(word) for key, word in words.items()}
    often = Counter(name.casefold() for name in plain.values())
    return {
        key: name if often[name.casefold()] == 1 else f"{name}_{folder_name(key)}"
        for key, name in plain.items()
    }
