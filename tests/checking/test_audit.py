"""``data audit``: what is listed, kept, refused; and how a browser shows it."""

import csv
import hashlib
import json
import re

import numpy as np
import pytest
from audits import make_cv_run

from imgtrain.checking.out_of_fold import read_out_of_fold
from imgtrain.errors import RunError

PICTURES = [(f"train/{label}/{i}.jpg", label) for label in ("cat", "dog") for i in range(5)]
WRONG = ("train/cat/3.jpg", "train/dog/1.jpg")


@pytest.fixture
def cv_run(folder, tmp_path):
    """A cv run on the photos, in which two labels look wrong."""
    return make_cv_run(tmp_path / "here" / "runs" / "pets", folder, PICTURES, wrong=WRONG)


@pytest.fixture
def rows(cv_run):
    """A function that reads the list."""

    def read():
        with (cv_run / "label_audit.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return read


def test_the_list_is_ranked_and_waits_for_answers(imgtrain, cv_run, rows, folder):
    """The likeliest first, with both probabilities; beside it what the files were."""
    ended = imgtrain("data", "audit", "pets")

    assert ended.code == 0
    assert rows() == [
        {
            "path": path,
            "label": label,
            "suggested": other,
            "score": own,
            "p_label": own,
            "p_suggested": p,
            "accepted": "",
        }
        for path, label, other, own, p in (
            (WRONG[0], "cat", "dog", "0.053000", "0.947000"),
            (WRONG[1], "dog", "cat", "0.056000", "0.944000"),
        )
    ]
    record = json.loads((cv_run / "label_audit.json").read_text())
    digests = {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in WRONG}
    assert record["files"] == digests
    assert record["data_root"] == str(folder)
    assert "2 of 10 labels are likely wrong; estimated noise 20.0 %" in ended.err
    assert "cat, likely dog: about 1 picture (20.0 % of the class)" in ended.err


def test_json_is_all_that_goes_to_stdout(imgtrain, cv_run):
    """Pairs and suspects; --top cuts the list, not the counts."""
    found = json.loads(imgtrain("data", "audit", "--json", "--top", "1", "--rank", "margin").out)

    assert found["pictures"] == 10
    assert found["suspects_in_all"] == 2
    assert found["noise"] == pytest.approx(0.2)
    assert found["pairs"][0] == {"label": "cat", "suggested": "dog", "pictures": 1, "share": 0.2}
    (suspect,) = found["suspects"]
    assert suspect["path"] == WRONG[0]
    assert suspect["score"] == pytest.approx((0.053 - 0.947 + 1) / 2)


def test_answers_outlive_another_audit(imgtrain, cv_run, rows):
    """In their rows, however a spreadsheet wrote them; and those that are no longer suspect."""
    imgtrain("data", "audit", "pets")
    text = (cv_run / "label_audit.csv").read_text()
    text = (
        text.replace("0.944000,", "0.944000,yes") + "train/cat/0.jpg,cat,dog,0.5,0.5,0.5,remove\n"
    )
    (cv_run / "label_audit.csv").write_text("\ufeff" + text.replace(",", ";"))

    ended = imgtrain("data", "audit", "pets")

    assert [(row["path"], row["accepted"]) for row in rows()] == [
        (WRONG[0], ""),
        (WRONG[1], "yes"),
        ("train/cat/0.jpg", "remove"),
    ]
    assert "kept from the earlier list: 2 answers" in ended.err


def test_repeats_are_averaged(folder, tmp_path):
    """One row a picture, the mean of its rows; the fold is that of the first repeat."""
    run = make_cv_run(tmp_path / "run", folder, PICTURES, repeats=3)
    file = run / "oof_predictions.csv"
    lines = file.read_text().splitlines()
    lines[11] = lines[11].replace("0.900000,0.100000", "0.300000,0.700000")
    file.write_text("\n".join(lines) + "\n")

    found = read_out_of_fold(file)

    assert (len(found.paths), found.repeats) == (10, 3)
    np.testing.assert_allclose(found.probs[0], [(0.9 + 0.3 + 0.9) / 3, (0.1 + 0.7 + 0.1) / 3])
    assert found.folds.tolist() == [1, 2] * 5


def test_gone_pictures_are_placeholders(imgtrain, cv_run, folder):
    """The list is written all the same, and nothing is remembered of them."""
    (folder / WRONG[0]).unlink()

    assert imgtrain("data", "audit", "pets").code == 0

    page = (cv_run / "label_audit.html").read_text(encoding="utf-8")
    assert page.count('<div class="missing">picture not found</div>') == 1
    assert page.count("<img src=") == 1
    assert list(json.loads((cv_run / "label_audit.json").read_text())["files"]) == [WRONG[1]]


def test_models_that_know_nothing_are_not_believed_without_a_word(imgtrain, folder, tmp_path):
    """Six of ten labels against the models: said with the share they agree with."""
    wrong = [path for path, _ in PICTURES[:6]]
    make_cv_run(tmp_path / "here" / "runs" / "weak", folder, PICTURES, wrong=wrong)

    assert "agree with 40 % of the labels only" in " ".join(imgtrain("data", "audit").err.split())


def test_nothing_suspect_is_said(imgtrain, folder, tmp_path):
    """An empty list and a page that says so."""
    run = make_cv_run(tmp_path / "here" / "runs" / "clean", folder, PICTURES)

    ended = imgtrain("data", "audit")

    assert "no label of 10 pictures looks wrong" in ended.err
    assert len((run / "label_audit.csv").read_text().splitlines()) == 1
    assert "No label looks wrong." in (run / "label_audit.html").read_text()


@pytest.mark.parametrize(
    "case",
    [
        (["oof_predictions.csv", "folds.csv"], ["pets"], 6, "pets is a single training"),
        (["oof_predictions.csv"], ["pets"], 6, "pets is not finished"),
        (["oof_predictions.csv"], [], 6, "there is no finished cv run in runs"),
        ([], ["pest"], 6, "did you mean 'pets'?"),
        ([], ["--prune", "all"], 2, "--prune all is none of class, noise-rate, both, none"),
        ([], ["--rank", "luck"], 2, "--rank luck is none of self-confidence, margin"),
    ],
)
def test_mistakes_are_told(imgtrain, cv_run, case):
    """In a sentence, with what to type; nothing is written."""
    gone, argv, code, text = case
    for name in gone:
        (cv_run / name).unlink()

    ended = imgtrain("data", "audit", *argv)

    assert (ended.code, text in ended.err) == (code, True), ended.err
    assert not (cv_run / "label_audit.csv").exists()
    if "single" in text:
        assert "imgtrain cv -c runs/pets/config.yaml" in ended.err


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("prob_cat", "p_cat", "has not the columns"),
        ("train/cat/1.jpg,cat", "train/cat/1.jpg,cow", "line 3 cannot be read"),
        ("0.899000", "nan", "line 3 has probabilities that are none"),
        ("train/cat/2.jpg,cat", "train/dog/4.jpg,cat", "line 11 gives train/dog/4.jpg another"),
    ],
)
def test_a_broken_file_is_told(cv_run, old, new, text):
    """With the line."""
    file = cv_run / "oof_predictions.csv"
    file.write_text(file.read_text().replace(old, new))

    with pytest.raises(RunError, match=re.escape(text)):
        read_out_of_fold(file)


def test_the_list_of_another_program_is_not_overwritten(imgtrain, cv_run):
    """A file that cannot be read may hold a person's work."""
    (cv_run / "label_audit.csv").write_text("path,verdict\na,yes\n")

    ended = imgtrain("data", "audit", "pets")

    assert (ended.code, "which may hold your answers" in ended.err) == (6, True)
    assert (cv_run / "label_audit.csv").read_text() == "path,verdict\na,yes\n"
