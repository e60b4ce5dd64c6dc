"""A folder of pictures: one sub-folder a class, or train, val and test with such folders each."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from imgtrain.data.listing import NO_PART, PART_WORDS, PARTS, Listing, shown, some, twins
from imgtrain.data.walk import Walk
from imgtrain.errors import DataError, nearest

TRAIN = 0


def read_folder(root: str, *, trains: bool = True) -> Listing:
    """List the pictures under ``root`` without opening any.

    Args:
        root: The folder.
        trains: Whether there must be something to learn from: a train part, where there are parts,
            with all classes; and no class without pictures.

    Raises:
        DataError: If it holds no classes, an empty class, or parts that contradict each other.
    """
    walk = Walk(root)
    top = walk.folders()
    parts = _parts(root, walk, top, trains=trains)
    if parts is None:
        counts = _take_classes(root, walk, top, may_lack=not trains)
        classes = tuple(counts)
        blocks = [(NO_PART, label, number) for label, number in enumerate(counts.values())]
    elif trains:
        classes, blocks = _take_parts(root, walk, parts)
    else:
        classes, blocks = _take_any(root, walk, parts)
    given, labels, numbers = np.array(blocks, np.int64).T
    return Listing(
        classes=classes,
        source=walk.files(),
        labels=np.repeat(labels, numbers),
        given=np.repeat(given, numbers).astype(np.int8),
        notes=walk.notes(),
    )


def _parts(root: str, walk: Walk, folders: list[bytes], *, trains: bool) -> dict[int, bytes] | None:
    """Which folder is which part; None where the folders are classes."""
    found: dict[int, list[bytes]] = defaultdict(list)
    others: list[bytes] = []
    for folder in folders:
        part = PART_WORDS.get(shown(folder).casefold())
        (others if part is None else found[part]).append(folder)
    if not found or (others and (TRAIN not in found or len(found) == 1)):
        if TRAIN in found:
            _refuse_ambiguous(root, found[TRAIN][0], others)
        return None
    for part, same in found.items():
        if len(same) > 1:
            raise DataError(
                f"{root} has more than one folder for {PARTS[part]}:"
                f" {some(sorted(map(shown, same)))}",
                "rename or move away all but one",
            )
    if TRAIN not in found and trains:
        raise DataError(
            f"{root} has {some([shown(same[0]) for same in found.values()])} but no train folder",
            "the list of classes comes from train: name the folder with the training pictures so",
        )
    for other in others:
        walk.leave_out("folder", other)
    return {part: same[0] for part, same in sorted(found.items())}


def _refuse_ambiguous(root: str, train: bytes, others: list[bytes]) -> None:
    """``train`` may be a class (a vehicle) beside others, unless it is built like a part."""
    probe = Walk(root)
    if probe.folders(train) and not probe.strays():
        raise DataError(
            f"{root} may be one class a folder, or its {shown(train)} may be the training part"
            f" beside {some(sorted(map(shown, others)))}",
            "move the folders that are no parts away, or write a manifest (path,label,split)",
        )


def _named(folders: list[bytes]) -> dict[str, bytes]:
    """The folders by the class that they name, sorted."""
    pair = twins((shown(folder), folder) for folder in sorted(folders))
    if pair:
        raise DataError(
            f"two class folders read the same, {shown(pair[0])!r}: {pair[0]!r} and {pair[1]!r}",
            "rename one, or put the pictures of both into one",
        )
    return {shown(folder): folder for folder in sorted(folders, key=shown)}


def _take_classes(
    root: str, walk: Walk, folders: list[bytes], *inside: bytes, may_lack: bool = False
) -> dict[str, int]:
    """Take every class folder; the number of pictures of each, none of which is 0."""
    where = Path(root, *map(shown, inside))
    if not folders:
        found = f"{walk.strays():,} pictures" if walk.strays() else "no pictures"
        raise DataError(
            f"{where} has {found} and no class folders",
            "one sub-folder a class is needed, or a manifest (.csv with the columns path,label)",
        )
    counts = {name: walk.take(*inside, folder) for name, folder in _named(folders).items()}
    if not any(counts.values()):
        raise DataError(f"{where} and its sub-folders hold no pictures")
    for name, number in counts.items():
        if number == 0 and not may_lack:
            raise DataError(
                f"class {name!r} has no pictures in {where}",
                f"put pictures into {where / name}, or remove that folder",
            )
    return {name: number for name, number in counts.items() if number}


def _take_any(
    root: str, walk: Walk, parts: dict[int, bytes]
) -> tuple[tuple[str, ...], list[tuple[int, int, int]]]:
    """The classes of all parts together, and blocks as of ``_take_parts``."""
    found = {
        part: _take_classes(root, walk, walk.folders(folder), folder, may_lack=True)
        for part, folder in parts.items()
    }
    classes = tuple(sorted({name for counts in found.values() for name in counts}))
    labels = {name: label for label, name in enumerate(classes)}
    return classes, [
        (part, labels[name], number)
        for part, counts in found.items()
        for name, number in counts.items()
    ]


def _take_parts(
    root: str, walk: Walk, parts: dict[int, bytes]
) -> tuple[tuple[str, ...], list[tuple[int, int, int]]]:
    """The classes of train, and (part, label, number of pictures) in the order of taking."""
    train = parts[TRAIN]
    counts = _take_classes(root, walk, walk.folders(train), train)
    labels = {name: label for label, name in enumerate(counts)}
    blocks = [(TRAIN, labels[name], number) for name, number in counts.items()]
    for part, folder in parts.items():
        if part != TRAIN:
            blocks += _take_other(root, walk, labels, part, folder)
    return tuple(labels), blocks


def _take_other(
    root: str, walk: Walk, labels: dict[str, int], part: int, folder: bytes
) -> list[tuple[int, int, int]]:
    """Take val or test, whose classes are matched by name with those of train."""
    blocks = []
    for name, inside in _named(walk.folders(folder)).items():
        number = walk.take(folder, inside)
        if number and name not in labels:
            raise DataError(
                f"class {name!r} is in {PARTS[part]} ({Path(root, shown(folder), name)})"
                f" but not in train{nearest(name, labels)}",
                "the list of classes comes from train: add pictures of it there, or move it away",
            )
        if number:
            blocks.append((part, labels[name], number))
        else:
            walk.leave_out("empty", folder + b"/" + inside)
    if not blocks:
        walk.leave_out("part", folder)
    return blocks
