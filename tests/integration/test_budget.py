"""``--budget``: measured from outside; what came of it repeats."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY
from test_train import rows, same_weights, steady

import imgtrain as package
from imgtrain.probing import trains_on_features
from imgtrain.settings.layers import from_flat

SMALL = {
    "model.name": "test_resnet",
    "model.pretrained": False,
    "data.image_size": 72,
    "train.batch_size": 8,
    "data.on_leak": "off",
}


@pytest.mark.long
def test_a_command_takes_the_time_it_was_given(photos, tmp_path):
    """From before the process starts to after its end, within 5 seconds."""
    if os.getloadavg()[0] > 2 * len(os.sched_getaffinity(0)):
        pytest.skip("others use this machine, now more and now less")
    since = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "imgtrain", "train", "--data", photos, *TINY, "--budget", "20s"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    took = time.monotonic() - since
    assert ran.returncode == 0, ran.stderr
    assert abs(took - 20) <= 5, ran.stderr


@pytest.mark.slow
def test_realised_yaml_repeats_the_run(imgtrain, photos, tmp_path):
    """Three sizes for photos, without being asked; the same weights and history without a clock."""
    flat = SMALL | {"data.root": str(photos), "run.output": str(tmp_path / "timed")}
    timed = package.train(from_flat(flat | {"train.budget": 9.0})).run
    again = imgtrain("train", "-c", timed / "realised.yaml", "-o", tmp_path / "again", "--json")

    assert again.code == 0, again.err
    run = Path(again.json["run"])
    assert same_weights(timed, run)
    assert steady(timed) == steady(run)
    seen = {row["image_size"] for row in rows(timed / "history.csv")}
    assert seen <= {"48", "56", "72"}
    settings = json.loads((timed / "provenance.json").read_text())["settings"]
    assert settings["train.image_sizes"] == "48:0.4,56:0.3,72:0.3"


@pytest.mark.parametrize(("sizes", "expected"), [("", True), ("0:24,2:32", False)])
def test_a_repeat_shows_a_frozen_network_the_sizes_that_it_saw(sizes, expected):
    """Features are computed once only where the run that is repeated did so."""
    realised = f"steps=4; pace=0:0.0:1.0; sizes={sizes}; checked=2"
    frozen = {"model.freeze": "backbone", "augment.policy": "none"}
    assert trains_on_features(from_flat(frozen | {"train.realised": realised})) == expected


def test_a_hopeless_budget_is_refused_before_data_is_read(imgtrain):
    """The folder is not even looked for."""
    ran = imgtrain("train", "--data", "nowhere", "--budget", "1s")

    assert ran.code == 2
    assert "--budget 1s is too short" in ran.words
    assert "give at least" in ran.words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lr-scheduler", "plateau"], "plateau cannot be fitted to a budget"),
        (["--freeze", "2", "--unfreeze-epochs", "3"], "--unfreeze-epochs counts epochs"),
        (["--realised", "steps=1; pace=0:0:1; sizes=; checked="], "train.realised says it"),
    ],
)
def test_what_contradicts_a_budget_is_refused(imgtrain, arguments, words):
    """Before any data is read, with the flag to change."""
    ran = imgtrain("train", "--data", "nowhere", "--budget", "10m", *arguments)

    assert ran.code == 2
    assert words in ran.words
