"""``imgtrain doctor``: sound and broken installs, folders, variables, servers; real processes."""

import contextlib
import json
import os
import re
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from imgtrain.doctor import extras, machine, network, packages, places, variables
from imgtrain.doctor.lines import Line, isolated

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def by_name(lines):
    return {line.name: line for line in lines}


def test_a_sound_machine(imgtrain, monkeypatch):
    """Exit code 0; the same lines as table and JSON; nothing is left in the folder."""
    monkeypatch.setenv("IMGTRAIN_TRAIN__EPOCHS", "3")
    code, out, err = imgtrain("doctor", "--json")
    found = json.loads(out)

    assert (code, err) == (0, "")
    assert not list(Path.cwd().iterdir())
    lines = {line["name"]: line for line in found["lines"]}
    assert lines["torch"]["found"].startswith(metadata.version("torch"))
    assert lines["torchvision"]["found"].startswith(metadata.version("torchvision"))
    assert lines["imports"]["verdict"] == lines["torch, torchvision"]["verdict"] == "ok"
    assert re.match(rf"\d+ of {os.cpu_count()}\b", lines["cores"]["found"])
    assert re.search("trains in (bf16|fp32) by itself", lines["cpu"]["found"])
    assert lines["IMGTRAIN_TRAIN__EPOCHS"]["found"] == "3: sets train.epochs"
    assert lines["servers"]["found"].startswith("not asked; --network would ask huggingface.co, ")
    assert found["counts"]["problem"] == 0
    assert sum(found["counts"].values()) == len(found["lines"])


BROKEN = """
raise RuntimeError("operator torchvision::nms does not exist")
"""


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Put a package that fails in the way of a sound one, for processes that start from here on."""
    place = tmp_path / "site"

    def put(name, text):
        (place / name).mkdir(parents=True)
        (place / name / "__init__.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(place))

    return put


def test_a_torchvision_of_another_build(imgtrain, broken, monkeypatch):
    """It is named with its cure, torch is still told of, and so is what else is wrong; code 4."""
    broken("torchvision", BROKEN)
    monkeypatch.setenv("IMGTRAIN_TRIAN__EPOCHS", "3")
    monkeypatch.setenv("IMGTRAIN_OPTIM__LR", "fast")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:1")
    code, out, err = imgtrain("doctor")

    assert code == 4
    row = next(line for line in out.splitlines() if "torchvision::nms" in line)
    assert row.split()[:2] == ["problem", "torchvision"]
    assert "-> install both from one index" in out
    assert re.search(r"ok +cpu +\S", out)
    assert "IMGTRAIN_TRIAN__EPOCHS names no setting; did you mean 'IMGTRAIN_TRAIN__EPOCHS'?" in out
    assert "optim.lr = 'fast' (environment IMGTRAIN_OPTIM__LR) must be" in out
    assert "secret" not in out + err
    assert re.match(r"error: \d problems: torchvision, ", err)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise ImportError('libcudart.so.12: cannot open shared object file')", "libcudart.so.12"),
        ("import os\nos.kill(os.getpid(), 4)", "its process ended with -4"),
    ],
    ids=["an error", "an instruction that this processor has not"],
)
def test_a_torch_that_does_not_start(broken, text, said):
    """One line, whatever it does to its process; the other checks do not hear of it."""
    from imgtrain.children import in_child

    broken("torch", text)
    (line,) = machine.broken_torch(in_child("imgtrain.doctor.torch_side:look", None))

    assert (line.name, line.verdict) == ("torch", "problem")
    assert said in line.found


@pytest.mark.parametrize(
    ("torch", "torchvision", "verdict", "found"),
    [
        ("2.9.0+cu128", "0.24.0+cu128", "ok", "of one build, both cu128"),
        ("2.9.0", "0.24.0", "ok", "of one build"),
        ("2.9.0+cpu", "0.24.0+cu128", "problem", "different builds: torch 2.9.0+cpu and"),
        ("2.9.0+cu128", "0.24.0", "problem", "different builds"),
        ("2.8.0+cpu", "0.24.0+cpu", "problem", "which needs torch==2.9.0"),
    ],
)
def test_two_indexes_are_noticed(torch, torchvision, verdict, found):
    """By the tags of the builds, and by the version that torchvision asks for."""
    line = packages.pair(torch, torchvision, Requirement("torch==2.9.0"))

    assert line.verdict == verdict
    assert found in line.found


def test_every_extra_has_a_sentence():
    """What is added to pyproject.toml is explained, and nothing else is."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]

    assert project["optional-dependencies"].keys() - extras.ADDS.keys() == set()


def test_an_extra_that_is_missing_says_what_it_adds(monkeypatch):
    """And how it is installed; one of a version that does not fit is named."""
    monkeypatch.setattr(
        extras,
        "requirements",
        lambda extra: [
            Requirement({"parquet": "no-such-arrow>=17", "classical": "numpy<1"}[extra])
        ],
    )

    missing, unfit = extras._extra("parquet"), extras._extra("classical")
    assert missing.found == f"not installed; adds {extras.ADDS['parquet']}"
    assert missing.advice == 'pip install "imgtrain[parquet]"'
    assert unfit.found.startswith("too old or too new: numpy ")


def test_one_failure_is_one_line():
    """What came before it stays."""

    def check():
        yield Line("T", "first", "ok", "fine")
        raise ValueError("odd\nand long")

    assert isolated("T", "second", check) == [
        Line("T", "first", "ok", "fine"),
        Line("T", "second", "note", "cannot be told: ValueError: odd"),
    ]


def test_folders(tmp_path, monkeypatch):
    """No place to write is a problem for runs, a note for a cache; sizes are counted."""
    (tmp_path / "file").write_bytes(b"x")
    monkeypatch.setenv("IMGTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    (tmp_path / "cache" / "sets").mkdir(parents=True)
    (tmp_path / "cache" / "sets" / "a").write_bytes(bytes(12_345))
    (bad,) = places.runs(tmp_path / "file" / "runs")
    lines = by_name(places.caches())

    assert (bad.verdict, bad.found) == (
        "problem", f"{tmp_path}/file/runs: {tmp_path}/file is no folder",
    )  # fmt: skip
    assert "cache: 12 kB (decoded pictures" in lines["imgtrain"].found
    assert lines["torch hub"].verdict == "note"
    assert "TORCH_HOME" in lines["torch hub"].advice
    assert {p.name for p in tmp_path.iterdir()} == {"file", "cache"}


def test_a_gpu_that_torch_cannot_use(tmp_path, monkeypatch):
    """Hidden is a note, a build without CUDA a problem, and so is a driver that is too old."""
    fake = tmp_path / "nvidia-smi"  # as NVIDIA's prints it
    fake.write_text('#!/bin/sh\ncase "$1" in *name) echo NVIDIA T4;; *) echo 470.1;; esac\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    without = machine._no_gpu({"cuda": None})
    old = machine._no_gpu({"cuda": "13.0"})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    hidden = machine._no_gpu({"cuda": "13.0"})

    assert [line.verdict for line in (without, old, hidden)] == ["problem", "problem", "note"]
    assert without.found == "NVIDIA T4 is there, but this build of torch knows no CUDA"
    assert "(470.1)" in old.advice


def test_proxies_count_in_both_spellings(monkeypatch):
    """``https_proxy`` is one; a variable of another case is none."""
    monkeypatch.setenv("https_proxy", "127.0.0.1:3128")
    monkeypatch.setenv("Omp_Num_Threads", "3")
    lines = by_name(variables.variables())

    assert lines["https_proxy"].found == "127.0.0.1:3128: the way to the network"
    assert "Omp_Num_Threads" not in lines


class _Proxy(BaseHTTPRequestHandler):
    """Hears what is asked for, and lets nothing through."""

    def log_message(self, *_):
        pass

    def do_CONNECT(self):
        self.server.heard.add(self.path)
        self.send_error(503)

    def do_HEAD(self):
        self.server.heard.add(self.path)
        self.send_response(404)
        self.end_headers()


@contextlib.contextmanager
def proxy():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    server.heard = set()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_servers_are_asked_on_request_only(monkeypatch):
    """Through the proxy that is set; any answer counts; else no socket opens."""
    with proxy() as server:
        address = f"http://127.0.0.1:{server.server_port}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, address)
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
        list(network.reach(None, ask=False, offline=False))
        (silent,) = network.reach("http://mirror.invalid/x", ask=True, offline=True)
        before = set(server.heard)
        lines = by_name(network.reach("http://me:pw@mirror.invalid/x", ask=True, offline=False))

    assert before == set()
    assert silent.found.startswith("not asked: offline")
    assert {"http://hub.invalid/", "www.cs.toronto.edu:443"} <= server.heard
    assert lines["hub.invalid"].verdict == lines["mirror.invalid"].verdict == "ok"
    assert lines["www.cs.toronto.edu"].verdict == "note"
    assert "--mirror URL" in lines["www.cs.toronto.edu"].advice


def test_network_and_offline_contradict_each_other(imgtrain):
    """Code 2, before anything is looked at."""
    assert imgtrain("doctor", "--network", "--offline").code == 2


def test_an_extra_of_extras_asks_for_theirs(monkeypatch):
    """``tracking = ["imgtrain[a,b]"]`` is there when what a and b need is there."""
    monkeypatch.setattr(
        metadata,
        "requires",
        lambda _: [
            "numpy>=1",
            'one>=1; extra == "a"',
            'two>=2; python_version >= "3" and extra == "b"',
            'never; python_version < "3" and extra == "b"',
            'imgtrain[a,b]; extra == "both"',
        ],
    )

    assert [str(each).partition(";")[0] for each in packages.requirements()] == ["numpy>=1"]
    assert [each.name for each in packages.requirements("both")] == ["one", "two"]
