"""Pictures per second of imgtrain's loader, against torch's DataLoader over an ImageFolder.

Both read the same files and make random resized crops of them, half of them mirrored, in batches;
they take turns in one script, so that a noisy machine disturbs both alike. The DataLoader is tried
with several numbers of workers, and the best one counts. What ``imgtrain bench data`` measures is
measured on the way.

    python tests/benchmarks/loader_rate.py /path/to/pictures --turns 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torchvision import datasets
from torchvision.transforms import v2

from imgtrain.bench_data import bench_data
from imgtrain.settings.schema import Settings

BATCH = 64


def torch_loader(folder: str, size: int, workers: int) -> torch.utils.data.DataLoader:
    """As torchvision's own training examples have it; tensors stay uint8, as imgtrain's do."""
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.35, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
        ]
    )
    sets = [
        datasets.ImageFolder(str(root), transform)
        for root in ([*Path(folder).glob("t*")] if (Path(folder) / "train").is_dir() else [folder])
    ]
    return torch.utils.data.DataLoader(
        torch.utils.data.ConcatDataset(sets),
        BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def torch_rate(loader: torch.utils.data.DataLoader) -> float:
    """Pictures a second of one epoch; workers that persist have been started before."""
    begun, seen = time.perf_counter(), 0
    for pictures, _ in loader:
        seen += len(pictures)
    return seen / (time.perf_counter() - begun)


def measure(args: argparse.Namespace) -> dict[str, object]:
    """Take turns; medians count."""
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    settings = Settings.model_validate({"data": {"root": args.folder, "image_size": args.size}})
    loaders = {n: torch_loader(args.folder, args.size, n) for n in args.workers}
    for loader in loaders.values():
        torch_rate(loader)
    theirs: dict[int, list[float]] = {n: [] for n in loaders}
    ours = []
    for _ in range(args.turns):
        ours.append(bench_data(settings, pictures=10**9, turns=1))
        for n, loader in loaders.items():
            theirs[n].append(torch_rate(loader))
    best = max(theirs, key=lambda n: statistics.median(theirs[n]))

    def median(name: str) -> float:
        return statistics.median(getattr(report.rates, name) for report in ours)

    def ratio(which: Callable[[int], float]) -> float:
        """Of each turn, as its measurements lie close together; then the median."""
        return round(statistics.median(map(which, range(args.turns))), 3)

    threads = ours[0].threads
    return {
        "pictures": ours[0].pictures,
        "threads": threads,
        "bare": round(median("bare"), 1),
        "decoder": round(median("decoder"), 1),
        "cold": round(median("cold"), 1),
        "warm_a_core": round(median("warm") / threads, 1),
        "warm_one_thread": round(median("warm_one"), 1),
        "memory_mb": round(median("memory_mb"), 1),
        "torch": {n: round(statistics.median(rates), 1) for n, rates in theirs.items()},
        "cold / (cores x bare)": ratio(lambda k: ours[k].cold_share),
        "cold / (cores x decoder)": ratio(
            lambda k: ours[k].rates.cold / threads / ours[k].rates.decoder
        ),
        "cold / torch": ratio(lambda k: ours[k].rates.cold / theirs[best][k]),
        "bare / cold, processor's time": ratio(
            lambda k: ours[k].cpu_ms["bare"] / ours[k].cpu_ms["cold"]
        ),
        "machine": ours[0].machine,
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    print(json.dumps(measure(parser.parse_args()), indent=2))  # noqa: T201  # a script's result


if __name__ == "__main__":
    main()
