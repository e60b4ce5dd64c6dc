"""Subsets, copies in two parts, balance and mixing: as typed on the command line."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, make_folder
from PIL import Image, ImageFilter


def _train(imgtrain, data, *more):
    ran = imgtrain("train", "--data", data, *TINY, "--epochs", "1", "--fresh", "--json", *more)
    assert ran.code == 0, ran.err
    return ran


def _rows(ran, name):
    with (Path(ran.json["run"]) / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _part(ran, part):
    return {row["path"] for row in _rows(ran, "splits.csv") if row["part"] == part}


def scene(seed, size=96):
    """A picture with structure at all scales, unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size, 3))
    for cells in (4, 8, 16, 48):
        coarse = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        total += np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))
    return Image.fromarray((total / 4).astype(np.uint8)).filter(ImageFilter.SHARPEN)


@pytest.fixture
def parted(tmp_path):
    """Photos in train and test of two classes, all different."""
    root = tmp_path / "parted"
    seed = 0
    for part, number in (("train", 14), ("test", 6)):
        for name in ("a", "b"):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(number):
                scene(seed).save(folder / f"{i:02d}.png")
                seed += 1
    return root


def test_a_subset_is_stratified_saved_and_the_same_again(imgtrain, tmp_path):
    """A fifth of each class, one at least; the rest is unused; val and test stay; it nests."""
    data = make_folder(tmp_path / "d", {"many": 40, "some": 20, "few": 5}, size=32)
    whole = _train(imgtrain, data)
    fifth = _train(imgtrain, data, "--subset", "0.2")
    again = _train(imgtrain, data, "--subset", "0.2", "--seed", "7")
    half = _train(imgtrain, data, "--subset", "0.5")

    kept = _part(fifth, "train")
    counts = {name: sum(path.startswith(name) for path in kept) for name in ("many", "some", "few")}
    assert counts == {"many": 6, "some": 3, "few": 1}
    assert _part(fifth, "unused") == _part(whole, "train") - kept
    assert _part(fifth, "test") == _part(whole, "test")
    assert _part(fifth, "val") == _part(whole, "val")
    assert _part(again, "train") == kept
    assert kept < _part(half, "train")


def test_copies_in_two_parts_are_told(imgtrain, parted):
    """Equal bytes, and a mirrored JPEG of half the size: both are named in leaks.csv."""
    shutil.copy(parted / "test" / "a" / "00.png", parted / "train" / "a" / "copy.png")
    twin = Image.open(parted / "test" / "b" / "01.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    twin.resize((48, 48), Image.Resampling.LANCZOS).save(parted / "train" / "a" / "twin.jpg")
    ran = _train(imgtrain, parted, "--split-ratio", "0.8,0,0.2")

    assert "2 pictures of test in train" in ran.words
    clusters = {}
    for row in _rows(ran, "leaks.csv"):
        clusters.setdefault(row["cluster"], set()).add((row["path"], row["part"], row["label"]))
    assert sorted(map(sorted, clusters.values())) == [
        [("test/a/00.png", "test", "a"), ("train/a/copy.png", "train", "a")],
        [("test/b/01.png", "test", "b"), ("train/a/twin.jpg", "train", "a")],
    ]


def test_copies_can_be_refused_or_left_out(imgtrain, parted):
    """Error is exit code 3 with the way out; fix trains without the copy; off does not look."""
    shutil.copy(parted / "test" / "a" / "00.png", parted / "train" / "a" / "copy.png")
    refused = imgtrain("train", "--data", parted, *TINY, "--on-leak", "error")
    assert refused.code == 3
    assert "--on-leak fix" in refused.words
    assert "train/a/copy.png" in refused.words

    fixed = _train(imgtrain, parted, "--on-leak", "fix")
    assert _part(fixed, "unused") == {"train/a/copy.png"}
    assert "test/a/00.png" in _part(fixed, "test")

    silent = _train(imgtrain, parted, "--on-leak", "off")
    assert "two parts" not in silent.words


def test_different_pictures_are_no_copies(imgtrain, parted):
    """Nothing is said, and there is no leaks.csv."""
    ran = _train(imgtrain, parted)
    assert "two parts" not in ran.words
    with pytest.raises(FileNotFoundError):
        _rows(ran, "leaks.csv")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--balance-strategy", "weights"], 52),
        (["--balance-strategy", "focal"], 52),
        (["--balance-strategy", "oversample"], 3 * 32),
        (["--balance-strategy", "undersample"], 3 * 3),
        (["--balance-strategy", "batch"], 52),
        (["--auto-weights", "--weighting", "effective"], 52),
        (["--class-weights", "few=5", "--mixup-alpha", "0.2", "--cutmix-alpha", "1"], 52),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_every_way_of_balancing_trains(imgtrain, tmp_path, arguments, shown):
    """An epoch shows as many pictures as documented (a last batch of one is left out)."""
    data = make_folder(tmp_path / "d", {"many": 40, "some": 20, "few": 5}, size=32)
    ran = _train(imgtrain, data, *arguments)
    row = _rows(ran, "history.csv")[0]

    counts = [sum(p.startswith(name) for p in _part(ran, "train")) for name in ("many", "few")]
    assert counts == [32, 3]
    assert int(row["step"]) == shown // 8 + (shown % 8 > 1)
    assert 0 < float(row["train_loss"]) < 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--auto-weights", "--balance-strategy", "oversample"],
            "--auto-weights and --balance-strategy oversample both even out the classes",
        ),
        (["--class-weights", "1,2"], "--class-weights has 2 numbers, the data has 3 classes"),
        (["--class-weights", "lef=2"], "'lef', which is no class; did you mean 'left'?"),
        (["--augmentation-policy", "custom"], "--augmentation-policy custom has no operations"),
        (
            ["--augmentation-policy", "custom", "--custom", "[{name: rotat}]"],
            "'rotat', which torchvision does not have here; did you mean 'rotate'?",
        ),
        (["--subset", "0"], "data.subset = '0' (flag --subset) must be"),
    ],
)
def test_contradictions_are_refused(imgtrain, photos, arguments, words):
    """One sentence, exit code 2, no run."""
    ran = imgtrain("train", "--data", photos, *TINY, *arguments)
    assert ran.code == 2
    assert words in ran.words


def test_unreadable_pictures_are_copied_aside(imgtrain, tmp_path):
    """--on-bad-image quarantine: bytes and reasons in the run, the data folder untouched."""
    data = make_folder(tmp_path / "d", {"left": 20, "right": 20}, size=32)
    (data / "left" / "003.png").write_bytes(b"no picture")
    ran = _train(imgtrain, data, "--on-bad-image", "quarantine")

    (row,) = _rows(ran, "quarantine/manifest.csv")
    assert row["path"] == "left/003.png"
    assert "no picture" in row["reason"]
    copy = Path(ran.json["run"]) / "quarantine" / row["copy"]
    assert copy.read_bytes() == (data / "left" / "003.png").read_bytes() == b"no picture"
    assert [r["path"] for r in _rows(ran, "bad_images.csv")] == ["left/003.png"]
