"""Run folders made up, as trainings would leave them."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
from PIL import Image, ImageDraw

from imgtrain.metrics.scores import score
from imgtrain.report.results import write_results
from imgtrain.settings.catalog import all_settings

HISTORY = [
    *("epoch", "step", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5"),
    *("val_macro_f1", "is_best", "gpu_memory_mb", "seconds", "images_per_second"),
]


def _history(folder, epochs, shift=0.0):
    rows = []
    for epoch in range(1, epochs + 1):
        fall = np.exp(-epoch / 3)
        values = {
            "epoch": epoch,
            "step": 20 * epoch,
            "lr": 1e-3 * (0.5 + 0.5 * np.cos(np.pi * epoch / epochs)),
            "train_loss": 0.5 + 1.6 * fall,
            "train_top1": 0.98 - 0.8 * fall,
            "val_loss": 0.62 + 1.5 * fall + 0.01 * epoch + shift,
            "val_top1": 0.94 - 0.75 * fall,
            "val_macro_f1": 0.93 - 0.78 * fall - shift,
            "is_best": 1,
            "seconds": 6.1,
            "images_per_second": 235.0,
        }
        rows.append(values)
    with (folder / "history.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, HISTORY)
        writer.writeheader()
        writer.writerows(rows)


def _picture(index: int, side: int) -> bytes:
    rng = np.random.default_rng(index)
    back, front = (tuple(int(v) for v in rng.integers(40, 230, 3)) for _ in range(2))
    picture = Image.new("RGB", (side * 4 // 3, side), back)
    draw = ImageDraw.Draw(picture)
    x, y = rng.uniform(0, 0.5, 2) * side
    draw.ellipse((x, y, x + side / 2, y + side / 2), fill=front)
    data = io.BytesIO()
    picture.save(data, "JPEG")
    return data.getvalue()


def _provenance(folder, data_root, epochs):
    values = {key: setting.default for key, setting in all_settings().items()}
    values |= {"data.root": str(data_root), "train.epochs": epochs, "optim.lr": 0.002}
    origins = dict.fromkeys(values, "default")
    origins |= {
        "data.root": "flag",
        "train.epochs": "file advanced.yaml",
        "optim.lr": "environment",
    }
    found = {
        "argv": ["imgtrain", "train", "--data", str(data_root), "--config", "my settings.yaml"],
        "versions": {"imgtrain": "0.1.0", "python": "3.11.9", "torch": "2.15.0"},
        "git": "4f2a9c1 (main)",
        "device": "cpu, 2 cores",
        "plan": {"precision": "fp32", "memory": "channels last", "threads": 2, "cache": "ram"},
        "origins": origins,
        "settings": values,
        "fingerprint": "9b1c" * 16,
        "data_root": str(data_root),
    }
    text = json.dumps(found, default=str)
    (folder / "provenance.json").write_text(text, encoding="utf-8")


def _splits(folder, classes, pictures, held_out):
    with (folder / "splits.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["path", "label", "part", "group"])
        for i in range(8 * pictures):
            label = classes[int(np.sqrt(i * 7919 % len(classes) ** 2))]
            writer.writerow([f"{label}/train_{i}.jpg", label, "train", ""])
        for part, paths, labels in held_out:
            writer.writerows(
                [path, classes[k], part, ""] for path, k in zip(paths, labels, strict=True)
            )


def _scored(folder, data, part, classes, pictures, *, seed, side):
    """Predictions that know something; every second mistake gets its picture."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), pictures)
    logits = rng.normal(size=(pictures, len(classes)))
    logits[np.arange(pictures), labels] += rng.normal(2.6, 1.4, pictures)
    probs = np.exp(1.6 * logits)
    probs /= probs.sum(axis=1, keepdims=True)
    paths = [f"{part}/folder {k}/picture_{i:05d}.jpg" for i, k in enumerate(labels)]
    for i in np.flatnonzero(probs.argmax(axis=1) != labels)[::2].tolist():
        path = data / paths[i]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_picture(i, side))
    scores = write_results(folder, part, paths=paths, labels=labels, probs=probs, classes=classes)
    return scores, (part, paths, labels)


def fabricate(root):
    def make(
        classes, *, name="oak-resnet18", pictures=200, epochs=12, parts=("val", "test"), side=96
    ):
        folder, data = root / "runs" / name, root / "data"
        folder.mkdir(parents=True)
        (folder / "classes.json").write_text(json.dumps(list(classes)), encoding="utf-8")
        _history(folder, epochs)
        _provenance(folder, data, epochs)
        metrics, held_out = {"format": 1, "best_epoch": epochs - 1}, []
        for seed, part in enumerate(parts):
            metrics[part], rows = _scored(
                folder, data, part, classes, pictures, seed=seed, side=side
            )
            held_out.append(rows)
        (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        _splits(folder, classes, pictures, held_out)
        (folder / "timing.json").write_text('{"data": 1.2, "training": 73.4, "scoring": 2.1}')
        (folder / "status.json").write_text('{"format": 1, "state": "finished", "pid": 1}')
        return folder

    return make


def _probs(rng, labels, classes, skill=2.6):
    """Predictions that know something, written to six digits."""
    logits = rng.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += rng.normal(skill, 1.4, len(labels))
    probs = np.exp(1.6 * logits)
    return np.round(probs / probs.sum(axis=1, keepdims=True), 6)


def _prediction_table(file, classes, rows, more=()):
    header = ["path", "label", "pred", "prob", *(f"prob_{name}" for name in classes), *more]
    with file.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(header)
        for path, label, probs, *rest in rows:
            best = int(probs.argmax())
            writer.writerow([path, classes[label], classes[best], probs[best], *probs, *rest])


def fabricate_cv(root, classes, *, folds=5, repeats=1, pictures=300, test=120, name="oak-cv"):
    """A cv run's folder, as ``imgtrain cv`` leaves it."""
    folder, data, rng = root / "runs" / name, root / "data", np.random.default_rng(7)
    folder.mkdir(parents=True)
    (folder / "classes.json").write_text(json.dumps(list(classes)), encoding="utf-8")
    _provenance(folder, data, 12)
    labels = rng.integers(0, len(classes), pictures + test)
    paths = [f"folder {k}/picture_{i:05d}.jpg" for i, k in enumerate(labels)]
    (folder / "folds.csv").write_text("path,label,repeat,fold,group\n", encoding="utf-8")
    told, rows, listed = [], [], []
    held_out = range(pictures, pictures + test)
    for repeat in range(1, repeats + 1):
        place = rng.permutation(np.arange(pictures) % folds) + 1 + (repeat - 1) * folds
        listed += [(paths[i], classes[labels[i]], repeat, f, "") for i, f in enumerate(place)]
        listed += [(paths[i], classes[labels[i]], repeat, 0, "") for i in held_out]
        for number in range((repeat - 1) * folds + 1, repeat * folds + 1):
            own = np.flatnonzero(place == number)
            probs = _probs(rng, labels[own], len(classes))
            more = (number, repeat) if repeats > 1 else (number,)
            rows += [(paths[i], labels[i], p, *more) for i, p in zip(own, probs, strict=True)]
            inside = folder / f"fold_{number}"
            inside.mkdir()
            (inside / "report.html").write_text("<!doctype html><title>fold</title>")
            _history(inside, 8 + number % folds, 0.02 * number)
            text = (inside / "history.csv").read_text()
            (folder / f"fold_{number}_history.csv").write_text(text)
            scores = score(labels[own], probs, classes)
            told.append(
                {"fold": number, "repeat": repeat, "run": inside.name, "best_epoch": 7}
                | {"n_train": pictures - own.size, "n_val": own.size, "val": scores}
            )
    with (folder / "folds.csv").open("a", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows(listed)
    more = ("fold", "repeat") if repeats > 1 else ("fold",)
    _prediction_table(folder / "oof_predictions.csv", classes, rows, more)
    probs = _probs(rng, labels[pictures:], len(classes), 3.4)
    rows = [(paths[i], labels[i], p) for i, p in zip(held_out, probs, strict=True)]
    _prediction_table(folder / "ensemble_predictions.csv", classes, rows)
    keys = ("top1", "balanced_accuracy", "macro_f1", "macro_auroc", "log_loss")
    values = {key: [fold["val"][key] for fold in told] for key in keys}
    weaker = _probs(rng, labels[pictures:], len(classes), 2.8)
    summary = {
        "format": 1,
        "folds": told,
        "mean": {key: float(np.mean(found)) for key, found in values.items()},
        "std": {key: float(np.std(found, ddof=1)) for key, found in values.items()},
        "intervals": {"top1": [0.5, 0.75]},
        "best_fold": 3,
        "monitor": "val_macro_f1",
        "ensemble": {"how": "mean", "test": score(labels[pictures:], probs, classes)},
        "best_fold_test": score(labels[pictures:], weaker, classes),
    }
    (folder / "cv_summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (folder / "timing.json").write_text('{"training": 173.4, "scoring": 2.1}')
    (folder / "status.json").write_text('{"format": 1, "kind": "cv", "state": "finished"}')
    return folder
