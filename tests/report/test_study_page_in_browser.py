"""The page of a study as a browser shows it."""

from __future__ import annotations

import pytest
from test_study_page import make_study

from imgtrain.report.study_page import write_study_page

pytestmark = pytest.mark.browser
MIXED = ["finished", "finished", "pruned", "finished", "failed"] * 4
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of twenty trials, one model of which has a name that means harm."""
    folder = tmp_path_factory.mktemp("runs") / "digits-resnet18"
    write_study_page(folder, make_study(folder, MIXED, models=("resnet18", HOSTILE)))
    return folder


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_nothing_is_asked_for_and_every_chart_is_drawn(browser, folder, scheme, width):
    """One request, no word on the console, no scrolling sideways, wide or narrow."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page, heard = context.new_page(), []
    page.on("request", lambda request: heard.append(request.url))
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", lambda dialog: heard.append(dialog.message))
    path = folder / "report.html"
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # what is far from the window, too

    assert heard == [path.as_uri()]
    drawn = page.eval_on_selector_all("[data-drawn]", "places => places.map(p => p.dataset.figure)")
    slices = [f"slice-{place}" for place in range(5)]
    assert drawn == ["history-0", "courses", "importances", "parallel", *slices]
    assert page.locator(".plot svg").count() == len(drawn)
    assert page.locator("[data-figure=importances] rect").count() > 2
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("img[src=x]").count() == 0
    context.close()


def test_the_table_sorts_and_leads_to_the_trials(browser, folder):
    """By any setting, with the keyboard too; a trial's number opens its page."""
    context = browser.new_context()
    page = context.new_page()
    page.goto((folder / "report.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    heads = page.locator("#trials thead th").all_inner_texts()
    place = next(i for i, text in enumerate(heads) if text.startswith("optim.lr"))

    page.locator(f"#trials thead th:nth-child({place + 1}) button").press("Enter")

    rates = page.eval_on_selector_all(
        "#trials tbody tr", f"rows => rows.map(row => Number(row.cells[{place}].dataset.value))"
    )
    assert rates == sorted(rates)
    assert len(rates) == len(MIXED)
    page.locator("#trials tbody a", has_text="0").first.click()
    assert page.inner_text("body") == "a trial"
    context.close()
