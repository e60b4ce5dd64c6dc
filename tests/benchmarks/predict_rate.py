"""Pictures per second of ``imgtrain predict``, beside what a plain loop and the machine can do.

All take turns in one process, so that a noisy machine disturbs them alike; a ratio is the median
of the turns' ratios. CPU seconds are those of all threads together. The turns:

- "decode": imgtrain's threads read and cut the pictures, and nothing else is done;
- "model": the folded network scores a batch at rest, and nothing is read;
- "plain": timm's network in a loop as written everywhere: ImageFolder and torchvision's transforms,
  32 pictures a batch, as many threads, fp32, nothing else;
- "fp32" and "bf16": ``Predictor.batches``, as the command calls it.

"bound" is what decode and model together leave of the machine: with as many threads as cores, both
share the same cores, and their times add up.

    python tests/benchmarks/predict_rate.py --data photos --model resnet50 --turns 5 --pictures 64
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from torchvision import transforms

from imgtrain.engine.device import plan_compute, usable_cores
from imgtrain.engine.model import build
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.weights import save_model
from imgtrain.loading.preprocess import Preprocess
from imgtrain.predicting.listing import list_pictures
from imgtrain.predictor import Predictor, load
from imgtrain.settings.schema import HardwareSettings

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TURNS = ("decode", "model", "plain", "fp32", "bf16")


def saved(folder: Path, name: str, size: int, classes: int) -> Path:
    """A file with random weights whose running means are those of noise."""
    recipe = Recipe(
        architecture=name,
        classes=tuple(f"class {k}" for k in range(classes)),
        stem="standard",
        drop_rate=0.0,
        drop_path=0.0,
        preprocess=Preprocess.for_pictures(
            size=size,
            natural=True,
            channels=3,
            background="white",
            max_pixels=10**8,
            mean=MEAN,
            std=STD,
        ),
    )
    torch.manual_seed(0)
    model = build(recipe)
    save_model(folder / "model.safetensors", model, recipe)
    return folder / "model.safetensors"


def plain_loop(
    file: Path, name: str, size: int, classes: int, paths: list[str]
) -> Callable[[], object]:
    """The loop that everybody writes."""
    from safetensors.torch import load_file

    model = timm.create_model(name, num_classes=classes)
    model.load_state_dict(load_file(file))
    model.eval()
    see = transforms.Compose(
        [
            transforms.Resize(round(size * 8 / 7)),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )

    def run() -> object:
        found = []
        with torch.no_grad():
            for start in range(0, len(paths), 32):
                pictures = []
                for path in paths[start : start + 32]:
                    with Image.open(path) as picture:
                        pictures.append(see(picture.convert("RGB")))
                found.append(model(torch.stack(pictures)).softmax(1))
        return torch.cat(found)

    return run


def turns(args: argparse.Namespace, folder: Path) -> dict[str, Callable[[], object]]:
    """What takes turns, each over all pictures."""
    file = saved(folder, args.model, args.size, args.classes)
    every = list_pictures([args.data], fetch=None)
    paths = [every.path(i) for i in range(0, len(every), max(1, len(every) // args.pictures))]
    paths = paths[: args.pictures]
    threads = {"threads": args.threads} if args.threads else {}
    fp32, bf16 = (
        load(file, hardware=HardwareSettings.model_validate({**threads, "precision": precision}))
        for precision in ("fp32", "bf16")
    )
    member = fp32.members[0]
    compute = plan_compute(HardwareSettings.model_validate(threads), image_size=args.size)
    torch.set_num_threads(compute.threads)
    still = torch.rand(args.batch, 3, args.size, args.size)
    still = still.to(memory_format=torch.channels_last)

    def model() -> None:
        with torch.inference_mode():
            for _ in range(0, len(paths), args.batch):
                member.model(still)

    def decode() -> None:
        idle = Predictor([Idle(member)])  # type: ignore[list-item]  # all that the reading asks of it
        list(idle.stream(paths))

    def probs(predictor: Predictor) -> Callable[[], object]:
        def run() -> object:
            found = [p for b in predictor.batches(paths, size=args.batch) for p in b]
            return np.stack([each.probs for each in found if each.probs is not None])

        return run

    plain = plain_loop(file, args.model, args.size, args.classes, paths)
    return dict(zip(TURNS, (decode, model, plain, probs(fp32), probs(bf16)), strict=True))


class Idle:
    """A member that knows nothing."""

    def __init__(self, member: object) -> None:
        self.recipe, self.compute, self.weight = member.recipe, member.compute, 1.0  # type: ignore[attr-defined]  # a member's

    def probabilities(self, seen: object, classes: tuple[str, ...]) -> object:
        """Zeros."""
        batch = seen[0]  # type: ignore[index]  # views
        return batch.pictures, np.zeros((len(batch.pictures), len(classes)), np.float32)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    wall: dict[str, list[float]] = {name: [] for name in TURNS}
    cpu: dict[str, list[float]] = {name: [] for name in TURNS}
    with tempfile.TemporaryDirectory() as folder:
        found = turns(args, Path(folder))
        said = {name: run() for name, run in found.items()}  # warm
        for _ in range(args.turns):
            for name, run in found.items():
                began, spent = time.perf_counter(), time.process_time()
                run()
                wall[name].append((time.perf_counter() - began) / args.pictures)
                cpu[name].append((time.process_time() - spent) / args.pictures)
            now = {name: round(1e3 * cpu[name][-1], 1) for name in TURNS}
            sys.stderr.write(f"ms cpu a picture: {now}\n")
    print(json.dumps(told(args, wall, cpu, said), indent=2))  # noqa: T201  # its result


def told(
    args: argparse.Namespace,
    wall: dict[str, list[float]],
    cpu: dict[str, list[float]],
    said: dict[str, object],
) -> dict[str, object]:
    """Rates, ratios, agreement, load."""

    def ratio(times: dict[str, list[float]], slow: str, fast: str) -> float:
        pairs = zip(times[slow], times[fast], strict=True)
        return round(statistics.median(a / b for a, b in pairs), 3)

    slower = [max(a, b) for a, b in zip(wall["decode"], wall["model"], strict=True)]
    both = [a + b for a, b in zip(cpu["decode"], cpu["model"], strict=True)]
    plain, fp32, bf16 = (np.asarray(said[name]) for name in ("plain", "fp32", "bf16"))
    return {
        "model": f"{args.model} at {args.size} px, {args.pictures} pictures, {args.turns} turns",
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "ms wall": {name: round(1e3 * statistics.median(t), 2) for name, t in wall.items()},
        "ms cpu": {name: round(1e3 * statistics.median(t), 2) for name, t in cpu.items()},
        "fp32 / min(decode, model)": round(
            statistics.median(a / b for a, b in zip(slower, wall["fp32"], strict=True)), 3
        ),
        "fp32 / bound, cpu": round(
            statistics.median(a / b for a, b in zip(both, cpu["fp32"], strict=True)), 3
        ),
        "fp32 / plain": [ratio(wall, "plain", "fp32"), ratio(cpu, "plain", "fp32")],
        "bf16 / plain": [ratio(wall, "plain", "bf16"), ratio(cpu, "plain", "bf16")],
        "largest difference of fp32 and bf16": float(np.abs(fp32 - bf16).max()),
        "top-1 bf16 as fp32": float((fp32.argmax(1) == bf16.argmax(1)).mean()),
        "top-1 fp32 as plain": float((fp32.argmax(1) == plain.argmax(1)).mean()),
    }


if __name__ == "__main__":
    main()
