"""Training on pictures of many planes, and on classes with names that break others."""

import json
import unicodedata

import numpy as np
import pytest
from conftest import TINY
from PIL import Image


def _planes(label, i):
    """Five planes of 40 x 40, of which one is bright: the class."""
    rng = np.random.default_rng(100 * label + i)
    pixels = rng.integers(0, 90, (5, 40, 40)).astype(np.uint8)
    pixels[2 * label] += 150
    return pixels


def _save_npy(path, planes):
    np.save(path.with_suffix(".npy"), planes.transpose(1, 2, 0))


def _save_tiff(path, planes):
    pages = [Image.fromarray(plane) for plane in planes]
    pages[0].save(path.with_suffix(".tif"), save_all=True, append_images=pages[1:])


@pytest.mark.parametrize("save", [_save_npy, _save_tiff])
def test_five_planes_from_files_to_predictions(imgtrain, tmp_path, save):
    """The model, its statistics and its predictions know all five."""
    for label, name in enumerate(("first", "third", "fifth")):
        (tmp_path / "d" / name).mkdir(parents=True)
        for i in range(20):
            save(tmp_path / "d" / name / f"{i:02d}", _planes(label, i))
    ran = imgtrain(
        "train", "--data", tmp_path / "d", *TINY, "--epochs", "3",
        "--normalize-mean", "auto", "--normalize-std", "auto", "--name", "planes", "--lr", "0.01",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "32 x 32 x 5" in ran.words
    example = next((tmp_path / "d" / "fifth").iterdir())
    ran = imgtrain("predict", example, "--json")
    assert ran.code == 0, ran.err
    assert ran.json[0]["error"] is None


def test_too_few_planes_are_bad_pictures(imgtrain, tmp_path):
    """--channels 5 of colour pictures: each is named with its reason, and nothing is invented."""
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (40, 40)).save(tmp_path / "d" / name / f"{i}.png")
    ran = imgtrain(
        "train", "--data", tmp_path / "d", *TINY, "--epochs", "1", "--channels", "5",
        "--on-bad-image", "error",
    )  # fmt: skip
    assert ran.code == 3, ran.err
    assert "mode RGB has no 5 channels" in ran.words


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
NAMES = [
    "<script>alert(1)</script>", "../x", "\u00ff", "\U0001f600", "n" * 200, "[bold]red[/bold]",
    'a,b"c', "-rf", "CON", " ", "x\x1b[31m",
]  # fmt: skip


def _manifest(tmp_path, names):
    import csv

    folder = tmp_path / "pictures"
    folder.mkdir()
    with (tmp_path / "m.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label"])
        for label, name in enumerate(names):
            for i in range(5):
                pixels = np.random.default_rng(50 * label + i).integers(0, 255, (40, 40, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{label}-{i}.png")
                rows.writerow([f"pictures/{label}-{i}.png", name])
    return tmp_path / "m.csv"


def test_names_that_break_others(imgtrain, tmp_path):
    """From the manifest to the report: kept as they are, escaped where they are shown."""
    names = [name for name in NAMES if name.strip() == name]
    ran = imgtrain(
        "train", "--data", _manifest(tmp_path, names), *TINY, "--epochs", "1", "--name", "odd"
    )
    assert ran.code == 0, ran.err
    assert "\x1b[31m" not in ran.err
    run = tmp_path / "work" / "runs" / "odd"
    classes = json.loads((run / "classes.json").read_text(encoding="utf-8"))
    assert sorted(classes) == sorted(names)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    outside = {path.name for path in tmp_path.iterdir()}
    assert outside == {"pictures", "m.csv", "work"}
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"runs"}
    assert {path.name for path in (tmp_path / "work" / "runs").iterdir()} == {"odd"}


def test_two_spellings_of_one_name(imgtrain, tmp_path):
    """A name composed and decomposed reads the same: never two classes."""
    assert COMPOSED != DECOMPOSED
    for name in (COMPOSED, DECOMPOSED, "tea"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for i in range(8):
            Image.new("RGB", (40, 40), (i, 9, 9)).save(tmp_path / "d" / name / f"{i}.png")
    ran = imgtrain("train", "--data", tmp_path / "d", *TINY, "--epochs", "1")
    if ran.code:  # said, not silently two
        assert ran.code == 3
        assert COMPOSED in unicodedata.normalize("NFC", ran.words)
    else:
        classes = json.loads(next((tmp_path / "work/runs").glob("*/classes.json")).read_text())
        assert classes == [COMPOSED, "tea"]


def _state(folder):
    return {(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_data_are_only_read_and_turned_alike(imgtrain, photos, tmp_path):
    """Training and predicting change nothing in the folder; EXIF counts the same in both."""
    before = _state(photos)
    assert imgtrain("train", "--data", photos, *TINY, "--epochs", "1", "--cache", "disk").code == 0
    upright = Image.open(photos / "left" / "000.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.png", exif=exif)
    turned.save(tmp_path / "lying.png")
    files = (photos / "left" / "000.png", tmp_path / "turned.png", tmp_path / "lying.png")
    ran = imgtrain("predict", *files, "--json")
    one, same, other = ({top["class"]: top["prob"] for top in row["top"]} for row in ran.json)
    assert same == pytest.approx(one, abs=1e-5)
    assert other != pytest.approx(one, abs=1e-5)
    assert _state(photos) == before
