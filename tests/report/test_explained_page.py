"""The page of where a model looks, as a browser shows it; its table."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from imgtrain.report.explained import (
    COLUMNS,
    MOST_SHOWN,
    SAYS,
    Explained,
    Way,
    listed_files,
    render,
    write_explained,
)

NASTY = "</p><script>alert(1)</script>"


def jpeg(shade):
    data = io.BytesIO()
    Image.fromarray(np.full((40, 40, 3), shade, np.uint8)).save(data, "JPEG")
    return data.getvalue()


def row(**more):
    given = {
        "path": "test/oak/1.jpg", "pred": "oak", "prob": 0.75, "of": "oak", "of_prob": 0.75,
        "file": "001_1.jpg", "picture": jpeg(40), "overlay": jpeg(200),
    }  # fmt: skip
    return Explained(**given | more)


ROWS = [
    row(true="oak", true_prob=0.75),
    row(path=f"test/{NASTY}/2.jpg", pred=NASTY, true="elm", true_prob=0.125, file="002_2.jpg"),
    row(of="elm", of_prob=0.0625, flat=True, file="003_3.jpg"),
    Explained(path=f"{NASTY}.jpg", error="cannot identify image file"),
]


def test_the_table_and_what_it_lists(tmp_path):
    """Rows with overlays, in order; names that lead out of the folder are nobody's overlays."""
    way = Way("oak-run", "rollout", "all 6 layers")

    write_explained(tmp_path, way, [*ROWS, row(path="b\udcff.jpg", of=None, file="004_b.jpg")])

    with (tmp_path / "overlays.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.reader(file))
    assert found[0] == list(COLUMNS)
    assert found[1] == ["test/oak/1.jpg", "oak", "rollout", "all 6 layers", "001_1.jpg"]
    assert found[-1] == ["b\\udcff.jpg", "", "rollout", "all 6 layers", "004_b.jpg"]
    assert listed_files(tmp_path) == [f"00{n}_{name}.jpg" for n, name in enumerate("123b", start=1)]
    with (tmp_path / "overlays.csv").open("a", encoding="utf-8") as file:
        file.write("a,b,c,d,../../data.jpg\na,b,c,d,/etc/hosts\nshort\n")
    assert len(listed_files(tmp_path)) == 4
    assert listed_files(tmp_path / "none") == []


def test_a_page_of_very_many_shows_the_first():
    """The table lists the others."""
    page = render(Way("r", "gradcam", "layer4"), [row(picture=b"", overlay=b"")] * (MOST_SHOWN + 5))

    assert page.count("<li>") == MOST_SHOWN
    assert "The first 200 of 205; overlays.csv lists all." in page


def test_every_method_says_what_its_map_means():
    """The page has a sentence for each."""
    from imgtrain.explain.methods import METHODS

    assert set(SAYS) == set(METHODS)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_loads_nothing_and_shows_all(browser, tmp_path, scheme):
    """One request; two pictures a row side by side; words as they are, in both schemes."""
    path = write_explained(tmp_path, Way(NASTY, "gradcam", "layer4"), ROWS)
    context = browser.new_context(color_scheme=scheme)
    page, heard = context.new_page(), []
    page.on("request", lambda request: heard.append(request.url))
    page.on("console", lambda message: heard.append(message.text))
    page.on("dialog", lambda dialog: heard.append(dialog.message))

    page.goto(path.as_uri(), wait_until="load")

    widths = page.eval_on_selector_all("img", "all => all.map(i => i.naturalWidth)")
    cards = page.locator(".looks li").all_inner_texts()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    context.close()
    assert [url for url in heard if not url.startswith("data:")] == [path.as_uri()]
    assert widths == [40] * 6
    assert cards[0].split() == ["oak", "75.0%", "test/oak/1.jpg"]
    assert cards[1].splitlines()[0] == NASTY
    assert "is elm" in cards[1]
    assert "map of elm" in cards[2]
    assert "nothing speaks for the class" in cards[2]
    assert "cannot identify image file" in cards[3]
    assert (int(ground[4:].split(",")[0]) > 128) == (scheme == "light")
