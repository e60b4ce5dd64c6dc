"""Archives of the true formats with a few pictures, and what they must become."""

import bz2
import gzip
import hashlib
import io
import lzma
import struct
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
from PIL import Image
from scipy.io import savemat

CIFAR10 = [
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
]


def pixels(count, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def labels(count, classes):
    return (np.arange(count) % classes).astype(np.uint8)


def plain(data):
    return data


def gz(data):
    return gzip.compress(data, mtime=0)


def tar_of(files, compress=gz):
    """A tar of ``{name: bytes}``."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return compress(raw.getvalue())


COMPRESSIONS = {"tar": plain, "gz": gz, "bz2": bz2.compress, "xz": lzma.compress}


def zip_of(files):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return raw.getvalue()


def jpeg(seed, size=24):
    raw = io.BytesIO()
    Image.fromarray(pixels(size, size, 3, seed=seed)).save(raw, "JPEG", quality=80)
    return raw.getvalue()


def mat(**arrays):
    raw = io.BytesIO()
    savemat(raw, arrays, do_compression=True)
    return raw.getvalue()


def idx(array):
    """An IDX file: two zeros, the type (8: bytes), the number of dimensions, each big-endian."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gz(head + array.tobytes())


def mnist(train=20, test=10):
    return {
        "train-images-idx3-ubyte.gz": idx(pixels(train, 28, 28)),
        "train-labels-idx1-ubyte.gz": idx(labels(train, 10)),
        "t10k-images-idx3-ubyte.gz": idx(pixels(test, 28, 28, seed=1)),
        "t10k-labels-idx1-ubyte.gz": idx(labels(test, 10)),
    }


def cifar10(per_batch=20, batches=2, compress=gz):
    def batch(seed):
        rows = pixels(per_batch, 3, 32, 32, seed=seed).reshape(per_batch, -1)
        return np.concatenate([labels(per_batch, 10)[:, None], rows], 1).tobytes()

    files = {"batches.meta.txt": "\n".join([*CIFAR10, "", ""]).encode()}
    files |= {f"data_batch_{i}.bin": batch(i) for i in range(1, batches + 1)}
    files |= {"test_batch.bin": batch(0), "readme.html": b"<p>"}
    inside = {f"cifar-10-batches-bin/{name}": data for name, data in files.items()}
    return {"cifar-10-binary.tar.gz": tar_of(inside, compress)}


def cifar100(count=100):
    fine = "\n".join(f"kind_{i:02}" for i in range(100)).encode()
    rows = pixels(count, 3, 32, 32).reshape(count, -1)
    coarse, kinds = np.full((count, 1), 7, np.uint8), labels(count, 100)[:, None]
    raw = np.concatenate([coarse, kinds, rows], 1).tobytes()
    inside = {"train.bin": raw, "test.bin": raw, "fine_label_names.txt": fine}
    inside["coarse_label_names.txt"] = b"a\nb\n"
    return {
        "cifar-100-binary.tar.gz": tar_of({f"cifar-100-binary/{n}": d for n, d in inside.items()})
    }


def svhn(count=12):
    def part(seed):
        digits = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]
        return mat(X=pixels(count, 32, 32, 3, seed=seed).transpose(1, 2, 3, 0), y=digits)

    return {"train_32x32.mat": part(0), "test_32x32.mat": part(1)}


def stl10(count=10):
    def part(seed):
        return pixels(count, 3, 96, 96, seed=seed).tobytes()

    names = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    inside = {
        "class_names.txt": "\n".join(names).encode(),
        "train_X.bin": part(0),
        "train_y.bin": (labels(count, 10) + 1).tobytes(),
        "test_X.bin": part(1),
        "test_y.bin": (labels(count, 10) + 1).tobytes(),
        "unlabeled_X.bin": part(2),
        "fold_indices.txt": b"0 1\n",
    }
    return {"stl10_binary.tar.gz": tar_of({f"stl10_binary/{n}": d for n, d in inside.items()})}


def imagenette(name="imagenette2.tgz", numbers=("n01440764", "n02102040"), top="imagenette2"):
    inside = {
        f"{top}/{part}/{number}/{number}_{i}.JPEG": jpeg(i)
        for part, count in (("train", 3), ("val", 2))
        for number in numbers
        for i in range(count)
    }
    inside[f"{top}/noisy_{top}.csv"] = b"path\n"
    inside[f"{top}/.DS_Store"] = b"x"
    return {name: tar_of(inside)}


def flowers(count=12):
    names = {f"jpg/image_{i:05}.jpg": jpeg(i) for i in range(1, count + 1)}
    return {
        "imagelabels.mat": mat(labels=np.array([[77, 77, 1, 1, 102, 60] * 2], np.uint8)[:, :count]),
        "setid.mat": mat(
            trnid=np.array([[1, 3, 5, 6]], np.uint16),
            valid=np.array([[2, 4]], np.uint16),
            tstid=np.array([[7, 8, 9, 10, 11, 12]], np.uint16),
        ),
        "102flowers.tgz": tar_of(names),
    }


def pets():
    lists = {
        "annotations/trainval.txt": b"Abyssinian_1 1 1 1\namerican_bulldog_2 2 2 1\n",
        "annotations/test.txt": b"Abyssinian_3 1 1 1\namerican_bulldog_10 2 2 1\n",
        "annotations/list.txt": b"#Image CLASS-ID SPECIES BREED ID\n",
        "annotations/._trimaps": b"x",
    }
    names = ["Abyssinian_1", "Abyssinian_3", "american_bulldog_2", "american_bulldog_10"]
    pictures = {f"images/{name}.jpg": jpeg(i) for i, name in enumerate([*names, "Bengal_7"])}
    pictures["images/Abyssinian_100.mat"] = b"x"
    return {"annotations.tar.gz": tar_of(lists), "images.tar.gz": tar_of(pictures)}


def tiny():
    top = "tiny-imagenet-200"
    inside = {
        f"{top}/wnids.txt": b"n01443537\nn02002556\nn99999999\n",
        f"{top}/words.txt": b"n01443537\tgoldfish, Carassius auratus\nn02002556\tcrane\n"
        b"n99999999\tcrane, machine\nn00000001\tentity\n",
        f"{top}/val/val_annotations.txt": b"val_0.JPEG\tn02002556\t0\t32\t44\t62\n"
        b"val_1.JPEG\tn99999999\t0\t0\t1\t1\n",
        f"{top}/val/images/val_0.JPEG": jpeg(50),
        f"{top}/val/images/val_1.JPEG": jpeg(51),
        f"{top}/test/images/test_0.JPEG": jpeg(52),
        f"{top}/train/n01443537/n01443537_boxes.txt": b"n01443537_0.JPEG\t0\t10\t63\t58\n",
    }
    for k, number in enumerate(("n01443537", "n02002556", "n99999999")):
        inside[f"{top}/train/{number}/images/{number}_0.JPEG"] = jpeg(60 + k)
    return {"tiny-imagenet-200.zip": zip_of(inside)}


SYNSETS = (
    (1, "n02119789", "kit fox, Vulpes macrotis", 0),
    (2, "n02012849", "crane", 0),
    (3, "n03126707", "crane", 0),
    (4, "n00001740", "entity", 2),
)


def imagenet():
    """The three archives of ILSVRC 2012, with three classes and a branch above them."""
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    synsets = np.array([[row] for row in SYNSETS], fields)
    kit = {
        "ILSVRC2012_devkit_t12/data/meta.mat": mat(synsets=synsets),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": b"3\n1\n2\n3\n",
        "ILSVRC2012_devkit_t12/readme.txt": b"read me",
    }
    train = {
        f"{number}.tar": tar_of({f"{number}_{i}.JPEG": jpeg(i) for i in range(2)}, plain)
        for _, number, _, children in SYNSETS
        if not children
    }
    val = {f"ILSVRC2012_val_{i:08}.JPEG": jpeg(i) for i in range(1, 5)}
    return {
        "ILSVRC2012_img_train.tar": tar_of(train, plain),
        "ILSVRC2012_img_val.tar": tar_of(val, plain),
        "ILSVRC2012_devkit_t12.tar.gz": tar_of(kit),
    }


def sums(files):
    """A SHA256SUMS file, as sha256sum writes it."""
    return "".join(f"{hashlib.sha256(d).hexdigest()}  {n}\n" for n, d in files.items()).encode()


def retold(entry, files, *bases):
    """The entry, with size and checksum of other files, lying on other servers."""
    archives = tuple(
        replace(
            archive,
            urls=tuple(f"{base}/{archive.name}" for base in bases),
            size=len(files[archive.name]),
            digest=f"sha256:{hashlib.sha256(files[archive.name]).hexdigest()}",
            vouched_by="the test",
        )
        for archive in entry.archives
    )
    return replace(entry, archives=archives)
