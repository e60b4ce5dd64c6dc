"""``--model sklearn:NAME`` and ``--freeze backbone`` from end to end, on small sets."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
import warm
from conftest import TINY, make_folder
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_train import rows, weights

from imgtrain.engine.model import build
from imgtrain.engine.recipe import Recipe
from imgtrain.loading.preprocess import Preprocess


@pytest.fixture
def small(tmp_path):
    """Three classes of 20 pictures, 16 pixels wide, and one file that is none."""
    root = make_folder(tmp_path / "small", {"a": 20, "b": 20, "c": 20}, size=16)
    (root / "a/broken.png").write_text("no picture")
    return root


def probabilities(path):
    return [{k: float(v) for k, v in r.items() if k.startswith("prob_")} for r in rows(path)]


def predicted_alike(imgtrain, root, run):
    """Whether predict says of the test pictures what the run wrote, to six digits."""
    tested = rows(run / "predictions_test.csv")
    out = run.parent / "out.csv"
    ended = imgtrain(
        "predict", *(root / row["path"] for row in tested), "--run", run, "--csv", out, "--fresh"
    )
    assert ended.code == 0, ended.err
    for a, b in zip(probabilities(run / "predictions_test.csv"), probabilities(out), strict=True):
        assert a == pytest.approx(b, abs=1.5e-6)
    return True


def seen(root, run, part, preprocess):
    """Decoded pictures (N, H, W, C) of a part and their labels, as ``splits.csv`` lists them."""
    names = [row for row in rows(run / "splits.csv") if row["part"] == part]
    names = [row for row in names if "broken" not in row["path"]]
    pixels = [preprocess.decoded((root / row["path"]).read_bytes()) for row in names]
    labels = [["a", "b", "c"].index(row["label"]) for row in names]
    return np.stack(pixels), np.array(labels)


SMALL = Preprocess(
    size=16,
    side=16,
    channels=3,
    background=(255, 255, 255),
    max_pixels=10**6,
    mean=timm.get_pretrained_cfg("test_resnet").mean,
    std=timm.get_pretrained_cfg("test_resnet").std,
)


def test_raw_pixels_through_train_predict_and_report(imgtrain, small):
    """The same files as any run, the numbers of scikit-learn on pixels in [0, 1]."""
    ended = imgtrain("train", "--data", small, "--model", "sklearn:knn", "--json")
    run = (small.parent / "work" / ended.json["run"]).resolve()
    x, y = seen(small, run, "train", SMALL)
    test, truth = seen(small, run, "test", SMALL)
    chosen = ended.json["metrics"]["chosen"]
    reference = KNeighborsClassifier(**chosen).fit(x.reshape(len(x), -1) / 255, y)
    expected = reference.predict_proba(test.reshape(len(test), -1) / 255)

    assert "features: raw pixels, as small pictures say enough themselves" in ended.words
    found = [list(row.values()) for row in probabilities(run / "predictions_test.csv")]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert ended.json["metrics"]["test"]["n"] == len(truth)
    assert [row["path"] for row in rows(run / "bad_images.csv")] == ["a/broken.png"]
    files = {path.name for path in run.iterdir()}
    assert {"report.html", "selection.csv", "config.yaml", "provenance.json"} <= files
    assert sum(int(row["is_best"]) for row in rows(run / "selection.csv")) == 1
    assert predicted_alike(imgtrain, small, run)
    again = imgtrain("train", "--resume", run)
    assert "is finished; nothing to do" in again.words
    assert imgtrain("train", "-c", run / "config.yaml").code == 0


def test_features_of_a_network_are_standardised_on_train(imgtrain, small):
    """A pipeline written by hand on timm's features gives the same probabilities."""
    options = ["--features", "test_resnet", "--no-pretrained", "--threads", "1", "--json"]
    ended = imgtrain("train", "--data", small, "--model", "sklearn:logreg", *options)
    run = (small.parent / "work" / ended.json["run"]).resolve()
    torch.manual_seed(0)
    network = build(
        Recipe(
            architecture="test_resnet",
            classes=("a", "b", "c"),
            stem="standard",
            drop_rate=0.0,
            drop_path=0.0,
            preprocess=SMALL,
        )
    ).eval()

    def features(pixels):
        inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        inputs = (inputs - torch.tensor(SMALL.mean).view(3, 1, 1)) / torch.tensor(SMALL.std).view(
            3, 1, 1
        )
        with torch.inference_mode():
            maps = network.forward_features(inputs)
            return network.forward_head(maps, pre_logits=True).numpy()

    x, y = seen(small, run, "train", SMALL)
    test, _ = seen(small, run, "test", SMALL)
    chosen = ended.json["metrics"]["chosen"]
    reference = make_pipeline(StandardScaler(), LogisticRegression(**chosen, max_iter=2000))
    expected = reference.fit(features(x), y).predict_proba(features(test))

    found = [list(row.values()) for row in probabilities(run / "predictions_test.csv")]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert predicted_alike(imgtrain, small, run)
    with_views = imgtrain("predict", small / "b/000.png", "--run", run, "--tta", "flip", "--json")
    assert with_views.code == 0, with_views.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["sklearn:knnn"], 2, "no such classical model; did you mean 'knn'?"),
        (["sklearn:svm", "--epochs", "5"], 2, "--epochs means nothing to --model sklearn:svm"),
        (["sklearn:knn", "--auto-weights"], 2, "knows no class weights"),
        (["sklearn:svm", "--processes", "2"], 2, "trains in one process"),
        (["sklearn:svm", "--balance-strategy", "batch"], 2, "draws batches"),
        (["sklearn:svm", "--features", "pixels", "--weights", "x.pt"], 2, "uses no network"),
        (["sklearn:svm", "--features", "resnet81"], 2, "--features resnet81: timm"),
        (["sklearn:svm", "--features", "pixels", "--image-size", "96"], 2, "use --image-size 73"),
        (["resnet18", "--features", "pixels"], 2, "--model sklearn:NAME"),
        (["sklearn:svm", "--features", "resnet18", "--offline"], 4, "no pretrained weights"),
    ],
)
def test_what_a_classical_model_cannot_do_is_refused(imgtrain, small, arguments, code, words):
    """By name of the flag; nothing that was set is ignored."""
    ended = imgtrain("train", "--data", small, "--model", *arguments)

    assert ended.code == code, ended.err
    assert words in ended.words


@pytest.mark.long
def test_a_killed_run_starts_over_to_the_same_numbers(imgtrain, small):
    """The same command goes on in the same folder."""
    options = ["train", "--data", str(small), "--model", "sklearn:forest"]
    work = small.parent / "work"
    child = warm.Popen(
        [sys.executable, "-m", "imgtrain", *options], cwd=work, stderr=subprocess.PIPE, text=True
    )
    for line in child.stderr:
        if line.startswith("tried"):
            break
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stderr.close()
    assert not (work / "runs/small-sklearn_forest/metrics.json").exists()

    again = imgtrain(*options, "--json")
    whole = imgtrain(*options, "--json", "--output", work / "other")

    assert "which is unfinished" in again.words
    assert again.json["run"].endswith("small-sklearn_forest")
    assert again.json["metrics"] == whole.json["metrics"]


def test_a_frozen_backbone_sees_each_picture_once_unless_they_vary(imgtrain, small, monkeypatch):
    """The saved model is the whole network; a second run finds the features and the same bits.

    Another one lends its features to a classical model; where pictures vary, it runs in every
    epoch, and all but the classifier stays as it was.
    """
    options = ["--data", small, *TINY, "--freeze", "backbone", "--epochs", "2", "--json"]
    monkeypatch.setattr("imgtrain.engine.features._TELL_EVERY", 0)
    first = imgtrain("train", *options)
    assert first.code == 0, first.err
    run = (small.parent / "work" / first.json["run"]).resolve()

    second = imgtrain("train", *options)

    assert "no augmentation: so the frozen backbone sees each picture once" in first.words
    assert "61 pictures go through the frozen network, once" in first.words
    assert "features: 61 of 61" in first.words
    assert "go through the frozen network" not in second.words
    assert first.json["metrics"] == second.json["metrics"]
    assert "conv1.0.weight" in weights(run)
    assert (run / "checkpoints/last.pt").stat().st_size < 100_000
    assert [row["path"] for row in rows(run / "bad_images.csv")] == ["a/broken.png"]
    assert predicted_alike(imgtrain, small, run)

    lent = imgtrain(
        "train", "--data", small, "--model", "sklearn:logreg", "--weights", run, "--json"
    )
    assert "features of test_resnet as" in lent.words
    assert "32 x 32 x 3" in lent.words
    assert predicted_alike(imgtrain, small, small.parent / "work" / lent.json["run"])

    varied = imgtrain("train", *options, "--augmentation-policy", "light")
    assert "the frozen backbone runs in every epoch" in varied.words
    a, b = weights(run), weights(small.parent / "work" / varied.json["run"])
    assert {name for name in a if not torch.equal(a[name], b[name])} == {"fc.weight", "fc.bias"}
