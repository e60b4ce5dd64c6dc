"""The compiled network: when there is one, and that nothing else changes."""

import sys

import pytest
import torch
from small import checkpoints, small_state
from test_scaling import After, copied, same

from imgtrain.engine import compiling
from imgtrain.engine.compiling import wants_compiling
from imgtrain.engine.loop import fit
from imgtrain.errors import SettingsError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("choice", "device", "steps", "expected"),
    [
        ("auto", CPU, 10**9, False),
        ("auto", CUDA, 19_999, False),
        ("auto", CUDA, 20_000, True),
        (False, CUDA, 10**9, False),
        (True, CUDA, 1, True),
        (True, CPU, 1, True),
    ],
)
def test_auto_compiles_what_is_long_and_on_a_gpu(monkeypatch, choice, device, steps, *, expected):
    """Elsewhere the compiling is never repaid; what is asked for is done."""
    monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda _: True)
    monkeypatch.setenv("CXX", sys.executable)
    assert wants_compiling(choice, device, steps=steps) is expected


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (CPU, "--compile: torch compiles for the CPU by way of a C.. compiler.*no such-compiler"),
        (CUDA, "--compile: torch compiles for GPUs by way of Triton"),
        (torch.device("mps"), "--compile: torch does not compile for mps here"),
    ],
)
def test_a_compiler_that_is_not_there_is_named(monkeypatch, device, words):
    """Asked for, it is refused; with auto, training goes on without."""
    monkeypatch.setenv("CXX", "such-compiler")
    monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=words):
        wants_compiling(True, device, steps=1)
    assert not wants_compiling("auto", device, steps=10**9)


COMPILED = {"hardware": {"compile": True}, "train": {"epochs": 2, "batch_size": 8, "ema": True}}


@pytest.mark.long
def test_a_compiled_training_is_stopped_resumed_and_kept_like_any_other(tmp_path):
    """The same bits after a stop; plain names in the checkpoint; the plain network's curve."""
    whole = small_state(settings=COMPILED)
    list(fit(whole, checkpoints(tmp_path / "whole")))
    kept = checkpoints(tmp_path / "stopped")
    list(fit(small_state(settings=COMPILED), kept, stopped=After(4)))
    second = small_state(settings=COMPILED)
    kept.restore(second)
    list(fit(second, kept))
    plain = small_state(settings={"train": COMPILED["train"]})
    list(fit(plain, checkpoints(tmp_path / "plain")))

    assert same(copied(second), copied(whole))
    assert copied(plain).keys() == copied(whole).keys()
    for row, other in zip(whole.progress.history, plain.progress.history, strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], abs=1e-4)
    first, later = (row["images_per_second"] for row in whole.progress.history)
    assert first > later / 20  # seconds of compiling do not count
