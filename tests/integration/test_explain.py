"""``imgtrain explain`` and ``imgtrain report --explain``: a small training, other models."""

import csv
import io
import json
import re

import numpy as np
import pytest
from conftest import TINY, Ran, draw, make_folder
from PIL import Image
from test_ensembles import make_classical, make_run, recipe

from imgtrain import console
from imgtrain.cli import run as run_cli
from imgtrain.ensemble_file import write_ensemble
from imgtrain.explain.of_run import OfRun
from imgtrain.report.gallery import reader_of

CLASSES = ["<b>left & right", "middle", "right"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """``runs/first``, trained for an epoch; a ViT, a classical model and two as one; pictures."""
    place = tmp_path_factory.mktemp("explained")
    photos = make_folder(place / "photos", dict.fromkeys(CLASSES, 16), size=40)
    (photos / CLASSES[0] / "000.png").rename(photos / CLASSES[0] / '"><img src=x>.png')
    runs = place / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("IMGTRAIN_CACHE", str(place / "cache"))
        split = ["--split-ratio", "0.4,0.2,0.4", "--epochs", "1", "--name", "first"]
        assert run_cli(["train", "-q", "--data", str(photos), *TINY, *split]) == 0
    console.set_verbosity(0)
    make_run(runs / "vit", recipe(model="test_vit", size=64), seed=4)
    make_classical(runs / "neighbours")
    make_run(runs / "cv" / "fold_1", recipe(), seed=6)
    make_run(runs / "cv" / "fold_2", recipe(), seed=7)
    write_ensemble(runs / "cv", "mean", [("fold_1", 1), ("fold_2", 1)])
    (runs / "cv" / "status.json").write_text('{"format": 1, "state": "finished", "kind": "cv"}')
    for label, name in enumerate("abc"):
        draw(label, 90 + label).save(place / f"{name}.png")
    (place / "broken.png").write_text("no picture")
    return place


@pytest.fixture
def command(place, monkeypatch, capfd):
    """Run a command line where the runs are."""
    monkeypatch.chdir(place)

    def run(*arguments):
        capfd.readouterr()
        code = run_cli([str(a) for a in arguments])
        return Ran(code, *capfd.readouterr())

    return run


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def mistakes_of(run, part="test"):
    """Wrong answers, the surest first."""
    wrong = [row for row in table(run / f"predictions_{part}.csv") if row["label"] != row["pred"]]
    return [row["path"] for row in sorted(wrong, key=lambda row: -float(row["prob"]))]


def doubted_of(run, part="test"):
    """Right answers, the least sure first, as the page shows them."""
    right = [row for row in table(run / f"predictions_{part}.csv") if row["label"] == row["pred"]]
    order = sorted(right, key=lambda row: float(row["prob"]))
    return [row["path"] for row in order[:12]] if order and float(order[0]["prob"]) <= 0.9 else []


def test_mistakes_of_a_run(place, command):
    """The surest first, as predict sees them; table, overlays and page say the same, escaped."""
    run = place / "runs" / "first"
    wrong = mistakes_of(run)

    ran = command("explain", "--errors", "first", "--count", len(wrong) - 1, "--json")

    assert ran.code == 0, ran.err
    assert len(wrong) > 3
    assert [row["path"] for row in ran.json] == wrong[:-1]
    predicted = command(
        "predict", *(place / "photos" / path for path in wrong[:-1]), "--run", "first", "--json"
    ).json
    for row, alone in zip(ran.json, predicted, strict=True):
        assert (row["pred"], row["prob"]) == (alone["pred"], alone["prob"])
        assert (row["true"], row["class"]) == (row["path"].split("/")[0], row["pred"])
        assert (row["method"], row["layer"], row["error"]) == ("gradcam", "layer4", None)
    listed = table(run / "explain" / "overlays.csv")
    assert list(listed[0]) == ["path", "class", "method", "layer", "file"]
    assert [f"runs/first/explain/{row['file']}" for row in listed] == [
        row["file"] for row in ran.json
    ]
    for number, row in enumerate(listed, start=1):
        assert re.fullmatch(rf"{number:03d}_[A-Za-z0-9-]+\.jpg", row["file"])
        overlay = (run / "explain" / row["file"]).read_bytes()
        assert Image.open(io.BytesIO(overlay)).size == (160, 160)
    page = (run / "explain" / "explain.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 2 * len(listed)
    assert "<b>left & right" not in page
    assert "<img src=x>" not in page
    assert "&lt;b&gt;left &amp; right" in page


def test_least_sure_and_the_other_part(place, command):
    """Right or wrong, the lowest probability first; the validation part has its own."""
    run = place / "runs" / "first"
    doubts = sorted(table(run / "predictions_val.csv"), key=lambda row: float(row["prob"]))

    ran = command("explain", "--errors", run, "--least-sure", "--part", "val", "--count", 3)

    assert ran.code == 0, ran.err
    assert [line.split("\t")[0] for line in ran.out.splitlines()] == [
        row["path"] for row in doubts[:3]
    ]
    assert "first: gradcam, layer4" in ran.words


def test_what_an_earlier_time_left_is_removed(place, command, tmp_path):
    """Overlays that the table lists, and maps beside them; nobody else's files."""
    for count in (3, 1):
        ran = command("explain", "a.png", "b.png", "c.png", "--run", "first", "--to", tmp_path,
                      "--maps", "npy") if count == 3 else command(
                      "explain", "b.png", "--run", "first", "--to", tmp_path)  # fmt: skip
        assert ran.code == 0, ran.err
        (tmp_path / "004_mine.jpg").touch()

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "001_b.jpg", "004_mine.jpg", "explain.html", "overlays.csv",
    ]  # fmt: skip


def test_bad_pictures_are_rows(place, command, tmp_path):
    """Named with the reason, on the page too; only where all are bad is that an error."""
    ran = command("explain", "a.png", "broken.png", "gone.png", "--run", "first", "--to", tmp_path,
                  "--json")  # fmt: skip

    assert ran.code == 0, ran.err
    assert [row["error"] is None for row in ran.json] == [True, False, False]
    assert ran.json[2]["error"] == "No such file or directory"
    assert [row["file"] for row in table(tmp_path / "overlays.csv")] == ["001_a.jpg"]
    assert "No such file or directory" in (tmp_path / "explain.html").read_text(encoding="utf-8")
    alone = command("explain", "broken.png", "--run", "first", "--to", tmp_path)
    assert (alone.code, "1 of 1 pictures could not be read" in alone.words) == (3, True)


@pytest.mark.parametrize(
    ("run", "arguments", "expected"),
    [
        ("vit", [], ("gradient-attention", "all 6 layers", (4, 4))),
        ("vit", ["--method", "rollout"], ("rollout", "all 6 layers", (4, 4))),
        ("vit", ["--method", "attention", "--layer", "2"], ("attention", "layer 2 of 6", (4, 4))),
        ("vit", ["--method", "attention", "--layer", "blocks.1"],
         ("attention", "layer 2 of 6", (4, 4))),
        ("vit", ["--layer", "3"], ("gradcam", "blocks.2", (4, 4))),
        ("neighbours", [], ("occlusion", "a window of 2 pixels", (16, 16))),
        ("first", ["--method", "hirescam", "--layer", "layer2.0"],
         ("hirescam", "layer2.0", (16, 16))),
        ("first", ["--method", "occlusion", "--window", "16"],
         ("occlusion", "a window of 16 pixels", (32, 32))),
    ],
)  # fmt: skip
def test_methods_and_layers(command, tmp_path, run, arguments, expected):
    """``auto`` fits the model; a map keeps its own resolution, its class is named if it has one."""
    method, layer, shape = expected
    ran = command("explain", "a.png", "b.png", "--run", run, "--to", tmp_path, "--maps", "npy",
                  "--json", *arguments)  # fmt: skip

    assert ran.code == 0, ran.err
    assert [(row["method"], row["layer"]) for row in ran.json] == [(method, layer)] * 2
    of_a_class = method not in ("attention", "rollout")
    assert [row["class"] == row["pred"] for row in ran.json] == [of_a_class] * 2
    maps = [np.load(tmp_path / f"00{n}_{name}.npy") for n, name in ((1, "a"), (2, "b"))]
    assert [each.shape for each in maps] == [shape] * 2


def test_another_class_has_another_map(command, tmp_path):
    """The class and its probability are told; the map alone is kept in grey."""
    ran = command("explain", "a.png", "--run", "first", "--class", "right", "--to", tmp_path,
                  "--maps", "png", "--json")  # fmt: skip
    own = command("explain", "a.png", "--run", "first", "--class", CLASSES[0], "--to",
                  tmp_path / "own", "--maps", "png", "--json")  # fmt: skip

    assert ran.code == 0, ran.err
    assert (ran.json[0]["class"], own.json[0]["class"]) == ("right", CLASSES[0])
    assert ran.json[0]["class_prob"] != own.json[0]["class_prob"]
    maps = [
        np.asarray(Image.open(folder / "001_a_map.png")) for folder in (tmp_path, tmp_path / "own")
    ]
    assert maps[0].shape == (160, 160)
    assert not np.array_equal(*maps)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "there is nothing to explain give pictures, or --errors RUN"),
        (["a.png", "--count", "3"], "--count has an effect only with --errors RUN"),
        (["a.png", "--least-sure"], "--least-sure has an effect only with --errors RUN"),
        (["a.png", "--errors", "first"], "leave out the pictures"),
        (["--run", "vit", "--errors", "first"], "leave out --run"),
        (["a.png", "--run", "cv"], "name one of them, as in runs/cv/fold_1"),
        (["a.png", "--run", "first", "--method", "gradcan"], "did you mean 'gradcam'?"),
        (["a.png", "--run", "first", "--method", "rollout"], "none that can be read take"),
        (["a.png", "--run", "neighbours", "--method", "gradcam"], "take --method occlusion"),
        (["a.png", "--run", "first", "--window", "4"], "only with --method occlusion"),
        (["a.png", "--run", "first", "--method", "occlusion", "--window", "33"], "at most 32"),
        (["a.png", "--run", "vit", "--method", "rollout", "--layer", "2"], "--layer has no effect"),
        (["a.png", "--run", "vit", "--method", "attention", "--layer", "7"], "from 1 to 6"),
        (["a.png", "-r", "vit", "--method", "rollout", "--class", "left"], "--class has no effect"),
        (["a.png", "--run", "vit", "--class", "lefd"], "did you mean 'left'?"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(command, arguments, words):
    """In a sentence that names what would do; nothing is written."""
    ran = command("explain", *arguments)

    assert ran.code == 2
    assert words in ran.words


def test_a_run_without_predictions(place, command):
    """Says which parts it has; a study of many trainings has none."""
    (place / "runs" / "first" / "predictions_oof.csv").touch()

    ran = command("explain", "--errors", "vit")

    assert ran.code == 6
    assert "vit has no predictions of its test part" in ran.words


def test_the_page_of_a_run_with_overlays(place, command):
    """``report --explain`` maps what the page's galleries show, of both parts, then writes it."""
    run = place / "runs" / "first"

    ran = command("report", "first", "--explain")

    assert ran.code == 0, ran.err
    assert ran.out == "runs/first/report.html\n"
    listed = [row["path"] for row in table(run / "explain" / "overlays.csv")]
    shown = [mistakes_of(run, part)[:24] + doubted_of(run, part) for part in ("test", "val")]
    assert listed == list(dict.fromkeys(path for part in shown for path in part))
    assert f"{len(listed)} pictures explained by gradcam, layer4" in ran.words
    assert "has no effect" not in ran.words
    refused = command("report", "cv", "--explain")
    assert (refused.code, "the page of one training" in refused.words) == (2, True)


def test_pictures_that_moved_are_errors(place, command):
    """The place where the run found them is named."""
    run = place / "runs" / "first"
    before = (run / "provenance.json").read_text(encoding="utf-8")
    moved = json.loads(before) | {"data_root": str(place / "nowhere")}
    try:
        (run / "provenance.json").write_text(json.dumps(moved), encoding="utf-8")
        ran = command("explain", "--errors", "first", "--json")
    finally:
        (run / "provenance.json").write_text(before, encoding="utf-8")

    assert ran.code == 3
    assert f"there is no folder, manifest or known set {str(place / 'nowhere')!r}" in ran.words


def test_pictures_of_known_sets_have_no_files():
    """They are read out of the set; one that is not in it is missing."""
    pictures = OfRun(["digits/0/0000.png", "digits/0/none.png"], reader_of("digits"))

    assert Image.open(io.BytesIO(pictures.read(0))).size == (8, 8)
    with pytest.raises(FileNotFoundError, match="no longer part of the data"):
        pictures.read(1)
