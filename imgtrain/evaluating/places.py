"""Which models are scored, whose pictures they know, and where an evaluation goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imgtrain.data.listing import PART_WORDS
from imgtrain.data.split import HELD
from imgtrain.data.tables import SUFFIXES
from imgtrain.ensemble_file import NAME
from imgtrain.errors import RunError
from imgtrain.files import first_free, read_json
from imgtrain.rundir import RunDir, find_run

FOLDER = "evaluations"
"""In a run's folder."""

_WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is scored: a run, a cross-validation, or a file of weights that belongs to none."""

    run: RunDir | None
    file: Path | None = None

    @property
    def path(self) -> Path:
        """As ``imgtrain.predictor.load`` takes it."""
        found = self.file if self.run is None else self.run.path
        assert found is not None
        return found

    @property
    def weights(self) -> Path | None:
        """Its one file of weights; None for a cross-validation."""
        if self.run is None:
            return self.file
        return None if (self.run.path / NAME).is_file() else self.run.weights


def subjects(names: Sequence[str | Path], output: Path) -> tuple[Subject, ...]:
    """The runs and files of these names, the newest run if there are none.

    The weights of a run's folder stand for the run.

    Raises:
        RunError: If one is not there.
    """
    if not names:
        return (Subject(find_run(None, output, having=(_WEIGHTS, NAME))),)
    return tuple(_subject(name, output) for name in names)


def _subject(name: str | Path, output: Path) -> Subject:
    path = Path(name)
    _refuse_pictures(path, output / name)
    if not path.is_file():
        found = Subject(find_run(str(name), output))
        _refuse_unfinished(found)
        return found
    is_of_run = path.name == _WEIGHTS and (path.parent / "status.json").is_file()
    return Subject(RunDir(path.parent)) if is_of_run else Subject(None, path)


def _refuse_pictures(path: Path, run: Path) -> None:
    """A folder or manifest of pictures in the place of a run."""
    is_run = any((place / "status.json").is_file() for place in (path, run))
    if (path.is_dir() and not is_run) or path.suffix.lower() in SUFFIXES:
        raise RunError(
            f"{path} is no run", f"to score a run on pictures: imgtrain evaluate RUN --data {path}"
        )


def _refuse_unfinished(subject: Subject) -> None:
    run, weights = subject.run, subject.weights
    is_single = run is not None and run.status().get("kind") is None
    if is_single and weights is not None and not weights.is_file():
        raise RunError(
            f"{run.path if run else ''} has no {_WEIGHTS}: its training did not come to its end",
            "the same imgtrain train command goes on with it",
        )


def name_of(root: str, part: str | None, *, is_own: bool) -> str:
    """``test`` for a run's own part, else after the data: ``weather-test``, ``photos``."""
    if is_own:
        return part or "all"
    path = Path(root)
    stem = path.stem.replace(":", "-") or "pictures"
    if stem.casefold() in {*PART_WORDS, *HELD}:  # weather/test, given as it is
        stem = f"{path.parent.name}-{stem}" if path.parent.name else stem
    return f"{stem}-{part}" if part is not None else stem


def place_of(
    asked: Path | None, which: Sequence[Subject], output: Path, *, name: str, data: str
) -> Path:
    """Where an evaluation is written: it takes the place of an earlier one of the same data.

    Args:
        asked: ``--to``.
        which: What is scored.
        output: Folder that holds the runs.
        name: The evaluation's.
        data: Where its pictures are; one of other data and the same name is kept.

    Raises:
        RunError: If something else is in that place.
    """
    if asked is not None:
        if asked.exists() and not _is_evaluation(asked) and not _is_empty(asked):
            raise RunError(
                f"{asked} is there and holds no evaluation", "name another folder with --to"
            )
        return asked
    first = which[0]
    if len(which) > 1:
        home, name = output / FOLDER, f"{'+'.join(s.path.name for s in which)}-{name}"
    elif first.run is not None:
        home = first.run.path / FOLDER
    else:
        home, name = first.path.parent / FOLDER, f"{first.path.stem}-{name}"
    return home / first_free(lambda n: _is_taken(home / n, data), name[:200])


def _is_taken(place: Path, data: str) -> bool:
    return place.exists() and _data_of(place) != data


def _data_of(place: Path) -> str | None:
    try:
        return str(read_json(place / "metrics.json")["data"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _is_evaluation(place: Path) -> bool:
    return _data_of(place) is not None


def _is_empty(place: Path) -> bool:
    return place.is_dir() and not any(place.iterdir())
