"""The files that a scored part leaves behind."""

from __future__ import annotations

import csv
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as reference

from imgtrain.metrics.scores import score
from imgtrain.report.plots import write_training_curves
from imgtrain.report.results import write_results

HOSTILE = ["<img src=x onerror=alert(1)>", "a,b", 'say "no"', "$x$ _hidden", "猫\nzwei"]


def drawn(pictures: int, classes: int):
    rng = np.random.default_rng(7)
    labels = rng.integers(0, classes, pictures)
    probs = rng.dirichlet(np.ones(classes), pictures)
    probs[np.arange(pictures), labels] += 1
    return labels, probs / probs.sum(axis=1, keepdims=True)


def written(folder, classes, pictures=40):
    labels, probs = drawn(pictures, len(classes))
    paths = [f"{classes[label]}/{i}.png" for i, label in enumerate(labels)]
    return write_results(folder, "test", paths=paths, labels=labels, probs=probs, classes=classes)


def test_a_part_leaves_these_files(tmp_path):
    """The names are what other programs look for."""
    found = written(tmp_path, ["a", "b", "c"])

    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")) == [
        "auc_scores_test.txt",
        "classification_report_test.txt",
        "confusion_matrix_test.csv",
        "plots/confusion_matrix_test.png",
        "plots/pr_curve_test.png",
        "plots/roc_curve_test.png",
        "predictions_test.csv",
    ]
    assert found == score(*drawn(40, 3), ["a", "b", "c"])


def test_predictions_name_classes_and_have_six_digits(tmp_path):
    """One row a picture, in the order given; any name survives."""
    labels, probs = drawn(40, 5)
    written(tmp_path, HOSTILE)

    with (tmp_path / "predictions_test.csv").open(encoding="utf-8", newline="") as handle:
        header, *rows = csv.reader(handle)

    assert header == ["path", "label", "pred", "prob", *(f"prob_{name}" for name in HOSTILE)]
    assert [row[1] for row in rows] == [HOSTILE[label] for label in labels]
    assert [row[2] for row in rows] == [HOSTILE[i] for i in probs.argmax(axis=1)]
    assert [row[3] for row in rows] == [f"{p:.6f}" for p in probs.max(axis=1)]
    np.testing.assert_allclose(np.array([row[4:] for row in rows], float), probs, atol=5e-7)


def test_the_matrix_is_that_of_scikit_learn(tmp_path):
    """Rows are true classes, columns predicted ones."""
    labels, probs = drawn(40, 3)
    written(tmp_path, ["a", "b", "c"])

    with (tmp_path / "confusion_matrix_test.csv").open(encoding="utf-8", newline="") as handle:
        header, *rows = csv.reader(handle)

    assert header == ["true \\ predicted", "a", "b", "c"]
    assert [[int(n) for n in row[1:]] for row in rows] == reference.confusion_matrix(
        labels, probs.argmax(axis=1)
    ).tolist()


def test_texts_are_tables(tmp_path):
    """What is undefined is a dash, and names keep to their line."""
    write_results(
        tmp_path,
        "val",
        paths=["1", "2", "3"],
        labels=np.array([0, 0, 1]),
        probs=np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3]]),
        classes=["cat", "dog", "no\npictures"],
    )

    assert (tmp_path / "classification_report_val.txt").read_text(encoding="utf-8") == (
        "class              precision  recall      f1  support\n"
        "cat                   1.0000  0.5000  0.6667        2\n"
        "dog                   0.5000  1.0000  0.6667        1\n"
        "no pictures                -       -       -        0\n"
        "\n"
        "accuracy                              0.6667        3\n"
        "balanced accuracy             0.7500                3\n"
        "macro average                         0.6667        3\n"
        "weighted average                      0.6667        3\n"
    )
    assert (tmp_path / "auc_scores_val.txt").read_text(encoding="utf-8") == (
        "class           auroc  average_precision\n"
        "cat            0.5000             0.8333\n"
        "dog            0.5000             0.5000\n"
        "no pictures         -                  -\n"
        "\n"
        "macro average  0.5000             0.6667\n"
        "micro average  0.6389\n"
    )


@pytest.mark.parametrize("classes", [1, 2, 25, 70])
def test_plots_are_drawn_for_few_and_many_classes(tmp_path, classes):
    """Every plot is a picture of a sane size."""
    written(tmp_path, [f"class {i}" for i in range(classes)])

    for path in (tmp_path / "plots").iterdir():
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert 300 < picture.width < 2000


def test_training_curves_need_history(tmp_path):
    """Without an epoch there is nothing to draw; one epoch, and gaps, are drawn."""
    write_training_curves(tmp_path, [])
    assert not (tmp_path / "plots").exists()

    write_training_curves(tmp_path, [{"epoch": 1, "train_loss": 2.0, "val_loss": None, "lr": 0.1}])
    assert (tmp_path / "plots" / "training_curves.png").is_file()


def test_nothing_loads_torch_or_pyplot(tmp_path):
    """Writing results is quick to start and needs no display."""
    code = (
        "import sys, numpy as np, pathlib;"
        "from imgtrain.report.results import write_results;"
        f"write_results(pathlib.Path({str(tmp_path)!r}), 'test', paths=['a'], labels=np.array([0]),"
        "probs=np.array([[0.5, 0.5]]), classes=['a', 'b']);"
        "print(sorted({'torch', 'sklearn', 'matplotlib.pyplot'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_results_of_ten_classes_take_a_moment(tmp_path):
    """All files of a small run are there within 2.5 seconds, imports included."""
    written(tmp_path / "warm", ["a", "b"])
    start = time.perf_counter()

    written(tmp_path, [f"class {i}" for i in range(10)], pictures=1000)

    assert time.perf_counter() - start < 2.5
