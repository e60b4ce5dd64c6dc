"""Many switches at once: runs that are given more epochs, parts that a fix empties, tiny runs."""

import shutil
from pathlib import Path

import pytest
from conftest import TINY, draw, make_folder
from test_train import rows, same_weights, steady

from imgtrain import train
from imgtrain.errors import SettingsError
from imgtrain.files import write_text
from imgtrain.launching import wanted_processes
from imgtrain.rundir import new_run
from imgtrain.settings.layers import from_flat, to_yaml

ALL_ON = [
    "--model", "test_resnet", "--no-pretrained", "--batch-size", "3", "--accumulation-steps", "2",
    "--dropout", "0.2", "--augmentation-policy", "trivial", "--random-erasing", "0.5",
    "--mixup-alpha", "0.2", "--cutmix-alpha", "1", "--mix-off-epoch", "4", "--ema",
    "--ema-decay", "0.9", "--subset", "0.8", "--on-leak", "fix", "--layer-decay", "0.8",
    "--head-lr-factor", "3", "--patience", "9",
    "--device", "cpu", "--threads", "1",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "balance", "schedule"),
    [
        ("adamw", "oversample", ["plateau", "--gamma", "0.5", "--plateau-patience", "0"]),
        ("lamb", "batch", ["constant"]),
        ("muon", "focal", ["multistep", "--milestones", "1,3", "--gamma", "0.5"]),
        ("lion", "undersample", ["step", "--step-size", "2", "--gamma", "0.5"]),
    ],
)
def test_more_epochs_later_are_the_same_as_at_once(
    imgtrain, tmp_path, optimizer, balance, schedule
):
    """Where the schedule does not depend on their number, everything on: the same bits."""
    data = make_folder(tmp_path / "d", {"a": 16, "b": 10, "c": 6}, size=16)
    (data / "a" / "broken.png").write_text("no picture")
    shutil.copy(data / "a/000.png", data / "a/copy.png")
    ways = ["--optimizer", optimizer, "--balance-strategy", balance, "--lr-scheduler", *schedule]
    command = ["train", "--data", data, *ALL_ON, *ways, "--json"]
    whole = imgtrain(*command, "--epochs", "4", "-o", "whole").json["run"]
    short = imgtrain(*command, "--epochs", "2", "-o", "short").json["run"]
    longer = imgtrain("train", "--resume", short, "--epochs", "4", "-o", "short", "--json")

    assert longer.code == 0, longer.err
    assert longer.json["run"] == short
    assert same_weights(Path(whole), Path(short))
    assert steady(Path(whole)) == steady(Path(short))


@pytest.fixture
def copied(tmp_path):
    """Two classes in train, val and test; all of val is in test, and all of ``b`` of train."""
    root = tmp_path / "copied"
    for part, first, number in (("train", 0, 8), ("val", 20, 3), ("test", 20, 3)):
        for label, name in enumerate("ab"):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(number):
                draw(label, first + i, 96).save(folder / f"{i}.png")
    shutil.rmtree(root / "train/b")
    shutil.copytree(root / "test/b", root / "train/b")
    return root


def test_a_fix_that_leaves_no_val_trains_without_and_can_be_repeated(imgtrain, copied):
    """The last epoch counts; the class that is left without is named; patience is refused."""
    command = ["train", "--data", copied, *TINY, "--epochs", "1", "--on-leak", "fix", "--json"]
    ran = imgtrain(*command, "--balance-strategy", "oversample")
    assert ran.code == 0, ran.err
    run = Path(ran.json["run"])
    parts = [(row["path"], row["part"]) for row in rows(run / "splits.csv")]
    assert {part for _, part in parts} == {"train", "test", "unused"}
    assert "every training picture of 'b' was such a copy" in ran.words

    again = imgtrain("train", "-c", run / "config.yaml", "--json")
    assert again.code == 0, again.err
    assert same_weights(run, Path(again.json["run"]))

    refused = imgtrain(*command, "--patience", "3")
    assert refused.code == 2
    assert "--patience needs a validation part" in refused.words


@pytest.mark.parametrize(
    "more",
    [["--warmup-steps", "500"], ["--warmup-epochs", "5"], ["--warmup-fraction", "0.1"]],
    ids=lambda more: more[0],
)
def test_a_tiny_run_has_a_tiny_warm_up(imgtrain, photos, more):
    """--fast-dev tries the command as it stands, whatever its warm-up."""
    ran = imgtrain("train", "--data", photos, *TINY, "--fast-dev", *more)
    assert ran.code == 0, ran.err


def _wanted(flat, *, is_told=False):
    return wanted_processes(from_flat(flat), is_told=is_told)


def test_resuming_starts_as_many_processes_as_before(tmp_path, monkeypatch):
    """The run's own number, unless the command gives one; 1 under a launcher."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    output = {"run.output": str(tmp_path)}
    run = new_run(tmp_path, "two")
    write_text(run.config, to_yaml(from_flat(output | {"hardware.processes": 2})))

    assert _wanted(output) == 1
    assert _wanted(output | {"run.resume": "latest"}) == 2
    assert _wanted(output | {"run.resume": "latest"}, is_told=True) == 1
    assert _wanted(output | {"run.resume": "two", "hardware.processes": 3}) == 3
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert _wanted(output | {"run.resume": "two"}) == 1


def test_a_call_from_python_does_not_ignore_several_processes(tmp_path, monkeypatch):
    """It is refused with the way out, and nothing is made."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    settings = from_flat({"hardware.processes": 2, "run.output": str(tmp_path / "runs")})
    with pytest.raises(SettingsError) as error:
        train(settings)
    assert "the settings ask for 2 processes" in error.value.message
    assert not (tmp_path / "runs").exists()
