"""The folds of a cross-validation, each trained as a run of its own by one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from imgtrain import console
from imgtrain.crossval.collecting import MONITORED
from imgtrain.crossval.cutting import cut_folds, settle
from imgtrain.crossval.folder import fold_choice, fold_name, fold_run
from imgtrain.data.folds import Folds
from imgtrain.data.index import Index
from imgtrain.data.subset import take_subset
from imgtrain.engine.world import World
from imgtrain.errors import RunError
from imgtrain.events import Event
from imgtrain.files import read_json
from imgtrain.loading.shelf import Shelf
from imgtrain.preparing import Clock, Ground
from imgtrain.provenance import Origins
from imgtrain.rundir import RunDir
from imgtrain.settings.schema import Settings
from imgtrain.training import RunResult, train_once

Hears = tuple[Callable[[Event], None], ...]


def train_folds(
    cv: RunDir,
    settings: Settings,
    index: Index,
    folds: Folds,
    *,
    wanted: Sequence[int],
    shelf: Shelf,
    world: World,
    origins: Origins,
    hears: Hears = (),
) -> list[RunResult]:
    """One training a fold, each a run in ``cv``, in this process and from the same shelf.

    Weights, optimizer, schedule, averages and random numbers are made anew for each: a fold comes
    to the same bits alone and after others. Their test part is empty. Folds that are finished are
    not trained again; one that was interrupted goes on.

    Args:
        cv: The folder that they lie in.
        settings: Of each; a repeat's seed is ``train.seed`` and how many repeats came before it.
        index: The pictures.
        folds: Which fold validates which.
        wanted: Numbers of the folds, from 1.
        shelf: Where pictures stay decoded.
        world: The processes that train together.
        origins: Who set what.
        hears: Functions that are told each training's events.

    Raises:
        ImgtrainError: One of its kinds, with a message for the user.
    """
    results = []
    for fold in wanted:
        run = fold_run(cv, fold)
        done = world.from_first(partial(_result, run))
        if done is not None:
            results.append(done)
            continue
        console.say(_heading(folds, fold))
        own = _seeded(settings, folds.repeat_of(fold))
        choice = world.from_first(partial(fold_choice, cv, fold, own))
        split = folds.split(fold)
        if settings.data.subset is not None:
            share, seed = settings.data.subset, settings.data.split_seed
            split, sentence = take_subset(index, split, share, seed)
            console.say(sentence)
        ground = Ground(index=index, split=split, shelf=shelf, is_checked=True, hears=hears)
        results.append(
            train_once(
                choice,
                ground,
                asked=own,
                name=fold_name(fold),
                world=world,
                origins=origins,
                clock=Clock(),
            )
        )
    return results


def _result(run: RunDir) -> RunResult | None:
    """What a fold that is finished came to."""
    if not run.is_finished:
        return None
    try:
        return RunResult(run.path, read_json(run.path / "metrics.json"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{run.path} is finished, but its metrics.json cannot be read: {error}",
            "remove the folder, and the same command trains the fold again",
        ) from error


def _heading(folds: Folds, fold: int) -> str:
    times = len(folds.numbers)
    repeat = f", repeat {folds.repeat_of(fold)} of {times}" if times > 1 else ""
    return f"fold {fold} of {folds.total}{repeat}"


def _seeded(settings: Settings, repeat: int) -> Settings:
    """The settings of a repeat: the second begins with the next seed."""
    train = settings.train.model_copy(update={"seed": settings.train.seed + repeat - 1})
    return settings.model_copy(update={"train": train})


def score_by_folds(
    settings: Settings,
    index: Index,
    *,
    folder: RunDir,
    shelf: Shelf,
    world: World,
    origins: Origins,
    folds: Folds | None = None,
    hears: Hears = (),
) -> float:
    """The mean over folds of what the training is monitored by: what a search may judge a trial by.

    Each fold becomes a run ``fold_1``, ``fold_2``, ... in ``folder``; called again, it goes on with
    them. The test part is held out before the folds are cut, in no training's parts, and not
    scored here. All trials of a search are judged on the same folds: cut them once with
    ``cut_folds(settings, index, shelf=shelf, world=world)[0]`` and pass them on. A listener among
    ``hears`` may raise to end a trial early (a pruner); the folder then holds what was done so far.

    Args:
        settings: Of each training.
        index: The pictures.
        folder: Where the folds' runs lie; it exists.
        shelf: Decoded pictures, shared by all trials of the process.
        world: The processes that train together.
        origins: Who set what.
        folds: From an earlier call of ``cut_folds``; cut anew if None.
        hears: Functions that are told the events of every fold.

    Returns:
        The mean; of ``val_loss`` the smaller is the better one, of the others the larger.

    Raises:
        ImgtrainError: One of its kinds, with a message for the user.
    """
    if folds is None:
        folds, settings, _ = cut_folds(settings, index, shelf=shelf, world=world)
    else:
        settings = settle(settings, index, folds, world)
    results = train_folds(
        folder,
        settings,
        index,
        folds,
        wanted=range(1, folds.total + 1),
        shelf=shelf,
        world=world,
        origins=origins,
        hears=hears,
    )
    name = MONITORED[settings.train.monitor]
    return sum(float(result.metrics["val"][name]) for result in results) / len(results)
