"""One process of two, of which the second is short of memory (run by test_memory)."""

import sys
import tempfile
from pathlib import Path

import torch
from hungry import Hungry
from small import checkpoints, small_state

from imgtrain.engine.loop import fit
from imgtrain.engine.world import World


def work(world: World) -> str:
    state = small_state(
        settings={"train": {"epochs": 1, "batch_size": 6}}, train=24, val=0, world=world
    )
    if world.rank:
        state.model.add_module("hungry", Hungry(3, backward=True))
    with tempfile.TemporaryDirectory() as folder:
        list(fit(state, checkpoints(Path(folder) / "kept")))
    state.loader.close()
    total = sum(float(p.detach().double().sum()) for p in state.model.parameters())
    return f"{state.batches.pieces} {total!r}\n"


if __name__ == "__main__":
    torch.set_num_threads(1)
    with World.joined() as joined:
        text = work(joined)
    sys.stdout.write(text)
