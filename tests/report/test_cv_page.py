"""The page of a cv run: what it says, what it leaves out, and how a browser shows it."""

from __future__ import annotations

import html
import json
import re
import shutil

import numpy as np
import pytest
from made_runs import fabricate_cv

from imgtrain.checking.audit import audit
from imgtrain.report.cv_page import write_cv_page
from imgtrain.report.cv_reading import read_cv

HOSTILE = ["</script><script>alert(2)</script>", 'a" onmouseover="alert(3)', "$x$ %{y}"]


@pytest.fixture(scope="module")
def page(cv_run):
    """The page's HTML and its figures."""
    text = write_cv_page(cv_run).read_text(encoding="utf-8")
    figures = re.search(r'id="figures">(.*?)</script>', text)[1]
    return text, json.loads(figures)


def test_the_ensemble_leads_with_its_interval(cv_run, page):
    """The first number of the page is the ensemble's on the test part."""
    told = json.loads((cv_run / "cv_summary.json").read_text())["ensemble"]["test"]

    card = re.search(r'<div class="card">.*?</div>', page[0])[0]

    low, high = told["intervals"]["top1"]
    assert f'<span class="value">{100 * told["top1"]:.1f}%</span>' in card
    assert f"{100 * low:.1f} \u2013 {100 * high:.1f}%" in card


def test_mean_and_spread_are_those_of_the_summary(cv_run, page):
    """Mean, standard deviation and interval, in per cent where the score is a share."""
    told = json.loads((cv_run / "cv_summary.json").read_text())

    facts = html.unescape(re.search(r"Mean of the folds</h3>(.*?)</dl>", page[0], re.DOTALL)[1])

    top1, std = 100 * told["mean"]["top1"], 100 * told["std"]["top1"]
    assert f"<strong>{top1:.1f}%</strong> \u00b1\u00a0{std:.1f}<br>" in facts
    assert "95%: 50.0 \u2013 75.0" in facts
    assert f"<strong>{told['mean']['log_loss']:.3f}</strong>" in facts


def test_labels_that_look_wrong_are_counted(cv_run, page):
    """As many as the audit lists, with the command that does so."""
    suspects = audit(cv_run, "class", "self-confidence").suspects

    assert f"{len(suspects)} labels of 300 in the folds may be wrong" in page[0]
    assert f"<code>imgtrain data audit {cv_run}</code>" in page[0]


def test_every_fold_has_its_row_and_leads_to_its_page(cv_run, page):
    """Sizes, best epoch and scores; the best fold is marked."""
    table = re.search(r'aria-label="Table: folds">.*?</table>', page[0], re.DOTALL)[0]

    assert re.findall(r'<a href="([^"]+)"><bdi>([^<]+)', table) == [
        (f"fold_{n}/report.html", f"Fold {n}{' (best)' if n == 3 else ''}") for n in range(1, 6)
    ]
    assert all((cv_run / f"fold_{n}" / "report.html").is_file() for n in range(1, 6))
    assert table.count('data-value="240"') == table.count('data-value="60"') == 5


def test_the_curves_are_those_of_the_histories(cv_run, page):
    """Each fold has validation and training in one colour; the mean goes as far as all folds do."""
    loss = page[1]["folds-loss"]["data"]

    labels = [trace["meta"]["label"] for trace in loss]
    assert labels == [f"fold {n}" for n in range(1, 6) for _ in range(2)] + ["mean"]
    folds = read_cv(cv_run).folds
    assert loss[2]["y"] == [float(f"{row['val_loss']:.6g}") for row in folds[1].history]
    shortest = min(len(fold.history) for fold in folds)
    losses = [[row["val_loss"] for row in fold.history[:shortest]] for fold in folds]
    np.testing.assert_allclose(loss[-1]["y"], np.mean(losses, axis=0), rtol=1e-5)


def test_the_scores_stand_side_by_side(cv_run, page):
    """The metric that decided: of ensemble and best fold on test, out-of-fold, of each fold."""
    told = json.loads((cv_run / "cv_summary.json").read_text())
    whole, folds, mean = page[1]["cv-scores"]["data"]

    assert whole["text"] == ["ensemble, test", "best fold (3), test", "all folds, out-of-fold"]
    expected = [told["ensemble"]["test"]["macro_f1"], told["best_fold_test"]["macro_f1"]]
    np.testing.assert_allclose(whole["x"][:2], expected, atol=5e-5)
    np.testing.assert_allclose(folds["x"], [f["val"]["macro_f1"] for f in told["folds"]], atol=5e-5)
    np.testing.assert_allclose(mean["x"], [np.mean(folds["x"])], atol=1e-4)


def test_repeats_are_averaged_per_picture(tmp_path):
    """Out-of-fold rows are as many as pictures, each the mean of its repeats."""
    folder = fabricate_cv(tmp_path, ["a", "b", "c"], folds=3, repeats=2, pictures=30, test=9)
    import csv

    cv = read_cv(folder)

    rows = cv.run.predictions["oof"]
    with (folder / "oof_predictions.csv").open() as handle:
        own = [row for row in csv.DictReader(handle) if row["path"] == rows.paths[4]]
    assert len(rows.paths) == 30
    assert len(own) == 2
    expected = np.mean([[float(row[f"prob_{c}"]) for c in "abc"] for row in own], axis=0)
    np.testing.assert_allclose(rows.probs[4], expected, rtol=1e-12)
    assert cv.counts["a", 0] + cv.counts["b", 0] + cv.counts["c", 0] == 9
    assert sum(cv.counts.values()) == 39
    write_cv_page(folder)


@pytest.mark.parametrize(
    "gone",
    [
        ["cv_summary.json"],
        ["ensemble_predictions.csv"],
        ["oof_predictions.csv", "classes.json"],
        ["folds.csv", "status.json", "provenance.json", "timing.json"],
        ["*"],
    ],
)
def test_what_is_missing_is_left_out(cv_run, tmp_path, gone):
    """A page all the same, without an empty chart."""
    folder = shutil.copytree(cv_run, tmp_path / "cv")
    for pattern in gone:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    text = write_cv_page(folder).read_text(encoding="utf-8")

    figures = json.loads(re.search(r'id="figures">(.*?)</script>', text)[1])
    assert set(re.findall(r'data-figure="([\w-]+)"', text)) == figures.keys()
    assert all(figure["data"] for figure in figures.values())


def test_without_a_test_part_the_folds_lead(cv_run, tmp_path):
    """And the page says that these scores flatter."""
    folder = shutil.copytree(cv_run, tmp_path / "cv")
    (folder / "ensemble_predictions.csv").unlink()

    text = write_cv_page(folder).read_text(encoding="utf-8")

    assert "Out-of-fold predictions, 300 pictures" in text
    assert "the scores flatter a little" in text


@pytest.mark.browser
def test_a_browser_draws_it_and_hears_nothing(cv_run, opened):
    """One request, no word on the console; pointing at a fold makes the others pale."""
    path = write_cv_page(cv_run)

    page = opened(path)

    page.draw_all()
    assert page.heard == [path.as_uri()]
    drawn = page.eval_on_selector_all("[data-drawn]", "places => places.map(p => p.dataset.figure)")
    assert drawn[:3] == ["cv-scores", "folds-loss", "folds-metric"]
    second = page.locator("[data-legend=folds-loss] button").nth(1)
    assert second.inner_text() == "fold 2"
    second.hover()
    pale = "lines => lines.map(line => line.classList.contains('pale'))"
    lines = "[data-figure=folds-loss] .trace"
    assert page.eval_on_selector_all(lines, pale) == [True] * 2 + [False] * 2 + [True] * 7
    second.click()
    assert page.locator(f"{lines}:not(.hidden)").count() == 9


@pytest.mark.browser
def test_a_dark_phone_shows_it_and_hostile_names_do_nothing(tmp_path, opened):
    """Nothing scrolls sideways, and names are text."""
    path = write_cv_page(fabricate_cv(tmp_path, HOSTILE, folds=2, pictures=24, test=9))

    page = opened(path, viewport={"width": 390, "height": 800}, color_scheme="dark")

    assert page.heard == [path.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#test-classes tbody th").all_inner_texts() == HOSTILE
