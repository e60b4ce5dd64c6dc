"""How many planted defects ``data validate`` finds, and how much it says of whole pictures.

    python tests/benchmarks/planted_defects.py WEATHER [--seed 0] [--each 100]

WEATHER is a folder of photos with train/ and test/. A copy of it gets, for each kind of defect,
copies of so many pictures: re-encoded, resized or mirrored ones in the other part, cut ones, and
ones of another format under the old name. What is found in the folder before is the baseline:
those copies were looked through, picture by picture, and are what they are said to be.
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from imgtrain.checking.findings import Finding
from imgtrain.checking.judging import Limits
from imgtrain.checking.survey import Survey, survey

COPIES = ("leak", "conflict", "exact-duplicate", "near-duplicate")
DAMAGE = ("truncated", "unreadable", "not-a-picture", "wrong-extension")


def encoded(picture: Image.Image, kind: str = "JPEG", quality: int = 85) -> bytes:
    file = io.BytesIO()
    options = {"quality": quality} if kind in {"JPEG", "WEBP"} else {}
    picture.save(file, kind, **options)
    return file.getvalue()


def scaled(picture: Image.Image, factor: float) -> Image.Image:
    width, height = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class Original:
    """What a defect is made of."""

    picture: Image.Image
    data: bytes
    draw: random.Random


@dataclass(frozen=True)
class Defect:
    """How to make one, and what should be said of it."""

    make: Callable[[Original], bytes]
    code: str
    suffix: str = ".jpg"
    copies: bool = True


DEFECTS = {
    "same bytes": Defect(lambda o: o.data, "leak"),
    "re-encoded q30-95": Defect(
        lambda o: encoded(o.picture, quality=o.draw.randint(30, 95)), "leak"
    ),
    "re-encoded png": Defect(lambda o: encoded(o.picture, "PNG"), "leak", ".png"),
    "re-encoded webp": Defect(lambda o: encoded(o.picture, "WEBP", 60), "leak", ".webp"),
    "resized 0.4-2": Defect(lambda o: encoded(scaled(o.picture, o.draw.uniform(0.4, 2))), "leak"),
    "mirrored": Defect(lambda o: encoded(ImageOps.mirror(o.picture), quality=90), "leak"),
    "mirrored, resized, q50": Defect(
        lambda o: encoded(scaled(ImageOps.mirror(o.picture), o.draw.uniform(0.4, 1)), quality=50),
        "leak",
    ),
    "truncated": Defect(
        lambda o: o.data[: int(len(o.data) * o.draw.uniform(0.02, 0.98))],
        "truncated",
        copies=False,
    ),
    "wrong extension": Defect(
        lambda o: encoded(scaled(o.picture, 0.9), o.draw.choice(("PNG", "WEBP", "GIF", "BMP"))),
        "wrong-extension",
        copies=False,
    ),
    "text as jpg": Defect(
        lambda _: b"<!doctype html><p>404</p>" * 9, "not-a-picture", copies=False
    ),
}


def plant(folder: Path, each: int, seed: int) -> dict[str, dict[str, str]]:
    """Add the defects; by kind, the name of each and of its original."""
    draw = random.Random(seed)
    good = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    planted: dict[str, dict[str, str]] = {}
    for kind, defect in DEFECTS.items():
        planted[kind] = {}
        for number, path in enumerate(draw.sample(good, each)):
            part, label = path.relative_to(folder).parts[:2]
            other = {"train": "test", "test": "train"}[part]
            data = path.read_bytes()
            picture = Image.open(io.BytesIO(data)).convert("RGB")
            name = f"{other}/{label}/planted-{kind.replace(' ', '-')}-{number}{defect.suffix}"
            (folder / name).write_bytes(defect.make(Original(picture, data, draw)))
            planted[kind][name] = path.relative_to(folder).as_posix()
    return planted


def pairs_of(findings: list[Finding]) -> set[frozenset[str]]:
    """Every pair of files that are called copies."""
    return {
        frozenset((a, b))
        for finding in findings
        if finding.code in COPIES
        for a in finding.files
        for b in finding.files
        if a < b
    }


def said(findings: list[Finding]) -> set[tuple[str, str]]:
    """Every file and the code of what is said of it."""
    return {(name, finding.code) for finding in findings for name in finding.files}


def recall(found: Survey, planted: dict[str, dict[str, str]]) -> dict[str, float]:
    """Share of each kind that is found: copies together with their originals."""
    pairs, codes = pairs_of(found.findings), said(found.findings)
    return {
        kind: sum(
            (name, DEFECTS[kind].code) in codes
            and (not DEFECTS[kind].copies or frozenset((name, origin)) in pairs)
            for name, origin in names.items()
        )
        / len(names)
        for kind, names in planted.items()
    }


def false_alarms(found: Survey, before: Survey, planted: dict[str, dict[str, str]]) -> set[str]:
    """Whole pictures that are called copies of what they were no copies of, or damaged."""
    origin = {name: first for names in planted.values() for name, first in names.items()}
    clusters = {
        name: min(finding.files)
        for finding in before.findings
        if finding.code in COPIES
        for name in finding.files
    }

    def true_name(name: str) -> str:
        name = origin.get(name, name)
        return clusters.get(name, name)

    wrong: set[str] = set()
    for finding in found.findings:
        if finding.code in COPIES and len({true_name(name) for name in finding.files}) > 1:
            wrong |= {name for name in finding.files if name not in origin}
    known = said(before.findings)
    return wrong | {
        name
        for name, code in said(found.findings)
        if code in DAMAGE and name not in origin and (name, code) not in known
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weather", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=100)
    options = parser.parse_args()
    write = sys.stdout.write
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "weather"
        shutil.copytree(options.weather, folder)
        before = survey(str(folder), limits=Limits(), jobs=2)
        planted = plant(folder, options.each, options.seed)
        start, cpu = time.perf_counter(), time.process_time()
        found = survey(str(folder), limits=Limits(), jobs=2)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        baseline = sum(finding.code in COPIES for finding in before.findings)
        write(f"baseline: {len(before.looks)} pictures, {baseline} clusters of copies\n")
        for kind, share in recall(found, planted).items():
            write(f"found {100 * share:6.1f} % of {len(planted[kind])} {kind}\n")
        wrong = false_alarms(found, before, planted)
        share = len(wrong) / len(before.looks)
        write(f"false alarms: {len(wrong)} of {len(before.looks)} ({100 * share:.2f} %)\n")
        for name in sorted(wrong):
            write(f"  {name}\n")
        write(f"{len(found.looks)} files in {seconds:.1f} s, {cpu:.1f} s of CPU\n")


if __name__ == "__main__":
    main()
