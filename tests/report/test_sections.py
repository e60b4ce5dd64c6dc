"""What the page says of data, time, other evaluations and explanations, read without a browser."""

from __future__ import annotations

import csv
import json

import pytest
from PIL import Image
from test_page import HOSTILE, page_of

from imgtrain.report.evaluations import read_evaluations

NIGHT = {
    "format": 1,
    "name": "night",
    "data": "/data/night",
    "part": "test",
    "n": 120,
    "top1": 0.75,
    "macro_f1": 0.7,
    "ece": 0.12,
    "log_loss": 0.8,
    "brier": 0.35,
    "tta": "flip",
    "temperature": 1.31,
    "intervals": {"top1": [0.66, 0.82]},
    "threshold": {
        "for": "precision=0.95",
        "threshold": 0.8125,
        "chosen_on": {"coverage": 0.9},
        "scored": {"accepted": 90, "n": 120, "coverage": 0.75, "precision": 0.95},
    },
    "slices": [
        {"column": "camera", "value": "roof", "n": 60, "top1": 0.5, "interval": [0.37, 0.63]},
        {"column": "camera", "value": "<b>yard", "n": 60, "top1": 1.0, "interval": None},
    ],
    "corruptions": [
        {"kind": "fog", "severity": s, "top1": 0.75 - 0.1 * s, "macro_f1": 0.5} for s in (1, 2, 3)
    ],
}


def evaluated(folder, **found):
    for label, content in found.items():
        place = folder / "evaluations" / label / "metrics.json"
        place.parent.mkdir(parents=True)
        place.write_text(content if isinstance(content, str) else json.dumps(content))
    return page_of(folder)


def figures_of(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    return json.loads(page.split('id="figures">', 1)[1].split("</script>", 1)[0])


def test_other_evaluations_are_shown(trees):
    """Scores with their interval, how they were made, slices, and curves of corruptions."""
    text = evaluated(trees, night=NIGHT).text

    assert "night test 120 75.0%" in text
    assert "66.0 \u2013 82.0%" in text
    assert (
        "views flip, temperature 1.31, threshold 0.8125 for precision=0.95 accepts 75.0%, "
        "95.0% of them right"
    ) in text
    assert "camera roof 60 50.0% 37.0 \u2013 63.0%" in text
    assert "<b>yard 60 100.0% \u2013" in text
    assert "Top-1 over all kinds and severities: 55.0%; on clean pictures 75.0%." in text
    (fog,) = figures_of(trees)["corruptions-0"]["data"]
    assert (fog["x"], fog["y"]) == ([0, 1, 2, 3], [0.75, 0.65, 0.55, 0.45])


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        {"format": 1},
        {"n": None, "top1": "high", "intervals": [], "slices": {}, "corruptions": 3},
        {"intervals": {"top1": [None, 1]}, "slices": [3, {}], "corruptions": [{"kind": "fog"}]},
        {
            "top1": True,
            "threshold": {"threshold": "x"},
            "tta": None,
            "temperature": 1,
            "name": HOSTILE[0],
        },
    ],
)
def test_an_evaluation_may_lack_anything(trees, content):
    """Whatever is missing or of another kind is a dash, never a failure."""
    assert "oak-resnet18" in evaluated(trees, odd=content).text


def test_evaluations_come_by_name(tmp_path):
    """In the order of their folders; those that are not JSON are left out."""
    for label, content in (("b", "{"), ("c", '{"n": 1}'), ("a", '{"n": 2, "name": "first"}')):
        (tmp_path / "evaluations" / label).mkdir(parents=True)
        (tmp_path / "evaluations" / label / "metrics.json").write_text(content)

    assert [each.label for each in read_evaluations(tmp_path)] == ["first", "c"]


def test_leaks_are_said_aloud_and_shown(trees):
    """How many pictures lie in two parts, their names and parts, and some to look at."""
    data = json.loads((trees / "provenance.json").read_text())["data_root"]
    rows = (trees / "predictions_test.csv").read_text().splitlines()[1:]
    there = next(p for p in (row.split(",")[0] for row in rows) if (trees / data / p).is_file())
    with (trees / "leaks.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["cluster", "path", "part", "label"])
        writer.writerows([(1, "oak/<i>.jpg", "train", "oak"), (1, there, "test", "oak")])
        writer.writerows([(2, "gone.jpg", "val", "oak"), (2, "gone too.jpg", "test", "oak")])

    page = page_of(trees)

    assert "2 pictures lie in more than one part" in page.text
    assert f"oak/<i>.jpg train , {there} test" in page.text
    assert "oak, in test" in [attrs.get("alt") for tag, attrs in page.elements if tag == "img"]


def test_parts_and_groups_are_counted(trees):
    """A part for calibration has its column; groups are counted over all parts."""
    with (trees / "splits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "part", "group"])
        for i, part in enumerate(["train"] * 6 + ["calibration"] * 2 + ["test"]):
            writer.writerow([f"{i}.jpg", "oak", part, f"tree {i // 3}"])

    text = page_of(trees).text

    assert "Training 6 Calibration 2 Test 1 Groups that stay together 3" in text
    assert "oak 6 2 1 9" in text


def test_pictures_of_the_run_are_embedded(trees):
    """The contact sheet, and the profile of memory with its peaks."""
    for file in ("contact_sheet.jpg", "memory.png"):
        Image.new("RGB", (40, 30), (90, 120, 60)).save(trees / file)
    (trees / "memory.json").write_text('{"what": "resident", "phases_mb": {"forward": 812.4}}')

    page = page_of(trees)

    alts = [attrs.get("alt") for tag, attrs in page.elements if tag == "img"]
    assert "Training pictures beside the variations that the model saw" in alts
    assert "Memory over the first steps, by phase" in alts
    assert "Peak in forward 812 MB" in page.text


def test_time_is_told_by_phase(trees):
    """Seconds and share of each phase, and the rate of an epoch in the middle."""
    (trees / "timing.json").write_text('{"index": 1.0, "train": 90.0, "score": 9.0, "total": 100}')

    text = page_of(trees).text

    assert "training 1 min 30 s 90.0% scoring 9.0 s 9.0%" in text
    assert "Pictures a second, median 235" in text


def test_charts_are_told_in_words(trees):
    """Whoever cannot see a chart hears where its lines begin and end, or what sums them up."""
    page = page_of(trees)

    labels = {a["data-figure"]: a["aria-label"] for t, a in page.elements if "data-figure" in a}
    areas = json.loads((trees / "metrics.json").read_text())["test"]
    assert labels["loss"].startswith("Loss: training 1.65 to 0.529, validation")
    assert f"macro average {areas['macro_auroc']:.3f}" in labels["test-roc"]
    assert "sure on average" in labels["test-reliability"]


@pytest.mark.parametrize("pictures", [1, 2])
@pytest.mark.parametrize("classes", [["only"], ["a", "b"]])
def test_the_smallest_runs_have_pages(make_run, pictures, classes):
    """One picture or two, one class or two, of one part, with and without a mistake."""
    folder = make_run(classes, pictures=pictures, parts=("test",), epochs=1)

    text = page_of(folder).text

    assert f"Test part, {pictures} picture" in text
    assert "Confusion matrix" in text
