"""Every two switches of ``imgtrain train`` together, through the real path, on a tiny set."""

import functools
import math
import random
import shutil
from collections import defaultdict
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import draw
from test_train import rows, same_weights, steady, weights

from imgtrain import train
from imgtrain.data.split import Split
from imgtrain.engine.model import build
from imgtrain.engine.weights import save_model
from imgtrain.errors import SettingsError
from imgtrain.loading.preprocess import Preprocess
from imgtrain.resolve import check_parts, make_recipe
from imgtrain.settings.layers import from_flat
from imgtrain.settings.schema import Settings

COMMON = {
    "model.name": "test_resnet",
    "model.pretrained": False,
    "train.epochs": 2,
    "train.batch_size": 8,
    "hardware.device": "cpu",
    "hardware.threads": 1,
    "data.workers": 2,
    "data.split_ratio": [0.8, 0.2, 0.0],
}
_CUSTOM = {
    "torchvision": [{"name": "rotate", "args": {"degrees": 15}, "p": 0.5}],
    "albumentations": [{"name": "Rotate", "args": {"limit": 15}, "p": 0.5}],
}
SWITCHES = {
    "pictures": [{}, {"data.image_size": 32}],
    "policy": [
        {"augment.policy": "none"},
        {"augment.policy": "medium"},
        {"augment.policy": "trivial"},
        {"augment.policy": "heavy"},
        {"augment.policy": "custom", "augment.custom": _CUSTOM["torchvision"]},
    ],
    "library": [{}, {"augment.library": "albumentations"}],
    "erase": [{}, {"augment.erase": 0.5}],
    "mixup": [{}, {"augment.mixup_alpha": 0.2}],
    "cutmix": [{}, {"augment.cutmix_alpha": 1.0, "augment.mix_off_epoch": 2}],
    "tta": [{}, {"augment.tta": "flip"}, {"augment.tta": "five"}, {"augment.tta": "ten"}],
    "balance": [
        {},
        *(
            {"balance.strategy": name}
            for name in ("weights", "focal", "oversample", "undersample", "batch")
        ),
    ],
    "weights": [
        {},
        {"loss.class_weights": {"a": 2.0}},
        {"balance.auto_weights": True},
        {"balance.auto_weights": True, "balance.weighting": "effective"},
    ],
    "loss": [
        {},
        {"loss.name": "bce", "loss.pos_weight": 2.0},
        {"loss.name": "focal", "loss.focal_gamma": 1.0},
        {"loss.name": "nll", "loss.label_smoothing": 0.0},
    ],
    "optimizer": [{"optim.name": name} for name in ("adamw", "sgd", "lamb", "lion", "muon")],
    "schedule": [
        {},
        {"schedule.name": "onecycle"},
        {"schedule.name": "step", "schedule.step_size": 1},
        {"schedule.name": "multistep", "schedule.milestones": [1]},
        {"schedule.name": "plateau", "schedule.plateau_patience": 0},
    ],
    "ema": [{}, {"train.ema": True}],
    "warmup": [
        {},
        {"schedule.warmup_epochs": 0.0},
        {"schedule.warmup_steps": 3},
        {"schedule.warmup_fraction": 0.5},
    ],
    "batch": [
        {},
        {"train.accumulation_steps": 2, "train.batch_size": 3},
        {"train.global_batch_size": 4},
        {"train.batch_size": 1, "train.accumulation_steps": 4},
    ],
    "subset": [{}, {"data.subset": 0.5}],
    "leak": [{}, {"data.on_leak": "fix"}],
    "bad": [{}, {"data.on_bad_image": "quarantine"}],
    "channels": [{}, {"data.channels": 1}],
    "statistics": [{}, {"data.normalize_mean": "auto", "data.normalize_std": "auto"}],
    "precision": [{"hardware.precision": name} for name in ("fp32", "bf16", "fp16")],
    "cache": [{}, {"data.cache": "off"}, {"data.cache": "ram"}, {"data.cache": "disk"}],
    "layers": [{}, {"optim.layer_decay": 0.75}],
    "head": [{}, {"optim.head_lr_factor": 5.0}],
    "mlp": [{}, {"model.head": "mlp"}],
    "spatial": [{}, {"model.drop_block": 0.2, "model.drop_rate": 0.2}],
    "attention": [
        {},
        {"model.attention": "cbam"},
        {"model.attention": "se", "model.attention_index": 1},
    ],
    "sizes": [{}, {"train.image_sizes": "24:0.5,32:0.5"}],
    "freeze": [
        {},
        {"model.freeze": "backbone"},
        {"model.freeze": 2, "model.unfreeze_epochs": [2]},
    ],
    "recompute": [{}, {"model.gradient_checkpointing": True}],
    "teacher": [{}, {"loss.teacher": "teacher"}],
    "last": [{}, {"train.average_last": 2}],
    "clip": [{}, {"optim.clip_norm": None}],
    "val": [{}, {"data.split_ratio": [1.0, 0.0, 0.0]}],
    "dev": [{}, {"train.fast_dev": True}],
}
"""The first value of each switch agrees with all the others."""

Choice = tuple[str, int]
DRAFTS = 8
"""Of so many possible runs, the one that covers most is taken."""

PARTS = 8
REPEATED = 6
"""So many of the runs are repeated from their saved settings."""


def flat_of(choices):
    """Settings by dotted key."""
    flat = dict(COMMON)
    for name, number in choices:
        flat |= SWITCHES[name][number]
    if flat.get("augment.custom") and flat.get("augment.library"):
        flat["augment.custom"] = _CUSTOM[flat["augment.library"]]
    return flat


def is_allowed(choices):
    """Whether the settings' own rules accept these choices, the others being the first ones."""
    flat = flat_of(choices)
    nothing = np.empty(0, np.int64)
    some = nothing if flat["data.split_ratio"][1] == 0 else np.zeros(1, np.int64)
    try:
        check_parts(from_flat(flat), Split(some, some, nothing))
    except SettingsError:
        return False
    return True


@functools.cache
def allowed_pairs():
    """All pairs of values of two switches that do not contradict each other."""
    return frozenset(
        frozenset(pair)
        for a, b in combinations(SWITCHES, 2)
        for pair in product(
            [(a, i) for i in range(len(SWITCHES[a]))], [(b, i) for i in range(len(SWITCHES[b]))]
        )
        if is_allowed(pair)
    )


@functools.cache
def covering_runs():
    """Choices of all switches such that every allowed pair is in one; greedy, the seed fixed."""
    rng = random.Random(5)
    missing, found = set(allowed_pairs()), []
    while missing:
        by_switches = defaultdict(list)
        for pair in sorted(map(sorted, missing)):
            by_switches[tuple(name for name, _ in pair)].append(pair)
        hardest = max(by_switches.values(), key=len)
        drafts = [drawn_run(rng.choice(hardest), missing, rng) for _ in range(DRAFTS)]
        found.append(max(drafts, key=lambda run: len(missing & pairs_of(run))))
        missing -= pairs_of(found[-1])
    return tuple(found)


def pairs_of(run):
    return {frozenset(two) for two in combinations(run, 2)}


def drawn_run(pair, missing, rng):
    """A run with ``pair``: switch by switch, the value that brings most of what is missing."""
    run = dict(pair)
    for name in rng.sample(sorted(SWITCHES.keys() - run.keys()), len(SWITCHES) - 2):
        added = [
            {frozenset((other, (name, number))) for other in run.items()}
            for number in range(len(SWITCHES[name]))
        ]
        gains = [len(missing & new) if new <= allowed_pairs() else -1 for new in added]
        run[name] = rng.choice([n for n, gain in enumerate(gains) if gain == max(gains)])
    return tuple(run.items())


def test_all_pairs_are_covered_by_runs_that_the_rules_allow():
    """Some forty runs for thousands of pairs, and none that the settings would refuse."""
    runs = covering_runs()
    covered = set().union(*map(pairs_of, runs))

    assert covered == allowed_pairs()
    assert len(covered) > 2000
    assert all(map(is_allowed, runs))
    assert len(runs) <= 50


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Three uneven classes in train and test: one picture is no picture, one is in both parts."""
    made = {}
    for kind, size in (("small", 16), ("photos", 80)):
        root = tmp_path_factory.mktemp(kind)
        for part, counts in (("train", (10, 6, 4)), ("test", (2, 2, 2))):
            for label, (name, count) in enumerate(zip("abc", counts, strict=True)):
                folder = root / part / name
                folder.mkdir(parents=True)
                for i in range(count):
                    number = i + 100 * (part == "test")
                    draw(label, number, size).save(folder / f"{number:03d}.png")
        shutil.copy(root / "test/a/100.png", root / "train/a/copy.png")
        (root / "train/b/broken.png").write_text("no picture")
        made[kind] = root
    return made


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A network of other pictures, its classes in another order, with chance for weights."""
    preprocess = Preprocess.for_pictures(
        size=24,
        natural=False,
        channels=3,
        background="white",
        max_pixels=10_000,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.2, 0.2),
    )
    settings = Settings.model_validate({"model": {"name": "test_resnet", "stem": "small"}})
    recipe = make_recipe(settings, ("c", "a", "b"), preprocess)
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("teacher") / "model.safetensors"
    save_model(path, build(recipe), recipe)
    return str(path)


def is_sound(run, metrics, *, has_val):
    """Finite losses in every epoch, finite weights, and every test picture scored."""
    history = rows(run / "history.csv")
    losses = [float(row["train_loss"]) for row in history]
    losses += [float(row["val_loss"]) for row in history if has_val]
    assert len(history) == 2
    assert all(map(math.isfinite, losses)), losses
    assert all(tensor.isfinite().all() for tensor in weights(run).values())
    assert metrics["test"]["n"] > 0
    return True


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_two_switches_train_together(imgtrain, uneven, teacher, tmp_path, part):
    """Two epochs of a few steps end well, and some saved settings repeat them to the bit."""
    for number, choices in enumerate(covering_runs()):
        if number % PARTS != part:
            continue
        flat = flat_of(choices)
        if "loss.teacher" in flat:
            flat["loss.teacher"] = teacher
        chosen = {key: value for key, value in flat.items() if key not in COMMON}
        root = uneven["photos" if "data.image_size" in flat else "small"]
        output = tmp_path / str(number)
        try:
            ended = train(from_flat(flat | {"data.root": str(root), "run.output": str(output)}))
            assert is_sound(ended.run, ended.metrics, has_val=flat["data.split_ratio"][1] > 0)
            if number < REPEATED:
                again = imgtrain("train", "-c", ended.run / "config.yaml", "--json")
                assert again.code == 0, again.err
                assert Path(again.json["run"]) != ended.run
                assert same_weights(ended.run, Path(again.json["run"]))
                assert steady(ended.run) == steady(Path(again.json["run"]))
        except BaseException as error:
            error.add_note(f"run {number}: {chosen}")
            raise
