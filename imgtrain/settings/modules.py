"""The user's own modules, imported because the settings name them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib import import_module, invalidate_caches
from importlib.util import find_spec
from pathlib import Path

from imgtrain.errors import ImgtrainError, SettingsError, nearest
from imgtrain.registry import blamed, registering, registers_anything

_imported: set[str] = set()

MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
"""How a module is named."""


def pieces(value: object) -> object:
    """``"a, b"`` is two names, and so is ``["a,b"]``, as options that come twice are."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)) or not all(isinstance(each, str) for each in value):
        return value
    return [name for each in value for name in re.split(r"\s*,\s*", each.strip()) if name]


def modules_in(value: object) -> list[str]:
    """The modules that a value of the setting names; none where it does not fit."""
    found = pieces(value)
    names = found if isinstance(found, list) else []
    return [name for name in names if isinstance(name, str) and MODULE.fullmatch(name)]


def import_plugins(names: Iterable[str]) -> None:
    """Import modules, each once, so that what they register can be named.

    They are looked for among the installed packages and in the working folder.

    Raises:
        SettingsError: If one is not there, fails, or registers nothing; with file and line.
    """
    for name in names:
        if name not in _imported:
            _import(name)
            _imported.add(name)


def _import(name: str) -> None:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    invalidate_caches()
    try:
        with registering(name):
            import_module(name)
    except ImgtrainError:
        raise
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise _missing(name, folder) from error
        raise _failed(name, error) from error
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error
    if not registers_anything(name) and not _extends_timm(name):
        file = getattr(sys.modules[name], "__file__", None) or "built in"
        raise SettingsError(
            f"plugin {name} ({file}) registers nothing",
            "if that is not the file you mean, rename yours; a plugin calls register_model,"
            " register_loss, register_augmentation, register_source or register_tracker of"
            " imgtrain.plugins",
        )


def _extends_timm(name: str) -> bool:
    """Whether the module registered models with timm itself, which is as good."""
    timm = sys.modules.get("timm")
    return timm is not None and bool(timm.list_models(module=name.rpartition(".")[2]))


def _missing(name: str, folder: str) -> SettingsError:
    here = sorted(path.stem for path in Path(folder).glob("*.py"))
    return SettingsError(
        f"there is no module {name!r} for --plugin (looked among the installed packages and in "
        f"{folder}){nearest(name, here)}",
        "give the name of a module: my_module for my_module.py in the working folder",
    )


def _failed(name: str, error: BaseException) -> SettingsError:
    """One sentence with the line of the plugin's own file that failed."""
    if isinstance(error, SyntaxError):
        return SettingsError(
            f"plugin {name} cannot be imported: {error.filename}, line {error.lineno}: "
            f"SyntaxError: {error.msg}"
        )
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    found = blamed(error, spec.origin if spec is not None else None)
    told = found[1] if found else f"{type(error).__name__}: {' '.join(str(error).split())}"
    return SettingsError(
        f"plugin {name} cannot be imported: {told}", "IMGTRAIN_DEBUG=1 shows the traceback"
    )
