"""The page's text: what it says, what it escapes, and what it does without."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from imgtrain.report.frame import embedded
from imgtrain.report.page import write_page

TREES = ["oak", "beech"]
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "{{plotly}}",
    'a" onmouseover="alert(3)',
    "$\\alpha$ %{x} <b>bold</b>",
    "zwei\nZeilen\u202eנ",
]


class Words(HTMLParser):
    """The text of a page and its elements, as a browser sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        """Keep the element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        """Keep what is neither script nor style."""
        if self.elements and self.elements[-1][0] not in {"script", "style"}:
            self.words.append(data)


def page_of(folder, **more) -> Words:
    return Words(write_page(folder, **more).read_text(encoding="utf-8"))


def test_the_page_says_what_the_run_says(trees):
    """Scores, intervals, data, settings with their origin, environment: all from the files."""
    scores = json.loads((trees / "metrics.json").read_text())["test"]

    text = page_of(trees).text

    low, high = scores["intervals"]["top1"]
    assert f"{100 * scores['top1']:.1f}%" in text
    assert f"{100 * low:.1f} \u2013 {100 * high:.1f}%" in text
    assert f"{scores['per_class']['beech']['f1']:.3f}" in text
    assert "optim.lr 0.002 environment Peak learning rate" in text
    assert "imgtrain train --data" in text
    assert "torch 2.15.0" in text
    assert "1 min 17 s; the weights are those of epoch 11." in text
    assert "of which the model was most sure" in text


def test_pictures_are_embedded_and_missing_ones_are_said(trees):
    """Every second mistake is on the disk: as many pictures as placeholders."""
    page = page_of(trees)

    images = [attrs["src"] for tag, attrs in page.elements if tag == "img"]
    assert images
    assert all(src.startswith("data:image/jpeg;base64,") for src in images)
    assert page.text.count("picture not found") >= 10


def test_the_caller_may_say_how_pictures_are_read(trees):
    """A reader that fails makes placeholders, never a failure."""

    def read(path: str) -> bytes:
        raise KeyError(path)

    page = page_of(trees, read=read)

    assert not [tag for tag, _ in page.elements if tag == "img"]


def test_charts_and_tables_show_the_same_areas(trees):
    """The legend's AUROC is that of the metrics, whatever six digits make of it."""
    metrics = json.loads((trees / "metrics.json").read_text())
    metrics["test"]["per_class"]["oak"]["auroc"] = 0.123
    (trees / "metrics.json").write_text(json.dumps(metrics))

    page = write_page(trees).read_text(encoding="utf-8")

    figures = json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])
    assert figures["test-roc"]["data"][0]["meta"]["value"] == "0.123"


def test_names_stay_text(make_run):
    """Class names and paths never become elements, attributes, placeholders or scripts."""
    clean = page_of(make_run([f"class {i}" for i in range(6)]))
    hostile = page_of(make_run(HOSTILE, name="<b>&run"))

    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in clean.elements]
    assert not any("onmouseover" in attrs or "onerror" in attrs for _, attrs in hostile.elements)
    for name in HOSTILE[:5]:
        assert name in hostile.text
    assert "\u202e" not in hostile.text


def test_embedded_json_cannot_end_its_element():
    """No ``<`` is left, and the value survives."""
    value = {"a": {"data": ["</script><!--&\u2028"]}}

    found = embedded(value)

    assert not set("<>&\u2028") & set(found)
    assert json.loads(found) == value


@pytest.mark.parametrize(
    "missing",
    [
        "config.yaml",
        "provenance.json",
        "classes.json",
        "splits.csv",
        "history.csv",
        "metrics.json",
        "predictions_test.csv",
        "timing.json",
        "status.json",
    ],
)
@pytest.mark.parametrize("how", ["gone", "empty", "broken"])
def test_every_file_is_optional(trees, missing, how):
    """A page comes of every run, whatever is missing or broken in it."""
    if how == "gone":
        (trees / missing).unlink(missing_ok=True)
    else:
        (trees / missing).write_bytes(b"" if how == "empty" else b'[{"\xff\x00,')

    assert "oak-resnet18" in write_page(trees).read_text(encoding="utf-8")


def test_an_empty_run_has_a_page(tmp_path):
    """Nothing is there yet: the page says so, and is small."""
    page = write_page(tmp_path)

    assert "No part of the data has been scored yet." in page.read_text(encoding="utf-8")
    assert page.stat().st_size < 60_000


def test_an_unfinished_run_says_so(make_run):
    """Three of twelve epochs, nothing scored."""
    folder = make_run(TREES, parts=(), epochs=3)
    (folder / "status.json").write_text('{"format": 1, "state": "running"}')
    found = json.loads((folder / "provenance.json").read_text())
    found["settings"]["train.epochs"] = 12
    (folder / "provenance.json").write_text(json.dumps(found))

    text = page_of(folder).text

    assert "not finished" in text
    assert "3 of 12 epochs" in text
    assert "No part of the data has been scored yet." in text


def test_validation_scores_are_said_to_flatter(make_run):
    """Without a test part the validation part leads, with a warning."""
    text = page_of(make_run(TREES, parts=("val",))).text

    assert "Validation part, 200 pictures." in text
    assert "so these scores flatter" in text


def test_settings_come_from_the_configuration_without_provenance(trees):
    """An old or copied trees still shows its settings."""
    (trees / "provenance.json").unlink()
    (trees / "config.yaml").write_text("optim:\n  lr: 0.25\n", encoding="utf-8")

    assert "optim.lr 0.25" in page_of(trees).text


def test_left_out_pictures_are_listed(trees):
    """Their number stands out, their names are there to look up."""
    (trees / "bad_images.csv").write_text(
        "path,part,reason\noak/<b>.jpg,test,truncated\n", encoding="utf-8"
    )

    text = page_of(trees).text

    assert "Left out because unreadable: 1 picture." in text
    assert "oak/<b>.jpg test: truncated" in text


def test_a_perfect_part_has_no_gallery(make_run):
    """No mistake, no picture, and it is said."""
    folder = make_run(["only"], parts=("test",))

    assert "None: all 200 pictures are recognised." in page_of(folder).text


def test_many_classes_are_limited_and_it_is_said(make_run):
    """The page of 1,100 classes stays small, and says what it leaves out."""
    folder = make_run([f"species {i}" for i in range(1100)], pictures=1500, parts=("test",))

    page = page_of(folder)

    assert "The 40 classes of the most common confusions, of 1,100." in page.text
    assert "The 1,000 classes with the lowest F1, of 1,100." in page.text
    assert "The 12 of 1,100 classes with the lowest average precision" in page.text
    assert (folder / "report.html").stat().st_size < 4_000_000


def test_the_page_is_the_same_each_time(trees):
    """Writing the page again changes no byte."""
    first = write_page(trees).read_bytes()

    assert write_page(trees).read_bytes() == first


def test_making_a_page_never_loads_torch(trees):
    """The page comes from files alone."""
    code = (
        "import sys, pathlib; from imgtrain.report.page import write_page;"
        f"write_page(pathlib.Path({str(trees)!r}));"
        "print(sorted({'torch', 'matplotlib', 'pandas'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_command_prints_the_path(trees, tmp_path, monkeypatch, capsys):
    """``imgtrain report`` writes the newest run's page, and its path is the only output."""
    from imgtrain.commands.report import report

    monkeypatch.chdir(tmp_path)

    report()

    assert capsys.readouterr().out.strip() == "runs/oak-resnet18/report.html"
    assert (trees / "report.html").is_file()
