"""Classical models: the numbers of scikit-learn, saved and read again without running any code."""

import contextlib
import functools
import io
import json
import os
import zipfile

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from skops import io as skops

from imgtrain.classical.artefact import Artefact, ClassicalNet, is_classical, read, save
from imgtrain.classical.estimators import (
    Plan,
    Trial,
    fitted,
    is_better,
    judged,
    log_probabilities,
    make,
    variants,
)
from imgtrain.engine.recipe import Recipe
from imgtrain.errors import DataError, RunError
from imgtrain.loading.preprocess import Preprocess
from imgtrain.settings.classical import ESTIMATORS

PIXELS = Recipe(
    architecture="pixels",
    classes=("a", "b", "c", "never seen"),
    stem="standard",
    drop_rate=0.0,
    drop_path=0.0,
    preprocess=Preprocess(
        size=2,
        side=2,
        channels=1,
        background=(255, 255, 255),
        max_pixels=100,
        mean=(0.0,),
        std=(1.0,),
    ),
)


@pytest.fixture(scope="module")
def numbers():
    """Three clouds of 4 numbers, 30 each, and their classes 0, 1, 2."""
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(3), 30)
    centres = rng.normal(0, 1.5, (3, 4))
    return (centres[labels] + rng.normal(0, 1, (90, 4))).astype(np.float32), labels


def plan(kind, **changes):
    values = {"standardise": True, "class_weight": None, "seed": 7, "threads": 2}
    return Plan(kind=kind, **(values | changes))


def saved(path, estimator):
    model = ClassicalNet(None, estimator, len(PIXELS.classes))
    save(path, Artefact(recipe=PIXELS, network=None, model=model))
    return path


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_saved_model_gives_the_same_probabilities(kind, numbers, tmp_path):
    """All five, read by way of the list of trusted types; classes never seen have 0."""
    features, labels = numbers
    estimator = fitted(plan(kind), next(variants(kind)), features, labels)
    expected = log_probabilities(estimator, features, 4)

    found = read(saved(tmp_path / "model.safetensors", estimator))

    inputs = torch.from_numpy(features).view(-1, 1, 2, 2)
    assert is_classical(tmp_path / "model.safetensors")
    assert found.recipe == PIXELS
    assert np.array_equal(found.model(inputs).numpy(), expected)
    assert np.isneginf(expected[:, 3]).all()
    np.testing.assert_allclose(np.exp(expected).sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "reference"),
    [
        ("logreg", make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))),
        (
            "svm",
            CalibratedClassifierCV(
                make_pipeline(StandardScaler(), SVC(C=10)),
                method="temperature",
                cv=5,
                ensemble=False,
            ),
        ),
        ("knn", make_pipeline(StandardScaler(), KNeighborsClassifier(5))),
        ("forest", RandomForestClassifier(300, random_state=7)),
    ],
)
def test_the_numbers_are_those_of_a_pipeline_written_by_hand(kind, reference, numbers):
    """The first variant of each is what one would type, fitted on the same pictures."""
    features, labels = numbers
    expected = reference.fit(features, labels).predict_proba(features)

    estimator = fitted(plan(kind), next(variants(kind)), features, labels)

    np.testing.assert_allclose(estimator.predict_proba(features), expected, atol=1e-12)


def test_classes_are_weighted_as_scikit_learn_balances_them(numbers):
    """Total / (classes x count), by number of the class."""
    features, labels = numbers[0][:70], numbers[1][:70]  # the third class has ten
    weights = dict(enumerate((70 / (3 * np.bincount(labels))).tolist()))
    reference = LogisticRegression(max_iter=2000, class_weight="balanced").fit(features, labels)

    found = fitted(
        plan("logreg", standardise=False, class_weight=weights), {"C": 1.0}, features, labels
    )

    np.testing.assert_allclose(
        found.predict_proba(features), reference.predict_proba(features), atol=1e-9
    )


def test_a_class_of_one_picture_cannot_be_calibrated(numbers):
    """Said instead of made up."""
    with pytest.raises(DataError, match="every class needs two"):
        make(plan("svm"), {"C": 1.0}, np.array([0, 0, 1]))


def test_a_hostile_estimator_is_refused(numbers, tmp_path):
    """What no model of ours is made of is not loaded; the first stranger is named."""
    features, labels = numbers
    estimator = fitted(plan("knn"), {"n_neighbors": 1}, features, labels)
    estimator.steps.append(("more", functools.partial(os.system, "true")))

    with pytest.raises(RunError, match="holds what no model of imgtrain is made of: functools"):
        read(saved(tmp_path / "model.safetensors", estimator))


@pytest.mark.parametrize("what", [[1, 2], np.arange(3)])
def test_what_is_no_classifier_is_refused(what, tmp_path):
    """Harmless types, but nothing that has classes."""
    assert not skops.get_untrusted_types(data=skops.dumps(what))

    with pytest.raises(RunError, match="does not fit its classes"):
        read(saved(tmp_path / "model.safetensors", what))


def test_a_broken_file_is_one_sentence(numbers, tmp_path):
    """Bytes in the middle of the estimator turned over."""
    features, labels = numbers
    path = saved(
        tmp_path / "model.safetensors",
        fitted(plan("knn"), {"n_neighbors": 1}, features, labels),
    )
    data = bytearray(path.read_bytes())
    data[-400:] = bytes(400)
    path.write_bytes(data)

    with pytest.raises(RunError, match="broken"):
        read(path)


def test_nothing_that_is_broken_or_swollen_is_a_bug(numbers, tmp_path):
    """Wherever bytes turned over, or whatever the text beside them says: read, or one sentence."""
    features, labels = numbers
    estimator = fitted(plan("knn"), {"n_neighbors": 1}, features, labels)
    path = saved(tmp_path / "model.safetensors", estimator)
    with safe_open(path, framework="pt") as file:
        (key,), metadata = file.keys(), file.metadata()
        whole = file.get_tensor(key).numpy().tobytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(packed, "w", 8) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    (kept,) = metadata
    value = json.loads(metadata[kept])
    cases = [(packed.getvalue(), value), (b"", value), (whole[: len(whole) // 2], value)]
    smaller = value["recipe"]["preprocess"] | {"size": 1}
    cases.append((whole, value | {"recipe": value["recipe"] | {"preprocess": smaller}}))
    cases += [(whole, value | change) for change in ({"recipe": []}, {"network": 5})]
    for at in range(40, len(whole), 199):
        cases.append((whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :], value))
    for data, said in cases:
        tensor = torch.from_numpy(np.frombuffer(data or b"-", np.uint8).copy())
        save_file({key: tensor}, path, metadata={kept: json.dumps(said)})
        with contextlib.suppress(RunError):
            read(path)
    for data, said in cases[:6]:
        tensor = torch.from_numpy(np.frombuffer(data or b"-", np.uint8).copy())
        save_file({key: tensor}, path, metadata={kept: json.dumps(said)})
        with pytest.raises(RunError, match=r"is broken|own recipe"):
            read(path)


def test_the_best_variant_is_the_monitored_one_then_the_less_surprised_then_the_first():
    """As for epochs: of equals the one with the lower loss."""
    first = Trial({"C": 1}, 0.9, 0.8, 0.5)

    assert is_better(first, None, "val_top1")
    assert is_better(Trial({"C": 2}, 0.9, 0.1, 0.4), first, "val_top1")
    assert not is_better(Trial({"C": 2}, 0.9, 0.9, 0.5), first, "val_top1")
    assert is_better(Trial({"C": 2}, 0.1, 0.9, 0.9), first, "val_macro_f1")
    assert is_better(Trial({"C": 2}, 0.1, 0.1, 0.4), first, "val_loss")
    assert not is_better(Trial({"C": 2}), Trial({"C": 1}), "val_top1")


def test_trials_are_judged_as_parts_are():
    """Top-1 of two in three, and minus the mean logarithm of the true class's probability."""
    probs = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])

    found = judged({"C": 1.0}, probs, np.array([0, 1, 1]))

    assert found.val_top1 == 2 / 3
    assert found.val_loss == pytest.approx(-np.log([0.8, 0.4, 0.7]).mean())
    assert str(found) == "C=1: val top-1 66.7 %, val loss 0.4987"
