"""Oxford's cats and dogs: one archive of pictures, one with the lists of their parts."""

from __future__ import annotations

from imgtrain.fetching.entry import Job
from imgtrain.fetching.names import folder_name
from imgtrain.fetching.progress import metering
from imgtrain.fetching.unpack import lines_of, members, not_expected, read_some

_LISTS = {"trainval.txt": "train", "test.txt": "test"}


def lay_out(job: Job) -> None:
    """Write ``train`` and ``test``; a picture's class is its name without the number."""
    lists = job.archives["annotations.tar.gz"]
    found = read_some(lists, lambda parts: parts[-1] in _LISTS)
    places = {
        f"{line.split()[0]}.jpg": part
        for name, part in _LISTS.items()
        for line in lines_of(found.get(name, b""))
        if not line.startswith("#")
    }
    if not places:
        raise not_expected(lists, f"it holds no {' and no '.join(_LISTS)}")
    archive = job.archives["images.tar.gz"]
    done = 0
    with metering("unpacking pictures", job.entry.pictures, "pictures") as meter:
        for member in members(archive):
            name = member.parts[-1]
            if name in places:
                breed = folder_name(name.rpartition("_")[0])
                member.save(job.into / places[name] / breed / name)
                done += 1
                meter.at(done)
    if done != len(places):
        raise not_expected(archive, f"it holds {done:,} of the {len(places):,} pictures in lists")
