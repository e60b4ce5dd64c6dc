"""From a run to a file that other programs run: written, compared, measured, put in its place."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from imgtrain import console
from imgtrain.classical import artefact
from imgtrain.engine.device import apply
from imgtrain.ensemble import Chosen, Member, choose, read_members
from imgtrain.errors import GateError, RunError, SettingsError, disk_error
from imgtrain.export.about import About
from imgtrain.export.formats import FORMATS, Format, require
from imgtrain.export.formats import read as read_file
from imgtrain.export.graph import Graph, Sight, about_all
from imgtrain.export.member import is_exported
from imgtrain.export.parity import Parity, Probs, Run, as_run, milliseconds
from imgtrain.export.pictures import Sample, find_sample, spread
from imgtrain.export.quantize import quantize
from imgtrain.files import read_json, sync_folder, write_json
from imgtrain.settings.schema import HardwareSettings

RECORD = "export.json"
"""What is known of the exported files of a folder, by name."""

SOME, MANY = 1, 32  # how many pictures are timed together

_PICTURES = 256
"""To compare on and to calibrate with, where nothing else is asked for."""

_DROP = 0.01
"""By so much top-1 may fall with int8, where nothing else is asked for."""

_CALIBRATED = 16  # pictures that are looked at together


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be exported, and how.

    Args:
        runs: Names or files; the newest run if none is named.
        output: Folder that holds the runs.
        format: Of the file.
        to: The file, or its folder; in the run if not given.
        ensemble: How several are combined.
        data: Pictures to compare on and to calibrate with; the run's own if not given.
        pictures: Compare on so many; 256, or all for int8, if not given.
        int8: Whether weights and activations are to have 8 bits.
        calibration_pictures: So many of the training part set the ranges; 256 if not given.
        max_accuracy_drop: By so much top-1 may fall with int8.
        hardware: ``threads`` counts; all computes on the CPU.
    """

    runs: tuple[str, ...]
    output: Path
    format: Format
    to: Path | None = None
    ensemble: str | None = None
    data: str | None = None
    pictures: int | None = None
    int8: bool = False
    calibration_pictures: int | None = None
    max_accuracy_drop: float | None = None
    hardware: HardwareSettings


@dataclass(frozen=True, slots=True)
class Written:
    """The file, and what ``export.json`` says of it."""

    file: Path
    record: dict[str, Any]


def export(wish: Wish, *, make_graph: Callable[..., nn.Module] = Graph) -> Written:
    """Write a file, compare it with its runs, and leave it there only if it answers as they do.

    Args:
        wish: What and how.
        make_graph: Builds what the file computes.

    Raises:
        GateError: If the file answers otherwise, or int8 costs too much accuracy.
        ImgtrainError: Another of its kinds, with a message for the user.
    """
    check_wish(wish)
    chosen = choose(list(wish.runs) or None, wish.output, wish.ensemble)
    members = read_networks(chosen, wish.hardware)
    about = about_all([member.recipe for member in members], chosen.how)
    if wish.int8:
        about = replace(about, precision="int8", recipe=replace(about.recipe, conformity=()))
    target = _target(wish, chosen.files)
    most = wish.pictures or (None if wish.int8 else _PICTURES)
    sample = find_sample(chosen.files[0], about.recipe, wish.data, most)
    if wish.int8 and sample.source is None:
        raise SettingsError("--int8 needs pictures to calibrate with", "name them: --data FOLDER")
    classes = about.recipe.classes
    sights = [Sight(member.model, member.recipe, classes) for member in members]
    graph = make_graph(sights, chosen.how, chosen.weights).eval()
    with _drafting(target) as folder:
        draft = _Draft(wish, sample, about, folder / target.name)
        record = draft.make(graph, as_run(members, chosen.how), chosen.files)
        _settle(folder, target, record)
    return Written(target, record)


def check_wish(wish: Wish) -> None:
    """Refuse what cannot be, before anything is read.

    Raises:
        SettingsError: If the format has no int8.
        OutsideError: If a package is missing.
    """
    found = wish.format
    if wish.int8 and found.name not in {"onnx", "openvino"}:
        raise SettingsError(
            f"--int8 makes files of onnx and openvino, not of {found.name}",
            "leave out --int8, or take --format onnx",
        )
    packages = (*found.writing, *(("onnxruntime",) if wish.int8 else ()))
    require(packages, found.extra, f"--format {found.name}")


def read_networks(
    chosen: Chosen, hardware: HardwareSettings, *, folds: bool = True
) -> list[Member]:
    """The runs' networks on the CPU, in fp32.

    Raises:
        RunError: If one is no network, or an exported file itself.
    """
    for file in chosen.files:
        if is_exported(file):
            raise RunError(f"{file} is an exported file already", "name the run it came from")
        if artefact.is_classical(file):
            raise RunError(
                f"{file} is a model of scikit-learn, which no exported file can hold",
                "imgtrain predict and the Python API run it",
            )
    on_cpu = hardware.model_copy(update={"device": "cpu", "precision": "fp32"})
    members = [
        each for each in read_members(chosen, on_cpu, folds=folds) if isinstance(each, Member)
    ]
    apply(members[0].compute)
    return members


def _target(wish: Wish, files: Sequence[Path]) -> Path:
    """Where the file goes: as asked, else in the run, or in the cross-validation."""
    name = (
        f"model-int8{wish.format.suffixes[0]}" if wish.int8 else f"model{wish.format.suffixes[0]}"
    )
    if wish.to is not None:
        return wish.to / name if wish.to.is_dir() else wish.to
    if len(wish.runs) > 1:
        raise SettingsError(
            "several runs become one file, which belongs to none of them",
            f"say where it goes: --to {name}",
        )
    folder = files[0].parent if len(files) == 1 else files[0].parent.parent
    return folder / "export" / name


@contextmanager
def _drafting(target: Path) -> Iterator[Path]:
    """A folder beside the target, gone afterwards."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    except OSError as error:
        raise disk_error(error, target) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A file in the making."""

    wish: Wish
    sample: Sample
    about: About
    file: Path

    def make(self, graph: nn.Module, run: Run, files: Sequence[Path]) -> dict[str, Any]:
        """Write it, let it pass its gates, measure it; returns its record."""
        wish, name = self.wish, self.file.name
        threads = _threads(wish.hardware)
        console.say(f"writing {name}: {self.about.recipe.architecture} as {wish.format.name}")
        whole = self._write(graph)
        exported = read_file(whole, threads)[1]
        expected, found, labels = self._answers([run, exported])
        parity = Parity.of(expected, found)
        parity.check(name)
        console.say(f"parity on {self.sample.part}: {parity}")
        record: dict[str, Any] = {"parity": {"part": self.sample.part, **parity.to_dict()}}
        top1 = [_top1(expected, labels), _top1(found, labels)]
        if wish.int8:
            self._quantized(whole)
            exported = read_file(self.file, threads)[1]
            (narrow, _) = self._answers([exported])
            top1[1] = _top1(narrow, labels)
            parity = Parity.of(expected, narrow)
            self._check_accuracy(top1, parity)
            record["int8"] = {"part": self.sample.part, **parity.to_dict()}
        sizes = [sum(file.stat().st_size for file in files), _size(self.file)]
        times = self._times([run, exported])
        before, after = (
            {"bytes": size, "top1": accuracy, "milliseconds": taken}
            for size, accuracy, taken in zip(sizes, top1, times, strict=True)
        )
        return {
            "runs": [str(file.parent) for file in files],
            "format": wish.format.name,
            "precision": self.about.precision,
            "threads": threads,
            "before": before,
            "after": after,
            **record,
        }

    def _write(self, graph: nn.Module) -> Path:
        """The fp32 file: what is wanted, or an ONNX file that int8 is made of."""
        p = self.about.recipe.preprocess
        pixels = np.zeros((2, p.size, p.size, p.channels), np.uint8)
        form, file = self.wish.format, self.file
        if self.wish.int8:
            form, file = FORMATS["onnx"], file.parent / "fp32" / "model.onnx"
            file.parent.mkdir()
        try:
            form.write(graph, pixels, file, self.about.to_text())
        except OSError as error:
            raise disk_error(error, self.file) from error
        except Exception as error:  # torch and its exporters raise anything
            reason = (str(error).splitlines() or [""])[0][:200]
            raise RunError(
                f"{self.about.recipe.architecture} cannot be written as {form.name}: "
                f"{type(error).__name__}: {reason}",
                "take another --format",
            ) from error
        return file

    def _quantized(self, whole: Path) -> None:
        train = spread(self.sample.train, self.wish.calibration_pictures or _PICTURES)
        if not len(train):
            raise SettingsError("--int8 needs a training part to calibrate with", "name --data")
        preprocess, text = self.about.recipe.preprocess, self.about.to_text()
        console.say(f"calibrating on {len(train)} pictures of train")
        pictures = (
            pixels.copy() for pixels, _ in self.sample.batches(train, preprocess, _CALIBRATED)
        )
        is_onnx = self.wish.format.name == "onnx"
        to = self.file if is_onnx else whole.with_name("int8.onnx")
        quantize(whole, to, pictures, text)
        if not is_onnx:
            from imgtrain.export.openvino import convert

            convert(to, self.file, text)
        shutil.rmtree(whole.parent)

    def _check_accuracy(self, top1: Sequence[float | None], parity: Parity) -> None:
        before, after = top1
        assert before is not None
        assert after is not None
        drop, most = before - after, self.wish.max_accuracy_drop
        most = _DROP if most is None else most
        told = (
            f"top-1 {100 * before:.2f} % before, {100 * after:.2f} % after, on "
            f"{parity.pictures} pictures of {self.sample.part}"
        )
        if drop > most:
            raise GateError(
                f"int8 costs too much accuracy: {told}; --max-accuracy-drop is {most:g}",
                "nothing was written; more --calibration-pictures may help, or another network",
            )
        console.say(f"int8: {told}; {parity}")

    def _answers(self, runs: Sequence[Run]) -> list[Any]:
        """Each one's probabilities (N, C) of all pictures, and the labels (N,).

        The first picture comes alone: files must take any number.
        """
        found: list[list[Any]] = [[] for _ in (*runs, None)]
        preprocess = self.about.recipe.preprocess
        for pixels, labels in self.sample.batches(self.sample.compared, preprocess):
            cuts = [slice(0, 1), slice(1, None)] if not found[0] else [slice(None)]
            for cut in (cut for cut in cuts if len(labels[cut])):
                whole = np.ascontiguousarray(pixels[cut])
                for run, told in zip(runs, found, strict=False):
                    told.append(run(whole))
                found[-1].append(labels[cut].copy())
        if not found[0]:
            raise RunError("none of the pictures to compare on can be read", "name others: --data")
        return [np.concatenate(told) for told in found]

    def _times(self, runs: Sequence[Run]) -> list[dict[str, float]]:
        """Milliseconds of each for one picture and for many."""
        p = self.about.recipe.preprocess
        rng = np.random.default_rng(0)
        shape = (MANY, p.size, p.size, p.channels)
        pixels = rng.integers(0, 256, shape, np.uint8)
        taken = {n: milliseconds(runs, pixels[:n]) for n in (SOME, MANY)}
        return [
            {str(n): round(times[i], 3) for n, times in taken.items()} for i in range(len(runs))
        ]


def _threads(hardware: HardwareSettings) -> int:
    from imgtrain.engine.device import plan_compute

    return plan_compute(hardware.model_copy(update={"device": "cpu"}), image_size=1).threads


def _top1(probs: Probs, labels: Any) -> float | None:
    known = labels >= 0
    return float((probs.argmax(axis=1) == labels)[known].mean()) if known.any() else None


def _size(file: Path) -> int:
    """Bytes of the file and of what belongs to it."""
    return sum(each.stat().st_size for each in file.parent.iterdir() if each.is_file())


def _settle(folder: Path, target: Path, record: dict[str, Any]) -> None:
    """Move the draft's files into their place, the named one last, and note what they are."""
    try:
        for file in sorted(folder.iterdir(), key=lambda file: file.name == target.name):
            os.replace(file, target.parent / file.name)  # noqa: PTH105  # as files.replacing
        sync_folder(target.parent)
    except OSError as error:
        raise disk_error(error, target) from error
    known = target.parent / RECORD
    try:
        files = read_json(known)["files"]
    except (OSError, ValueError, KeyError, TypeError):
        files = {}
    write_json(known, {"format": 1, "files": {**files, target.name: record}})
