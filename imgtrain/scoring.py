"""After training: the best weights, scored once on each held-out part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from imgtrain import console
from imgtrain.data.index import Index
from imgtrain.data.split import HELD, Split
from imgtrain.engine.checkpoint import load_tensors
from imgtrain.engine.device import apply
from imgtrain.engine.infer import averaged, probabilities
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.sharding import is_shared_out, load_weights
from imgtrain.engine.state import TrainState
from imgtrain.engine.weights import save_model
from imgtrain.errors import InterruptedRun, RunError
from imgtrain.files import write_csv, write_json
from imgtrain.loading.tta import views
from imgtrain.metrics.conformal import conformity_scores
from imgtrain.probing import through_network, whole_model
from imgtrain.report.plots import write_training_curves
from imgtrain.report.results import write_results
from imgtrain.rundir import RunDir
from imgtrain.stopping import Stop


def score_run(
    run: RunDir,
    state: TrainState,
    recipe: Recipe,
    index: Index,
    split: Split,
    *,
    stop: Stop,
    tta: str | None = None,
    quarantine: bool = False,
    draws: bool = True,
) -> dict[str, Any]:
    """Score the best weights in fp32, and write all that a finished run holds but its page.

    Args:
        run: Its folder.
        state: The training that ended.
        recipe: What its network is.
        index: The pictures.
        split: Their parts.
        stop: Whether a signal came.
        tta: Test-time views that are averaged; see ``imgtrain.loading.tta``.
        quarantine: Whether unreadable pictures are copied into the run.
        draws: Whether PNG figures are written.

    Returns:
        The content of ``metrics.json``.
    """
    weights = state.world.from_first(lambda: _best_weights(run))
    load_weights(state.model, weights)
    network = whole_model(state)
    if tta is not None:
        state = through_network(state)
    metrics: dict[str, Any] = {"format": 1, "best_epoch": state.progress.best_epoch}
    if tta is not None:
        metrics["tta"] = tta
    if state.average is not None:
        metrics["average_last"] = state.average.last
    for part in HELD[1:]:
        positions = split.part(part)
        if not len(positions):
            continue
        console.detail(f"scoring {part}: {len(positions)} pictures")
        seen = None if part == "calibration" else tta  # conformity is that of single views
        found, probs = score_part(state, positions, run, stop, tta=seen)
        if part == "calibration" and state.world.is_first:
            recipe = with_conformity(recipe, probs, index.labels[found])
        if state.world.is_first and len(found):
            metrics[part] = write_results(
                run.path,
                part,
                paths=[index.source.path(i) for i in found.tolist()],
                labels=index.labels[found],
                probs=probs.astype(np.float64),
                classes=index.classes,
                draws=draws and part != "calibration",
            )
        _leave_if_stopped(state, run, stop)
    bad = _all_bad(state)
    if state.world.is_first:
        kept = weights if is_shared_out(state.model) else network
        save_model(run.weights, kept, recipe)
        write_bad(run, index, split, bad, quarantine=quarantine)
        if draws:
            write_training_curves(run.path, state.progress.history)
        write_json(run.path / "metrics.json", metrics)
    state.world.wait()
    return metrics


def with_conformity(
    recipe: Recipe, probs: NDArray[np.floating], labels: NDArray[np.int64]
) -> Recipe:
    """The recipe with what the calibration part's pictures, (N, C) and (N,), say of its answers."""
    scores = conformity_scores(probs, labels) if len(labels) else np.empty(0)
    return replace(recipe, conformity=tuple(scores.tolist()))


def _best_weights(run: RunDir) -> dict[str, Tensor]:
    best = run.checkpoints / "best.pt"
    try:
        weights: dict[str, Tensor] = load_tensors(best)["model"]
    except (FileNotFoundError, KeyError) as error:
        raise RunError(f"{best} is gone or holds no weights", "train again with --fresh") from error
    return weights


def _leave_if_stopped(state: TrainState, run: RunDir, stop: Stop) -> None:
    """All processes together, when one of them heard a signal."""
    if not state.world.largest(int(stop())):
        return
    if state.world.is_first:
        run.set_status("interrupted", epochs=state.plan.epochs)
    raise InterruptedRun(
        stop.number or 2,
        f"stopped while scoring; the trained weights are saved in {run.path}",
        "the same command goes on from there",
    )


def score_part(
    state: TrainState,
    positions: NDArray[np.int64],
    run: RunDir,
    stop: Stop,
    *,
    tta: str | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions and probabilities of every picture that can be read, in order, in all processes."""
    preprocess = state.loader.pictures.preprocess
    exact = replace(state.compute, precision="fp32")
    apply(exact)

    def watch(_: int) -> None:
        if state.world.size == 1:
            _leave_if_stopped(state, run, stop)

    found = [
        probabilities(
            state.model,
            state.scoring_batches(positions, view),
            state.normalise,
            exact,
            watch=watch,
            pieces=state.scoring,
        )
        for view in views(preprocess, tta)
    ]
    mine = found[0][0], averaged([probs for _, probs in found])
    shares = [share for share in state.world.gather(mine) if len(share[0])]
    if not shares:
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    return np.concatenate([s[0] for s in shares]), np.concatenate([s[1] for s in shares])


def _all_bad(state: TrainState) -> dict[int, str]:
    """Unreadable pictures that any process met."""
    found: dict[int, str] = {}
    for bad in state.world.gather(state.loader.pictures.bad):
        found |= bad
    return found


def write_bad(
    run: RunDir, index: Index, split: Split, bad: dict[int, str], *, quarantine: bool
) -> None:
    """List the pictures that were left out, and say so."""
    if not bad:
        return
    if quarantine:
        from imgtrain.checking.quarantine import copy_aside

        copy_aside(index.source, bad, run.path / "quarantine")
    rows = [
        (index.source.path(i), part, bad[i])
        for part in HELD
        for i in split.part(part).tolist()
        if i in bad
    ]
    write_csv(run.path / "bad_images.csv", ["path", "part", "reason"], rows)
    counts = {part: sum(row[1] == part for row in rows) for part in HELD}
    told = ", ".join(f"{n} of {part}" for part, n in counts.items() if n)
    console.warn(f"{len(rows)} unreadable pictures were left out ({told}): see bad_images.csv")
    if counts["test"]:
        console.warn(f"the test score does not count {counts['test']} unreadable test pictures")


def picture_reader(index: Index) -> Callable[[str], bytes]:
    """The bytes of a picture by its path in ``splits.csv``."""
    numbers = {index.source.path(i): i for i in range(len(index.source))}
    return lambda path: index.source.read(numbers[path])


def tell(run: RunDir, metrics: dict[str, Any]) -> None:
    """The last lines: how good, and where to look."""
    for part in ("val", "test"):
        scores = metrics.get(part)
        if scores is None:
            continue
        low, high = scores["intervals"]["top1"]
        console.say(
            f"{part}: top-1 {100 * scores['top1']:.2f} % "
            f"(95 % interval {100 * low:.1f} to {100 * high:.1f}), "
            f"macro F1 {100 * scores['macro_f1']:.2f} %, {scores['n']} pictures"
        )
    console.say(f"report: {run.path / 'report.html'}")
