"""Tables of predictions: quickly where imgtrain wrote them, slowly where others did."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from imgtrain.report import predictions
from imgtrain.report.predictions import read_predictions

CLASSES = ("a", 'b,"c"', "<d> e")
PATHS = ["x.jpg", "a, b.jpg", 'quo"ted.jpg', "ümläut \U0001f98a.jpg"]


def write(file, probs, *, digits="{:.6f}", paths=PATHS, end="\n", names=CLASSES):
    with file.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator=end)
        writer.writerow(["path", "label", "pred", "prob", *(f"prob_{name}" for name in names)])
        for i, row in enumerate(probs.tolist()):
            best = int(np.argmax(row))
            cells = map(digits.format, [row[best], *row])
            writer.writerow([paths[i % len(paths)], names[i % 2], names[best], *cells])
    return file


@pytest.fixture
def probs():
    found = np.random.default_rng(0).dirichlet(np.ones(3), 200).round(6)
    found[:3] = np.eye(3)
    return found


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_six_digits_are_read_as_float_reads_them(tmp_path, probs, monkeypatch, end):
    """Bit for bit, whatever stands in paths and names, and however many rows are a block."""
    monkeypatch.setattr(predictions, "_BLOCK", 500)
    monkeypatch.setattr(predictions, "_read_any", lambda file: pytest.fail(f"{file} is slow"))

    found = read_predictions(write(tmp_path / "p.csv", probs, end=end), CLASSES)

    assert found.probs.tobytes() == probs.tobytes()
    assert found.paths == tuple(PATHS[i % 4] for i in range(200))
    assert found.labels.tolist() == [i % 2 for i in range(200)]
    assert found.predicted.tolist() == probs.argmax(axis=1).tolist()


def test_every_number_of_six_digits(tmp_path):
    """From 0.000000 to 1.000000, in steps that meet every digit."""
    values = np.append(np.arange(0, 1_000_000, 331), 1_000_000)
    cells = values[: values.size // 3 * 3].reshape(-1, 3)
    expected = [[float(f"{v / 1e6:.6f}") for v in row] for row in cells.tolist()]

    found = read_predictions(write(tmp_path / "p.csv", np.array(expected)), CLASSES)

    assert found.probs.tolist() == expected


@pytest.mark.parametrize("digits", ["{}", "{:.3f}", "{:.9f}", "{:e}", " {:.5f}"])
def test_other_digits_are_read_too(tmp_path, probs, digits):
    """As `float` reads them."""
    found = read_predictions(write(tmp_path / "p.csv", probs, digits=digits), CLASSES)

    expected = [[float(digits.format(value)) for value in row] for row in probs.tolist()]
    assert found.probs.tolist() == expected


def test_names_over_two_lines(tmp_path, probs):
    """CSV allows it, and so does a file system."""
    paths, names = ["one\nline.jpg", "0.123456\n,0.1.jpg"], ("a", "two\nlines", "c")
    file = write(tmp_path / "p.csv", probs, paths=paths, names=names)

    found = read_predictions(file, names)

    assert found.paths[:2] == ("one\nline.jpg", "0.123456\n,0.1.jpg")
    assert found.probs.tobytes() == probs.tobytes()


@pytest.mark.parametrize(
    "broken",
    [
        lambda text: text[:-12],
        lambda text: text[:-12] + "\n",
        lambda text: text.replace("0.", "0,", 1),
        lambda text: text[: text.rindex("x.jpg")] + "x.jpg,unknown,a,1.000000" + ",0.000000" * 3,
        lambda text: text[: text.rindex("x.jpg")] + "x.jpg,a,a,nan,nan,nan,nan\n",
        lambda text: text.splitlines(keepends=True)[0],
        lambda text: text[:0],
    ],
)
def test_what_is_not_whole_is_not_there(tmp_path, probs, broken):
    """A torn row, a class that nobody knows, what is no number, nothing at all."""
    file = write(tmp_path / "p.csv", probs, paths=["x.jpg"])
    file.write_text(broken(file.read_text(encoding="utf-8")), encoding="utf-8")

    assert read_predictions(file, CLASSES) is None
