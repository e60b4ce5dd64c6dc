"""Sets that are published as archives of JPEG files."""

from __future__ import annotations

from imgtrain.fetching.entry import MB, SetEntry, archive_of

_FASTAI = ("https://s3.amazonaws.com/fast-ai-imageclas",)
_IMAGENET_TERMS = "ImageNet's terms (non-commercial research)"

IMAGENETTE = SetEntry(
    name="imagenette",
    title="Ten easy classes of ImageNet, full size",
    archives=(
        archive_of(
            "imagenette2.tgz",
            _FASTAI,
            1_557_161_267,
            "6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd",
        ),
    ),
    layout="folders",
    counts={"train": 9_469, "val": 3_925},
    classes=10,
    room=1_620 * MB,
    licence=_IMAGENET_TERMS,
    citation="Howard: Imagenette. github.com/fastai/imagenette, 2019",
    homepage="https://github.com/fastai/imagenette",
)

IMAGENETTE_160 = SetEntry(
    name="imagenette-160",
    title="Ten easy classes of ImageNet, 160 px",
    archives=(
        archive_of(
            "imagenette2-160.tgz",
            _FASTAI,
            99_003_388,
            "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
        ),
    ),
    layout="folders",
    counts={"train": 9_469, "val": 3_925},
    classes=10,
    room=150 * MB,
    licence=_IMAGENET_TERMS,
    citation="Howard: Imagenette. github.com/fastai/imagenette, 2019",
    homepage="https://github.com/fastai/imagenette",
)

IMAGEWOOF = SetEntry(
    name="imagewoof",
    title="Ten breeds of dogs of ImageNet, full size",
    archives=(
        archive_of(
            "imagewoof2.tgz",
            _FASTAI,
            1_343_715_595,  # fastai/data/checks.txt, whose digest is of the first MB alone
            "9aafe18bcdb1632c4249a76c458465ba",
            "Catalyst, not the publisher",
        ),
    ),
    layout="folders",
    counts={"train": 9_025, "val": 3_929},
    classes=10,
    room=1_400 * MB,
    licence=_IMAGENET_TERMS,
    citation="Howard: Imagewoof. github.com/fastai/imagenette, 2019",
    homepage="https://github.com/fastai/imagenette",
)

_VGG_FLOWERS = (
    "https://www.robots.ox.ac.uk/~vgg/data/flowers/102",
    "https://thor.robots.ox.ac.uk/flowers/102",
)

FLOWERS = SetEntry(
    name="flowers102",
    title="Flowers of Britain, about 500 px",
    archives=(
        archive_of(
            "imagelabels.mat",
            _VGG_FLOWERS,
            502,
            "4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
        ),
        archive_of(
            "setid.mat",
            _VGG_FLOWERS,
            14_989,
            "46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
        ),
        archive_of(
            "102flowers.tgz",
            _VGG_FLOWERS,
            344_862_509,
            "2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
        ),
    ),
    layout="flowers",
    counts={"train": 1_020, "val": 1_020, "test": 6_149},
    classes=102,
    room=370 * MB,
    licence="not stated",
    citation="Nilsback, Zisserman: Automated Flower Classification over a Large Number of Classes."
    " ICVGIP, 2008",
    homepage="https://www.robots.ox.ac.uk/~vgg/data/flowers/102",
)

_VGG_PETS = (
    "https://www.robots.ox.ac.uk/~vgg/data/pets/data",
    "https://thor.robots.ox.ac.uk/pets",
)

PETS = SetEntry(
    name="oxford-pets",
    title="Breeds of cats and dogs, about 400 px",
    archives=(
        archive_of(
            "annotations.tar.gz",
            _VGG_PETS,
            19_173_078,
            "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
        ),
        archive_of(
            "images.tar.gz",
            _VGG_PETS,
            791_918_971,
            "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
        ),
    ),
    layout="pets",
    counts={"train": 3_680, "test": 3_669},
    classes=37,
    room=850 * MB,
    licence="CC BY-SA 4.0",
    citation="Parkhi, Vedaldi, Zisserman, Jawahar: Cats and Dogs. CVPR, 2012",
    homepage="https://www.robots.ox.ac.uk/~vgg/data/pets",
    notes=("its trainval is train", "pictures that its lists do not name are left out"),
)

TINY_IMAGENET = SetEntry(
    name="tiny-imagenet",
    title="200 classes of ImageNet, 64 px",
    archives=(
        archive_of(
            "tiny-imagenet-200.zip",
            ("http://cs231n.stanford.edu", "https://cs231n.stanford.edu"),
            248_100_043,
            "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",
            "several public projects, not the publisher",
        ),
    ),
    layout="tiny",
    counts={"train": 100_000, "val": 10_000},
    classes=200,
    room=480 * MB,
    licence=_IMAGENET_TERMS,
    citation="Le, Yang: Tiny ImageNet Visual Recognition Challenge. Stanford CS 231N, 2015",
    homepage="http://cs231n.stanford.edu",
    notes=("its test part has no labels and is left out",),
)
