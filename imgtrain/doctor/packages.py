"""Versions of the packages that imgtrain is made of, and whether they fit together."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from imgtrain import __version__
from imgtrain.children import Outcome
from imgtrain.doctor.lines import Line

TOPIC = "Packages"
FIRST = ("torch", "torchvision", "timm", "numpy", "pillow")
"""A line each; all others share one."""

IMPORTED = ("torchvision", "timm", "PIL", "cv2", "simplejpeg")
"""What reads pictures and builds networks is imported, not only looked up."""

ONE_INDEX = (
    "install both from one index: pip install --force-reinstall torch torchvision "
    "(for another CUDA, or none, with the same --index-url for both)"
)


def requirements(extra: str = "") -> list[Requirement]:
    """What imgtrain asks for on this machine, without an extra or for one.

    An extra that is made of others asks for what they ask for.
    """
    found: list[Requirement] = []
    for each in map(Requirement, metadata.requires("imgtrain") or ()):
        is_extra = "extra" in str(each.marker or "")
        if is_extra != bool(extra) or (each.marker and not each.marker.evaluate({"extra": extra})):
            continue
        if each.name == "imgtrain":
            found += [inner for name in sorted(each.extras) for inner in requirements(name)]
        else:
            found.append(each)
    return found


def installed(name: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def fits(asked: Requirement, version: str) -> bool:
    """Whether a version is in the range that is asked for."""
    return asked.specifier.contains(version, prereleases=True)


def versions() -> Iterator[Line]:
    """Python, imgtrain, and each package that it needs."""
    yield _python()
    where = Path(__file__).parents[2]
    yield Line(TOPIC, "imgtrain", "ok", f"{__version__} in {where}")
    rest = []
    for asked in sorted(requirements(), key=lambda each: (_rank(each.name), each.name)):
        version = installed(asked.name)
        if version is None or not fits(asked, version):
            has = "is not installed" if version is None else f"{version}, but {asked} is needed"
            yield Line(TOPIC, asked.name, "problem", has, f'pip install "{asked}"')
        elif asked.name in FIRST:
            yield Line(TOPIC, asked.name, "ok", build_of(asked.name) or version)
        else:
            rest.append(f"{asked.name} {version}")
    yield Line(TOPIC, "others", "ok", ", ".join(rest))


def _rank(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)


def _python() -> Line:
    known = metadata.metadata("imgtrain").get_all("Classifier") or []
    tested = [found[1] for each in known if (found := re.fullmatch(r".*:: (3\.\d+)", each))]
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    version = f"{platform.python_version()} ({sys.executable})"
    if here in tested:
        return Line(TOPIC, "python", "ok", version)
    between = f"{min(tested, key=Version)} to {max(tested, key=Version)}"
    return Line(TOPIC, "python", "note", version, f"imgtrain is tested with {between}")


def build_of(name: str) -> str | None:
    """``2.14.1+cu130``: the version that a package's own file names, read without importing it."""
    spec = util.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).with_name("version.py")
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)", text, re.MULTILINE)
    return found[1] if found else None


def same_index() -> Iterator[Line]:
    """Whether torch and torchvision were made for each other."""
    torch, torchvision = build_of("torch"), build_of("torchvision")
    if torch and torchvision:
        asked = map(Requirement, metadata.requires("torchvision") or ())
        yield pair(torch, torchvision, next((r for r in asked if r.name == "torch"), None))


def pair(torch: str, torchvision: str, wanted: Requirement | None) -> Line:
    """Whether two builds come from one index: the same CUDA or none, and the version ``wanted``."""
    shown = f"torch {torch} and torchvision {torchvision}"
    tags = {build.partition("+")[2] for build in (torch, torchvision)}
    if len(tags) > 1:
        found = f"they are of different builds: {shown}"
    elif wanted is not None and not fits(wanted, torch):
        found = f"they do not belong together: {shown}, which needs {wanted}"
    else:
        tag = f", both {tags.pop()}" if tags != {""} else ""
        return Line(TOPIC, "torch, torchvision", "ok", f"of one build{tag}")
    return Line(TOPIC, "torch, torchvision", "problem", found, ONE_INDEX)


def imports(ended: Outcome) -> Iterator[Line]:
    """What came of importing ``IMPORTED`` in a process of its own."""
    told: dict[str, str] = ended.value or {}
    if ended.value is None:
        said = ended.error.rpartition("\n")[2] or f"the process ended with {ended.code}"
        yield Line(TOPIC, "imports", "problem", f"an import ends Python: {said}", ONE_INDEX)
    for name, error in told.items():
        advice = (
            ONE_INDEX if "torchvision::nms" in error else f"pip install --force-reinstall {name}"
        )
        yield Line(TOPIC, name, "problem", f"cannot be imported: {error}", advice)
    if ended.value is not None and not told:
        yield Line(TOPIC, "imports", "ok", ", ".join(IMPORTED))


def import_all(names: Any) -> dict[str, str]:
    """In the child: the error of each package that cannot be imported."""
    import importlib

    failed = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001  # an import may raise whatever it likes
            failed[name] = f"{type(error).__name__}: {error}".partition("\n")[0]
    return failed
