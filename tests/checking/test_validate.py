"""``imgtrain data validate`` as its users meet it."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from scenes import encoded, scene
from trees import snapshot

HOSTILE = ("<script>alert(1)<", "a\" onmouseover='x", "ÿ", "😀", "x" * 200)


@pytest.fixture
def spoilt(folder, photos):
    """A leak, a file that is cut, one that is named wrongly, and one with a palette."""
    shutil.copy(folder / "train/cat/0.jpg", folder / "test/cat/again.jpg")
    (folder / "train/cat/cut.jpg").write_bytes(photos[20][:1500])
    (folder / "train/dog/odd.jpg").write_bytes(encoded(scene(70).convert("P"), "PNG"))
    return folder


def test_a_whole_set_passes(folder, imgtrain):
    """Exit code 0 even with --fail-on warning, one line, nothing on stdout."""
    ended = imgtrain("data", "validate", folder, "--fail-on", "warning")

    assert ended == (
        0,
        "",
        "16 files, 16 pictures in 2 classes: 0 errors, 0 warnings and 0 remarks\n",
    )


def test_findings_are_a_table(spoilt, imgtrain):
    """One row a kind, the worst first, with an example; exit code 3."""
    ended = imgtrain("data", "validate", spoilt)

    assert ended.code == 3
    rows = re.findall(r"^ (error|warning|info) +(\d+) +([\w-]+) ", ended.err, re.MULTILINE)
    assert rows == [
        ("error", "1", "truncated"),
        ("error", "1", "leak"),
        ("warning", "1", "wrong-extension"),
        ("info", "1", "mode"),
    ]
    assert "test/cat/again.jpg = train/cat/0.jpg: in train and test; the same bytes" in " ".join(
        ended.err.split()
    )
    assert "has 2 errors (--fail-on error)" in ended.err


@pytest.mark.parametrize(("gate", "code"), [("error", 0), ("warning", 3)])
def test_the_gate_is_a_severity(folder, imgtrain, gate, code):
    """Warnings fail only where they are asked to."""
    shutil.copy(folder / "train/cat/0.jpg", folder / "train/cat/again.jpg")

    assert imgtrain("data", "validate", folder, "--fail-on", gate).code == code


def test_json_has_every_finding(spoilt, imgtrain):
    """The whole of it is on stdout, and nothing else."""
    ended = imgtrain("data", "validate", spoilt, "--json")

    assert json.loads(ended.out) == {
        "format": 1,
        "root": str(spoilt),
        "files": 19,
        "pictures": 18,
        "classes": {"cat": {"train": 5, "test": 4}, "dog": {"train": 6, "test": 3}},
        "counts": {"truncated": 1, "leak": 1, "wrong-extension": 1, "mode": 1},
        "findings": [
            {
                "code": "truncated",
                "severity": "error",
                "files": ["train/cat/cut.jpg"],
                "detail": json.loads(ended.out)["findings"][0]["detail"],
            },
            {
                "code": "leak",
                "severity": "error",
                "files": ["test/cat/again.jpg", "train/cat/0.jpg"],
                "detail": "in train and test; the same bytes",
            },
            {
                "code": "wrong-extension",
                "severity": "warning",
                "files": ["train/dog/odd.jpg"],
                "detail": "it is PNG",
            },
            {"code": "mode", "severity": "info", "files": ["train/dog/odd.jpg"], "detail": "P"},
        ],
    }


def test_nothing_is_written_into_the_data(spoilt, imgtrain, tmp_path):
    """Not even the page."""
    before = snapshot(spoilt)

    imgtrain("data", "validate", spoilt, "--html", tmp_path / "page.html")
    ended = imgtrain("data", "validate", spoilt, "--html", spoilt / "page.html")

    assert ended.code == 2
    assert "lies in the data folder" in ended.err
    assert snapshot(spoilt) == before


def test_the_page_holds_all_that_it_shows(spoilt, imgtrain, tmp_path):
    """Thumbnails of what can be shown, no address of anything else, no script."""
    imgtrain("data", "validate", spoilt, "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()

    assert re.findall(r'<section id="([\w-]+)"', page) == [
        *("classes", "truncated", "leak", "wrong-extension", "mode")
    ]
    assert page.count("data:image/jpeg;base64,") == 4
    assert page.count('class="missing"') == 1
    assert not re.search(r"https?:|<script|\{\{", page)


def test_hostile_names_are_text(folder, photos, imgtrain, tmp_path):
    """On the page, in the table, in JSON."""
    for number, name in enumerate(HOSTILE):
        (folder / "train" / name).mkdir()
        (folder / "train" / name / "cut.jpg").write_bytes(photos[number][:300])
        (folder / "train" / name / "whole.jpg").write_bytes(photos[19 + number])
    page = tmp_path / "page.html"

    found = json.loads(imgtrain("data", "validate", folder, "--json", "--html", page).out)

    assert {f["files"][0] for f in found["findings"] if f["code"] == "truncated"} == {
        f"train/{name}/cut.jpg" for name in HOSTILE
    }
    assert set(HOSTILE) < found["classes"].keys()
    text = page.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/cut.jpg" in text
    assert 'a" on' not in text


def test_rows_of_a_manifest_are_meant_as_pictures(folder, imgtrain):
    """Whatever their names: training reads them; and nobody is sent to clean, which moves none."""
    (folder / "notes").write_text("hello")
    table = folder / "all.csv"
    table.write_text("path,label\ntrain/cat/0.jpg,cat\nnotes,dog\n")

    ended = imgtrain("data", "validate", table, "--json")

    assert ended.code == 3
    assert json.loads(ended.out)["counts"] == {"not-a-picture": 1}
    assert "data clean" not in ended.err


def test_large_files_are_not_read(folder, imgtrain):
    """Neither films that lie about nor what is too large for a picture (sparse, 4 TB each)."""
    for name in ("film.mp4", "sparse.jpg"):
        with (folder / "train/cat" / name).open("wb") as file:
            file.truncate(2**42)

    found = json.loads(imgtrain("data", "validate", folder, "--json").out)["findings"]

    assert [(f["code"], f["files"]) for f in found] == [
        ("too-large", ["train/cat/sparse.jpg"]),
        ("other-file", ["train/cat/film.mp4"]),
        ("note", []),
    ]


def test_a_picture_under_another_name_is_found_whatever_its_size(folder, imgtrain):
    """A look at the beginning is enough to tell that the rest is worth one."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(noise).save(folder / "train/cat/noise.dat", "PNG")
    assert (folder / "train/cat/noise.dat").stat().st_size > 2**17

    found = json.loads(imgtrain("data", "validate", folder, "--json").out)

    assert found["counts"] == {"wrong-extension": 1, "note": 1}


def test_a_pipe_is_not_waited_for(folder, imgtrain):
    """It is told like a link that leads nowhere."""
    os.mkfifo(folder / "train/cat/pipe.jpg")

    found = json.loads(imgtrain("data", "validate", folder, "--json").out)["findings"]

    assert [(f["files"], f["detail"]) for f in found if f["code"] == "broken-link"] == [
        (["train/cat/pipe.jpg"], "a pipe, a device or the like")
    ]


def test_limits_are_options(folder, imgtrain):
    """Each moves what is reported."""
    found = imgtrain(
        *("data", "validate", folder, "--json", "--min-side", 91, "--max-aspect", 1.2),
        *("--bright", 0, "--max-imbalance", 1),
    )

    counts = json.loads(found.out)["counts"]
    assert counts == {"too-small": 16, "odd-aspect": 16, "bright": 16}


def test_digits_can_be_looked_at(imgtrain):
    """A known set without files: too small for the usual limit, and nothing worse."""
    found = json.loads(imgtrain("data", "validate", "digits", "--json").out)

    assert found["pictures"] == 1797
    assert found["counts"].get("leak", 0) == 0


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["nowhere"], 3, "there is no folder, manifest or known set 'nowhere'"),
        ([""], 2, "PATH is empty"),
        (["digits", "--fail-on", "never"], 2, "--fail-on never is none of error, warning"),
        (["digits", "--group-by", "["], 2, "is neither a column nor a regular expression"),
    ],
)
def test_mistakes_are_told(imgtrain, argv, code, text):
    """In a sentence, with the exit code of their kind."""
    ended = imgtrain("data", "validate", *argv)

    assert (ended.code, text in ended.err) == (code, True)
