"""Bad input: one sentence with path or setting, a way out, the right exit code, nothing lost."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import TINY, make_folder


def refused(ran, code, *words):
    """The command ended with ``code``, said all ``words``, once, and showed no traceback."""
    assert ran.code == code, ran.err
    assert "Traceback" not in ran.err
    assert ran.err.count("error: ") == 1, ran.err
    for word in words:
        assert word in ran.words, f"{word!r} is not in: {ran.words}"
    return True


def test_no_such_folder(imgtrain, tmp_path, photos):
    """The path, and what stands beside it."""
    ran = imgtrain("train", "--data", tmp_path / "photo")
    assert refused(ran, 3, str(tmp_path / "photo"), f"did you mean '{photos}'?")


def test_a_folder_with_one_class(imgtrain, tmp_path):
    """Nothing to tell apart."""
    make_folder(tmp_path / "one", {"a": 5})
    assert refused(imgtrain("train", "--data", tmp_path / "one"), 3, "one class")


def test_an_empty_class(imgtrain, photos):
    """The class is named."""
    (photos / "nobody").mkdir()
    assert refused(imgtrain("train", "--data", photos), 3, "'nobody'", "no pictures")


def test_a_class_only_in_validation(imgtrain, tmp_path):
    """Class and part are named."""
    make_folder(tmp_path / "d" / "train", {"a": 5, "b": 5})
    make_folder(tmp_path / "d" / "val", {"a": 2, "b": 2, "c": 2})
    assert refused(imgtrain("train", "--data", tmp_path / "d"), 3, "'c'", "val")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "resnet81"], ["resnet81", "did you mean"]),
        (["--optimizer", "adamm"], ["adamm", "sgd", "adamw"]),
        (["--lr", "-1"], ["lr", "-1", "--lr"]),
        (["--epochs", "0"], ["epochs"]),
        (["--batch-size", "many"], ["batch", "many"]),
        (["--split-ratio", "0.5,0.5"], ["split"]),
        (["--set", "optim.larning_rate=1"], ["optim.larning_rate"]),
        (["--set", "optin.lr=1"], ["optin", "optim"]),
        (["--epohcs", "3"], ["--epohcs", "--epochs"]),
        (["--gpus", "0"], ["GPU 0 is not there"]),
        (["--gpus", "0,1", "--amp"], ["GPU 0 is not there"]),
        (["--device", "cuda"], ["--device cuda"]),
        (["--patience", "3", "--split-ratio", "0.9,0,0.1"], ["--patience needs a validation part"]),
        (["--accumulation-steps", "3", "-b", "30"], ["more than an epoch", "--accumulation-steps"]),
        (["--pct-start", "0.2"], ["--pct-start has an effect only with --lr-scheduler onecycle"]),
        (["--amp", "--precision", "fp32"], ["--amp"]),
        (["--stem", "small", "--model", "vit_tiny_patch16_224"], ["--stem small"]),
        (["--normalize-mean", "0.5,0.5"], ["--normalize-mean", "3 channels"]),
    ],
)
def test_settings_that_cannot_be(imgtrain, photos, arguments, words, monkeypatch):
    """Exit code 2, before any work is begun."""
    if "--gpus" in arguments or "cuda" in arguments:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ran = imgtrain("train", "--data", photos, "--image-size", "32", "--no-pretrained", *arguments)

    assert refused(ran, 2, *words)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "resnet81"], "--model resnet81: timm"),
        (["--freeze", "9"], "--freeze 9: resnet18 has 4 stages"),
        (["--attention", "se", "--attention-index", "9"], "--attention-index 9: resnet18 has"),
        (["--model", "sklearn:svm", "--features", "resnet81"], "--features resnet81: timm"),
    ],
)
def test_a_network_that_cannot_be_is_said_before_the_pictures(imgtrain, arguments, words):
    """Listing a large folder takes a while: here it is not even there."""
    ran = imgtrain("train", "--data", "nowhere", *arguments)
    assert refused(ran, 2, words)
    assert "reading" not in ran.err


def test_a_misspelt_variable(imgtrain, photos, monkeypatch):
    """A variable with our prefix that names no setting is not ignored."""
    monkeypatch.setenv("IMGTRAIN_OPTM__LR", "0.1")
    assert refused(
        imgtrain("train", "--data", photos), 2, "IMGTRAIN_OPTM__LR", "IMGTRAIN_OPTIM__LR"
    )


def test_a_misspelt_key_in_a_file(imgtrain, photos, tmp_path):
    """The file, the key, and the nearest name."""
    (tmp_path / "exp.yaml").write_text("train:\n  epoch: 3\n")
    ran = imgtrain("train", "--data", photos, "-c", tmp_path / "exp.yaml")
    assert refused(ran, 2, "exp.yaml", "epoch", "epochs")


def test_bad_pictures_are_left_out_and_listed(imgtrain, photos, tmp_path):
    """A truncated picture and a text file named .png: counted, named, never replaced."""
    cut = photos / "left" / "003.png"
    cut.write_bytes(cut.read_bytes()[:200])
    (photos / "right" / "004.png").write_text("no picture")
    ran = imgtrain("train", "--data", photos, *TINY, "--epochs", "1")
    listed = (tmp_path / "work/runs/photos-test_resnet/bad_images.csv").read_text()

    assert ran.code == 0, ran.err
    assert "2 unreadable pictures were left out" in ran.words
    assert "left/003.png" in listed
    assert "right/004.png" in listed


def test_a_bad_picture_ends_the_run_when_asked_to(imgtrain, photos):
    """--on-bad-image error: the path, code 3."""
    (photos / "left" / "003.png").write_text("no picture")
    ran = imgtrain("train", "--data", photos, *TINY, "--on-bad-image", "error", "--epochs", "1")
    assert refused(ran, 3, "left/003.png", "--on-bad-image skip")


LONG_NAMES = {"train": "training", "val": "validation"}


@pytest.mark.parametrize("part", LONG_NAMES)
def test_a_part_of_which_nothing_can_be_read(imgtrain, tmp_path, part):
    """Code 3, the part, and how to find the first; not a model of nothing."""
    root = tmp_path / "parts"
    for name in ("train", "val", "test"):
        make_folder(root / name, {"a": 8, "b": 8}, size=80)
    for path in (root / part).rglob("*.png"):
        path.write_text("no picture")
    ran = imgtrain("train", "--data", root, *TINY, "--epochs", "2")

    assert refused(
        ran, 3, f"none of the {'training' if part == 'train' else 'validation'} pictures"
    )
    status = (tmp_path / "work" / "runs" / "parts-test_resnet" / "status.json").read_text()
    assert '"failed"' in status


def test_weights_that_break_in_the_last_step(imgtrain, photos, tmp_path):
    """A validation loss that is no number is as bad as a training loss: code 7, nothing is best."""
    ran = imgtrain(
        "train", "--data", photos, *TINY[:4], "--no-pretrained", "--batch-size", "96", "--epochs",
        "1", "--lr", "1e38", "--optimizer", "sgd", "--warmup-epochs", "0", "--clip-norm", "none",
        "--monitor", "val_loss",
    )  # fmt: skip
    assert refused(ran, 7, "diverged")
    assert not (tmp_path / "work/runs/photos-test_resnet/checkpoints/best.pt").exists()


def test_a_run_name_that_is_a_path(imgtrain, photos):
    """--name a/b: a setting, not a disk error."""
    assert refused(imgtrain("train", "--data", photos, "--name", "a/b"), 2, "run.name", "slashes")


def test_a_folder_whose_name_is_not_utf8(imgtrain, photos):
    """Bytes in, escapes out: it trains."""
    odd = os.fsdecode(b"d\xff7")
    photos.rename(photos.with_name(odd))
    ran = imgtrain("train", "--data", photos.with_name(odd), *TINY, "--epochs", "1")
    assert ran.code == 0, ran.err


def test_half_a_launch(imgtrain, photos, monkeypatch):
    """WORLD_SIZE without its companions is a mistake of the environment."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert refused(imgtrain("train", "--data", photos, *TINY), 2, "WORLD_SIZE", "torchrun")


def test_a_loss_that_is_no_number(imgtrain, photos):
    """Code 7, with the rate and what to change."""
    ran = imgtrain(
        "train", "--data", photos, *TINY, "--epochs", "1", "--lr", "1e30", "--optimizer", "sgd",
        "--warmup-epochs", "0", "--clip-norm", "none",
    )  # fmt: skip
    assert refused(ran, 7, "diverged", "lower --lr")


def test_a_checkpoint_cut_in_half(imgtrain, photos, tmp_path):
    """It is named; the one before is taken; the run finishes."""
    assert imgtrain("train", "--data", photos, *TINY, "--epochs", "2").code == 0
    run = tmp_path / "work" / "runs" / "photos-test_resnet"
    last = run / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    ran = imgtrain("train", "--resume", "latest", "--epochs", "3")

    assert ran.code == 0, ran.err
    assert "last.pt is broken" in ran.words
    assert "restored previous.pt" in ran.words


def test_pretrained_weights_that_cannot_be_had(imgtrain, photos):
    """--pretrained --offline: where it looked, and --weights; code 4."""
    ran = imgtrain(
        "train", "--data", photos, "--model", "resnet18", "--image-size", "96", "--pretrained",
        "--offline",
    )  # fmt: skip
    assert refused(ran, 4, "no pretrained weights for resnet18: not in", "--weights FILE")


def test_no_run_to_predict_with(imgtrain, photos):
    """Code 6, and the command that makes one."""
    assert refused(imgtrain("predict", photos / "left"), 6, "imgtrain train")


def test_a_broken_model_file(imgtrain, photos, tmp_path):
    """A file that is no safetensors: code 6."""
    (tmp_path / "m.safetensors").write_bytes(b"\xff" * 100)
    ran = imgtrain("predict", photos / "left" / "000.png", "--run", tmp_path / "m.safetensors")
    assert refused(ran, 6, "m.safetensors")


def test_other_weights_are_refused(imgtrain, photos, tmp_path):
    """Weights of another architecture: how many fit, and what to do."""
    torch.save({"model": {"a": torch.zeros(3)}}, tmp_path / "w.pt")
    ran = imgtrain("train", "--data", photos, *TINY[:6], "--weights", tmp_path / "w.pt")
    assert refused(ran, 6, "w.pt", "--model")


def in_small_space(script, *, options="size=12m"):
    """Run a shell script in a private mount namespace where $SMALL is a tiny disk."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a private mount namespace needs root and unshare")
    whole = f"mount -t tmpfs -o {options} tmpfs $SMALL && {script}"
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", whole],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PY": sys.executable},
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", ["size=2m", "size=40m,ro"])
def test_a_full_or_read_only_output_disk(photos, tmp_path, monkeypatch, options):
    """Code 8, the path, and --output; before the first epoch."""
    small = tmp_path / "small"
    small.mkdir()
    monkeypatch.setenv("SMALL", str(small))
    ran = in_small_space(
        f"$PY -m imgtrain train --data {photos} {' '.join(TINY)} --epochs 1 -o $SMALL/runs",
        options=options,
    )
    if "mount" in ran.stderr and ran.returncode == 32:
        pytest.skip("tmpfs cannot be mounted here")

    assert ran.returncode == 8, ran.stderr
    assert "Traceback" not in ran.stderr
    assert str(small) in ran.stderr.replace("\n", "")
    assert "--output" in ran.stderr


@pytest.mark.slow
def test_a_disk_that_fills_up_during_training_keeps_the_last_state(photos, tmp_path, monkeypatch):
    """Code 8 in the middle; with room again, the same command finishes."""
    small = tmp_path / "small"
    small.mkdir()
    monkeypatch.setenv("SMALL", str(small))
    train = (
        f"$PY -m imgtrain train --data {photos} {' '.join(TINY)} --epochs 6 -o $SMALL/runs "
        "--checkpoint-freq 0"
    )
    run = "$SMALL/runs/photos-test_resnet"
    ran = in_small_space(
        f"{train} & child=$!; "
        f"while kill -0 $child && ! test -f {run}/checkpoints/last.pt; do sleep 0.02; done; "
        "cat /dev/zero > $SMALL/fill 2>/dev/null; wait $child; code=$?; "
        f"rm $SMALL/fill; {train} >&2 || exit 99; test -f {run}/report.html && exit $code",
        options="size=60m",
    )
    assert ran.returncode == 8, ran.stderr[-3000:]
    assert "the disk is full" in ran.stderr
    assert "going on with" in ran.stderr
