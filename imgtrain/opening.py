"""How a training begins: where it goes on, what it is called, its parts, its folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from imgtrain import console, rundir
from imgtrain.continuing import Choice, named_run
from imgtrain.data.index import Index
from imgtrain.data.split import Split, hold_out_calibration, make_split
from imgtrain.data.subset import take_subset
from imgtrain.engine.checkpoint import Checkpoints
from imgtrain.engine.state import TrainState
from imgtrain.engine.world import World
from imgtrain.errors import DataError, InterruptedRun, PrunedRun
from imgtrain.provenance import Origins
from imgtrain.rundir import RunDir
from imgtrain.settings.catalog import all_settings
from imgtrain.settings.layers import flatten
from imgtrain.settings.schema import DataSettings, Settings


def origins_of(settings: Settings) -> dict[str, str]:
    """In Python, what was given counts as set by the user."""
    given = {key for key, setting in all_settings().items() if setting.is_given(settings)}
    return {key: "python" if key in given else "default" for key in flatten(settings)}


def cut_parts(index: Index, data: DataSettings) -> Split:
    """The parts, the training part no larger than its subset."""
    split, sentences = make_split(index, data.split_ratio, data.split_seed)
    if data.calibration_fraction is not None:
        share, seed = data.calibration_fraction, data.split_seed
        split, told = hold_out_calibration(index, split, share, seed)
        sentences = (*sentences, *told)
    if data.subset is not None:
        split, sentence = take_subset(index, split, data.subset, data.split_seed)
        sentences = (*sentences, sentence)
    for sentence in (*index.notes, *sentences):
        console.say(sentence)
    return split


def resumed(settings: Settings, origins: Origins) -> Choice:
    """The run of ``--resume``, if there is one."""
    if settings.run.resume is None:
        return Choice(None, settings)
    flat = flatten(settings)
    quiet = ("default", settings.data.root)
    return named_run(settings, {k: flat[k] for k, o in origins.items() if o not in quiet})


def name_of(settings: Settings, index: Index) -> str:
    """The run's name: as given, or from data and model."""
    if settings.run.name:
        return settings.run.name
    data = Path(index.root).resolve().stem.replace(":", "-") or "pictures"
    name = f"{data}-{re.sub(r'[/:]', '_', settings.model.name)}"
    return f"{name}-fast-dev" if settings.train.fast_dev else name


def checkpoints_of(run: RunDir, settings: Settings) -> Checkpoints:
    """The run's checkpoints, as many as the settings keep."""
    train = settings.train
    return Checkpoints(run.checkpoints, every=train.checkpoint_freq, keep=train.keep)


def has_checkpoint(choice: Choice) -> bool:
    """Whether there is a run to go on with, and a state in it."""
    run = choice.run
    return run is not None and checkpoints_of(run, choice.settings).exist()


def check_same_pictures(index: Index, world: World) -> None:
    """All processes see the same files: on several machines, the data are to be the same.

    Raises:
        DataError: If another process sees others than the first.
    """
    seen = world.gather(index.fingerprint)
    for rank, fingerprint in enumerate(seen):
        if fingerprint != seen[0]:
            raise DataError(
                f"{index.root}: process {rank} sees other pictures than the first one",
                "give every machine the same files under the same names",
            )


def restore(state: TrainState, checkpoints: Checkpoints) -> None:
    """Go on where the run stood; one that was over goes on if it was given more epochs."""
    path = checkpoints.restore(state)
    progress = state.progress
    done = progress.epoch - 1
    grew = progress.course is None and state.plan.course is None
    if progress.reason is not None and grew and done < state.plan.epochs > progress.planned:
        progress.reason, progress.patient_from = None, done
    if progress.reason is not None:
        console.say(f"training is finished ({path.name}); scoring is left")
        return
    best = f", best so far: epoch {progress.best_epoch}" if progress.best_epoch else ""
    console.say(f"restored {path.name}: epoch {progress.epoch}, step {progress.step}{best}")


@contextmanager
def working(run: RunDir, world: World, *, epochs: int) -> Iterator[None]:
    """The run's state while it works: running; failed or pruned where that ends it."""
    if world.is_first:
        run.set_status("running", epochs=epochs)
    try:
        yield
    except PrunedRun:
        if world.is_first:
            run.set_status("pruned", epochs=epochs)
        raise
    except BaseException as error:
        if world.is_first and not isinstance(error, InterruptedRun):
            run.set_status("failed", epochs=epochs, error=str(error))
        raise


def open_run(stack: ExitStack, choice: Choice, name: str, world: World) -> RunDir:
    """The run's folder, in all processes; the first one makes and locks it."""
    run = choice.run
    if world.is_first:
        run = run or rundir.new_run(choice.settings.run.output, name)
        stack.enter_context(rundir.locked(run))
        stack.callback(console.attach_log, None)
        console.attach_log(run.log)
    return RunDir(Path(world.gather(run and str(run.path))[0]))
