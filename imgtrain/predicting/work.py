"""One prediction from the pictures to the last row, and on from where another was interrupted."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imgtrain import console
from imgtrain.data.listing import count
from imgtrain.engine.state import SCORING_BATCH
from imgtrain.ensemble import Chosen
from imgtrain.errors import InterruptedRun, SettingsError
from imgtrain.fetching.progress import Meter, metering, time_text
from imgtrain.predicting.answers import Asked, answer, least_for
from imgtrain.predicting.growing import Growing, Table
from imgtrain.predicting.listing import Listed
from imgtrain.predicting.results import Maker, Results, fingerprint
from imgtrain.predicting.rows import CsvRows, JsonRows
from imgtrain.predicting.screen import Kind, Screen
from imgtrain.predicting.web import TOGETHER
from imgtrain.predictor import Predictor, open_models
from imgtrain.settings.schema import Settings
from imgtrain.stopping import Stop, listening

_MANY = 100
"""Pictures from which progress is shown, and told at the end."""

_STDOUT = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Where answers go.

    Args:
        csv: A table, every class's probability in it.
        jsonl: A file of JSON objects, or - for stdout.
        parquet: The table as Parquet.
        json: Whether one list is printed on stdout.
        fresh: Whether files are written anew, whatever they hold.
    """

    csv: Path | None = None
    jsonl: str | None = None
    parquet: Path | None = None
    json: bool = False
    fresh: bool = False

    def tables(self, asked: Asked) -> list[Table]:
        """The files.

        Raises:
            SettingsError: If two are one.
        """
        found: list[Table] = []
        if self.csv is not None:
            found.append(Growing(self.csv, CsvRows(asked)))
        if self.jsonl is not None and self.jsonl != _STDOUT:
            found.append(Growing(Path(self.jsonl), JsonRows(asked)))
        if self.parquet is not None:
            from imgtrain.predicting.parts import Parquet

            found.append(Parquet(self.parquet, asked))
        places = [table.path.resolve() for table in found]
        if len(set(places)) < len(places):
            raise SettingsError(f"{places[0]} is named twice", "give each kind a file of its own")
        return found

    def on_stdout(self, *, files: bool) -> Kind:
        """What is printed: rows for people, but not past one who waits for a file.

        Raises:
            SettingsError: If two kinds are asked for.
        """
        if self.jsonl == _STDOUT and self.json:
            raise SettingsError("--json and --jsonl - both print on stdout", "leave out one")
        if self.json:
            return "json"
        if self.jsonl == _STDOUT:
            return "jsonl"
        return "nothing" if files and sys.stdout.isatty() else "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """All that is needed to score pictures.

    Args:
        predictor: The models.
        listed: The pictures.
        asked: What is said of each.
        results: The files that hear it.
        screen: What is printed.
        tta: Views that are averaged.
        size: Pictures a batch.
        first: How many are done already.
    """

    predictor: Predictor
    listed: Listed
    asked: Asked
    results: Results
    screen: Screen
    tta: str | None
    size: int
    first: int


@contextlib.contextmanager
def prepare(listed: Listed, chosen: Chosen, settings: Settings, wanted: Wanted) -> Iterator[Work]:
    """Read the models, and look how far the files are.

    Raises:
        RunError: If a model cannot be read.
        SettingsError: If the model cannot answer what is asked, or a file holds something else.
    """
    predict, tta = settings.predict, settings.augment.tta
    predictor = open_models(chosen, settings.hardware)
    asked = Asked(
        classes=predictor.classes,
        top_k=predict.top_k,
        threshold=predict.threshold,
        least=least_for(predictor, predict.coverage, tta=tta),
        labelled=listed.has_labels,
    )
    tables = wanted.tables(asked)
    screen = Screen(wanted.on_stdout(files=bool(tables)), asked, len(listed))
    maker = _maker(chosen, predictor, settings, asked) if tables else {}
    results = Results(tables, maker, listed)
    size = SCORING_BATCH if predict.batch_size == "auto" else predict.batch_size
    try:
        first = results.begin(size=size, fresh=wanted.fresh)
        if first and screen.kind in ("json", "jsonl"):
            raise SettingsError(
                f"{results.told()} holds {first:,} answers already, and stdout would lack them",
                "--fresh scores all again; or leave out --json",
            )
        yield Work(
            predictor=predictor,
            listed=listed,
            asked=asked,
            results=results,
            screen=screen,
            tta=tta,
            size=size,
            first=first,
        )
    finally:
        results.close(whole=False)


def _maker(chosen: Chosen, predictor: Predictor, settings: Settings, asked: Asked) -> Maker:
    """What answers depend on, but for rounding."""
    return {
        "models": [fingerprint(file) for file in chosen.files],
        "named": [str(file) for file in chosen.files],
        "weights": list(chosen.weights),
        "ensemble": chosen.how if len(chosen.files) > 1 else None,
        "classes": list(asked.classes),
        "precision": predictor.members[0].compute.precision,
        "tta": settings.augment.tta,
        "threshold": asked.threshold,
        "coverage": settings.predict.coverage,
        "label": asked.labelled,
    }


def score(work: Work) -> int:
    """Score what is left, and say so; how many pictures could not be read, of all.

    Raises:
        InterruptedRun: If a signal came; what was scored is in the files.
    """
    total, first = len(work.listed), work.first
    if first == total:
        work.results.close(whole=True)
        many = count(total, "picture")
        console.say(f"{work.results.told()}: finished, {many} (--fresh scores them again)")
        return work.results.failed
    if first:
        console.say(f"{work.results.told()}: going on after {first:,} of {count(total, 'picture')}")
    with listening() as stop, _metering(work) as meter:
        since = time.monotonic()
        failed = _score(work, stop, meter)
        seconds = time.monotonic() - since
    work.results.close(whole=True)
    work.screen.end()
    if total - first >= _MANY:
        rate = (total - first) / seconds
        console.say(
            f"{count(total - first, 'picture')} in {time_text(seconds)} ({rate:,.0f} a second), "
            f"{failed - work.results.failed:,} unreadable"
        )
    return failed


def _score(work: Work, stop: Stop, meter: Meter | None) -> int:
    total, done, failed = len(work.listed), work.first, work.results.failed
    batches = work.predictor.batches(
        work.listed,
        tta=work.tta,
        first=done,
        size=work.size,
        threads=TOGETHER if work.listed.has_addresses else None,
    )
    with contextlib.closing(batches):
        for batch in batches:
            said = [
                answer(found, work.listed.label(i), work.asked)
                for i, found in enumerate(batch, start=done)
            ]
            work.results.write(said)
            work.screen.show(said)
            done, failed = done + len(batch), failed + sum(each.error is not None for each in batch)
            if meter is not None:
                meter.at(done)
            if stop() and done < total:
                raise _stopped(work, stop, done)
    return failed


def _stopped(work: Work, stop: Stop, done: int) -> InterruptedRun:
    total, files = count(len(work.listed), "picture"), work.results.told()
    return InterruptedRun(
        stop.number or 2,
        f"stopped after {done:,} of {total}" + (f", which are in {files}" if files else ""),
        "the same command goes on from there" if files else "",
    )


def _metering(work: Work) -> contextlib.AbstractContextManager[Meter | None]:
    """Progress of many pictures, unless their rows pass by."""
    total = len(work.listed)
    if total - work.first < _MANY or work.screen.is_watched:
        return contextlib.nullcontext()
    return metering("predicting", total, "pictures", done=work.first)
