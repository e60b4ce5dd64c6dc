"""Tiny ImageNet: a zip of JPEG files, its val part labelled by a list."""

from __future__ import annotations

from pathlib import Path

from imgtrain.fetching.entry import Job
from imgtrain.fetching.names import unique_names
from imgtrain.fetching.progress import metering
from imgtrain.fetching.unpack import lines_of, members, not_expected, read_some

_LISTS = ("wnids.txt", "words.txt", "val_annotations.txt")
_PICTURE = (".JPEG", ".jpeg", ".jpg", ".png")


def lay_out(job: Job) -> None:
    """Write ``train`` and ``val``: the same files under the classes' names; test has no labels."""
    (archive,) = job.archives.values()
    lists = read_some(archive, lambda parts: parts[-1] in _LISTS)
    for name in _LISTS:
        if name not in lists:
            raise not_expected(archive, f"it holds no {name}")
    classes = _classes(lists)
    rows = [line.split() for line in lines_of(lists["val_annotations.txt"])]
    val = {row[0]: row[1] for row in rows if len(row) > 1}
    done = 0
    with metering("unpacking pictures", job.entry.pictures, "pictures") as meter:
        for member in members(archive):
            place = _place(member.parts, val, classes)
            if place is not None:
                member.save(job.into / place)
                done += 1
                meter.at(done)
    if not done:
        raise not_expected(archive, "it holds no pictures")


def _classes(lists: dict[str, bytes]) -> dict[str, str]:
    """Each WordNet number's folder: the first of its words."""
    words = dict(line.split("\t", 1) for line in lines_of(lists["words.txt"]) if "\t" in line)
    numbers = lines_of(lists["wnids.txt"])
    return unique_names({n: words.get(n, n).partition(",")[0] for n in numbers})


def _place(parts: tuple[str, ...], val: dict[str, str], classes: dict[str, str]) -> Path | None:
    """Where a member goes: ``.../train/NUMBER/images/NAME`` or ``.../val/images/NAME``."""
    name = parts[-1]
    if not name.endswith(_PICTURE):
        return None
    if parts[-4:-3] == ("train",) and parts[-3] in classes:
        return Path("train", classes[parts[-3]], name)
    if parts[-3:-1] == ("val", "images") and val.get(name) in classes:
        return Path("val", classes[val[name]], name)
    return None
