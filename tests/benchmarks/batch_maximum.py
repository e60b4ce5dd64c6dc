"""How near `imgtrain find-batch-size` comes to the largest batch that really trains.

The truth is found by bisection with real trainings: two updates each, under the same limit of
memory, each in a process of its own. A size trains if no step was cut into pieces or failed.

    python tests/benchmarks/batch_maximum.py --data /path/to/pictures --found 608 -- \
        --model resnet18 --image-size 128 --no-pretrained --memory-limit 4 --device cpu

Without ``--found`` the command is asked first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

SHORT = ("out of memory", "Cannot allocate", "DefaultCPUAllocator", "bad_alloc", "MemoryError")


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """imgtrain's, as a person types it; runs go to a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [sys.executable, "-m", "imgtrain", *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )


def say(*lines: str) -> None:
    """Print at once."""
    print(*lines, sep="\n", flush=True)  # noqa: T201  # a script's result


def found_by_command(data: str, flags: list[str]) -> int:
    """What `find-batch-size` says."""
    done = command("find-batch-size", "--data", data, *flags, "--json")
    return int(json.loads(done.stdout)["maximum"])


def trains(data: str, flags: list[str], size: int, *, epochs: int = 2) -> bool:
    """Whether a training of this batch takes whole steps."""
    words = (*flags, "--epochs", str(epochs), "--batch-size", str(size), "--on-leak", "off")
    done = command("train", "--data", data, *words)
    lines = [line for line in done.stderr.splitlines() if any(words in line for words in SHORT)]
    if done.returncode > 0 and not lines:
        raise SystemExit(f"batch {size}: exit code {done.returncode}\n{done.stderr}")
    say(*lines)
    return not lines and done.returncode == 0


def bisected(low: int, high: int, fits: Callable[[int], bool], *, gap: int) -> tuple[int, int]:
    """The largest size that fits, and the smallest that does not, ``gap`` apart at most."""
    if fits(low):
        while fits(high):
            low, high = high, high + (high - low)
    else:
        low, high = low - (high - low), low
        while not fits(low):
            low, high = low - (high - low), low
    while high - low > gap:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low, high


def main() -> None:
    """Print both, and their ratio at worst."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--found", type=int)
    parser.add_argument("--gap", type=float, default=0.01, help="How exact, as a share.")
    parser.add_argument("flags", nargs="*")
    args = parser.parse_args()
    found = args.found or found_by_command(args.data, args.flags)

    def fits(size: int) -> bool:
        passed = trains(args.data, args.flags, size)
        say(f"{size:6} {'trains' if passed else 'does not fit'}")
        return passed

    gap = max(1, int(args.gap * found))
    low, high = bisected(found, found + max(2, found // 24), fits, gap=gap)
    result = {
        "found": found,
        "largest_that_trained": low,
        "smallest_that_did_not": high,
        "found_of_maximum_at_least": round(found / (high - 1), 3),
        "load": os.getloadavg()[0],
    }
    say(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
