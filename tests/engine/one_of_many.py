"""One process of a training by several: prints its history and scores (run by test_processes)."""

import json
import os
import sys
import tempfile
from pathlib import Path

import torch
from frozen import probe_state
from small import checkpoints, small_state

from imgtrain.engine.checkpoint import Checkpoints
from imgtrain.engine.infer import probabilities
from imgtrain.engine.loop import fit
from imgtrain.engine.sharding import whole
from imgtrain.engine.state import TrainState
from imgtrain.engine.world import World


def main(batch_size: int, train: int, val: int, settings: str) -> None:
    torch.set_num_threads(1)
    with World.joined() as world:
        found = work(world, batch_size, train, val, json.loads(settings))
    if world.is_first:
        sys.stdout.write(json.dumps(found) + "\n")


def work(
    world: World, batch_size: int, train: int, val: int, settings: dict[str, dict[str, object]]
) -> dict[str, object]:
    is_probe = settings.pop("probe", None) is not None
    hardware = settings.get("hardware", {})
    synced = bool(hardware.get("sync_bn"))
    train_settings = {"epochs": 3, "batch_size": batch_size, **settings.get("train", {})}
    chosen = {"optim": {"lr": 0.02, "weight_decay": 0.05}} | settings | {"train": train_settings}
    bad, passes = frozenset() if synced else frozenset({2, train + 1}), []
    if is_probe:
        state, passes = probe_state(chosen, world=world, bad=bad)
    else:
        state = small_state(
            settings=chosen,
            train=train,
            val=val,
            world=world,
            bad=bad,
            norm=synced,
            staged="model" in settings,
        )
    with tempfile.TemporaryDirectory() as folder:
        kept = checkpoints(Path(folder) / str(world.rank))
        if hardware.get("fsdp") or "augment" in chosen:  # stopped in validation, and resumed
            state = resumed(state, kept, settings=chosen, train=train, val=val, bad=bad)
        for _ in fit(state, kept):
            pass
    weights = [sorted(found.items()) for found in world.gather(_listed(state.model))]
    assert all(found == weights[0] for found in weights), "the processes' weights differ"
    fixed = small_state(train=train, val=val, world=World(world.rank, world.size))
    shares = world.gather(
        probabilities(fixed.model, fixed.scoring_batches(fixed.val), fixed.normalise, fixed.compute)
    )
    state.loader.close()
    fixed.loader.close()
    return {
        "passes": world.gather(sum(passes)),
        "history": state.progress.history,
        "positions": [i for share in shares for i in share[0].tolist()],
        "probs": [row for share in shares for row in share[1].tolist()],
        "weights": _listed(state.model),
        "scored": _listed(state.scored),
    }


def resumed(state: TrainState, kept: Checkpoints, **more: object) -> TrainState:
    """A second training that goes on with what the first one wrote when it was stopped."""
    questions = iter(range(9))
    for _ in fit(state, kept, stopped=lambda: next(questions, None) is None):
        pass
    state.loader.close()
    again = small_state(world=state.world, **more)
    kept.restore(again)
    assert 0 < again.global_step < again.plan.total_steps
    return again


def _listed(model: torch.nn.Module) -> dict[str, list[object]]:
    return {k: v.tolist() for k, v in whole(dict(model.state_dict())).items()}


if __name__ == "__main__":
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    main(*map(int, sys.argv[1:4]), sys.argv[4])
