"""One process of a training by several: prints its history and scores (run by test_processes)."""

import json
import os
import sys
import tempfile
from pathlib import Path

import torch
from small import checkpoints, small_state

from imgtrain.engine.infer import probabilities
from imgtrain.engine.loop import fit
from imgtrain.engine.world import World


def main(batch_size: int, train: int, val: int) -> None:
    torch.set_num_threads(1)
    with World.joined() as world:
        found = work(world, batch_size, train, val)
    if world.is_first:
        sys.stdout.write(json.dumps(found) + "\n")


def work(world: World, batch_size: int, train: int, val: int) -> dict[str, object]:
    state = small_state(
        settings={
            "train": {"epochs": 3, "batch_size": batch_size},
            "optim": {"lr": 0.02, "weight_decay": 0.05},
        },
        train=train,
        val=val,
        world=world,
        bad=frozenset({2, train + 1}),
    )
    with tempfile.TemporaryDirectory() as folder:
        for _ in fit(state, checkpoints(Path(folder) / str(world.rank))):
            pass
    fixed = small_state(train=train, val=val, world=World(world.rank, world.size))
    shares = world.gather(
        probabilities(fixed.model, fixed.scoring_batches(fixed.val), fixed.normalise, fixed.compute)
    )
    state.loader.close()
    fixed.loader.close()
    return {
        "history": state.progress.history,
        "positions": [i for share in shares for i in share[0].tolist()],
        "probs": [row for share in shares for row in share[1].tolist()],
        "weights": {k: v.tolist() for k, v in state.model.state_dict().items()},
    }


if __name__ == "__main__":
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    main(*map(int, sys.argv[1:]))
