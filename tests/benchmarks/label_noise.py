"""How many of labels that were changed at random `imgtrain data audit` finds.

    python tests/benchmarks/label_noise.py SIGNS [--seeds 0 1] [--share 0.1] [--epochs 24]

SIGNS is a folder of pictures with a sub-folder a class. For each seed a manifest gives a share of
them another class, drawn evenly from the others; ``imgtrain cv`` trains five folds on it, with no
test part, and the labels are judged by its out-of-fold predictions. Precision is the share of the
list that was changed, recall the share of the changed that is listed.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from imgtrain.checking.out_of_fold import NAME, read_out_of_fold
from imgtrain.metrics.label_quality import label_noise, label_quality, likely_wrong

PRUNINGS = ("class", "noise-rate", "both", "none")
QUALITIES = ("self-confidence", "margin")


def write_noisy(signs: Path, manifest: Path, share: float, seed: int) -> dict[str, str]:
    """A manifest in which some labels are changed; the true label of each path."""
    rng = np.random.default_rng(seed)
    files = sorted(path for path in signs.resolve().glob("*/*") if path.is_file())
    classes = sorted({path.parent.name for path in files})
    true = np.array([classes.index(path.parent.name) for path in files])
    given = true.copy()
    changed = rng.choice(len(files), round(share * len(files)), replace=False)
    given[changed] += rng.integers(1, len(classes), changed.size)
    with manifest.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["path", "label"])
        writer.writerows((p, classes[g % len(classes)]) for p, g in zip(files, given, strict=True))
    return {str(path): path.parent.name for path in files}


def cross_validate(manifest: Path, epochs: int, more: list[str]) -> Path:
    """The folder of a cv run with five short trainings."""
    output = manifest.parent / "runs"
    command = [sys.executable, "-m", "imgtrain", "cv", "--data", manifest, "--output", output]
    command += ["--model", "test_resnet", "--no-pretrained", "--image-size", "64"]
    command += ["--batch-size", "32", "--epochs", str(epochs), "--split-ratio", "0.9,0.1,0", *more]
    subprocess.run([*map(str, command)], check=True)
    return next(output.glob(f"*/{NAME}")).parent


def judge(run: Path, true: dict[str, str]) -> None:
    """Print precision and recall of every way to cut and to rank."""
    found = read_out_of_fold(run / NAME)
    given = [found.classes[label] for label in found.labels]
    wrong = np.array([true[p] != g for p, g in zip(found.paths, given, strict=True)])
    likeliest = [found.classes[k] for k in found.probs.argmax(axis=1)]
    right = np.mean([true[p] == k for p, k in zip(found.paths, likeliest, strict=True)])
    noise = label_noise(found.labels, found.probs)
    write = sys.stdout.write
    write(f"{wrong.sum()} of {wrong.size} labels changed ({wrong.mean():.4f}); ")
    write(f"estimated {noise.share:.4f}; out-of-fold {right:.4f} of the true labels\n")
    for pruning in PRUNINGS:
        flags = likely_wrong(found.labels, found.probs, noise, pruning)
        hits = (flags & wrong).sum()
        write(f"  {pruning:12} {flags.sum():4} listed, precision {hits / flags.sum():.3f}")
        write(f", recall {hits / wrong.sum():.3f}")
        for quality in QUALITIES:
            scores = label_quality(found.labels, found.probs, quality)
            ranked = wrong[np.flatnonzero(flags)[np.argsort(scores[flags], kind="stable")]]
            precision = ranked.cumsum() / np.arange(1, ranked.size + 1)
            write(f"; {quality}: average precision {precision[ranked].mean():.3f}")
        write("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("signs", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=24)
    options, more = parser.parse_known_args()
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as scratch:
            manifest = Path(scratch) / "noisy.csv"
            true = write_noisy(options.signs, manifest, options.share, seed)
            run = cross_validate(manifest, options.epochs, more)
            sys.stdout.write(f"seed {seed}: ")
            judge(run, true)


if __name__ == "__main__":
    main()
