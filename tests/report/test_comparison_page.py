"""The page of several runs: what it says, what it leaves out, and how a browser shows it."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from made_runs import fabricate_cv

from imgtrain.cli import run as run_cli
from imgtrain.report.comparison_page import page_name, write_comparison_page
from imgtrain.report.contenders import read_contenders
from imgtrain.rundir import RunDir

TREES = ["oak", "beech", "silver birch", "maple"]


def change(folder, path, edit):
    """Rewrite a JSON file of a run."""
    found = json.loads((folder / path).read_text(encoding="utf-8"))
    edit(found)
    (folder / path).write_text(json.dumps(found), encoding="utf-8")


def spoil(file, share):
    """Of every ``share``-th picture that was recognised, another class is said."""
    header, *rows = file.read_text(encoding="utf-8").splitlines()
    cells = [row.split(",") for row in rows]
    for i in range(0, len(cells), share):
        if cells[i][1] == cells[i][2]:
            cells[i][2] = next(name for name in TREES if name != cells[i][1])
    file.write_text("\n".join([header, *(",".join(row) for row in cells)]) + "\n")


@pytest.fixture
def two(trees, tmp_path):
    """A run, and a worse one with another rate and device."""
    other = shutil.copytree(trees, tmp_path / "runs" / "worse")
    spoil(other / "predictions_test.csv", 6)

    def edit(found):
        found["settings"]["optim.lr"] = 0.5
        found["settings"]["run.name"] = "worse"
        found["device"] = "cuda, one"

    change(other, "provenance.json", edit)
    (trees / "report.html").write_text("<!doctype html>")
    return trees, other


def shown(page):
    """The page's sections by their anchors, and its figures."""
    text = page.read_text(encoding="utf-8")
    sections = dict(re.findall(r'<section id="([\w-]+)".*?\n(.*?)</section>', text, re.DOTALL))
    return sections, json.loads(re.search(r'id="figures">(.*?)</script>', text)[1])


def compared(*folders):
    contenders = read_contenders([RunDir(folder) for folder in folders])
    return write_comparison_page(folders[0].parent / page_name(contenders), contenders)


def test_two_runs_side_by_side(two):
    """Verdict, scores, differences, curves, pictures that one alone recognises, settings."""
    page = compared(*two)
    sections, figures = shown(page)

    assert page.name == "oak-resnet18-vs-worse.html"
    assert list(sections) == [
        "overview", "scores", "differences", "learning", "disagreements", "settings",
    ]  # fmt: skip
    assert "oak-resnet18 is better than worse: top-1 on 200 test pictures" in sections["overview"]
    assert 'href="oak-resnet18/report.html"' in sections["scores"]
    assert "worse/report.html" not in sections["scores"]  # there is none
    assert "McNemar" in sections["differences"]
    assert set(figures) == {"scores", "differences", "curves-loss", "curves-top1"}
    assert len(figures["curves-loss"]["data"]) == 2
    assert sections["disagreements"].count('class="gallery"') == 1
    assert re.search(r"\d+ pictures, (\d+) of them shown", sections["disagreements"])
    assert '<p class="empty">None.</p>' in sections["disagreements"]


def test_only_what_differs_is_listed(two):
    """Settings and surroundings; never the name, never what is the same."""
    rows = re.findall(
        r"<code>(.*?)</code></th><td.*?>(.*?)</td><td.*?>(.*?)</td>",
        shown(compared(*two))[0]["settings"],
    )

    assert rows == [("optim.lr", "0.002", "0.5"), ("device", "cpu, 2 cores", "cuda, one")]


def test_the_difference_is_drawn_with_its_interval(two):
    """In points, with the zero that tells chance from more."""
    figures = shown(compared(*two))[1]

    (dots,) = figures["differences"]["data"]
    (x,) = dots["x"]
    assert x > 0
    assert 0 < x - dots["error_x"]["arrayminus"][0] < x < x + dots["error_x"]["array"][0]
    assert figures["differences"]["layout"]["shapes"][0]["x0"] == 0


def test_runs_that_cannot_be_compared_are_shown_with_the_reason(trees, cv_run):
    """A run and a cross-validation of other pictures: scores and curves, no test."""
    sections, figures = shown(compared(trees, cv_run))

    assert "oak-resnet18 and oak-cv cannot be compared: " in sections["overview"]
    assert "were tested on different pictures" in sections["overview"]
    assert "differences" not in figures
    assert "Dots are folds" in sections["scores"]
    assert len(figures["scores"]["data"]) == 2  # folds, and both on test
    assert len(figures["curves-top1"]["data"]) == 2


def test_the_command_writes_it_beside_the_runs(two, monkeypatch, capfd):
    """``report A B`` prints the page's path; of one cross-validation it writes that one's page."""
    monkeypatch.chdir(two[0].parent.parent)
    capfd.readouterr()

    assert run_cli(["report", "oak-resnet18", "worse"]) == 0
    assert capfd.readouterr().out == "runs/oak-resnet18-vs-worse.html\n"
    assert run_cli(["report", "worse", "worse"]) == 2
    fabricate_cv(two[0].parent.parent, TREES, pictures=40, test=20, name="cv")
    assert run_cli(["report", "cv"]) == 0
    assert "How good the ensemble is" in (two[0].parent / "cv" / "report.html").read_text()


def test_long_names_make_a_name_that_a_disk_takes(trees):
    """The first run, and how many more."""
    names = [f"{k}{'ä' * 60}" for k in range(3)]

    page = compared(*(shutil.copytree(trees, trees.parent / name) for name in names))

    assert page.name == f"0{'ä' * 39}-vs-2-more.html"


HOSTILE = ["<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>", "$x$ %{y}"]


@pytest.mark.browser
def test_a_browser_shows_it(make_run, opened):
    """One request, no complaint, every chart drawn, nothing sideways; names are only names."""
    one = make_run(HOSTILE, name="<b>run a", pictures=60)
    page = compared(one, shutil.copytree(one, one.parent / "<b>run b"))

    for scheme, width in (("light", 1280), ("dark", 400)):
        found = opened(page, color_scheme=scheme, viewport={"width": width, "height": 800})
        assert found.heard == [page.as_uri()]
        found.draw_all()
        assert found.locator("[data-drawn] svg .trace").count() >= 4
        assert found.evaluate("document.documentElement.scrollWidth") <= width
        assert found.locator("img[src=x], h1 b").count() == 0
