"""``imgtrain data download`` and ``imgtrain data prepare`` as their users see them."""

import json
import os

import little_sets as little
import pytest

from imgtrain import console
from imgtrain.cli import run
from imgtrain.fetching.catalogue import CATALOGUE
from imgtrain.fetching.sets import sets_folder


@pytest.fixture
def imgtrain(tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder: exit code, stdout, stderr on one line."""
    for name in [n for n in os.environ if n.startswith("IMGTRAIN_") and n != "IMGTRAIN_CACHE"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*argv):
        code = run([str(a) for a in argv])
        out, err = capsys.readouterr()
        return code, out, " ".join(err.split())

    yield call
    console.set_verbosity(0)


@pytest.fixture
def mirror(site):
    """A server that has a little CIFAR-10 and vouches for it."""
    files = little.cifar10()
    site.publish(files | {"SHA256SUMS": little.sums(files)}, "/sets/cifar10")
    return f"{site.url}/sets"


def test_it_prints_the_folder(imgtrain, mirror):
    """The path alone on stdout; the rest on stderr, with the checksum that counted."""
    code, out, err = imgtrain("data", "download", "cifar10", "--mirror", f"{mirror}/")
    assert (code, out) == (0, f"{sets_folder() / 'cifar10'}\n")
    assert "SHA256SUMS, not against its publisher" in err
    assert "cifar10: 40 train, 20 test, 10 classes" in err
    assert "warning: cifar10 was published with 50,000 train, 10,000 test, 10 classes" in err
    assert "now: imgtrain train --data cifar10" in err


def test_a_second_time_it_says_so(imgtrain, mirror, site):
    """Nothing is asked; exit code 0, and the same path."""
    imgtrain("data", "download", "cifar10", "--mirror", mirror, "-q")
    asked = len(site.asked)
    code, out, err = imgtrain("data", "download", "cifar10", "--json")
    assert (code, json.loads(out)["path"]) == (0, str(sets_folder() / "cifar10"))
    assert "cifar10 is here already" in err
    assert len(site.asked) == asked


def test_the_mirror_may_be_a_variable(imgtrain, mirror, monkeypatch, tmp_path):
    """IMGTRAIN_DATA__MIRROR is the setting; a quiet command still says whose sum counted."""
    monkeypatch.setenv("IMGTRAIN_DATA__MIRROR", mirror)
    code, out, err = imgtrain("data", "download", "cifar10", "--output", "here", "-q")
    assert (code, out) == (0, "here/cifar10\n")
    assert err.count("warning:") == 2
    assert (tmp_path / "here" / "cifar10" / "train").is_dir()


def test_the_list(imgtrain, mirror):
    """Every set with its size, and which are here."""
    imgtrain("data", "download", "cifar10", "--mirror", mirror)
    code, out, _ = imgtrain("data", "download", "--list")
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert code == 0
    assert list(rows) == list(CATALOGUE)
    assert rows["cifar10"].split()[1:6] == ["170", "MB", "10", "60,000", "yes"]
    assert rows["mnist"].split()[1:6] == ["12", "MB", "10", "70,000", "Handwritten"]
    assert "MIT" in rows["fashion-mnist"]


def test_the_list_for_programs(imgtrain):
    """Sources, sizes, checksums and who vouches, licence and citation."""
    code, out, _ = imgtrain("data", "download", "--list", "--json")
    found = {entry["name"]: entry for entry in json.loads(out)}
    assert code == 0
    assert list(found) == list(CATALOGUE)
    assert found["svhn"]["path"] is None
    assert found["svhn"]["pictures"] == {"train": 73257, "test": 26032}
    assert found["svhn"]["archives"][1] == {
        "name": "test_32x32.mat",
        "bytes": 64275384,
        "checksum": "sha256:cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        "vouched_by": "TensorFlow Datasets",
        "urls": ["http://ufldl.stanford.edu/housenumbers/test_32x32.mat"],
    }


def test_one_set_in_full(imgtrain):
    """``--list NAME`` shows sources, checksums, licence, citation and notes."""
    code, out, _ = imgtrain("data", "download", "stl10", "--list")
    assert code == 0
    for word in ("Coates, Lee, Ng", "sha256:f31fd992", "2.64 GB", "http://ai.stanford.edu", "note"):
        assert word in out


MISTAKES = {
    ("download",): (2, "data download needs the name of a set"),
    ("download", "cifr10"): (2, "there is no known set 'cifr10'; did you mean 'cifar10'?"),
    ("download", "../x"): (2, "there is no known set '../x'"),
    ("download", "imagenet"): (2, "imgtrain data prepare imagenet --archives DIR"),
    ("download", "cifar10", "--offline"): (4, "nothing may be fetched (hardware.offline)"),
    ("download", "cifar10", "--mirror", "files.local"): (2, "is no address of a server"),
    ("download", "digits", "--output", "/proc/nowhere"): (8, "cannot write /proc/nowhere"),
    ("download", "mnist", "--list", "x"): (2, "unexpected extra argument"),
    ("prepare",): (0, ""),
    ("prepare", "imagenet"): (2, "--archives"),
    ("prepare", "imagenett"): (2, "did you mean 'imagenet'?"),
    ("prepare", "imagenet", "--archives", "."): (3, "ILSVRC2012_img_train.tar is not in ."),
}


@pytest.mark.parametrize("argv", MISTAKES, ids=" ".join)
def test_mistakes_are_one_message(imgtrain, argv):
    """The exit code of their kind, and the way out."""
    code, _, err = imgtrain("data", *argv)
    assert (code, "Traceback" in err) == (MISTAKES[argv][0], False)
    assert MISTAKES[argv][1] in err
