"""ImageNet (ILSVRC 2012) from the archives that its users fetch by hand.

The training archive is a tar of a thousand tars, one a class. Each class gets its folder when all
of it is there, so that a process that was killed goes on with the next class.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imgtrain import console
from imgtrain.errors import DataError
from imgtrain.fetching.entry import Archive, SetEntry
from imgtrain.fetching.matlab import arrays_in
from imgtrain.fetching.names import folder_name
from imgtrain.fetching.place import (
    check_room,
    drop_folder,
    fresh_folder,
    is_whole,
    locked,
    make_folder,
    writing,
)
from imgtrain.fetching.progress import Meter, metering
from imgtrain.fetching.sets import count, record, settle
from imgtrain.fetching.sources import Obtained, digest_of
from imgtrain.fetching.unpack import (
    Limits,
    Member,
    inner_members,
    lines_of,
    members,
    not_expected,
    read_some,
)
from imgtrain.files import read_json, write_bytes, write_json

_TORCHVISION = "torchvision"
TRAIN = Archive(
    "ILSVRC2012_img_train.tar",
    (),
    147_897_477_120,
    "md5:1d675b47d978889d74fa0da5fadfb00e",
    _TORCHVISION,
)
VAL = Archive(
    "ILSVRC2012_img_val.tar",
    (),
    6_744_924_160,
    "md5:29b22e2961454d5413ddabcf34fc5622",
    _TORCHVISION,
)
DEVKIT = Archive(
    "ILSVRC2012_devkit_t12.tar.gz",
    (),
    None,
    "md5:fa75699e90414af021442c21a62c3abf",
    _TORCHVISION,
)
IMAGENET = SetEntry(
    name="imagenet",
    title="ILSVRC 2012, 1,000 classes",
    archives=(TRAIN, VAL, DEVKIT),
    layout="",
    counts={"train": 1_281_167, "val": 50_000},
    classes=1_000,
    room=0,
    licence="ImageNet's terms (non-commercial research)",
    citation="Russakovsky et al.: ImageNet Large Scale Visual Recognition Challenge. IJCV, 2015",
    homepage="https://image-net.org/challenges/LSVRC/2012",
)
_LIMITS = Limits(members=2_000_000, file_bytes=2**30, total_bytes=2**40)
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_META = "meta.mat"


@dataclass(frozen=True, slots=True)
class _Kit:
    """What the development kit says.

    Args:
        folders: Folder of each WordNet number.
        truth: WordNet number of each val picture, in their order.
    """

    folders: dict[str, str]
    truth: list[str]


def prepare(archives: Path, holder: Path, *, verify: bool = True) -> Path:
    """Lay ImageNet out in ``holder/imagenet``, as ``train`` and ``val``; goes on where it stopped.

    Raises:
        DataError: If an archive is missing, wrong or damaged.
        DiskError: If it does not fit on the disk.
    """
    target = holder / IMAGENET.name
    if is_whole(target):
        return target
    paths = {archive.name: _found(archives, archive) for archive in IMAGENET.archives}
    make_folder(holder)
    work = holder / f".{IMAGENET.name}.unpacking"
    with locked(holder / f".{IMAGENET.name}.lock", IMAGENET.name), writing(holder):
        if is_whole(target):
            return target
        make_folder(work)
        check_room(holder, _still_needed(paths, work), IMAGENET.name)
        obtained = [_checked(a, paths[a.name], work, verify=verify) for a in IMAGENET.archives]
        kit = _kit(paths[DEVKIT.name], work)
        into = work / IMAGENET.name
        make_folder(into)
        _train(paths[TRAIN.name], into, kit)
        _val(paths[VAL.name], into, kit)
        record(into, IMAGENET, obtained, count(into, IMAGENET))
        settle(into, target)
        drop_folder(work)
    return target


def _found(folder: Path, archive: Archive) -> Path:
    path = folder / archive.name
    if not path.is_file():
        raise DataError(
            f"{archive.name} is not in {folder}",
            f"fetch {', '.join(a.name for a in IMAGENET.archives)} from image-net.org"
            " (an account is needed) and put them into one folder",
        )
    return path


def _still_needed(paths: dict[str, Path], work: Path) -> int:
    """Bytes: all pictures of train and val, but for those that lie there already."""
    there = sum(p.stat().st_size for p in work.rglob("*") if p.is_file())
    return max(0, paths[TRAIN.name].stat().st_size + paths[VAL.name].stat().st_size - there)


def _checked(archive: Archive, path: Path, work: Path, *, verify: bool) -> Obtained:
    """The archive as it is; its checksum is computed once for each size and time of change."""
    now = path.stat()
    note = work / f"{archive.name}.json"
    seen = {"size": now.st_size, "time": now.st_mtime_ns, "digest": archive.digest}
    assert archive.digest is not None
    if not verify:
        return Obtained(path, str(path), now.st_size, "not checked", None)
    if not (note.is_file() and read_json(note) == seen):
        console.say(f"checking {archive.name}")
        found = digest_of(path, "md5")
        if found != archive.digest:
            raise DataError(
                f"{path} is damaged or another file: got {found}, expected {archive.digest}",
                "fetch it again, or go on without this check with --no-verify",
            )
        write_json(note, seen)
    return Obtained(path, str(path), now.st_size, archive.digest, archive.vouched_by)


def _kit(path: Path, work: Path) -> _Kit:
    found = read_some(path, lambda parts: parts[-1] in {_TRUTH, _META})
    for name in (_TRUTH, _META):
        if name not in found:
            raise not_expected(path, f"it holds no {name}")
    meta = work / _META
    write_bytes(meta, found[_META])
    numbers, words = _synsets(meta)
    try:
        truth = [numbers[int(line)] for line in lines_of(found[_TRUTH])]
    except (KeyError, ValueError) as error:
        raise not_expected(path, f"{_TRUTH} names a class that {_META} has not") from error
    folders = {number: f"{number}_{folder_name(word)}" for number, word in words.items()}
    return _Kit(folders, truth)


def _synsets(meta: Path) -> tuple[dict[int, str], dict[str, str]]:
    """WordNet number by ILSVRC's own, and the first word by WordNet number; of the leaves."""
    (rows,) = arrays_in(meta, "synsets")
    try:
        leaves = [row for row in rows.reshape(-1) if int(row["num_children"].item()) == 0]
        numbers = {int(row["ILSVRC2012_ID"].item()): str(row["WNID"].item()) for row in leaves}
        words = {
            str(row["WNID"].item()): str(row["words"].item()).partition(",")[0] for row in leaves
        }
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise not_expected(meta, f"its synsets cannot be read ({error})") from error
    return numbers, words


def _train(archive: Path, into: Path, kit: _Kit) -> None:
    """One folder a class, each there only when it is whole."""
    classes = 0
    with metering("unpacking train", IMAGENET.counts["train"], "pictures") as meter:
        tally = _Tally(meter)
        for outer in members(archive, _LIMITS):
            number = outer.parts[-1].removesuffix(".tar")
            if number not in kit.folders:
                raise not_expected(archive, f"{outer.parts[-1]} is no class of the development kit")
            place = into / "train" / kit.folders[number]
            if place.is_dir():
                tally.add(sum(1 for _ in place.iterdir()))
            else:
                _whole(place, functools.partial(_class, outer=outer, tally=tally))
            classes += 1
    if classes != len(kit.folders):
        raise not_expected(archive, f"it holds {classes:,} of {len(kit.folders):,} classes")


def _class(draft: Path, outer: Member, tally: _Tally) -> None:
    for member in inner_members(outer):
        member.save(draft / member.parts[-1])
        tally.add(1)


def _val(archive: Path, into: Path, kit: _Kit) -> None:
    """The same pictures, sorted into classes by the development kit's list."""
    place = into / "val"
    if not place.is_dir():
        _whole(place, lambda draft: _sorted_val(archive, draft, kit))


def _sorted_val(archive: Path, draft: Path, kit: _Kit) -> None:
    done = 0
    with metering("unpacking val", len(kit.truth), "pictures") as meter:
        for member in members(archive, _LIMITS):
            position = member.parts[-1].rpartition("_")[2].partition(".")[0]
            if not position.isdigit() or not 1 <= int(position) <= len(kit.truth):
                raise not_expected(archive, f"{member.parts[-1]} is not in the list of val")
            folder = kit.folders[kit.truth[int(position) - 1]]
            member.save(draft / folder / member.parts[-1])
            done += 1
            meter.at(done)
    if done != len(kit.truth):
        raise not_expected(archive, f"it holds {done:,} of {len(kit.truth):,} pictures")


def _whole(place: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder under another name, and give it its own at the end."""
    draft = fresh_folder(place.with_name(f".{place.name}"))
    fill(draft)
    draft.rename(place)


class _Tally:
    """Counts pictures for a meter."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._done = meter, 0

    def add(self, more: int) -> None:
        """So many more."""
        self._done += more
        self._meter.at(self._done)
