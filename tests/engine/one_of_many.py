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
        positions, probs = probabilities(
            fixed.model, fixed.scoring_batches(fixed.val), fixed.normalise, fixed.compute
        )
        shares = world.gather((positions.tolist(), probs.tolist()))
        state.loader.close()
        fixed.loader.close()
        if world.is_first:
            rows = [p for share in shares for p in share[0]]
            chances = [p for share in shares for p in share[1]]
            weights = {k: v.tolist() for k, v in state.model.state_dict().items()}
            print(
                json.dumps(
                    {
                        "history": state.progress.history,
                        "positions": rows,
                        "probs": chances,
                        "weights": weights,
                    }
                )
            )


if __name__ == "__main__":
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    main(*map(int, sys.argv[1:]))
