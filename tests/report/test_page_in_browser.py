"""The page as a browser shows it."""

from __future__ import annotations

import re

import pytest

from imgtrain.report.page import write_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.browser
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    'a" onmouseover="alert(3)',
    "$\\alpha$ %{x} <a href='https://example.org'>link</a>",
]


def column(page, table: str, place: int) -> list[str]:
    return page.eval_on_selector_all(
        f"{table} tbody tr", f"rows => rows.map(row => row.cells[{place}].innerText)"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_asked_for_and_every_chart_is_drawn(trees, opened, scheme):
    """One request, the page itself; no word on the console; all charts of the visible part."""
    path = write_page(trees)

    page = opened(path, color_scheme=scheme)

    assert page.heard == [path.as_uri()]
    drawn = page.eval_on_selector_all("[data-drawn]", "places => places.map(p => p.dataset.figure)")
    parts = ["test-confusion", "test-roc", "test-pr", "test-reliability"]
    assert drawn == ["loss", "accuracy", "lr", *parts]
    assert page.locator("#panel-test .plot .main-svg").count() >= 4
    assert page.locator("[data-figure=loss] .scatterlayer .trace").count() == 2
    # above the grid, which would hide it where both have the same place
    assert page.locator("[data-figure=loss] .layer-above .shapelayer path").count() == 1


def test_a_click_sorts_and_the_undefined_stay_last(make_run, opened):
    """Up, then down; ``-`` is neither the best nor the worst."""
    folder = make_run([f"class {i}" for i in range(12)], pictures=30, parts=("test",))
    page = opened(write_page(folder))
    table = "#test-classes table"
    heading = page.locator(f"{table} thead th").nth(4)

    for order in ("ascending", "descending"):
        heading.locator("button").click()
        found = column(page, table, 4)
        numbers = [float(cell) for cell in found if cell != "\u2013"]
        assert heading.get_attribute("aria-sort") == order
        assert numbers == sorted(numbers, reverse=order == "descending")
        assert found[len(numbers) :] == ["\u2013"] * (12 - len(numbers))

    page.locator(f"{table} thead th button").first.press("Enter")
    assert column(page, table, 0) == [f"class {i}" for i in range(12)]


def test_tabs_change_the_part_by_keyboard_too(trees, opened):
    """The validation part is drawn when it is chosen, and the links follow."""
    page = opened(write_page(trees))

    page.locator("#tab-test").press("ArrowRight")

    page.wait_for_selector("#panel-val [data-figure=val-roc][data-drawn]")
    assert page.locator("#panel-test").is_hidden()
    assert page.locator("nav a", has_text="Curves").get_attribute("href") == "#val-curves"


def test_a_click_on_the_legend_hides_a_line(trees, opened):
    """Hidden and shown again."""
    page = opened(write_page(trees))
    lines = page.locator("[data-figure=test-roc] .scatterlayer .trace")
    oak = page.locator("[data-legend=test-roc] button", has_text="oak")
    assert lines.count() == 6

    oak.click()
    sync_api.expect(lines).to_have_count(5)
    assert oak.get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_never_scrolls_sideways(make_run, opened, width):
    """Narrow or wide, with names of any length."""
    folder = make_run(["x" * 120, "short name", "w " * 80], name="run-" + "y" * 90)

    page = opened(write_page(folder), viewport={"width": width, "height": 800})

    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_charts_keep_their_height_when_the_window_changes(trees, opened):
    """A narrower window makes narrower charts that do not cover what stands below."""
    page = opened(write_page(trees), viewport={"width": 1280, "height": 800})

    page.set_viewport_size({"width": 500, "height": 800})

    chart = page.locator("[data-figure=loss] .main-svg").first
    sync_api.expect(chart).to_have_attribute("width", re.compile("^4"))
    assert chart.get_attribute("height") == "290"


def test_hostile_names_do_nothing(make_run, opened):
    """No dialog, no element, no request: names are shown as they are."""
    path = write_page(make_run(HOSTILE, name="<b>run"))

    page = opened(path)
    page.locator("[data-figure=test-confusion]").hover()

    assert page.heard == [path.as_uri()]
    assert page.locator("img[src=x]").count() == 0
    assert page.locator(".plot a[href], main a[href^=http]").count() == 0
    shown = page.locator("[data-figure=test-confusion] .ytick text").all_text_contents()
    assert shown == [name if len(name) <= 22 else f"{name[:21]}…" for name in HOSTILE]
    assert column(page, "#test-classes table", 0) == HOSTILE
