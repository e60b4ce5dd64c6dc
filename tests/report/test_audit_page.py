"""The page of a label audit in a browser: judged by keys and buttons, saved as the list."""

import csv
import io
import json

import pytest
from PIL import Image

from imgtrain.checking.audit import audit, review_rows, write_audit
from imgtrain.report.audit_page import write_audit_page
from imgtrain.report.gallery import reader_of

pytestmark = pytest.mark.browser
CLASSES = ["</script><b>oak", "beech", "yes"]


@pytest.fixture(scope="module")
def page_path(tmp_path_factory):
    """Nine suspects of thirty pictures; the last one's file is gone."""
    root = tmp_path_factory.mktemp("audit")
    run, data = root / "run", root / "data"
    run.mkdir()
    data.mkdir()
    (run / "provenance.json").write_text(json.dumps({"data_root": str(data)}))
    with (run / "oof_predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "pred", "prob", *(f"prob_{c}" for c in CLASSES), "fold"])
        for i in range(30):
            label, likely = i % 3, (i % 3 if i > 8 else (i + 1) % 3)
            probs = [0.02 + 0.001 * i] * 3
            probs[likely] = 1 - sum(probs[1:])
            name = f'picture "{i}", <i>.png'
            cells = [f"{p:.6f}" for p in probs]
            writer.writerow([name, CLASSES[label], CLASSES[likely], max(cells), *cells, 1])
            if i:
                picture = Image.new("RGB", (90, 60), (20 * (i % 12), 90, 40))
                picture.save(data / name)
    found = audit(run, "class", "self-confidence")
    read = reader_of(str(data))
    rows = review_rows(found)
    write_audit(found, rows, read)
    return write_audit_page(found, rows, read)


def accepted(page):
    """What the saved file says, by picture."""
    with page.expect_download() as waiting:
        page.locator("#save").click()
    text = waiting.value.path().read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    return {int(row["path"].split('"')[1]): row["accepted"] for row in rows}, text


def test_keys_and_buttons_judge_and_the_file_holds_it(page_path, opened):
    """y, n, r, another class, a button, undo; the saved list is the command's own with answers."""
    page = opened(page_path, accept_downloads=True)
    assert page.heard == [page_path.as_uri()]
    cards = page.locator(".suspects li")
    assert cards.count() == 9
    assert page.locator(".suspects .missing").count() == 1

    page.keyboard.press("ArrowRight")
    for key in ("y", "n", "r", "c"):
        page.keyboard.press(key)
    page.keyboard.type("yes")  # a class of that name
    page.keyboard.press("Enter")
    cards.nth(4).locator("button", has_text="change").click()
    cards.nth(5).locator("button", has_text="keep").click()
    cards.nth(5).press("u")
    cards.nth(6).locator("input").fill("no such class")
    cards.nth(6).locator("input").press("Enter")

    assert page.locator("#count").inner_text() == "9 shown, 5 of 9 judged"
    assert cards.nth(6).locator("input.unknown").count() == 1
    found, text = accepted(page)
    written = page_path.with_name("label_audit.csv").read_text(encoding="utf-8")
    assert found == {0: "yes", 1: "no", 2: "remove", 3: "class:yes", 4: "yes"} | dict.fromkeys(
        range(5, 9), ""
    )
    assert [line.rsplit(",", 1)[0] for line in text.splitlines()] == [
        line.rsplit(",", 1)[0] for line in written.splitlines()
    ]


def test_the_filter_shows_a_class_on_a_phone(page_path, opened):
    """Given or likely; nothing scrolls sideways, and names are text."""
    page = opened(page_path, viewport={"width": 390, "height": 800}, color_scheme="dark")

    page.locator("#class").select_option(CLASSES[1])

    shown = page.locator(".suspects li:visible")
    assert shown.count() == 6
    said = shown.locator(".said, .likely").all_inner_texts()
    assert sum("beech" in words for words in said) == 6
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".suspects b b, .suspects i").count() == 0
    assert page.heard == [page_path.as_uri()]
