"""How large the page of a huge run is, how long it takes to write, and how soon it answers.

    python tests/benchmarks/report_size.py --classes 1000 --pictures 100000

A run folder is made up (about 1 GB of predictions at that size), ``imgtrain report`` runs on it in
a process of its own, and Chromium opens the page and clicks. Printed are seconds, peak memory and
bytes.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from imgtrain.metrics.scores import score

_ROWS = 2000


def probabilities(rng, labels, classes):
    """Shape (N, C), float32: three in four are right, the rest taken for a neighbour or for any."""
    logits = rng.normal(0.0, 1.0, (labels.size, classes)).astype(np.float32)
    rows = np.arange(labels.size)
    logits[rows, labels] += rng.normal(6.5, 2.0, labels.size)
    logits[rows, (labels + 1) % classes] += rng.normal(3.0, 2.0, labels.size)
    probs = np.exp(logits)
    return probs / probs.sum(axis=1, keepdims=True)


def six_digits(probs):
    """The bytes of ``,0.123456`` for every probability: shape (N, C, 9)."""
    left = np.rint(probs * 1e6).astype(np.int64)
    cells = np.empty((*probs.shape, 9), np.uint8)
    cells[..., 0], cells[..., 2] = ord(","), ord(".")
    for place in range(8, 2, -1):
        cells[..., place] = left % 10 + ord("0")
        left //= 10
    cells[..., 1] = left + ord("0")
    return cells


def make_run(folder, classes, pictures):
    """A finished run of so many classes and test pictures."""
    rng = np.random.default_rng(0)
    names = [f"species {k:04d}" for k in range(classes)]
    folder.mkdir(parents=True)
    (folder / "classes.json").write_text(json.dumps(names))
    labels = np.arange(pictures) % classes
    kept = np.empty((pictures, classes), np.float64)
    with (folder / "predictions_test.csv").open("wb") as file:
        header = ["path", "label", "pred", "prob", *(f"prob_{name}" for name in names)]
        file.write((",".join(header) + "\n").encode())
        for first in range(0, pictures, _ROWS):
            own = labels[first : first + _ROWS]
            probs = probabilities(rng, own, classes)
            cells = six_digits(probs)
            kept[first : first + _ROWS] = np.rint(probs * 1e6) / 1e6
            for i, row in enumerate(cells):
                best = int(probs[i].argmax())
                words = f"test/{names[own[i]]}/{first + i:06d}.jpg,{names[own[i]]},{names[best]}"
                file.write(words.encode() + row[best].tobytes() + row.tobytes() + b"\n")
    began = time.perf_counter()
    metrics = {"format": 1, "best_epoch": 90, "test": score(labels, kept, names)}
    tell(f"scoring for metrics.json: {time.perf_counter() - began:.1f} s")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with (folder / "splits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "part", "group"])
        for i, k in enumerate(labels.tolist()):
            writer.writerow([f"test/{names[k]}/{i:06d}.jpg", names[k], "test", ""])
            writer.writerows(
                [f"train/{names[k]}/{i:06d}_{copy}.jpg", names[k], "train", ""] for copy in range(3)
            )
    lines = ["epoch,step,lr,train_loss,train_top1,val_loss,val_top1,seconds,images_per_second"]
    lines += [
        f"{e},{e * 500},{1e-3 * (1 - e / 91):.6g},{7 / (e + 1) + 0.4},{0.8 - 0.7 / e},"
        f"{7.2 / (e + 1) + 0.6},{0.75 - 0.7 / e},93.2,1290.5"
        for e in range(1, 91)
    ]
    (folder / "history.csv").write_text("\n".join(lines))
    (folder / "status.json").write_text('{"format": 1, "state": "finished"}')
    (folder / "timing.json").write_text('{"index": 4.1, "train": 8400.2, "score": 140.3}')


def tell(line):
    """One line of the result."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def write_report(folder):
    """Wall-clock and CPU seconds, and peak bytes, of ``imgtrain report`` by itself."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "imgtrain", "report", str(folder)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - began, cpu, usage.ru_maxrss * 1024


def open_page(page):
    """Seconds until the page is parsed, drawn, and has answered a click; and CPU seconds of it."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page()
        heard = []
        tab.on("console", lambda message: heard.append(message.text))
        tab.on("pageerror", lambda error: heard.append(str(error)))
        session = tab.context.new_cdp_session(tab)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        began = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="domcontentloaded")
        parsed = time.perf_counter() - began
        tab.wait_for_selector("html[data-ready]", state="attached")
        ready = time.perf_counter() - began
        tab.evaluate(
            """() => new Promise((done) => {
              document.querySelector("#test-classes thead th:nth-child(5) button").click();
              requestAnimationFrame(() => setTimeout(done));
            })"""
        )
        clicked = time.perf_counter() - began
        told = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
        browser.close()
    if heard:
        raise SystemExit(f"the page complains: {heard}")
    return parsed, ready, clicked, told["TaskDuration"]


def main():
    """Make, write, open, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keep the run here, or use the one that is")
    parser.add_argument("--make", action="store_true", help="only make the run")
    asked = parser.parse_args()
    folder = asked.folder.resolve() if asked.folder else Path(tempfile.mkdtemp()) / "huge"
    if asked.make:
        make_run(folder, asked.classes, asked.pictures)
        return
    if not (folder / "metrics.json").is_file():  # by others, whose memory is not counted here
        sizes = [f"--classes={asked.classes}", f"--pictures={asked.pictures}"]
        command = [sys.executable, __file__, *sizes, f"--folder={folder}", "--make"]
        os.posix_spawn(sys.executable, command, os.environ)
        os.wait()
    size = (folder / "predictions_test.csv").stat().st_size
    tell(f"predictions_test.csv: {size / 2**20:,.0f} MiB; load {os.getloadavg()[0]:.1f}")
    seconds, cpu, peak = write_report(folder)
    page = folder / "report.html"
    tell(f"imgtrain report: {seconds:.1f} s, {cpu:.1f} s CPU, peak {peak / 2**20:,.0f} MiB")
    tell(f"report.html: {page.stat().st_size / 1e6:.2f} MB")
    parsed, ready, clicked, busy = open_page(page)
    tell(
        f"parsed {parsed:.2f} s, drawn {ready:.2f} s, first click answered {clicked:.2f} s"
        f" ({busy:.2f} s CPU); load {os.getloadavg()[0]:.1f}"
    )
    if asked.folder is None:
        shutil.rmtree(folder.parent)


if __name__ == "__main__":
    main()
