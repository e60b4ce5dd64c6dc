"""102 kinds of flowers: one archive of pictures; labels and parts in MATLAB files."""

from __future__ import annotations

from imgtrain.fetching.entry import Job
from imgtrain.fetching.matlab import arrays_in
from imgtrain.fetching.names import folder_name
from imgtrain.fetching.progress import metering
from imgtrain.fetching.unpack import members, not_expected

_PARTS = {"train": "trnid", "val": "valid", "test": "tstid"}
_NAMES = """
    pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold,
    tiger lily, moon orchid, bird of paradise, monkshood, globe thistle, snapdragon, colt's foot,
    king protea, spear thistle, yellow iris, globe-flower, purple coneflower, peruvian lily,
    balloon flower, giant white arum lily, fire lily, pincushion flower, fritillary, red ginger,
    grape hyacinth, corn poppy, prince of wales feathers, stemless gentian, artichoke,
    sweet william, carnation, garden phlox, love in the mist, mexican aster, alpine sea holly,
    ruby-lipped cattleya, cape flower, great masterwort, siam tulip, lenten rose, barbeton daisy,
    daffodil, sword lily, poinsettia, bolero deep blue, wallflower, marigold, buttercup,
    oxeye daisy, common dandelion, petunia, wild pansy, primula, sunflower, pelargonium,
    bishop of llandaff, gaura, geranium, orange dahlia, pink-yellow dahlia, cautleya spicata,
    japanese anemone, black-eyed susan, silverbush, californian poppy, osteospermum,
    spring crocus, bearded iris, windflower, tree poppy, gazania, azalea, water lily, rose,
    thorn apple, morning glory, passion flower, lotus, toad lily, anthurium, frangipani, clematis,
    hibiscus, columbine, desert-rose, tree mallow, magnolia, cyclamen, watercress, canna lily,
    hippeastrum, bee balm, ball moss, foxglove, bougainvillea, camellia, mallow, mexican petunia,
    bromelia, blanket flower, trumpet creeper, blackberry lily
"""
CLASSES = tuple(name.strip() for name in _NAMES.split(","))
"""In the order of the labels 1 to 102, as torchvision names them."""


def lay_out(job: Job) -> None:
    """Write ``train``, ``val`` and ``test``: the same JPEG files under the classes' names."""
    places = _places(job)
    archive = job.archives["102flowers.tgz"]
    done = 0
    with metering("unpacking pictures", job.entry.pictures, "pictures") as meter:
        for member in members(archive):
            place = places.get(member.parts[-1])
            if place is not None:
                member.save(job.into / place[0] / place[1] / member.parts[-1])
                done += 1
                meter.at(done)
    if done != len(places):
        raise not_expected(archive, f"it holds {done:,} of the {len(places):,} pictures in lists")


def _places(job: Job) -> dict[str, tuple[str, str]]:
    """Part and class of each file."""
    path = job.archives["imagelabels.mat"]
    (labels,) = arrays_in(path, "labels")
    labels = labels.reshape(-1).tolist()
    if not all(1 <= label <= len(CLASSES) for label in labels):
        raise not_expected(path, f"a label is outside 1 to {len(CLASSES)}")
    numbers = arrays_in(job.archives["setid.mat"], *_PARTS.values())
    return {
        f"image_{i:05}.jpg": (part, folder_name(CLASSES[labels[i - 1] - 1]))
        for part, chosen in zip(_PARTS, numbers, strict=True)
        for i in chosen.reshape(-1).tolist()
        if 1 <= i <= len(labels)
    }
