"""Sets that are published as arrays of small pictures."""

from __future__ import annotations

from imgtrain.fetching.entry import MB, Archive, SetEntry, archive_of

_IDX = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def _idx(bases: tuple[str, ...], *known: tuple[int, str]) -> tuple[Archive, ...]:
    return tuple(
        archive_of(name, bases, size, digest)
        for name, (size, digest) in zip(_IDX, known, strict=True)
    )


_TEN_DIGITS = {"train": 60_000, "test": 10_000}

MNIST = SetEntry(
    name="mnist",
    title="Handwritten digits, grey, 28 px",
    archives=_idx(
        (
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "http://yann.lecun.com/exdb/mnist",
        ),
        (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    layout="idx",
    counts=_TEN_DIGITS,
    classes=10,
    room=290 * MB,
    licence="CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document"
    " recognition. Proceedings of the IEEE 86(11), 1998",
    homepage="http://yann.lecun.com/exdb/mnist",
)

FASHION = SetEntry(
    name="fashion-mnist",
    title="Clothes, grey, 28 px",
    archives=_idx(
        (
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        ),
        (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    layout="idx",
    counts=_TEN_DIGITS,
    classes=10,
    room=290 * MB,
    licence="MIT",
    citation="Xiao, Rasul, Vollgraf: Fashion-MNIST. arXiv:1708.07747, 2017",
    homepage="https://github.com/zalandoresearch/fashion-mnist",
)

KMNIST = SetEntry(
    name="kmnist",
    title="Cursive Japanese letters, grey, 28 px",
    archives=_idx(
        (
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist",
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist",
        ),
        (18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
        (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        (3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
        (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
    ),
    layout="idx",
    counts=_TEN_DIGITS,
    classes=10,
    room=290 * MB,
    licence="CC BY-SA 4.0",
    citation="Clanuwat et al.: Deep Learning for Classical Japanese Literature."
    " arXiv:1812.01718, 2018",
    homepage="http://codh.rois.ac.jp/kmnist",
)

_TORONTO = ("https://www.cs.toronto.edu/~kriz", "https://cave.cs.toronto.edu/kriz")
_TINY_IMAGES = (
    "Krizhevsky: Learning Multiple Layers of Features from Tiny Images. Technical report,"
    " University of Toronto, 2009"
)

CIFAR10 = SetEntry(
    name="cifar10",
    title="Animals and vehicles, 32 px",
    archives=(
        archive_of(
            "cifar-10-binary.tar.gz",
            _TORONTO,
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
    layout="cifar",
    counts={"train": 50_000, "test": 10_000},
    classes=10,
    room=430 * MB,
    licence="not stated",
    citation=_TINY_IMAGES,
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
)

CIFAR100 = SetEntry(
    name="cifar100",
    title="A hundred kinds of things, 32 px",
    archives=(
        archive_of(
            "cifar-100-binary.tar.gz",
            _TORONTO,
            168_513_733,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ),
    ),
    layout="cifar",
    counts={"train": 50_000, "test": 10_000},
    classes=100,
    room=430 * MB,
    licence="not stated",
    citation=_TINY_IMAGES,
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
)

_HOUSE_NUMBERS = ("http://ufldl.stanford.edu/housenumbers",)

SVHN = SetEntry(
    name="svhn",
    title="House numbers, single digits, 32 px",
    archives=(
        archive_of(
            "train_32x32.mat",
            _HOUSE_NUMBERS,
            182_040_794,
            "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        ),
        archive_of(
            "test_32x32.mat",
            _HOUSE_NUMBERS,
            64_275_384,
            "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        ),
    ),
    layout="svhn",
    counts={"train": 73_257, "test": 26_032},
    classes=10,
    room=410 * MB,
    licence="non-commercial use",
    citation="Netzer et al.: Reading Digits in Natural Images with Unsupervised Feature Learning."
    " NIPS workshop, 2011",
    homepage="http://ufldl.stanford.edu/housenumbers",
    notes=("the 531,131 pictures of its part extra are left out",),
)

STL10 = SetEntry(
    name="stl10",
    title="Animals and vehicles, 96 px",
    archives=(
        archive_of(
            "stl10_binary.tar.gz",
            ("http://ai.stanford.edu/~acoates/stl10", "https://cs.stanford.edu/~acoates/stl10"),
            2_640_397_119,
            "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
        ),
    ),
    layout="stl",
    counts={"train": 5_000, "test": 8_000},
    classes=10,
    room=700 * MB,
    licence="not stated",
    citation="Coates, Lee, Ng: An Analysis of Single Layer Networks in Unsupervised Feature"
    " Learning. AISTATS, 2011",
    homepage="https://cs.stanford.edu/~acoates/stl10",
    notes=("its 100,000 pictures without labels are left out",),
)

DIGITS = SetEntry(
    name="digits",
    title="Handwritten digits, grey, 8 px",
    archives=(),
    layout="digits",
    counts={"": 1_797},
    classes=10,
    room=8 * MB,
    licence="CC BY 4.0",
    citation="Alpaydin, Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning"
    " Repository, 1998",
    homepage="https://archive.ics.uci.edu/dataset/80",
    notes=("it comes with scikit-learn: nothing is fetched",),
)
