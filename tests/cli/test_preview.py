"""``imgtrain data preview``: a sheet from a folder, a manifest or a known set."""

import numpy as np
import pytest
from PIL import Image


def _folder(root, names=("cat", "dog"), count=6, size=(90, 70)):
    for k, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng(10 * k + i).integers(0, 256, (*size[::-1], 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i}.png")
    return root


def test_digits(imgtrain, tmp_path):
    """Without any data: stdout is the path alone; as many rows and columns as asked for."""
    code, out, err = imgtrain("data", "preview", "--pictures", "3", "--views", "2")

    assert (code, out) == (0, "sheet.png\n")
    assert "3 training pictures of digits, 2 views each, policy auto by torchvision" in err
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == (3 * 134 + 6, 3 * 153 + 6)


@pytest.mark.parametrize("library", ["torchvision", "albumentations"])
def test_a_folder_and_a_manifest(imgtrain, tmp_path, library):
    """Both ways to name pictures, any class names, any policy, the same sheet each time."""
    root = _folder(tmp_path / "photos", names=("<b>", "猫"))
    rows = [f"photos/{p.parent.name}/{p.name},{p.parent.name}" for p in sorted(root.glob("*/*"))]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    policy = ("--augmentation-policy", "heavy", "--augmentation-library", library)
    first = imgtrain(
        "data", "preview", "-d", "photos", "-o", "a.png", *policy, "--image-size", "64"
    )
    again = imgtrain(
        "data", "preview", "-d", "photos", "-o", "b.png", *policy, "--image-size", "64"
    )
    listed = imgtrain("data", "preview", "-d", "list.csv", "-o", "c/d.png", "--image-size", "64")

    assert (first.code, again.code, listed.code) == (0, 0, 0), first.err + listed.err
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "c/d.png").exists()


def test_unreadable_pictures_are_named_and_left_out(imgtrain, tmp_path):
    """A broken file is no row; if all are broken, exit code 3."""
    root = _folder(tmp_path / "photos")
    for path in (root / "cat").iterdir():
        path.write_bytes(b"no picture")
    some = imgtrain("data", "preview", "-d", "photos", "--split-ratio", "1,0,0")
    for path in (root / "dog").iterdir():
        path.write_bytes(b"no picture")
    none = imgtrain("data", "preview", "-d", "photos", "--split-ratio", "1,0,0")

    assert some.code == 0
    assert "cannot read cat/" in some.err
    assert "6 training pictures" in some.err
    assert none.code == 3


def test_a_sheet_has_an_end(imgtrain, tmp_path):
    """More than would fit into memory is refused before anything is read."""
    ended = imgtrain("data", "preview", "--pictures", "200", "--views", "50", "-d", "nowhere")

    assert ended.code == 2
    assert "200 pictures and 50 views of each are 10,200 cells" in ended.err
    assert not (tmp_path / "sheet.png").exists()


def test_a_wrong_operation_is_an_error_of_settings(imgtrain):
    """The same check as before training: exit code 2, the nearest name, no sheet."""
    ended = imgtrain(
        *("data", "preview", "--augmentation-policy", "custom"),
        *("--set", "augment.custom=[{name: rotat}]"),
    )

    assert ended.code == 2
    assert "did you mean 'rotate'" in ended.err


def test_mixed_pictures_have_a_row_of_their_own(imgtrain, tmp_path):
    """With mixup or cutmix on, one row more; each of its pictures is a blend of two views."""
    plain = imgtrain("data", "preview", "--pictures", "2", "--views", "3", "-o", "a.png")
    mixed = imgtrain(
        *("data", "preview", "--pictures", "2", "--views", "3", "-o", "b.png"),
        *("--mixup-alpha", "1", "--cutmix-alpha", "1"),
    )
    with Image.open(tmp_path / "a.png") as a, Image.open(tmp_path / "b.png") as b:
        above, below = np.asarray(a), np.asarray(b)

    assert (plain.code, mixed.code) == (0, 0), mixed.err
    assert len(below) - len(above) == 153
    assert np.array_equal(below[: len(above)], above)
    assert below[len(above) :].min() < 100
