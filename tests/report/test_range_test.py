"""A test of learning rates in the run's folder and on its page."""

import csv
import json
import math

import pytest
from PIL import Image
from test_page import page_of

from imgtrain.engine.lr_curve import LrCurve, Running, rates_between
from imgtrain.report.range_test import read_range_test, write_range_test


@pytest.fixture
def curve():
    """A fall, and an end that is no number."""
    losses = [2.0 - min(k, 25) / 20 for k in range(29)] + [math.inf]
    running, made = Running(), LrCurve(know_nothing=2.3)
    for rate, loss in zip(rates_between(1e-5, 1, 30), losses, strict=True):
        made.add(rate, loss, running.add(loss))
    return made


def test_the_page_shows_the_curve_and_what_came_of_it(trees, curve):
    """A section of its own, with the picture's data and the sentence; other runs have none."""
    assert "lr-find" not in (page_of(trees).text)
    write_range_test(trees, trees / "plots", curve, {"lr": 0.003}, "learning rate 0.003: <it>")

    page = page_of(trees)

    assert "Range test" in page.text
    assert "Learning rate 0.003: <it>." in page.text
    places = [a["data-figure"] for _, a in page.elements if "data-figure" in a]
    assert "lr-find" in places
    html = (trees / "report.html").read_text(encoding="utf-8")
    figures = json.loads(html.split('id="figures">', 1)[1].split("</script>", 1)[0])
    each, average = figures["lr-find"]["data"]
    assert len(each["x"]) == len(average["y"]) == 29
    assert figures["lr-find"]["layout"]["shapes"][0]["x0"] == 0.003


def test_files_of_a_test(tmp_path, curve):
    """A row a step with empty cells for what is no number; a picture; all read back."""
    write_range_test(tmp_path, tmp_path, curve, {"lr": None}, "no clear minimum")

    with (tmp_path / "lr_find.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == [str(k) for k in range(1, 31)]
    assert (rows[0]["lr"], rows[0]["loss"], rows[-1]["loss"]) == ("1e-05", "2", "")
    with Image.open(tmp_path / "lr_find.png") as picture:
        assert min(picture.size) > 300
    found = read_range_test(tmp_path)
    assert (len(found.rates), found.suggestion, found.sentence) == (29, None, "no clear minimum")


@pytest.mark.parametrize(
    ("name", "content"),
    [("lr_find.csv", "step\n1\n"), ("lr_find.json", "[]"), ("lr_find.json", "{")],
)
def test_broken_files_are_left_out(tmp_path, curve, name, content):
    """A page is made all the same."""
    write_range_test(tmp_path, tmp_path, curve, {"lr": 0.1}, "")
    (tmp_path / name).write_text(content)

    assert read_range_test(tmp_path) is None
