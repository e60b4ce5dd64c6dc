"""ImageNet from its archives: a tar of tars, and a list of labels."""

import hashlib
import json
import os

import little_sets as little
import pytest

from imgtrain.cli import run
from imgtrain.errors import DataError
from imgtrain.fetching.entry import Archive
from imgtrain.fetching.imagenet import TRAIN, VAL, _checked, prepare


@pytest.fixture
def archives(tmp_path):
    """A folder with the three archives."""
    folder = tmp_path / "archives"
    folder.mkdir()
    for name, data in little.imagenet().items():
        (folder / name).write_bytes(data)
    return folder


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.JPEG"))
    }


def test_train_and_val_by_class(archives, tmp_path):
    """The same JPEG files; WordNet's number first, so that the order is ImageNet's."""
    folder = prepare(archives, tmp_path / "sets", verify=False)
    fox, bird, machine = "n02119789_kit_fox", "n02012849_crane", "n03126707_crane"

    assert tree(folder) == {
        **{f"train/{name}/{name[:9]}_{i}.JPEG": little.jpeg(i)
           for name in (fox, bird, machine) for i in range(2)},
        f"val/{machine}/ILSVRC2012_val_00000001.JPEG": little.jpeg(1),
        f"val/{fox}/ILSVRC2012_val_00000002.JPEG": little.jpeg(2),
        f"val/{bird}/ILSVRC2012_val_00000003.JPEG": little.jpeg(3),
        f"val/{machine}/ILSVRC2012_val_00000004.JPEG": little.jpeg(4),
    }  # fmt: skip
    assert json.loads((folder / "dataset.json").read_text())["pictures"] == {"train": 6, "val": 4}
    assert [p.name for p in folder.parent.iterdir()] == ["imagenet"]
    assert sorted(p.name for p in archives.iterdir()) == sorted(little.imagenet())


def test_it_goes_on_with_the_next_class(archives, tmp_path):
    """A cut archive leaves the classes before the cut, which are not written again."""
    whole = (archives / TRAIN.name).read_bytes()
    (archives / TRAIN.name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut or damaged"):
        prepare(archives, tmp_path / "sets", verify=False)
    train = tmp_path / "sets" / ".imagenet.unpacking" / "imagenet" / "train"
    done = {p.name: p.stat().st_ino for p in train.glob("n*")}
    (archives / TRAIN.name).write_bytes(whole)
    folder = prepare(archives, tmp_path / "sets", verify=False)

    assert sorted(done) == ["n02012849_crane", "n02119789_kit_fox"]
    assert {n: (folder / "train" / n).stat().st_ino for n in done} == done
    assert len(tree(folder)) == 10


@pytest.mark.parametrize("name", [TRAIN.name, VAL.name])
def test_an_incomplete_archive_is_no_set(archives, tmp_path, name):
    """Classes or pictures that are missing are counted, even where the archive ends well."""
    short = {"n02119789.tar": little.tar_of({"a.JPEG": b"1"}, little.plain)}
    if name == VAL.name:
        short = {"ILSVRC2012_val_00000001.JPEG": b"1"}
    (archives / name).write_bytes(little.tar_of(short, little.plain))
    with pytest.raises(DataError, match=r"it holds 1 of (3 classes|4 pictures)"):
        prepare(archives, tmp_path / "sets", verify=False)
    assert not (tmp_path / "sets" / "imagenet").exists()


def test_checksums_are_those_that_were_published(archives, tmp_path, capsys):
    """Another archive is refused, with both checksums and the way round."""
    found = hashlib.md5((archives / TRAIN.name).read_bytes()).hexdigest()  # noqa: S324  # published so
    code = run(["data", "prepare", "imagenet", "--archives", str(archives), "-o", str(tmp_path)])
    err = " ".join(capsys.readouterr().err.split())
    assert code == 3
    assert f"got md5:{found}, expected md5:1d675b47d978889d74fa0da5fadfb00e" in err
    assert "--no-verify" in err


def test_a_checksum_is_computed_once(tmp_path):
    """As long as size and time of change stay: 138 GB take minutes to read."""
    path = tmp_path / "a.tar"
    path.write_bytes(b"right")
    digest = f"md5:{hashlib.md5(b'right').hexdigest()}"  # noqa: S324  # published so
    archive = Archive("a.tar", (), 5, digest, "the test")
    first = _checked(archive, path, tmp_path, verify=True)
    before = path.stat().st_mtime_ns
    path.write_bytes(b"wrong")
    os.utime(path, ns=(before, before))

    assert _checked(archive, path, tmp_path, verify=True) == first
    os.utime(path, ns=(before, before + 1))
    with pytest.raises(DataError, match="damaged or another file"):
        _checked(archive, path, tmp_path, verify=True)


def test_the_command_prints_the_folder(archives, tmp_path, capsys):
    """And says so when it is there already."""
    argv = ["data", "prepare", "imagenet", "--archives", str(archives), "--no-verify"]
    argv += ["--output", str(tmp_path / "sets"), "--json"]
    assert [run(argv), run(argv)] == [0, 0]
    out, err = capsys.readouterr()
    expected = {"name": "imagenet", "path": str(tmp_path / "sets" / "imagenet")}
    assert [json.loads(line) for line in out.splitlines()] == [expected, expected]
    assert "imagenet is here already" in err
