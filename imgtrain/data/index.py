"""Which pictures there are, of which class: a folder, a manifest or a known set as arrays."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imgtrain.data.folder import read_folder
from imgtrain.data.listing import (
    NO_PART,
    PARTS,
    Ints,
    Listing,
    Names,
    Source,
    shown,
    some,
)
from imgtrain.data.manifest import read_manifest
from imgtrain.data.schemes import read_source
from imgtrain.data.tables import SUFFIXES
from imgtrain.errors import DataError, SettingsError, nearest
from imgtrain.registry import SOURCES
from imgtrain.settings.known import SETS

__all__ = ["PARTS", "Index", "Source", "read_index"]


@dataclass(frozen=True, eq=False)
class Index:
    """Labelled pictures; picture ``i`` is the i-th entry of every array.

    Sorted by part, class and path, so that nothing depends on the order of a file system.

    Args:
        root: Absolute path of the folder or manifest, or the name of the known set.
        classes: Names in the order of the labels.
        source: The pictures.
        labels: Shape (N,), int64.
        given: Shape (N,), the part that the data itself names (a position in ``PARTS``), or -1.
        groups: Shape (N,), int64: equal numbers belong together; None without groups.
        group_names: Name by group number; empty for a picture that is alone.
        natural: False where the pictures are digits, letters or the like by nature.
        notes: What was left out, as sentences.
        fingerprint: SHA-256 over classes, paths, labels, sizes and given parts.
    """

    root: str
    classes: tuple[str, ...]
    source: Source
    labels: Ints
    given: NDArray[np.int8]
    groups: Ints | None
    group_names: tuple[str, ...]
    natural: bool
    notes: tuple[str, ...]
    fingerprint: str


def read_index(root: str, *, group_by: str | None = None) -> Index:
    """List the pictures of a folder, a manifest (.csv, .parquet) or a known set; none is opened.

    Args:
        root: Path, the name of a known set, or SCHEME:TEXT for the source of a plugin (a folder of
            that name wins).
        group_by: Column of the manifest, or a regular expression on the path whose first group
            (or whole match) names the picture's group.

    Raises:
        DataError: If there are no pictures, no two classes, or contradictions.
        SettingsError: If ``group_by`` is no column and fits no path.
        OutsideError: If a .parquet is given and pyarrow is not installed.
    """
    place, listing = _listing(root, group_by)
    _refuse_few_classes(root, place, listing)
    _refuse_untrained(root, listing)
    return _index(place, listing, group_by)


def read_labelled(root: str, *, group_by: str | None = None) -> Index:
    """The same of pictures that nothing is learnt from: one class and any part are enough.

    Raises:
        DataError: If there are no pictures, or contradictions.
        OutsideError: If a .parquet is given and pyarrow is not installed.
    """
    place, listing = _listing(root, group_by, trains=False)
    return _index(place, listing, group_by)


def _index(place: str, listing: Listing, group_by: str | None) -> Index:
    groups, names, notes = _groups(listing, group_by)
    return Index(
        root=place,
        classes=listing.classes,
        source=listing.source,
        labels=listing.labels,
        given=listing.given,
        groups=groups,
        group_names=names,
        natural=listing.natural,
        notes=(*listing.notes, *_lookalikes(listing.classes), *notes),
        fingerprint=_fingerprint(listing),
    )


def _listing(root: str, group_by: str | None, *, trains: bool = True) -> tuple[str, Listing]:
    """The absolute place, and what is there."""
    path = Path(os.path.abspath(os.path.expanduser(root)))  # noqa: PTH100, PTH111  # neither resolves links nor raises
    kind = _kind(root, path)
    if kind == "folder":
        return str(path), read_folder(str(path), trains=trains)
    if kind == "file" and path.suffix.lower() in SUFFIXES:
        return str(path), read_manifest(path, group_by)
    scheme, _, text = root.partition(":")
    if scheme in SOURCES:
        return root, read_source(scheme, text)
    if kind:
        raise DataError(
            f"{root} is neither a folder nor a manifest",
            f"a manifest ends in {' or '.join(SUFFIXES)}; an archive must be unpacked first",
        )
    raise DataError(
        f"there is no folder, manifest or known set {root!r}{nearest(root, _near(root, path))}",
        f"known sets: {', '.join(SETS)}",
    )


def _kind(root: str, path: Path) -> Literal["folder", "file"] | None:
    """What is at ``path``; nothing is at an empty name."""
    try:
        mode = path.stat().st_mode if root else 0
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise DataError(f"cannot read {root}: {error.strerror or error}") from error
    return "folder" if stat.S_ISDIR(mode) else "file" if mode else None


def _near(root: str, path: Path) -> list[str]:
    """What could have been meant: neighbours on disk, and known sets."""
    try:
        siblings = sorted(place.name for place in path.parent.iterdir())
    except OSError:
        siblings = []
    return [str(Path(root).parent / name) for name in siblings] + [*SETS, *SOURCES.names()]


def _refuse_few_classes(root: str, place: str, listing: Listing) -> None:
    if len(listing.classes) > 1:
        return
    only = listing.classes[0]
    inside = Path(place) / only
    deeper = inside.is_dir() and sum(entry.is_dir() for entry in inside.iterdir()) > 1
    raise DataError(
        f"{root} has only one class, {only!r}; at least two are needed",
        f"if the classes are the folders in it, give {inside}" if deeper else "",
    )


def _refuse_untrained(root: str, listing: Listing) -> None:
    """The class list comes from train: what is only in val or test cannot be learnt."""
    if (listing.given == NO_PART).all():
        return
    if not (listing.given == 0).any():
        raise DataError(f"{root} has no pictures in the train part")
    trained = np.bincount(listing.labels[listing.given == 0], minlength=len(listing.classes))
    for label in np.flatnonzero(trained == 0):
        part = PARTS[listing.given[listing.labels == label].min()]
        raise DataError(
            f"class {listing.classes[label]!r} is in {part} but not in train",
            "the list of classes comes from train: add pictures of it there, or leave it out",
        )


def _lookalikes(classes: tuple[str, ...]) -> tuple[str, ...]:
    folded = Counter(name.casefold().strip() for name in classes)
    alike = [name for name in classes if folded[name.casefold().strip()] > 1]
    if not alike:
        return ()
    return (f"classes whose names differ only in case or blanks: {some([*map(repr, alike)], 6)}",)


def _groups(
    listing: Listing, group_by: str | None
) -> tuple[Ints | None, tuple[str, ...], tuple[str, ...]]:
    """Group number of every picture, name of every group, and what to say about them."""
    names = listing.groups if group_by is None or listing.groups_by == group_by else None
    if group_by is not None and names is None:
        names = _groups_by_path(listing.source, group_by)
    if names is None:
        return None, (), ()
    return _numbered(names)


def _groups_by_path(source: Source, pattern: str) -> Names:
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise SettingsError(
            f"group_by {pattern!r} is neither a column nor a regular expression: {error}"
        ) from error
    names = Names()
    fitting = 0
    for i in range(len(source)):
        match = search(source.path(i))
        name = (match[1] if match.re.groups else match[0]) if match else None
        fitting += bool(name)
        names.append((name or "").encode())
    if not fitting:
        raise SettingsError(
            f"group_by {pattern!r} is no column of a manifest and fits no path,"
            f" for example not {source.path(0)!r}"
        )
    return names


def _numbered(names: Names) -> tuple[Ints, tuple[str, ...], tuple[str, ...]]:
    numbers: dict[bytes, int] = {}
    shown_names: list[str] = []
    alone = 0
    groups = np.empty(len(names), np.int64)
    for i in range(len(names)):
        name = names[i]
        if not name or name not in numbers:
            numbers[name] = len(shown_names)
            shown_names.append(shown(name))
        alone += not name
        groups[i] = numbers[name]
    notes = (f"pictures that belong to no group and stand for themselves: {alone:,}",)
    return groups, tuple(shown_names), notes if alone else ()


def _fingerprint(listing: Listing) -> str:
    digest = hashlib.sha256()
    for name in listing.classes:
        digest.update(name.encode() + b"\0")
    source = listing.source
    for i in range(len(source)):
        digest.update(source.path(i).encode() + b"\0")
    sizes = np.fromiter((source.stamp(i)[0] for i in range(len(source))), np.int64, len(source))
    for array in (listing.labels, sizes, listing.given):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
