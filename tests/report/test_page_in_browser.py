"""The page as a browser shows it."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from imgtrain.report.page import write_page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.browser
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    'a" onmouseover="alert(3)',
    "$\\alpha$ %{x} <a href='https://example.org'>link</a>",
]
CHARTS = [
    *("loss", "accuracy", "lr"),
    *(
        f"{part}-{c}"
        for part in ("test", "val")
        for c in ("roc", "pr", "reliability", "confidence")
    ),
    "rate",
]


def column(page, table: str, place: int) -> list[str]:
    return page.eval_on_selector_all(
        f"{table} tbody tr", f"rows => rows.map(row => row.cells[{place}].innerText)"
    )


def drawn(page) -> list[str]:
    return page.eval_on_selector_all("[data-drawn]", "all => all.map(p => p.dataset.figure)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_asked_for_and_every_chart_is_drawn(trees, opened, scheme):
    """One request, the page itself; no word on the console; all charts of both parts."""
    path = write_page(trees)

    page = opened(path, color_scheme=scheme)
    page.draw_all()

    assert page.heard == [path.as_uri()]
    assert drawn(page) == CHARTS
    assert page.locator("[data-figure=loss] .trace path").count() == 2
    assert page.locator("[data-figure=loss] .shapes line").count() == 1
    assert page.locator("[data-figure=test-reliability] .trace rect").count() > 3


def test_charts_are_drawn_when_they_come_near(trees, opened):
    """What is far below waits; scrolling draws it."""
    page = opened(write_page(trees), viewport={"width": 1000, "height": 600})
    assert "test-roc" not in drawn(page)

    page.locator("#test-curves").scroll_into_view_if_needed()

    page.wait_for_selector("[data-figure=test-roc][data-drawn]")
    assert "rate" not in drawn(page)


def test_lines_go_where_the_numbers_say(trees, opened):
    """The first point of the validation loss lies where the scale of the ticks puts its value."""
    page = opened(write_page(trees))
    figures = json.loads(page.locator("#figures").text_content())
    value = figures["loss"]["data"][1]["y"][0]
    ticks = page.eval_on_selector_all(
        "[data-figure=loss] .ytick",
        "all => all.map(t => [Number(t.textContent), Number(t.getAttribute('y'))])",
    )
    path = page.locator("[data-figure=loss] .trace path").nth(1).get_attribute("d")

    (low, y_low), (high, y_high) = ticks[0], ticks[-1]
    expected = y_low + (value - low) / (high - low) * (y_high - y_low)
    assert float(path.split("L")[0].split()[1]) == pytest.approx(expected, abs=0.1)


def test_pointing_at_a_chart_tells_its_numbers(trees, opened):
    """All lines at that epoch, by name."""
    page = opened(write_page(trees))
    page.locator("[data-figure=loss]").hover()

    tip = page.locator("[data-figure=loss] .tip")

    assert "training:" in tip.inner_text()
    assert "validation:" in tip.inner_text()
    assert tip.inner_text().startswith("epoch")


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
    page.locator("#val-curves").scroll_into_view_if_needed()

    page.wait_for_selector("#panel-val [data-figure=val-roc][data-drawn]")
    assert page.locator("#panel-test").is_hidden()
    assert page.locator("nav a", has_text="Curves").get_attribute("href") == "#val-curves"


def test_a_click_on_the_legend_hides_a_line(trees, opened):
    """Hidden, and shown again."""
    page = opened(write_page(trees))
    page.draw_all()
    lines = page.locator("[data-figure=test-roc] .trace:not(.hidden)")
    oak = page.locator("[data-legend=test-roc] button", has_text="oak")
    assert lines.count() == 6

    oak.click()
    assert (lines.count(), oak.get_attribute("aria-pressed")) == (5, "false")

    oak.press("Enter")
    assert (lines.count(), oak.get_attribute("aria-pressed")) == (6, "true")


def test_a_cell_of_the_matrix_shows_its_pictures(trees, opened):
    """By keyboard: arrows to a cell, Enter opens it, Escape closes it, the focus comes back."""
    page = opened(write_page(trees))
    page.locator("table.confusion button").first.focus()
    page.keyboard.press("ArrowRight")
    cell = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert "oak taken for" in cell

    page.keyboard.press("Enter")

    dialog = page.locator("dialog#cell")
    assert dialog.locator("h2").inner_text() == cell
    told = dialog.locator("li").all_inner_texts()
    assert len(told) == int(cell.split()[0])
    assert all("test/folder 0/picture_" in words for words in told)
    images = dialog.locator("img")
    assert 0 < images.count() <= 6
    page.wait_for_function("[...document.querySelectorAll('#cell img')].every(i => i.naturalWidth)")

    page.keyboard.press("Escape")
    assert dialog.is_hidden()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == cell
    assert page.heard == [page.url]


def test_a_count_in_the_list_opens_the_same_cell(trees, opened):
    """A click on the number of pictures of a confusion."""
    page = opened(write_page(trees))
    button = page.locator("#test-confusion .link").first

    button.click()

    assert f"{button.inner_text()} of " in page.locator("#cell h2").inner_text()
    page.locator("#cell").get_by_label("Close").click()
    assert page.locator("#cell").is_hidden()


def test_overlays_lie_over_their_pictures(trees, opened):
    """Where a gallery's picture was explained, a button shows where the model looked."""
    rows = (trees / "predictions_test.csv").read_text().splitlines()[1:]
    wrong = [row.split(",")[0] for row in rows if row.split(",")[1] != row.split(",")[2]]
    explain = trees / "explain"
    explain.mkdir()
    Image.new("RGB", (80, 60), (200, 60, 20)).save(explain / "one.jpg")
    shutil.copy(explain / "one.jpg", trees / "outside.jpg")
    listed = [f"{path},oak,gradcam,layer4,one.jpg" for path in wrong[1:]]
    listed.append(f"{wrong[0]},oak,gradcam,layer4,../outside.jpg")
    (explain / "overlays.csv").write_text("\n".join(["path,class,method,layer,file", *listed]))
    page = opened(write_page(trees))
    button = page.locator("#test-mistakes button.overlay").first
    pictures = button.locator("xpath=..").locator("img")

    button.click()

    assert button.get_attribute("aria-pressed") == "true"
    assert [pictures.nth(k).is_visible() for k in (0, 1)] == [False, True]
    assert "gradcam for oak, layer4" in pictures.nth(1).get_attribute("alt")
    button.press("Enter")
    assert [pictures.nth(k).is_visible() for k in (0, 1)] == [True, False]


def test_settings_are_searched_and_filtered(trees, opened):
    """At first what was changed; a search looks at all of them; the box shows all."""
    page = opened(write_page(trees))
    rows = page.locator("#settings tbody tr:visible")
    changed = rows.count()
    assert 0 < changed < 20

    page.get_by_label("Search the settings").fill("clip norm gradient")
    assert "optim.clip_norm" in rows.first.inner_text()
    assert rows.count() == 1

    page.get_by_label("Search the settings").fill("")
    assert rows.count() == changed
    page.locator("#hide-defaults").uncheck()
    assert rows.count() > 80


def test_the_reader_chooses_light_or_dark(trees, opened):
    """The button turns the colours, whatever the system's are, and keeps them."""
    page = opened(write_page(trees), color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)

    page.locator("#theme").click()

    assert page.evaluate(background) != light
    assert page.locator("#theme").get_attribute("aria-pressed") == "true"
    page.reload()
    assert page.evaluate(background) != light
    page.emulate_media(media="print")
    assert page.evaluate(background) == "rgb(255, 255, 255)"


def test_paper_shows_both_parts_and_no_controls(trees, opened):
    """Printing unfolds what is folded, draws what is far, and leaves out what cannot be used."""
    page = opened(write_page(trees))
    page.print()
    page.emulate_media(media="print")

    assert page.locator("#panel-val").is_visible()
    assert page.locator("[data-figure=val-roc] .trace").count() == 6
    assert page.locator("#test-curves").is_visible()
    assert page.locator("details:not([open])").count() == 0
    for control in ("nav", ".tabs", ".search input", ".switch", "#theme", "dialog"):
        assert page.locator(f"{control} >> visible=true").count() == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_never_scrolls_sideways(make_run, opened, width):
    """Narrow or wide, with names of any length."""
    names = ["x" * 200, "short name", "w " * 80, "\U0001f98a fox", "\u202eright to left \u05d0"]
    folder = make_run(names, name="run-" + "y" * 90)

    page = opened(write_page(folder), viewport={"width": width, "height": 800})
    page.draw_all()

    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_charts_fit_when_the_window_changes(trees, opened):
    """A narrower window makes narrower charts that keep the size of their letters."""
    page = opened(write_page(trees), viewport={"width": 1280, "height": 800})

    page.set_viewport_size({"width": 500, "height": 800})

    page.wait_for_function(
        "document.querySelector('[data-figure=loss] svg').viewBox.baseVal.width > 440"
    )
    size = page.locator("[data-figure=loss] svg").bounding_box()
    assert size["height"] == pytest.approx(290, abs=2)


def test_hostile_names_do_nothing(make_run, opened):
    """No dialog, no element, no request: names are shown as they are, in every place."""
    path = write_page(make_run(HOSTILE, name="<b>run"))

    page = opened(path)
    page.draw_all()
    page.locator("[data-figure=test-roc]").hover()
    page.locator("table.confusion button").nth(1).click()
    page.wait_for_function("document.querySelectorAll('#cell li').length > 0")

    assert page.heard == [path.as_uri()]
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("main a[href^=http]").count() == 0
    heads = page.locator("table.confusion thead bdi").first
    assert heads.get_attribute("title") == HOSTILE[0]
    assert page.locator("[data-legend=test-roc] button span").all_inner_texts()[:4] == [
        name if len(name) <= 40 else f"{name[:39]}…" for name in HOSTILE
    ]
    assert column(page, "#test-classes table", 0) == HOSTILE


@pytest.fixture(scope="module")
def huge(tmp_path_factory):
    """The page of 1,000 classes and 5,000 pictures: a twentieth of what the benchmark makes."""
    place = Path(__file__).parents[1] / "benchmarks" / "report_size.py"
    spec = importlib.util.spec_from_file_location("report_size", place)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    folder = tmp_path_factory.mktemp("huge") / "species"
    benchmark.make_run(folder, 1000, 5000)
    return write_page(folder)


def test_a_huge_page_is_small_and_answers_at_once(huge, opened):
    """A thousand classes: the page is drawn, sorted and searched within 3 s of CPU."""
    assert huge.stat().st_size < 5_000_000

    page = opened(huge)
    page.locator("#test-classes thead th").nth(4).locator("button").click()
    page.wait_for_selector("#test-classes th[aria-sort=ascending]")

    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    told = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    assert told["TaskDuration"] < 3  # seconds of CPU, whoever else uses the machine
    page.get_by_label("Search: scores per class").fill("species 07")
    found = sum("07" in f"{k:04d}" for k in range(1000))
    assert page.locator("#test-classes tbody tr:visible").count() == found
    assert page.locator("#test-classes [role=status]").inner_text() == f"{found} of 1,000"
    assert page.heard == [huge.as_uri()]


def test_the_curve_of_any_class_is_drawn_when_asked_for(huge, opened):
    """Chosen by name: one more line in both charts, with the area of the metrics."""
    page = opened(huge)
    page.locator("#test-curves").scroll_into_view_if_needed()
    scores = json.loads((huge.parent / "metrics.json").read_text())["test"]["per_class"]
    shown = page.locator("[data-legend=test-roc] button span").all_inner_texts()
    wanted = next(name for name in scores if name not in shown)

    page.locator("input[data-more=test]").fill(wanted)

    for kind, key in (("roc", "auroc"), ("pr", "average_precision")):
        entry = page.locator(f"[data-legend=test-{kind}] button", has_text=wanted)
        assert entry.inner_text().split("\n")[-1].endswith(f"{scores[wanted][key]:.3f}")
        assert page.locator(f"[data-figure=test-{kind}] .trace").count() == 15
    assert wanted in page.locator("#test-curves [role=status]").inner_text()
