"""Cross-validation: folds cut, each trained as a run of its own, then all joined.

The test part is held out before the folds are cut. No training is given its positions; it is
scored once, when all folds are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from imgtrain import console
from imgtrain.continuing import Choice, check_data, named_run
from imgtrain.crossval.at_once import own_device, train_at_once
from imgtrain.crossval.collecting import check_pickable, collect, is_done, refuse_missing
from imgtrain.crossval.cutting import cut_folds
from imgtrain.crossval.each import train_folds
from imgtrain.crossval.folder import (
    find_cv,
    fold_run,
    make_cv,
    record_cv,
    refuse_other_folds,
    set_state,
    unfinished_cv,
    with_own_devices,
)
from imgtrain.data.folds import Folds
from imgtrain.data.folds_file import read_folds, write_folds
from imgtrain.data.index import Index, read_index
from imgtrain.engine.world import World
from imgtrain.errors import InterruptedRun, SettingsError
from imgtrain.files import read_json
from imgtrain.known_sets import settle_root
from imgtrain.launching import refuse_to_start_others
from imgtrain.loading.shelf import Shelf
from imgtrain.opening import check_same_pictures, name_of
from imgtrain.provenance import Origins
from imgtrain.rundir import RunDir
from imgtrain.scoring import picture_reader
from imgtrain.settings.cv_checks import check_cv
from imgtrain.settings.layers import flatten
from imgtrain.settings.schema import Settings
from imgtrain.tracking.session import tracked
from imgtrain.training import RunResult, check_start, look_ahead


def cross_validate(
    settings: Settings, *, origins: Origins | None = None, joins: bool = False
) -> RunResult:
    """Train on every fold, join them, and score the untouched test part once.

    The same settings on the same data go on with their own unfinished cross-validation.

    Args:
        settings: What to do; ``cv.fold`` trains that fold alone.
        origins: Who set each dotted key; for the record.
        joins: Train nothing: join the folds of the run in ``run.resume`` (the newest if None).

    Returns:
        The folder and the content of its ``metrics.json``; of one fold, that fold's.

    Raises:
        ImgtrainError: One of its kinds, with a message for the user.
    """
    check_cv(settings)
    own = own_device(settings)
    refuse_to_start_others(own)
    origins, device = check_start(own, origins)
    with World.joined(device) as world:
        if not world.is_first:
            console.silence()
        with ExitStack() as stack:
            course = world.from_first(lambda: _resumed(settings, origins, joins=joins))
            return _Work.begun(course, world, origins, stack).done(joins=joins)


def _resumed(settings: Settings, origins: Origins, *, joins: bool) -> Choice:
    """The cross-validation of ``--resume`` or ``--collect``, with its own settings."""
    if settings.run.resume is None and not joins:
        return Choice(None, settings)
    run = find_cv(settings.run.resume, settings.run.output)
    flat = flatten(settings)
    quiet = ("default", settings.data.root)
    given = {key: flat[key] for key, origin in origins.items() if origin not in quiet}
    named = settings.run.model_copy(update={"resume": str(run.path)})
    refuse_other_folds(run, given)
    return named_run(settings.model_copy(update={"run": named}), given)


@dataclass(frozen=True, slots=True)
class _Work:
    """A cross-validation whose folder and folds are there."""

    run: RunDir
    settings: Settings
    index: Index
    folds: Folds
    shelf: Shelf
    world: World
    origins: Origins

    @classmethod
    def begun(cls, choice: Choice, world: World, origins: Origins, stack: ExitStack) -> _Work:
        """Read the pictures; find the folder that goes on, or cut the folds and make it."""
        asked = choice.settings
        look_ahead(asked)
        if choice.run is None:
            console.say(f"reading {asked.data.root}")
        index = read_index(settle_root(asked), group_by=asked.data.group_by)
        check_same_pictures(index, world)
        for sentence in index.notes:
            console.say(sentence)
        shelf = stack.enter_context(Shelf(index))
        name = asked.run.name or f"{name_of(asked, index)}-cv"
        run = choice.run or world.from_first(lambda: unfinished_cv(asked, index, name))
        if run is None:
            run = _made(asked, index, name, shelf=shelf, world=world, origins=origins)
        elif choice.run is not None:
            check_data(run, index)
        else:
            console.say(f"going on with {run.path}, which is unfinished (--fresh starts anew)")
        folds = world.from_first(lambda: read_folds(run.path / "folds.csv", index))
        settings = world.from_first(lambda: with_own_devices(run, asked))
        return cls(run, settings, index, folds, shelf, world, origins)

    def done(self, *, joins: bool) -> RunResult:
        """Train what is missing, and join all; or do the one of both that was asked for."""
        run, fold = self.run, self.settings.cv.fold
        if not joins and is_done(run, self.folds, self.settings, self.origins):
            console.say(f"{run.path} is finished; nothing to do")
            return RunResult(run.path, read_json(run.path / "metrics.json"))
        if fold is not None:
            return self._one(fold)
        check_pickable(self.settings, self.folds)
        if joins:
            self.world.from_first(lambda: refuse_missing(run, self.folds))
        is_first, read = self.world.is_first, picture_reader(self.index)
        with tracked(run, self.settings, is_first=is_first, read=read):
            return RunResult(run.path, self._all())

    def _all(self) -> Mapping[str, Any]:
        """Every fold, then all together; the content of ``metrics.json``."""
        run = self.run
        try:
            if self.world.is_first:
                set_state(run, "running")
            self._train(range(1, self.folds.total + 1))
            return collect(
                run, self.settings, self.index, self.folds, shelf=self.shelf, world=self.world
            )
        except BaseException as error:
            if self.world.is_first:
                stopped = isinstance(error, InterruptedRun | KeyboardInterrupt)
                set_state(run, "interrupted" if stopped else "failed", error=str(error))
            raise

    def _one(self, fold: int) -> RunResult:
        """``--fold``: that one; the others may be trained elsewhere meanwhile."""
        if fold > self.folds.total:
            raise SettingsError(
                f"--fold {fold} is beyond the last, {self.folds.total}",
                "folds count from 1, over all repeats",
            )
        with tracked(self.run, self.settings, is_first=self.world.is_first, ends=False):
            (result,) = self._train([fold])
        left = [k for k in range(1, self.folds.total + 1) if not fold_run(self.run, k).is_finished]
        console.say(
            f"left: fold{'s' if len(left) > 1 else ''} {', '.join(map(str, left))}"
            if left
            else f"all folds are there: imgtrain cv --collect {self.run.path} joins them"
        )
        return result

    def _train(self, wanted: Sequence[int]) -> list[RunResult]:
        """Those folds that are not finished yet."""
        if self.settings.cv.parallel > 1:
            train_at_once(self.run, self.settings, wanted)
        return train_folds(
            self.run,
            self.settings,
            self.index,
            self.folds,
            wanted=wanted,
            shelf=self.shelf,
            world=self.world,
            origins=self.origins,
        )


def _made(
    asked: Settings, index: Index, name: str, *, shelf: Shelf, world: World, origins: Origins
) -> RunDir:
    """Cut the folds, decide what is one for all of them, and make the folder."""
    folds, settings, sentences = cut_folds(asked, index, shelf=shelf, world=world)
    check_pickable(settings, folds)
    for sentence in sentences:
        console.say(sentence)

    def fill(draft: RunDir) -> None:
        write_folds(draft.path / "folds.csv", index, folds)
        record_cv(draft, asked=asked, settings=settings, origins=origins, name=name, index=index)

    run, is_ours = world.from_first(lambda: make_cv(asked, index, name, fill))
    console.say(f"{'folds are written to' if is_ours else 'joining'} {run.path}")
    return run
