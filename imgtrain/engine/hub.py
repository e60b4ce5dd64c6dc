"""Weights of timm's on the Hugging Face hub, and in its cache on this machine.

The hub's own client looks for a dead server for minutes and follows one that breaks off for ever;
here a look has seconds, and a download that begins anew too often ends.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import timm
from torch import nn

from imgtrain.engine.model import build
from imgtrain.engine.recipe import Recipe
from imgtrain.errors import ImgtrainError, OutsideError

PATIENCE = 5.0
"""Seconds that the hub has to say whether it has a file."""

RESTARTS = 3
"""So often a download may begin from its first byte again."""

_FILES = ("model.safetensors", "pytorch_model.bin")
_HINT = "use --weights FILE, or start from scratch with --no-pretrained"


def _source(name: str) -> tuple[str, str | None] | None:
    """Repository and revision of the model's weights; None where the hub has none."""
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights or not cfg.hf_hub_id:
        return None
    repository, _, revision = str(cfg.hf_hub_id).partition("@")
    return repository, revision or None


def cached_weights(name: str) -> Path | None:
    """The file of the model's weights in the hub's cache on this machine."""
    from huggingface_hub import try_to_load_from_cache

    source = _source(name)
    if source is None:
        return None
    for file in _FILES:
        found = try_to_load_from_cache(source[0], file, revision=source[1])
        if isinstance(found, str):
            return Path(found)
    return None


def why_not(name: str, *, offline: bool) -> str | None:
    """Why timm's weights of this model cannot be had; None where they are at hand or on the hub."""
    from huggingface_hub import constants

    if cached_weights(name) is not None:
        return None
    if _source(name) is None:
        return _why_not_elsewhere(name, offline=offline)
    if offline:
        return f"not in {constants.HF_HUB_CACHE}, and --offline asks no server"
    found = _look(name)
    return None if isinstance(found, tuple) else found


def _why_not_elsewhere(name: str, *, offline: bool) -> str | None:
    """Some old weights lie on servers of their own; those are tried when they are wanted."""
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights:
        return "timm has none"
    return "they are on no hub, and --offline asks no server" if offline else None


def _look(name: str) -> tuple[str, str] | str:
    """The name of the file on the hub and its etag, or why there is none."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    source = _source(name)
    assert source is not None
    for file in _FILES:
        url = hf_hub_url(source[0], file, revision=source[1])
        try:
            found = get_hf_file_metadata(url, timeout=PATIENCE)
        except EntryNotFoundError:
            continue
        except Exception as error:  # noqa: BLE001  # of several libraries, one below the other
            return f"{without_secrets(constants.ENDPOINT)} says: {_sentence(error)}"
        return file, found.etag or ""
    return f"{without_secrets(constants.ENDPOINT)} has no weights at {source[0]}"


def _sentence(error: Exception) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return without_secrets(lines[0]).rstrip(".") if lines else type(error).__name__


def without_secrets(text: str) -> str:
    """Addresses in it without user, password and what follows a question mark."""
    return re.sub(r"(https?://)(?:[^/\s?#]*@)?([^\s?'\"]*)(?:\?[^\s'\"]*)?", r"\1\2", text)


def fetch(name: str) -> Path | None:
    """The file of the model's weights, from the cache or into it; None where no hub has them.

    Raises:
        OutsideError: If it does not come, or not as it was announced.
    """
    known = cached_weights(name)
    source = _source(name)
    if known is not None or source is None:
        return known
    found = _look(name)
    if isinstance(found, str):
        raise _missing(name, found)
    from huggingface_hub import hf_hub_download

    file, etag = found
    try:
        path = hf_hub_download(source[0], file, revision=source[1], tqdm_class=_bar())
    except Exception as error:
        raise _missing(name, f"the download broke off: {_sentence(error)}") from error
    _check_digest(name, Path(path), etag)
    return Path(path)


def _bar() -> Any:
    """The hub's progress bar; its client turns it back when a download begins anew."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        restarts = 0

        def update(self, n: float | None = 1) -> bool | None:
            """Count the times it was turned back."""
            self.restarts += n is not None and n < 0
            if self.restarts > RESTARTS:
                raise OSError(f"the server cut it {self.restarts} times")
            shown: bool | None = super().update(n)
            return shown

    return Bar


def _check_digest(name: str, path: Path, etag: str) -> None:
    """The hub's tag of a large file is its SHA-256; what does not fit is not kept."""
    if not re.fullmatch(r"[0-9a-f]{64}", etag):
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != etag:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise _missing(name, "what came is not what was announced (SHA-256)")


def _missing(name: str, reason: str) -> OutsideError:
    return OutsideError(f"no pretrained weights for {name}: {reason}", _HINT)


def build_pretrained(recipe: Recipe, *, offline: bool) -> nn.Module:
    """The network with timm's weights.

    Raises:
        OutsideError: If they do not exist or cannot be had.
    """
    name = recipe.architecture
    if offline:
        reason = why_not(name, offline=True)
        if reason is not None:
            raise _missing(name, reason)
    elif _source(name) is None and (reason := why_not(name, offline=False)) is not None:
        raise _missing(name, reason)
    file = fetch(name)
    try:
        return build(recipe, pretrained=True, file=file)
    except ImgtrainError:
        raise
    except Exception as error:
        where = f"{file} is broken: " if file is not None else ""
        raise _missing(name, f"{where}{_sentence(error)}") from error
