"""Pictures no two of which are alike, and a cross-validation of them."""

import numpy as np
from PIL import Image

from imgtrain.settings.layers import from_flat

SETTINGS = {
    "model.name": "test_resnet",
    "model.pretrained": False,
    "train.epochs": 2,
    "train.batch_size": 8,
    "hardware.device": "cpu",
    "hardware.threads": 1,
    "data.workers": 1,
    "data.image_size": 24,
    "optim.lr": 0.005,
    "cv.folds": 3,
}


def block_picture(label, i):
    """Random blocks, the ones of class 1 redder and those of class 2 bluer."""
    rng = np.random.default_rng(7919 * label + i)
    small = rng.integers(0, 200, (6, 6, 3))
    small[..., (1, 0, 2)[label]] += 55
    return Image.fromarray(small.astype(np.uint8)).resize((24, 24), Image.Resampling.NEAREST)


def blocks_folder(root, count, first=0):
    """``root/{a,b,c}/<i>.png``, so many of each class."""
    for label, name in enumerate("abc"):
        folder = root / name
        folder.mkdir(parents=True)
        for i in range(first, first + count):
            block_picture(label, i).save(folder / f"{i:03d}.png")
    return root


def cv_settings(root, output, **more):
    """Settings of a small cross-validation; ``section__key`` sets another value."""
    own = {key.replace("__", "."): value for key, value in more.items()}
    return from_flat(SETTINGS | {"data.root": str(root), "run.output": str(output)} | own)
