"""How fast this machine reads a set of pictures: bare decoding, a cold epoch, warm ones."""

from __future__ import annotations

import io
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from imgtrain.data.decode import BadImage, decode
from imgtrain.data.index import Index, read_index
from imgtrain.data.inspect import look
from imgtrain.data.listing import Ints
from imgtrain.data.stamps import stamp_keys
from imgtrain.engine.device import ComputePlan, usable_cores
from imgtrain.errors import DataError
from imgtrain.files import cache_folder
from imgtrain.known_sets import settle_root
from imgtrain.loading.disk import OnDisk
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.samplewise import View, training_view
from imgtrain.loading.sampling import Share
from imgtrain.loading.stores import Nowhere, Store
from imgtrain.provenance import device_name, versions
from imgtrain.settings.schema import Settings

PHOTO_SIDE = 224
SMALL = 64
"""As in training: up to this side, pictures are seen whole, at their own size."""

BATCH = 64
_MANY = 8
"""Threads whose memory is compared with that of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Pictures a second, medians over the turns; memory in MB.

    Args:
        bare: Read and decoded whole by Pillow, one after the other in one thread, nothing else.
        decoder: Read and decoded by imgtrain's decoder to the size that is stored, likewise.
        cold: A training epoch that decodes, stores, crops and mirrors, with all threads.
        warm: A training epoch out of the store.
        warm_one: The same with one thread.
        memory_mb: How much more memory a cold epoch takes with 8 threads than with 1; None where
            the system does not say.
    """

    bare: float
    decoder: float
    cold: float
    warm: float
    warm_one: float
    memory_mb: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was measured, of what, and where.

    ``cpu_ms`` is the processor's time a picture, over all threads: other programs disturb it less.
    """

    pictures: int
    size: int
    channels: int
    threads: int
    rates: Rates
    cpu_ms: dict[str, float]
    machine: dict[str, Any]

    @property
    def cold_share(self) -> float:
        """The cold epoch as a share of bare decoding on as many cores as there are threads."""
        return self.rates.cold / (self.rates.bare * self.threads)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = asdict(self) | {"cold_share_of_bare": round(self.cold_share, 3)}
        rates = self.rates
        found["rates"] = {k: None if v is None else round(v, 1) for k, v in asdict(rates).items()}
        found["per_core"] = {
            "cold": round(rates.cold / self.threads, 1),
            "warm": round(rates.warm / self.threads, 1),
        }
        return found


def bench_data(settings: Settings, *, pictures: int, turns: int) -> Report:
    """Measure on the pictures that the settings name; bad ones are left out.

    Args:
        settings: Sections data and augment count.
        pictures: How many to take at most, evenly spread.
        turns: How often everything is done; the medians count.

    Raises:
        DataError: If none can be read.
    """
    data = settings.data
    index = read_index(settle_root(settings), group_by=data.group_by)
    every = np.arange(len(index.source), dtype=np.int64)
    chosen = every[np.linspace(0, len(every) - 1, min(pictures, len(every))).round().astype(int)]
    preprocess, natural = _preprocess(settings, index, every)
    good = _readable(index, chosen, preprocess)
    threads = usable_cores() if data.workers == "auto" else data.workers
    view = training_view(preprocess, settings.augment, natural=natural)
    work = _Work(index, good, preprocess, view, threads)
    memory = work.memory()  # first: what was taken once is not given back
    measured = [work.turn() for _ in range(turns)]
    medians, spent = (
        {name: statistics.median(turn[k][name] for turn in measured) for name in measured[0][k]}
        for k in (0, 1)
    )
    return Report(
        pictures=len(good),
        size=preprocess.size,
        channels=preprocess.channels,
        threads=threads,
        rates=Rates(**medians, memory_mb=memory),
        cpu_ms={name: round(1000 * seconds, 3) for name, seconds in spent.items()},
        machine=machine(),
    )


def machine() -> dict[str, Any]:
    """What figures depend on: processor, cores, versions."""
    plan = ComputePlan(device="cpu", precision="fp32", channels_last=True, threads=1, fused=True)
    return {"processor": device_name(plan), "cores": usable_cores(), "versions": versions()}


def _preprocess(settings: Settings, index: Index, every: Ints) -> tuple[Preprocess, bool]:
    """As a training would take them, with a photo's side where the model would decide."""
    data, seen = settings.data, look(index.source, every)
    natural = index.natural and seen.max_side > SMALL
    auto = PHOTO_SIDE if natural else max(4, seen.max_side)
    channels = seen.channels if data.channels == "auto" else data.channels
    return Preprocess.for_pictures(
        size=auto if data.image_size == "auto" else data.image_size,
        natural=natural,
        channels=channels,
        background=data.background,
        max_pixels=data.max_pixels,
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
    ), natural


def _readable(index: Index, chosen: Ints, preprocess: Preprocess) -> Ints:
    """Those of ``chosen`` that decode; the files are then in the system's memory, too."""
    good = []
    for i in chosen.tolist():
        with suppress(BadImage, OSError):
            preprocess.decoded(index.source.read(i))
            good.append(i)
    if not good:
        raise DataError(f"no picture of {index.root} can be read")
    return np.array(good, np.int64)


@dataclass(frozen=True, slots=True)
class _Work:
    index: Index
    chosen: Ints
    preprocess: Preprocess
    view: View
    threads: int

    def turn(self) -> tuple[dict[str, float], dict[str, float]]:
        """Everything once: pictures a second, and seconds of the processor a picture."""
        found = {"bare": self._rate(self._bare), "decoder": self._rate(self._decoder)}
        cache = cache_folder()
        cache.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=cache, prefix="bench-") as folder,
            self._store(Path(folder) / "set") as store,
        ):
            found["cold"] = self._rate(lambda: self._epoch(store, self.threads))
            found["warm"] = self._rate(lambda: self._epoch(store, self.threads), seconds=1)
            found["warm_one"] = self._rate(lambda: self._epoch(store, 1), seconds=1)
        return {k: v[0] for k, v in found.items()}, {k: v[1] for k, v in found.items()}

    def _rate(self, work: Callable[[], None], *, seconds: float = 0) -> tuple[float, float]:
        """Pictures a second, processor's seconds a picture; repeated until ``seconds`` are over."""
        begun, spent, times = time.perf_counter(), time.process_time(), 0
        while not times or time.perf_counter() - begun < seconds:
            work()
            times += 1
        done = times * len(self.chosen)
        return done / (time.perf_counter() - begun), (time.process_time() - spent) / done

    def _bare(self) -> None:
        mode = "L" if self.preprocess.channels == 1 else "RGB"
        for i in self.chosen.tolist():
            data = self.index.source.read(i)
            try:
                with Image.open(io.BytesIO(data)) as picture:
                    np.asarray(picture.convert(mode))
            except OSError:  # what only our decoder reads
                self._whole(data)

    def _whole(self, data: bytes) -> None:
        p = self.preprocess
        decode(
            data,
            channels=p.channels,
            background=p.background,
            max_pixels=p.max_pixels,
            side=None,
        )

    def _decoder(self) -> None:
        for i in self.chosen.tolist():
            self.preprocess.decoded(self.index.source.read(i))

    @contextmanager
    def _store(self, folder: Path) -> Iterator[Store]:
        store = OnDisk(
            folder,
            stamp_keys(self.index.source),
            channels=self.preprocess.channels,
            limit=10**12,
        )
        try:
            yield store
        finally:
            store.close()

    def _epoch(self, store: Store, threads: int) -> None:
        """All pictures once, in a random order, cropped and mirrored as in training."""
        pictures = Pictures(self.index.source, self.preprocess, store, on_bad="skip")
        loader = Loader(pictures, self.index.labels, torch.device("cpu"), threads=threads)
        try:
            for _ in loader.batches(self._shares(), self.view, seed=0, epoch=1):
                pass
        finally:
            loader.close()

    def _shares(self) -> Iterator[Share]:
        order = np.random.default_rng(0).permutation(self.chosen)
        for begin in range(0, len(order), BATCH):
            part = order[begin : begin + BATCH]
            positions = np.arange(begin, begin + len(part), dtype=np.int64)
            yield Share(part, positions, np.ones(len(part), np.bool_))

    def memory(self) -> float | None:
        """MB that 8 threads take beyond one, at their peaks in epochs that decode everything."""
        self._epoch(Nowhere(), 1)  # what is taken once and for all
        one = _peak(lambda: self._epoch(Nowhere(), 1))
        many = _peak(lambda: self._epoch(Nowhere(), _MANY))
        return None if one is None or many is None else max(0.0, many - one)


def _peak(work: Callable[[], None]) -> float | None:
    """Largest memory of this process's own during ``work``, in MB; None if unknown."""
    if _own_memory() is None:
        return None
    seen: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            seen.append(cast("float", _own_memory()))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        work()
    finally:
        done.set()
        thread.join()
    return max(seen, default=None)


def _own_memory() -> float | None:
    """Resident memory that is no file's, in MB (Linux)."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return None
