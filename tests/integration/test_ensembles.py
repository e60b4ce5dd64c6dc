"""Several runs as one predictor, against the members' own answers combined."""

import csv
import functools
import json

import numpy as np
import pytest
import torch
from conftest import Ran, draw
from sklearn.neighbors import KNeighborsClassifier

import imgtrain as package
from imgtrain import console
from imgtrain.classical.artefact import Artefact, ClassicalNet, save
from imgtrain.cli import run as run_cli
from imgtrain.engine.model import build
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.weights import save_model
from imgtrain.ensemble_file import write_ensemble
from imgtrain.errors import RunError, SettingsError
from imgtrain.loading import preprocess as decoding
from imgtrain.loading.preprocess import Preprocess
from imgtrain.metrics.combining import combine

CLASSES = ("left", "middle", "right")


def seen_at(size, channels=3, max_pixels=10**6):
    return Preprocess(
        size=size,
        side=size,
        channels=channels,
        background=(255, 255, 255),
        max_pixels=max_pixels,
        mean=(0.5,) * channels,
        std=(0.1 * size / 32,) * channels,
    )


def recipe(classes=CLASSES, *, model="test_resnet", **seen):
    return Recipe(
        architecture=model,
        classes=tuple(classes),
        stem="standard",
        drop_rate=0.0,
        drop_path=0.0,
        preprocess=seen_at(**{"size": 32, **seen}),
    )


def make_run(folder, about, seed=0):
    """A run of weights that nobody trained, but that answer."""
    torch.manual_seed(seed)
    model = build(about)
    for weights in model.parameters():
        weights.data += 0.2 * torch.randn_like(weights)
    folder.mkdir(parents=True)
    save_model(folder / "model.safetensors", model, about)
    (folder / "status.json").write_text('{"format": 1, "state": "finished"}')


def make_classical(folder):
    """Two neighbours on raw pixels, 16 x 16: probabilities of 0, 0.5 and 1."""
    rng = np.random.default_rng(0)
    fitted = KNeighborsClassifier(2).fit(rng.random((30, 768)), np.arange(30) % 3)
    folder.mkdir(parents=True)
    about = recipe(model="pixels", size=16)
    model = ClassicalNet(None, fitted, 3)
    save(
        folder / "model.safetensors",
        artefact=Artefact(recipe=about, network=None, model=model),
    )
    (folder / "status.json").write_text('{"format": 1, "state": "finished"}')


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Runs a to e of every kind, cats (other classes), and a cross-validation of two folds."""
    place = tmp_path_factory.mktemp("ensembles")
    runs = place / "runs"
    make_run(runs / "a", recipe(), seed=1)
    make_run(runs / "b", recipe(), seed=2)
    make_run(runs / "c", recipe(size=48, channels=1), seed=3)
    make_run(runs / "d", recipe(CLASSES[::-1], model="test_vit2", size=64), seed=4)
    make_classical(runs / "e")
    make_run(runs / "cats", recipe(("left", "middle", "cat", "dog")), seed=5)
    make_run(runs / "cv" / "fold_1", recipe(), seed=6)
    make_run(runs / "cv" / "fold_2", recipe(), seed=7)
    write_ensemble(runs / "cv", "logits", [("fold_1", 1), ("fold_2", 2), ("fold_3", 0)])
    status = {"format": 1, "state": "finished", "kind": "cv"}
    (runs / "cv" / "status.json").write_text(json.dumps(status))
    (runs / "open").mkdir()
    (runs / "open" / "status.json").write_text(json.dumps(status | {"state": "interrupted"}))
    (runs / "study").mkdir()
    (runs / "study" / "status.json").write_text(
        '{"format": 1, "kind": "tune", "state": "finished"}'
    )
    (place / "in").mkdir()
    for i in range(70):  # more than one batch
        draw(i % 3, i).save(place / "in" / f"{i:02d}.png")
    (place / "in" / "33.png").write_text("no picture")
    return place


@pytest.fixture
def predict(place, monkeypatch, capfd):
    """Run ``imgtrain predict`` on those pictures."""
    monkeypatch.chdir(place)

    def command(*arguments):
        capfd.readouterr()
        code = run_cli(["predict", "in", *map(str, arguments)])
        console.set_verbosity(0)
        return Ran(code, *capfd.readouterr())

    return command


def probs(predict, *runs, **options):
    """Probabilities of all readable pictures, (N, C), by the command, in the order of CLASSES."""
    named = [word for run in runs for word in ("--run", run)]
    asked = [word for key, value in options.items() for word in (f"--{key}", value)]
    ran = predict(*named, *asked, "--csv", "p.csv", "--fresh")
    assert ran.code == 0, ran.err
    with open("p.csv", encoding="utf-8", newline="") as file:  # noqa: PTH123  # in this folder
        found = [row for row in csv.DictReader(file) if not row["error"]]
    assert len(found) == 69
    return np.array([[float(row[f"prob_{name}"]) for name in CLASSES] for row in found])


def alone(runs):
    """The members' own answers, (M, N, C), in the order of CLASSES."""
    return np.stack([asked_alone(run) for run in runs]).astype(np.float64)


@functools.cache
def asked_alone(run):
    model = package.load(run)
    order = [model.classes.index(name) for name in CLASSES]
    paths = [f"in/{i:02d}.png" for i in range(70) if i != 33]
    return np.stack([found.probs[order] for found in model.predict(paths)])


@pytest.mark.parametrize("how", ["mean", "logits", "vote"])
def test_any_models_make_one(predict, place, how):
    """Networks of other kinds and sizes, other orders of classes, a classical model; each rule."""
    members = ["a", "b", "c", "d", "e"]

    found = probs(predict, *members, ensemble=how)

    np.testing.assert_allclose(found, combine(alone(members), how), atol=2e-6)


def test_the_mean_is_the_default(predict, place):
    """Without --ensemble."""
    np.testing.assert_allclose(
        probs(predict, "a", "d"), combine(alone(["a", "d"]), "mean"), atol=2e-6
    )


def test_a_cross_validation_answers_as_it_says(predict, place):
    """By its own rule and weights; another rule keeps the weights; a fold is a run."""
    folds = ["cv/fold_1", "cv/fold_2"]
    weights = np.array([1.0, 2.0])

    assert package.load("cv").how == "logits"
    for how in ("logits", "vote"):
        asked = {} if how == "logits" else {"ensemble": how}
        expected = combine(alone(folds), how, weights)
        np.testing.assert_allclose(probs(predict, "cv", **asked), expected, atol=2e-6)
    np.testing.assert_allclose(probs(predict, folds[1]), alone(folds[1:])[0], atol=2e-6)


def test_among_several_a_cross_validation_counts_as_one(predict, place):
    """Its folds share its weight."""
    members = ["a", "cv/fold_1", "cv/fold_2"]

    expected = combine(alone(members), "mean", np.array([3.0, 1.0, 2.0]))

    np.testing.assert_allclose(probs(predict, "a", "cv"), expected, atol=2e-6)


def test_views_are_averaged_before_models_are_combined(predict, place):
    """With --tta each member answers as it would alone."""
    expected = combine(np.stack([probs(predict, run, tta="flip") for run in "ac"]), "mean")

    np.testing.assert_allclose(probs(predict, "a", "c", tta="flip"), expected, atol=2e-6)


def test_members_that_see_alike_share_each_picture(place, monkeypatch):
    """Two networks decode every picture once, with views too; one of another size once more."""
    monkeypatch.chdir(place)
    opened, decode = [], decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda *a, **k: opened.append(1) or decode(*a, **k))
    paths = [f"in/{i:02d}.png" for i in range(33)]

    for runs, views, times in (
        (["a", "b"], None, 1),
        (["a", "b"], "ten", 1),
        (["a", "c"], None, 2),
    ):
        opened.clear()
        assert len(list(package.load(runs).stream(paths, tta=views))) == 33
        spare = 0 if views is None else 8  # two threads may begin the same picture at once
        assert 33 * times <= len(opened) <= 33 * times + spare


def test_the_same_bits_whoever_else_is_asked(place, monkeypatch):
    """A member answers alone as in company: the combination is that of its float32 answers."""
    monkeypatch.chdir(place)
    found = np.stack([one.probs for one in package.load(["a", "b"]).predict(["in/00.png"])])
    own = [package.load(run).predict(["in/00.png"])[0].probs[None] for run in "ab"]

    np.testing.assert_array_equal(found, combine(np.stack(own).astype(np.float64), "mean"))
    assert package.load(["a", "b"]).recipe is None
    assert package.load(["a"]).recipe == recipe()


def test_what_one_member_cannot_read_is_an_error_of_its_row(place, monkeypatch):
    """With its reason; the others are scored as ever."""
    monkeypatch.chdir(place)
    make_run(place / "narrow", recipe(size=48, max_pixels=2000), seed=8)
    draw(0, 1, size=50).save(place / "large.png")
    both, small = package.load(["a", "narrow"]), ["in/00.png", "in/01.png"]

    first, large, second = both.predict([small[0], "large.png", small[1]])

    assert large.probs is None
    assert large.error == "50 x 50 are more pixels than the 2000 of data.max_pixels"
    for found, alone in zip((first, second), both.predict(small), strict=True):
        np.testing.assert_allclose(found.probs, alone.probs, atol=1e-6)


def test_the_newest_may_be_a_cross_validation(place, monkeypatch):
    """Without --run, too."""
    monkeypatch.chdir(place)
    (place / "runs" / "cv" / "status.json").touch()

    assert len(package.load().members) == 2


REFUSED = {
    "--run a --run cats": """6 error: runs/cats knows other classes than runs/a:
        it lacks 'right', it alone has 'cat', 'dog'
        combine runs that were trained on the same classes""",
    "--run a --ensemble vote": """2 error: --ensemble vote combines several models, and runs/a is
        one leave it out, or name several runs: --run A --run B""",
    "--run open": """6 error: runs/open holds no ensemble.json: its folds are not joined yet
        the same command goes on; cv --collect joins folds that were trained apart""",
    "--run study": """6 error: runs/study is a study of many trainings
        name one: runs/study/trial_0001""",
    "--run a --run bb": "6 error: no run 'bb' here or in runs",
    "--run a --run b --ensemble means": """2 error: --ensemble means: there is no such rule;
        did you mean 'mean'? take mean, logits or vote""",
}


@pytest.mark.parametrize("asked", REFUSED)
def test_what_cannot_be_combined_is_refused_in_a_sentence(predict, place, asked):
    """Before a picture is read: other classes with what differs, one model, folds not joined."""
    ran = predict(*asked.split(), "--csv", "never.csv")

    assert ran.out == ""
    assert f"{ran.code} {ran.words}".startswith(" ".join(REFUSED[asked].split()))
    assert not (place / "never.csv").exists()


def test_a_fold_that_is_gone_is_named(place, monkeypatch):
    """An ensemble is whole or none."""
    monkeypatch.chdir(place)
    broken = place / "runs" / "broken"
    broken.mkdir(exist_ok=True)
    write_ensemble(broken, "mean", [("fold_7", 1)])
    (broken / "status.json").write_text('{"format": 1, "state": "finished", "kind": "cv"}')

    with pytest.raises(RunError, match=r"names fold_7, and .* is not there"):
        package.load("broken")
    with pytest.raises(SettingsError, match="no such rule; did you mean 'mean'"):
        package.load(["a", "b"], ensemble="means")
    with pytest.raises(SettingsError, match="no run is named"):
        package.load([])
