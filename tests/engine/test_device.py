"""On what, and how it computes; GPUs are stood in for, since most machines have none."""

import os
import re
from pathlib import Path

import pytest
import torch

from imgtrain.engine import device as module
from imgtrain.engine.device import (
    ComputePlan,
    choose_device,
    has_fast_bf16,
    memory_in_use_mb,
    plan_compute,
    usable_cores,
)
from imgtrain.errors import SettingsError
from imgtrain.settings.schema import HardwareSettings

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many GPUs, an Apple GPU or not, fast bf16 or not."""

    def make(*, gpus=0, mps=False, bf16=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(module, "has_fast_bf16", lambda _: bf16)

    make()
    return make


def hardware(**values):
    return HardwareSettings.model_validate(values)


@pytest.mark.parametrize(
    ("there", "asked", "expected"),
    [
        ({}, {}, "cpu"),
        ({"gpus": 2}, {}, "cuda:0"),
        ({"gpus": 2}, {"device": "cpu"}, "cpu"),
        ({"gpus": 2}, {"device": "cuda"}, "cuda:0"),
        ({"gpus": 2}, {"gpus": [1]}, "cuda:1"),
        ({"mps": True}, {}, "mps"),
        ({"mps": True, "gpus": 1}, {}, "cuda:0"),
        ({"mps": True}, {"device": "mps"}, "mps"),
    ],
)
def test_the_device_is_the_one_asked_for_or_the_best(machine, there, asked, expected):
    """auto: the first GPU, else Apple's, else the CPU."""
    machine(**there)
    assert str(choose_device(hardware(**asked))) == expected


def test_each_process_of_a_machine_has_its_own_gpu(machine):
    """In order, or as --gpus numbers them."""
    machine(gpus=3)
    found = [str(choose_device(hardware(), local_rank=r, local_size=3)) for r in range(3)]
    listed = hardware(gpus=[2, 0])
    named = [str(choose_device(listed, local_rank=r, local_size=2)) for r in range(2)]

    assert found == ["cuda:0", "cuda:1", "cuda:2"]
    assert named == ["cuda:2", "cuda:0"]


@pytest.mark.parametrize(
    ("count", "asked", "words"),
    [
        (0, {"gpus": [0]}, "--gpus 0: GPU 0 is not there (this machine has none)"),
        (1, {"gpus": [1]}, "--gpus 1: GPU 1 is not there (there is one, number 0)"),
        (2, {"gpus": [0, 3]}, "--gpus 0,3: GPU 3 is not there (there are 2, numbers 0 to 1)"),
        (2, {"gpus": [0, 1]}, "--gpus 0,1 names 2 GPUs for 1 process; each process takes one"),
        (0, {"device": "cuda"}, "--device cuda: PyTorch sees no GPU here"),
        (0, {"device": "mps"}, "--device mps: there is no Apple GPU here"),
    ],
)
def test_a_device_that_is_not_there_is_refused(machine, count, asked, words):
    """What was asked for, what there is, and a way out."""
    machine(gpus=count)
    with pytest.raises(SettingsError, match=f"^{re.escape(words)}$") as error:
        choose_device(hardware(**asked))
    assert error.value.hint


def test_gpus_that_torch_cannot_use_do_not_count(machine, monkeypatch):
    """A driver that does not answer: device_count may still say one."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device(hardware()) == CPU


@pytest.mark.parametrize(
    ("bf16", "asked", "size", "expected"),
    [
        (True, {}, 224, "bf16"),
        (True, {}, 16, "bf16"),
        (True, {}, 15, "fp32"),
        (False, {}, 224, "fp32"),
        (True, {"amp": False}, 224, "fp32"),
        (True, {"amp": True}, 8, "bf16"),
        (True, {"precision": "fp32"}, 224, "fp32"),
        (False, {"precision": "bf16"}, 224, "bf16"),
    ],
)
def test_arithmetic_is_bf16_only_where_it_is_fast(machine, bf16, asked, size, expected):
    """Unless asked for by name; never for tiny pictures on its own."""
    machine(bf16=bf16)
    assert plan_compute(hardware(**asked), image_size=size).precision == expected


def test_mixed_precision_that_would_be_slower_is_refused(machine):
    """--amp without the hardware for it."""
    with pytest.raises(SettingsError, match="--amp: cpu has no bf16 here") as error:
        plan_compute(hardware(amp=True), image_size=224)
    assert error.value.hint == "leave out --amp"


@pytest.mark.parametrize(
    ("capability", "bf16", "asked", "expected"),
    [
        ((7, 5), False, {"amp": True}, "fp16"),
        ((7, 5), False, {}, "fp32"),
        ((8, 0), True, {"amp": True}, "bf16"),
        ((8, 0), True, {"amp": True, "precision": "fp16"}, "fp16"),
        ((8, 0), True, {"precision": "tf32"}, "tf32"),
        ((9, 0), True, {"precision": "fp16"}, "fp16"),
    ],
)
def test_a_gpu_computes_in_the_best_it_has(
    machine, monkeypatch, *, capability, bf16, asked, expected
):
    """--amp: bf16, else fp16 where there are tensor cores; what is named wins."""
    machine(gpus=1, bf16=bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert plan_compute(hardware(**asked), image_size=224).precision == expected


@pytest.mark.parametrize(
    ("gpus", "capability", "asked", "words"),
    [
        (0, None, {"precision": "tf32"}, "--precision tf32: cpu has no TF32 here"),
        (1, (7, 5), {"precision": "tf32"}, "--precision tf32: cuda has no TF32 here"),
        (1, (6, 1), {"amp": True}, "--amp: cuda has no bf16 here"),
    ],
)
def test_arithmetic_that_is_not_there_is_refused(
    machine, monkeypatch, *, gpus, capability, asked, words
):
    """Never computed in another one instead."""
    machine(gpus=gpus)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    with pytest.raises(SettingsError, match=words):
        plan_compute(hardware(**asked), image_size=224)


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True, "avx2": True}, True),
        ({"avx512_bf16": False, "amx_bf16": False, "avx512_f": True}, False),
        ({"avx2": True}, False),
        ({}, False),
    ],
)
def test_a_cpu_is_fast_in_bf16_only_with_its_instructions(monkeypatch, capabilities, fast):
    """AVX-512 or AMX for bf16; plain AVX goes by way of fp32."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_fast_bf16(CPU) is fast


def test_a_gpu_that_only_emulates_bf16_is_not_fast(monkeypatch):
    """Emulation must not be counted in."""
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda *, including_emulation: including_emulation
    )
    assert not has_fast_bf16(torch.device("cuda"))
    assert not has_fast_bf16(torch.device("mps"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "cpu, fp32, channels-last, 4 threads"),
        ({"channels_last": False, "precision": "bf16"}, "cpu, bf16, channels-first, 4 threads"),
        ({"device": "cuda:1", "precision": "bf16"}, "cuda:1, bf16, channels-last"),
    ],
)
def test_a_plan_is_one_line(changes, expected):
    """Threads matter on the CPU only."""
    known = {"device": "cpu", "precision": "fp32", "channels_last": True, "threads": 4}
    assert str(ComputePlan(**known | changes, fused=True)) == expected


def test_arithmetic_of_the_plan_is_that_of_its_block():
    """bf16 or fp16 inside, fp32 outside; fp32 changes nothing."""
    known = {"device": "cpu", "channels_last": True, "threads": 1, "fused": True}
    layer = torch.nn.Linear(2, 2)
    with ComputePlan(**known, precision="bf16").autocast():
        assert layer(torch.ones(1, 2)).dtype == torch.bfloat16
    with ComputePlan(**known, precision="fp16").autocast():
        assert layer(torch.ones(1, 2)).dtype == torch.float16
    with ComputePlan(**known, precision="fp32").autocast():
        assert layer(torch.ones(1, 2)).dtype == torch.float32


def cores(monkeypatch, *, affinity, quota):
    """A machine whose process may run on ``affinity`` cores, in a group with ``quota``."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)

    def read_text(_self, **_how):
        if quota is None:
            raise FileNotFoundError
        return quota

    monkeypatch.setattr(Path, "read_text", read_text)
    return usable_cores()


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"),
    [
        (8, None, 8),
        (8, "max 100000\n", 8),
        (8, "200000 100000\n", 2),
        (2, "400000 100000\n", 2),
        (8, "50000 100000\n", 1),
        (8, "nonsense", 8),
    ],
)
def test_cores_are_those_this_process_may_use(monkeypatch, affinity, quota, expected):
    """The smaller of affinity and the container's quota, at least one."""
    assert cores(monkeypatch, affinity=affinity, quota=quota) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_affinity_is_honoured():
    """taskset: one core is one thread."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_processes_of_a_machine_share_its_cores(machine, monkeypatch):
    """Each at least one; a number that was asked for stays."""
    monkeypatch.setattr(module, "usable_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = [
        plan_compute(hardware(), image_size=32, local_size=size).threads for size in (1, 2, 4, 8)
    ]
    assert found == [6, 3, 1, 1]
    assert plan_compute(hardware(threads=5), image_size=32, local_size=8).threads == 5


@pytest.mark.parametrize(
    ("told", "torchrun", "threads"),
    [("1", False, 1), ("2,4", False, 2), ("64", False, 6), ("x", False, 6), ("1", True, 6)],
)
def test_the_users_number_of_threads_counts(machine, monkeypatch, told, torchrun, threads):
    """OMP_NUM_THREADS is the most there may be; torchrun's own does not count."""
    monkeypatch.setattr(module, "usable_cores", lambda: 6)
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    if torchrun:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "here")
    assert plan_compute(hardware(), image_size=32).threads == threads


def test_memory_in_use_is_that_of_this_process():
    """Torch alone takes more than 50 MB."""
    if not Path("/proc/self/statm").exists():
        assert memory_in_use_mb(CPU) == 0.0
        return
    before = memory_in_use_mb(CPU)
    held = torch.ones(16 * 2**20)
    assert before > 50
    assert memory_in_use_mb(CPU) - before == pytest.approx(64, abs=16)
    del held
