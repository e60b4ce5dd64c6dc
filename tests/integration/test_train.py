"""``imgtrain train`` from end to end, on small sets."""

import csv
import json
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import TINY, make_folder

import imgtrain as package

RUN_FILES = {
    "auc_scores_test.txt",
    "auc_scores_val.txt",
    "checkpoints",
    "classes.json",
    "classification_report_test.txt",
    "classification_report_val.txt",
    "config.yaml",
    "confusion_matrix_test.csv",
    "confusion_matrix_val.csv",
    "contact_sheet.jpg",
    "history.csv",
    "history.jsonl",
    "log.txt",
    "metrics.json",
    "model.safetensors",
    "plots",
    "predictions_test.csv",
    "predictions_val.csv",
    "provenance.json",
    "report.html",
    "splits.csv",
    "status.json",
    "timing.json",
}


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def weights(run):
    return safetensors.torch.load_file(run / "model.safetensors")


def same_weights(a, b):
    a, b = weights(a), weights(b)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def steady(run):
    """``history.csv`` but for its columns of time."""
    return [
        {k: v for k, v in row.items() if k not in {"seconds", "images_per_second"}}
        for row in rows(run / "history.csv")
    ]


def test_a_run_leaves_what_it_promises_and_predict_agrees_with_it(imgtrain, photos, tmp_path):
    """Every file of the run folder; JSON on stdout; predictions of the same pictures the same."""
    ran = imgtrain(  # these pictures are so alike that they count as copies
        "train", "--data", photos, *TINY, "--epochs", "3", "--json", "--on-leak", "off"
    )
    assert ran.code == 0, ran.err
    run = tmp_path / "work" / "runs" / "photos-test_resnet"

    assert ran.json["run"] == "runs/photos-test_resnet"
    assert ran.json["metrics"] == json.loads((run / "metrics.json").read_text())
    assert {p.name for p in run.iterdir() if not p.name.startswith(".")} == RUN_FILES
    assert ran.json["metrics"]["test"]["n"] == 6
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    assert len(rows(run / "history.csv")) == 3
    assert len(rows(run / "splits.csv")) == 60
    assert "What the model saw" in (run / "report.html").read_text(encoding="utf-8")

    known = rows(run / "predictions_test.csv")
    again = imgtrain("predict", *(photos / row["path"] for row in known), "--json").json
    for row, found in zip(known, again, strict=True):
        assert found["pred"] == row["pred"]
        assert found["prob"] == pytest.approx(float(row["prob"]), abs=1e-5)
        for one in found["top"]:
            assert one["prob"] == pytest.approx(float(row[f"prob_{one['class']}"]), abs=1e-5)


def test_the_model_file_alone_is_enough_to_predict(imgtrain, photos, tmp_path):
    """Moved away, with the run and the data gone."""
    assert imgtrain("train", "--data", photos, *TINY, "--epochs", "1").code == 0
    run = tmp_path / "work" / "runs" / "photos-test_resnet"
    shutil.copy(run / "model.safetensors", tmp_path / "m.safetensors")
    picture = tmp_path / "one.png"
    shutil.copy(photos / "left" / "000.png", picture)
    shutil.rmtree(run)
    shutil.rmtree(photos)
    found = imgtrain("predict", picture, "--run", tmp_path / "m.safetensors", "--json")

    assert found.code == 0, found.err
    assert sum(one["prob"] for one in found.json[0]["top"]) == pytest.approx(1, abs=1e-5)


def test_the_same_command_twice_gives_the_same_bits(imgtrain, photos, tmp_path):
    """Two runs, two folders; weights, predictions and history equal, whatever the threads."""
    arguments = ["train", "--data", photos, *TINY, "--epochs", "2"]
    assert imgtrain(*arguments, "--workers", "1").code == 0
    second = imgtrain(*arguments, "--workers", "5", "--cache", "disk")
    assert second.code == 0
    a, b = (tmp_path / "work" / "runs" / f"photos-test_resnet{n}" for n in ("", "-2"))

    assert same_weights(a, b)
    assert steady(a) == steady(b)
    assert (a / "predictions_test.csv").read_bytes() == (b / "predictions_test.csv").read_bytes()


def test_the_saved_configuration_repeats_the_run(imgtrain, photos, tmp_path):
    """Train -c runs/x/config.yaml: the same weights."""
    assert imgtrain("train", "--data", photos, *TINY, "--epochs", "2").code == 0
    runs = tmp_path / "work" / "runs"
    again = imgtrain("train", "-c", runs / "photos-test_resnet" / "config.yaml")

    assert again.code == 0, again.err
    assert same_weights(runs / "photos-test_resnet", runs / "photos-test_resnet-2")


def test_manifest_and_folder_give_the_same_metrics(imgtrain, photos, tmp_path):
    """The same pictures by a CSV beside them: the same parts, the same scores."""
    manifest = photos / "pictures.csv"
    lines = [f"{p.relative_to(photos).as_posix()},{p.parent.name}" for p in photos.rglob("*.png")]
    manifest.write_text("path,label\n" + "\n".join(lines) + "\n")
    first = imgtrain("train", "--data", photos, *TINY, "--epochs", "2", "--json")
    second = imgtrain("train", "--data", manifest, *TINY, "--epochs", "2", "--json")

    assert first.json["metrics"] == second.json["metrics"]


def test_given_parts_are_kept_and_a_missing_val_comes_from_train(imgtrain, tmp_path):
    """train/ and test/: test stays whole, val is cut from train, and that is said."""
    root = tmp_path / "parts"
    make_folder(root / "train", {"a": 20, "b": 20}, size=80)
    make_folder(root / "test", {"a": 4, "b": 5}, size=80)
    ran = imgtrain("train", "--data", root, *TINY, "--epochs", "1", "--json")
    parts = [row["part"] for row in rows(tmp_path / "work/runs/parts-test_resnet/splits.csv")]

    assert ran.json["metrics"]["test"]["n"] == 9
    assert parts.count("test") == 9
    assert parts.count("val") > 0
    assert "val" in ran.words


def test_without_a_validation_part_the_last_weights_are_scored(imgtrain, photos):
    """--split-ratio 0.8,0,0.2: no val in metrics, best_epoch is the last."""
    ran = imgtrain(
        "train", "--data", photos, *TINY, "--epochs", "2", "--split-ratio", "0.8,0,0.2", "--json"
    )

    assert ran.code == 0, ran.err
    assert "val" not in ran.json["metrics"]
    assert ran.json["metrics"]["best_epoch"] == 2


def test_fast_dev_goes_through_everything(imgtrain, photos, tmp_path):
    """Two tiny epochs, a report, a name of its own."""
    ran = imgtrain("train", "--data", photos, *TINY, "--fast-dev")

    assert ran.code == 0, ran.err
    run = tmp_path / "work" / "runs" / "photos-test_resnet-fast-dev"
    assert len(rows(run / "history.csv")) == 2
    assert (run / "report.html").is_file()


def test_fewer_pictures_than_a_batch_are_one_batch(imgtrain, tmp_path):
    """Six pictures with batch 64: one step an epoch."""
    make_folder(tmp_path / "few", {"a": 4, "b": 4}, size=80)
    ran = imgtrain("train", "--data", tmp_path / "few", *TINY[:4], "--batch-size", "64",
                   "--no-pretrained", "--epochs", "2", "--split-ratio", "0.75,0,0.25")  # fmt: skip

    assert ran.code == 0, ran.err
    assert "2 epochs of 1 steps, batch 6 = " in ran.words


def test_grey_pictures_train_with_one_channel(imgtrain, tmp_path):
    """--channels auto: all grey means one channel, in the model and in prediction."""
    root = make_folder(tmp_path / "grey", {"a": 10, "b": 10}, size=80)
    from PIL import Image

    for path in root.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    ran = imgtrain("train", "--data", root, *TINY, "--epochs", "1")
    assert ran.code == 0, ran.err

    assert "32 x 32 x 1" in ran.words
    assert imgtrain("predict", next(root.rglob("*.png"))).code == 0


def test_normalisation_from_the_data(imgtrain, photos, tmp_path):
    """auto: mean and spread of the training part's pixels, saved in config.yaml."""
    import yaml

    ran = imgtrain("train", "--data", photos, *TINY, "--epochs", "1", "--normalize-mean", "auto",
                   "--normalize-std", "auto", "--augmentation-policy", "none")  # fmt: skip
    assert ran.code == 0, ran.err
    run = tmp_path / "work" / "runs" / "photos-test_resnet"
    config = yaml.safe_load((run / "config.yaml").read_text())
    from PIL import Image

    train = [photos / r["path"] for r in rows(run / "splits.csv") if r["part"] == "train"]
    side = round(32 * 8 / 7)
    pixels = np.stack(
        [np.asarray(Image.open(p).resize((side, side), Image.Resampling.BILINEAR)) for p in train]
    )

    assert config["data"]["normalize_mean"] == pytest.approx(
        (pixels / 255).mean((0, 1, 2)), abs=2e-3
    )
    assert config["data"]["normalize_std"] == pytest.approx((pixels / 255).std((0, 1, 2)), abs=2e-3)


def test_weights_of_a_run_start_another(imgtrain, photos, tmp_path):
    """--weights RUN says what was taken; other classes leave the classifier out."""
    assert imgtrain("train", "--data", photos, *TINY, "--epochs", "1").code == 0
    make_folder(tmp_path / "two", {"x": 10, "y": 10}, size=80)
    ran = imgtrain("train", "--data", tmp_path / "two", *TINY[:6], "--epochs", "1",
                   "--weights", "photos-test_resnet")  # fmt: skip

    assert ran.code == 0, ran.err
    assert "fc.weight, fc.bias" in ran.words


def test_python_gives_the_same_without_a_terminal(photos, tmp_path, monkeypatch):
    """imgtrain.train and imgtrain.load, with plain settings."""
    monkeypatch.chdir(tmp_path)
    settings = package.Settings.model_validate(
        {
            "data": {"root": str(photos), "image_size": 32},
            "model": {"name": "test_resnet", "pretrained": False},
            "train": {"epochs": 1, "batch_size": 8},
        }
    )
    result = package.train(settings)
    model = package.load(result.run)
    found = model.predict([photos / "left" / "000.png", photos / "nothing.png"])

    assert model.classes == ("left", "middle", "right")
    assert found[0].probs.sum() == pytest.approx(1, abs=1e-5)
    assert found[1].probs is None
    assert found[1].error
