"""A training under a real limit of memory (run by test_limits): says how its steps were cut."""

import sys

import torch
from small import small_state

from imgtrain.engine import limits
from imgtrain.engine.memory import Guard, guarded_step


def main(megabytes: float) -> None:
    torch.set_num_threads(1)
    state = small_state(
        settings={
            "train": {"epochs": 1, "batch_size": 2048},
            "optim": {"lr": 1e-3, "weight_decay": 0.05},
        },
        train=2048,
    )
    state.model[0] = torch.nn.Conv2d(1, 128, 3, padding=1)  # 67 MB for 2,048 pictures
    state.model[3] = torch.nn.Conv2d(128, 8, 3, stride=2, padding=1)
    guard = Guard(state)
    room = limits.data_size() + megabytes * 1e6
    with limits.data_limited(room, "--memory-limit"):
        while not guarded_step(state, state.training_batches(), guard):
            pass
    total = sum(float(p.detach().double().abs().sum()) for p in state.model.parameters())
    sys.stdout.write(f"{state.batches.pieces} {total!r}\n")


if __name__ == "__main__":
    main(float(sys.argv[1]))
