"""Imagenette and Imagewoof: folders of JPEG files already, named by WordNet's numbers."""

from __future__ import annotations

from imgtrain.fetching.entry import Job
from imgtrain.fetching.names import folder_name
from imgtrain.fetching.progress import metering
from imgtrain.fetching.unpack import members, not_expected

CLASSES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
    "n02086240": "Shih-Tzu",
    "n02087394": "Rhodesian ridgeback",
    "n02088364": "beagle",
    "n02089973": "English foxhound",
    "n02093754": "Border terrier",
    "n02096294": "Australian terrier",
    "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog",
    "n02111889": "Samoyed",
    "n02115641": "dingo",
}
_DEPTH = 4
"""``imagenette2/train/n01440764/NAME.JPEG``."""


def lay_out(job: Job) -> None:
    """Write ``train`` and ``val``: the same files under the classes' names."""
    (archive,) = job.archives.values()
    done = 0
    with metering("unpacking pictures", job.entry.pictures, "pictures") as meter:
        for member in members(archive):
            if len(member.parts) != _DEPTH or member.parts[1] not in job.entry.counts:
                continue
            _, part, number, file = member.parts
            member.save(job.into / part / folder_name(CLASSES.get(number, number)) / file)
            done += 1
            meter.at(done)
    if not done:
        raise not_expected(archive, "it holds no pictures in train and val")
