"""A cv run's folder made by hand, for a folder of pictures."""

import csv
import json

CLASSES = ("cat", "dog")


def make_cv_run(root, data, pictures, *, repeats=1, wrong=()):
    """``pictures`` as (path, label); those in ``wrong`` are judged to be of the other class."""
    root.mkdir(parents=True)
    (root / "status.json").write_text('{"format": 1, "kind": "cv", "state": "finished"}')
    (root / "folds.csv").write_text("path,label,repeat,fold,group\n")
    (root / "provenance.json").write_text(json.dumps({"data_root": str(data)}))
    more = ["repeat"] if repeats > 1 else []
    with (root / "oof_predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        heads = [f"prob_{name}" for name in CLASSES]
        writer.writerow(["path", "label", "pred", "prob", *heads, "fold", *more])
        for repeat in range(1, repeats + 1):
            for i, (path, label) in enumerate(pictures):
                of_label = 0.05 + 0.001 * i if path in wrong else 0.9 - 0.001 * i
                probs = [of_label if name == label else 1 - of_label for name in CLASSES]
                best = CLASSES[probs[1] > probs[0]]
                cells = [path, label, best, f"{max(probs):.6f}", *(f"{p:.6f}" for p in probs)]
                writer.writerow([*cells, 1 + i % 2 + 2 * (repeat - 1), *([repeat] * len(more))])
    return root
