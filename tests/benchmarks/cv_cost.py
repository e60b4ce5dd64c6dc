"""What five folds cost beside five separate trainings of the same work, and beside their steps.

Run with ``python tests/benchmarks/cv_cost.py [imgtrain's flags]`` on a quiet machine; the folds are
of the digits, 12 epochs each, unless flags say otherwise. Trainings and cross-validations take
turns, so that a machine that slows down slows both; each way's CPU seconds are told beside its wall
clock, for machines that others use, too. Aims: at most 0.85 of five ``train``, and at most 1.10 of
what the folds' own training phases took.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDS = 5


def measured(*arguments):
    """Wall-clock and CPU seconds of one command."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, "-m", "imgtrain", *arguments], check=True)
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def training_seconds(cv):
    """What the folds themselves say that their epochs took."""
    told = [json.loads((cv / f"fold_{k}" / "timing.json").read_text()) for k in range(1, FOLDS + 1)]
    return [sum(each[phase] for each in told) for phase in ("train", "start", "score")]


def main():
    """Both ways, and the two ratios."""
    flags = ["--epochs", "12", *sys.argv[1:], "-q"]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IMGTRAIN_CACHE"] = str(Path(folder) / "cache")
        measured("train", "--fast-dev", "-q", "-o", f"{folder}/warm")  # files into memory
        apart = [
            measured(
                "train", *flags, "-o", f"{folder}/apart", "--name", f"run{k}",
                "--split-seed", str(k), "--split-ratio", "0.72,0.18,0.1",
            )
            for k in range(1, FOLDS // 2 + 1)
        ]  # fmt: skip
        whole = measured("cv", *flags, "--folds", str(FOLDS), "-o", f"{folder}/cv", "--name", "cv")
        apart += [
            measured(
                "train", *flags, "-o", f"{folder}/apart", "--name", f"run{k}",
                "--split-seed", str(k), "--split-ratio", "0.72,0.18,0.1",
            )
            for k in range(FOLDS // 2 + 1, FOLDS + 1)
        ]  # fmt: skip
        steps, start, score = training_seconds(Path(folder) / "cv" / "cv")
    wall, cpu = (sum(each[i] for each in apart) for i in (0, 1))
    told = [
        f"five trainings: {wall:.1f} s, CPU {cpu:.1f} s",
        f"one cv of five: {whole[0]:.1f} s, CPU {whole[1]:.1f} s",
        f"cv / trainings: {whole[0] / wall:.3f} by the clock, {whole[1] / cpu:.3f} by the CPU",
        f"epochs of the folds: {steps:.1f} s; their starts {start:.1f} s, scores {score:.1f} s",
        f"cv / its epochs: {whole[0] / steps:.3f}",
    ]
    sys.stdout.write("\n".join(told) + "\n")


if __name__ == "__main__":
    main()
