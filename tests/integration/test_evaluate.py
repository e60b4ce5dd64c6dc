"""``imgtrain evaluate`` from end to end, on a small training with a calibration part."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from conftest import TINY, Ran, draw, make_folder
from sklearn.metrics import brier_score_loss, log_loss

import imgtrain as package
from imgtrain import console
from imgtrain.cli import run as run_cli
from imgtrain.metrics.conformal import conformity_scores


def rows(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def probabilities(path):
    """Probabilities (N, C) and labels (N,) of a ``predictions.csv``, with six digits."""
    found = rows(path)
    names = [name for name in found[0] if name.startswith("prob_")]
    labels = [names.index(f"prob_{row['label']}") for row in found]
    return np.array([[float(row[name]) for name in names] for row in found]), np.array(labels)


def loss(labels, probs):
    """Log loss by scikit-learn of rows that are scaled to add up to 1."""
    return log_loss(labels, probs / probs.sum(axis=1, keepdims=True), labels=range(3))


def recipe_of(run):
    with safetensors.safe_open(run / "model.safetensors", framework="pt") as file:
        return json.loads(file.metadata()["imgtrain"])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures whose classes are hard to tell apart, and a run ``hard`` on them."""
    place = tmp_path_factory.mktemp("evaluate")
    root = make_folder(place / "hard", {"left": 40, "middle": 40, "right": 40}, size=32)
    for i in range(9):  # labels that are wrong, so that certainty is too
        shutil.copy(root / f"left/{i:03d}.png", root / f"middle/wrong{i}.png")
        draw(0, 100 + i, 32).save(root / f"right/wrong{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("IMGTRAIN_CACHE", str(place / "cache"))
        code = run_cli(
            ["train", "--data", "hard", *TINY, "--epochs", "6", "--name", "hard", "-q",
             "--split-ratio", "0.6,0.1,0.3", "--calibration-fraction", "0.3", "--on-leak", "off"]
        )  # fmt: skip
    console.set_verbosity(0)
    assert code == 0
    return place


@pytest.fixture
def evaluate(place, tmp_path, monkeypatch, capfd):
    """Run ``imgtrain evaluate`` on a copy of that run."""
    monkeypatch.chdir(tmp_path)
    skipped = shutil.ignore_patterns("checkpoints", "report.html")
    shutil.copytree(place / "runs", tmp_path / "runs", ignore=skipped)

    def command(*arguments):
        capfd.readouterr()
        code = run_cli(["evaluate", *map(str, arguments)])
        console.set_verbosity(0)
        return Ran(code, *capfd.readouterr())

    return command


RUN = Path("runs/hard")
TEST = RUN / "evaluations/test"


def test_training_holds_a_calibration_part_out(place):
    """No other part has its pictures; the model knows how they conform, to the last bit."""
    parts = {row["path"]: row["part"] for row in rows(place / RUN / "splits.csv")}
    probs, labels = probabilities(place / RUN / "predictions_calibration.csv")
    held = [path for path, part in parts.items() if part == "calibration"]

    assert len(held) == len(labels) > 20
    assert held == [row["path"] for row in rows(place / RUN / "predictions_calibration.csv")]
    recipe = recipe_of(place / RUN)
    assert recipe["temperature"] == 1
    np.testing.assert_allclose(recipe["conformity"], conformity_scores(probs, labels), atol=1e-6)
    assert package.load(place / RUN).conformity == tuple(recipe["conformity"])
    assert json.loads((place / RUN / "metrics.json").read_text())["calibration"]["n"] == len(held)


def test_the_test_part_again_gives_the_same_numbers(evaluate):
    """To the last bit; and intervals, files and a table beside them. Twice is once."""
    ran = evaluate("--json", "--threshold-for", "left:precision=0.9")
    assert ran.code == 0, ran.err
    metrics = ran.json["metrics"]
    before = json.loads((RUN / "metrics.json").read_text())["test"]

    assert ran.json["run"] == str(RUN)
    assert metrics == json.loads((TEST / "metrics.json").read_text())
    for key, value in before.items():
        if key != "intervals":
            assert metrics[key] == value, key
    assert before["intervals"].items() <= metrics["intervals"].items()
    for name in ("predictions", "confusion_matrix"):
        ours, theirs = TEST / f"{name}.csv", RUN / f"{name}_test.csv"
        assert ours.read_bytes() == theirs.read_bytes()
    probs, labels = probabilities(TEST / "predictions.csv")
    wanted = sum(brier_score_loss(labels == k, probs[:, k]) for k in range(3))
    assert metrics["brier"] == pytest.approx(wanted, abs=1e-5)
    for key in ("top1", "log_loss", "brier", "ece", "macro_auroc"):
        low, high = metrics["intervals"][key]
        assert low < high, key
    for name in ("reliability", "roc_curve", "pr_curve", "confusion_matrix"):
        assert (TEST / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    chosen = metrics["threshold"]
    if chosen["threshold"] is not None:  # what it does to the test part, counted from the table
        taken = probs[:, 0] >= chosen["threshold"]
        assert chosen["scored"]["accepted"] == taken.sum()
        assert chosen["part"] == "calibration"
    table = evaluate("hard").out
    assert table.splitlines()[0].split() == ["score", "value", "95", "%", "interval"]
    assert f"{100 * before['top1']:.2f} %" in table
    assert [p.name for p in (RUN / "evaluations").iterdir()] == ["test"]


def test_calibration_makes_probabilities_honest(evaluate):
    """The loss on the calibration part is the least; weights stay to the bit; it is done once."""
    weights = safetensors.torch.load_file(RUN / "model.safetensors")
    probs, labels = probabilities(RUN / "predictions_calibration.csv")

    ran = evaluate("hard", "--calibrate", "--json", "--threshold-for", "precision=0.5")
    assert ran.code == 0, ran.err
    found = ran.json["metrics"]["calibrated"]
    before, after = found["temperature"]

    recipe = recipe_of(RUN)
    assert (before, recipe["temperature"], ran.json["metrics"]["temperature"]) == (1, after, after)
    assert found["log_loss"][0] == pytest.approx(loss(labels, probs), abs=1e-4)
    cold = [loss(labels, probs ** (1 / (after * factor))) for factor in (0.97, 1.0, 1.03)]
    assert min(cold) == cold[1] == pytest.approx(found["log_loss"][1], abs=1e-3)
    assert found["log_loss"][1] < found["log_loss"][0]
    kept = safetensors.torch.load_file(RUN / "model.safetensors")
    assert kept.keys() == weights.keys()
    assert all(torch.equal(kept[key], weights[key]) for key in weights)
    test, truth = probabilities(TEST / "predictions.csv")
    assert found["scored"]["log_loss"][1] == pytest.approx(loss(truth, test), abs=1e-4)
    trained = json.loads((RUN / "metrics.json").read_text())["test"]
    assert found["scored"]["log_loss"][0] == pytest.approx(trained["log_loss"], abs=1e-5)
    assert ran.json["metrics"]["top1"] == trained["top1"]
    on_part = evaluate("hard", "--split", "calibration", "--json")
    assert "the temperature was fitted on these pictures" in on_part.words
    sure, right = probabilities(RUN / "evaluations/calibration/predictions.csv")
    assert on_part.json["metrics"]["log_loss"] == pytest.approx(found["log_loss"][1], abs=1e-6)
    np.testing.assert_allclose(recipe["conformity"], conformity_scores(sure, right), atol=6e-7)
    again = evaluate("hard", "--calibrate", "--json").json["metrics"]["calibrated"]
    assert again["temperature"] == pytest.approx([after, after], rel=1e-4)


def test_corruptions_and_slices_of_other_pictures(evaluate, tmp_path, place):
    """A manifest of some classes: matched by name; copies of training pictures are told."""
    parts = {row["path"]: row["part"] for row in rows(RUN / "splits.csv")}
    learnt = next(p for p, part in parts.items() if part == "train" and p.startswith("right"))
    lines = [f"{place / 'hard' / learnt},right,night"]
    for i in range(12):
        draw(2, 500 + i).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,right,{'night' if i % 3 else ''}")
    (tmp_path / "broken.png").write_text("no picture")
    (tmp_path / "new.csv").write_text("\n".join(["path,label,Light", *lines, "broken.png,right,"]))

    ran = evaluate("hard", "--data", "new.csv", "--corruptions", "--json")
    assert ran.code == 0, ran.err
    metrics, folder = ran.json["metrics"], RUN / "evaluations/new"

    assert "1 picture of 14 is byte for byte in the train part of runs/hard" in ran.words
    assert metrics["tta"] is None
    assert metrics["seen"] == {"runs/hard": {"train": 1}}
    assert (metrics["n"], metrics["unreadable"]) == (13, 1)
    assert [r["path"] for r in rows(folder / "bad_images.csv")] == ["broken.png"]
    table = rows(folder / "predictions.csv")
    assert {row["label"] for row in table} == {"right"}
    hits = {row["path"]: row["pred"] == "right" for row in table}
    light = {path: value for path, _, value in (line.split(",") for line in lines)}
    for row in metrics["slices"]:
        own = [hit for path, hit in hits.items() if light[path] == row["value"]]
        assert (row["column"], row["n"], row["top1"]) == ("Light", len(own), np.mean(own))
    assert [r["value"] for r in rows(folder / "slices.csv")] == ["", "night"]
    steps = [(row["kind"], row["severity"]) for row in metrics["corruptions"]]
    assert len(set(steps)) == len(rows(folder / "corruptions.csv")) == 25
    mean = np.mean([row["top1"] for row in metrics["corruptions"]])
    assert metrics["robustness"]["mean_top1"] == pytest.approx(mean)
    assert (folder / "corruptions.png").exists()
    plain = [r["prob"] for r in table]
    again = evaluate("hard", "--data", "new.csv", "--slice", "light")
    assert [r["prob"] for r in rows(folder / "predictions.csv")] == plain
    assert "by Light" in again.out
    assert evaluate("hard", "--data", "new.csv", "--slice", "lihgt").code == 2
    assert "imgtrain evaluate RUN --data new.csv" in evaluate("new.csv").words


def test_one_picture_of_a_bare_model(evaluate, tmp_path):
    """A file of weights beside no run scores a folder of one; its evaluation lies next to it."""
    shutil.copy(RUN / "model.safetensors", tmp_path / "mine.safetensors")
    (tmp_path / "x/test/left").mkdir(parents=True)
    draw(0, 77).save(tmp_path / "x/test/left/1.png")

    ran = evaluate("mine.safetensors", "--data", "x/test", "--tta", "five", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["metrics"]["n"], ran.json["metrics"]["tta"]) == (1, "five")
    assert Path("evaluations/mine-x-test/metrics.json").exists()
    assert evaluate("mine.safetensors").code == 3
    draw(0, 77).save(tmp_path / "x/test/left/2.png")
    api = package.evaluate("mine.safetensors", data="x/test", to="here")
    assert (api.folder, api.metrics["n"]) == (Path("here"), 2)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--split", "tset"], 2, "did you mean 'test'?"),
        (["--data", "bad"], 3, "the model knows no class 'lefty'; did you mean 'left'?"),
        (["--data", "gone"], 3, "there is no folder, manifest or known set 'gone'"),
        (["--data", "dark"], 3, "none of the 1 pictures can be read"),
        (["--data", "dark", "--split", "test"], 2, "has no parts"),
        (["--threshold-for", "precision=2"], 2, "precision=0.95 or recall=0.9"),
        (["--threshold-for", "lef:precision=0.9"], 2, "did you mean 'left'?"),
        (["--calibrate", "--tta", "flip"], 2, "leave out one of them"),
        (["--calibrate", "--data", "learnt"], 3, "calibrate on is in the train part"),
        (["hard", "--calibrate"], 2, "these are 2"),
        (["--to", "bad"], 6, "holds no evaluation"),
    ],
)
def test_what_cannot_be_is_refused(evaluate, place, arguments, code, words):
    """In one sentence, before anything is written."""
    parts = {row["path"]: row["part"] for row in rows(RUN / "splits.csv")}
    learnt = next(path for path, part in parts.items() if part == "train")
    for name in ("bad/lefty", "dark/left", f"learnt/{learnt.split('/')[0]}"):
        Path(name).mkdir(parents=True)
    draw(0, 1).save("bad/lefty/1.png")
    Path("dark/left/1.png").write_text("no picture")
    shutil.copy(place / "hard" / learnt, Path("learnt") / learnt)

    ran = evaluate("hard", *arguments)

    assert ran.code == code, ran.err
    assert words in ran.words
    assert not (RUN / "evaluations").exists()


def test_a_run_without_a_calibration_part_says_what_to_do(evaluate, place, tmp_path):
    """Both ways out are named; pictures kept apart are one, and no test part is needed then."""
    table = rows(RUN / "splits.csv")
    with (RUN / "splits.csv").open("w", encoding="utf-8") as file:
        file.write("path,label,part,group\n")
        for row in table:
            part = {"calibration": "unused"}.get(row["part"], row["part"])
            file.write(f"{row['path']},{row['label']},{part},\n")
    for label, name in enumerate(("left", "middle", "right")):
        (tmp_path / "apart" / name).mkdir(parents=True)
        for i in range(4):
            draw((label + (i == 0)) % 3, 900 + i, 32).save(tmp_path / "apart" / name / f"{i}.png")

    refused = evaluate("hard", "--calibrate")
    tested = evaluate("hard", "--calibrate", "--data", place / "hard")
    done = evaluate("hard", "--data", "apart", "--calibrate", "--json")

    assert (refused.code, tested.code) == (2, 2)  # never on its own test part
    assert "--calibration-fraction 0.1" in refused.words
    assert "--data PATH --calibrate" in refused.words
    assert done.code == 0, done.err
    metrics = done.json["metrics"]
    assert (metrics["part"], metrics["calibrated"]["n"]) == ("test", 12)
    assert len(recipe_of(RUN)["conformity"]) == 12


def test_pictures_that_changed_since_are_told(evaluate, place, tmp_path):
    """What is gone is said; what is left is scored."""
    moved = shutil.copytree(place / "hard", tmp_path / "moved")
    about = json.loads((RUN / "provenance.json").read_text())
    (RUN / "provenance.json").write_text(json.dumps(about | {"data_root": str(moved)}))
    tested = [row["path"] for row in rows(RUN / "splits.csv") if row["part"] == "test"]
    (moved / tested[0]).unlink()

    ran = evaluate("hard", "--json")

    assert f"1 picture of its parts is gone (for example {tested[0]})" in ran.words
    assert ran.json["metrics"]["n"] == len(tested) - 1


def test_a_classical_model_is_calibrated_alike(imgtrain, tmp_path):
    """Its file keeps the estimator to the bit and has another temperature."""
    root = make_folder(tmp_path / "p", {"a": 40, "b": 40}, size=16)
    for i in range(6):
        draw(0, 300 + i, 16).save(root / f"b/wrong{i}.png")
    trained = imgtrain(
        "train", "--data", root, "--model", "sklearn:logreg", "--features", "pixels", "--json",
        "--calibration-fraction", "0.4", "--split-ratio", "0.7,0.1,0.2", "--on-leak", "off",
    )  # fmt: skip
    assert trained.code == 0, trained.err
    run = Path(trained.json["run"])
    before = safetensors.torch.load_file(run / "model.safetensors")

    ran = imgtrain("evaluate", "--calibrate", "--json")
    assert ran.code == 0, ran.err

    with safetensors.safe_open(run / "model.safetensors", framework="pt") as file:
        recipe = json.loads(file.metadata()["imgtrain-classical"])["recipe"]
    after = safetensors.torch.load_file(run / "model.safetensors")
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert recipe["temperature"] == ran.json["metrics"]["temperature"] != 1
    trained_test = trained.json["metrics"]["test"]
    assert ran.json["metrics"]["top1"] == trained_test["top1"]
    assert ran.json["metrics"]["calibrated"]["scored"]["log_loss"][0] == pytest.approx(
        trained_test["log_loss"], abs=1e-4
    )


def test_folds_keep_no_part_for_calibration(imgtrain, photos):
    """Cross-validation refuses it in one sentence, and so does a search over folds."""
    share = ("--calibration-fraction", "0.1")
    for command in (("cv",), ("tune", "--objective", "cv")):
        ran = imgtrain(*command, "--data", photos, *share)
        assert ran.code == 2
        assert "keeps pictures out of one training" in ran.words
