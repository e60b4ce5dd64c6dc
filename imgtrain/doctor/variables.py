"""Environment variables that change what imgtrain does, and those of ours that mean nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

from imgtrain.doctor.lines import Line
from imgtrain.errors import SettingsError

TOPIC = "Variables"

MATTER = {
    "OMP_NUM_THREADS": "bounds the threads of a training",
    "CUDA_VISIBLE_DEVICES": "hides GPUs, and numbers those that are left anew",
    "PYTORCH_ALLOC_CONF": "how torch takes GPU memory",
    "PYTORCH_CUDA_ALLOC_CONF": "how torch takes GPU memory",
    "TORCH_HOME": "where torch hub keeps weights",
    "HF_HOME": "where pretrained weights are kept",
    "HF_HUB_CACHE": "where pretrained weights are kept",
    "HF_ENDPOINT": "which hub is asked for pretrained weights",
    "HF_HUB_OFFLINE": "the hub is not asked",
    "XDG_CACHE_HOME": "where caches are kept",
    "HTTP_PROXY": "the way to the network",
    "HTTPS_PROXY": "the way to the network",
    "NO_PROXY": "what goes by no proxy",
    "NO_COLOR": "no colours",
    "TMPDIR": "where temporary files go",
}
"""What each does; both spellings of the proxies count."""

_OWN = {"IMGTRAIN_CACHE": "where imgtrain's cache is", "IMGTRAIN_DEBUG": "1 shows tracebacks"}


def variables() -> Iterator[Line]:
    """Those that are set; a value with an address in it may hold a password and is not shown."""
    from imgtrain.settings.sources import from_environment

    for name, value in sorted(os.environ.items()):
        if name.upper().startswith("IMGTRAIN_"):
            try:
                given = from_environment({name: value})
            except SettingsError as error:
                yield Line(TOPIC, name, "problem", error.message, "unset it, or mend its name")
                continue
            says = f"sets {', '.join(given)}" if given else _OWN[name.upper()]
        elif name.upper() in MATTER and name in {name.upper(), name.lower()}:
            says = MATTER[name.upper()]
        else:
            continue
        shown = "(an address)" if "://" in value else value
        yield Line(TOPIC, name, "ok", f"{shown}: {says}")


def settings() -> Iterator[Line]:
    """Whether the variables make valid settings."""
    from imgtrain.settings.layers import load_settings
    from imgtrain.settings.sources import PREFIX, from_environment

    known = {}
    for name, value in os.environ.items():
        if name.upper().startswith(PREFIX):
            try:
                from_environment({name: value})
            except SettingsError:
                continue  # named above
            known[name] = value
    if not known:
        return
    try:
        load_settings(environ=known)
    except SettingsError as error:
        yield Line(TOPIC, "settings", "problem", error.message, error.hint)
