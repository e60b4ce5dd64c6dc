"""A run, exported in every way: the files answer as it does, or they are not there."""

import csv
import json
import re
import shutil
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import TINY, Ran, draw, make_folder
from PIL import Image

import imgtrain as package
from imgtrain import console
from imgtrain.cli import run as run_cli
from imgtrain.engine.model import build
from imgtrain.engine.weights import read_model, read_recipe, save_model
from imgtrain.errors import GateError
from imgtrain.export.exporting import Wish
from imgtrain.export.exporting import export as export_run
from imgtrain.export.formats import FORMATS
from imgtrain.export.graph import Graph
from imgtrain.settings.schema import HardwareSettings

CLASSES = ("left", "middle", "right")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """``photos``, a trained run ``a`` of a temperature, others of random weights beside it."""
    place = tmp_path_factory.mktemp("exports")
    make_folder(place / "photos", dict.fromkeys(CLASSES, 30))
    for i in range(5):
        draw(i % 3, 100 + i).save(place / f"new-{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("IMGTRAIN_CACHE", str(place / "cache"))
        code = run_cli(["train", "--data", "photos", *TINY, "--epochs", "4", "--name", "a", "-q"])
        console.set_verbosity(0)
    assert code == 0
    weights = place / "runs" / "a" / "model.safetensors"
    model, recipe = read_model(weights)
    save_model(weights, model, replace(recipe, temperature=1.7))
    untrained(place, "turned", replace(recipe, classes=CLASSES[::-1]))
    untrained(place, "wide", replace(recipe, preprocess=recipe.preprocess.at(48)))
    untrained(place, "vit", replace(recipe, architecture="test_vit2"))
    return place


def untrained(place, name, recipe):
    """A run of random weights."""
    torch.manual_seed(len(name))
    folder = place / "runs" / name
    folder.mkdir()
    save_model(folder / "model.safetensors", build(recipe), recipe)
    (folder / "status.json").write_text('{"format": 1, "state": "finished"}')


@pytest.fixture
def imgtrain(place, monkeypatch, capfd):
    """Run a command line beside the photos."""
    monkeypatch.chdir(place)

    def command(*arguments):
        capfd.readouterr()
        code = run_cli([str(a) for a in arguments])
        console.set_verbosity(0)
        return Ran(code, *capfd.readouterr())

    return command


@pytest.fixture
def asked(place, monkeypatch):
    """What a run or file, or several, answer to the new pictures: (5, C), by the Python API."""
    monkeypatch.chdir(place)

    def ask(run, **options):
        model = package.load(run, **options)
        order = [model.classes.index(name) for name in CLASSES]
        found = model.predict(sorted(place.glob("new-*.png")))
        return np.stack([each.probs[order] for each in found])

    return ask


def exported(imgtrain, *arguments):
    """The file and its record."""
    ran = imgtrain("export", *arguments, "--json", "-q")
    assert ran.code == 0, ran.err
    return ran.json


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_answers_as_its_run(imgtrain, asked, place, name):
    """In every format, by the command line; the record says how alike they are."""
    found = exported(imgtrain, "a", "--format", name)

    file = Path(found["file"])
    assert file == Path(f"runs/a/export/model{FORMATS[name].suffixes[0]}")
    np.testing.assert_allclose(asked(file), asked("a"), atol=1e-4)
    assert found["parity"]["part"] == "val"
    assert found["parity"]["agreement"] == 1
    assert found["parity"]["max_difference"] <= 1e-4
    assert found["before"]["top1"] == found["after"]["top1"] > 0.5
    record = json.loads((place / "runs/a/export/export.json").read_text())["files"][file.name]
    assert record == {k: v for k, v in found.items() if k != "file"}
    assert not list(file.parent.glob(".*"))
    scored = imgtrain("predict", "new-0.png", "--run", file, "--json")
    assert scored.json[0]["pred"] == "left"


def test_an_onnx_file_holds_all_that_it_needs(imgtrain, asked, place):
    """Pixels in as they are, any number; softmax of the logits out; the recipe inside."""
    file = place / "runs/a/export/model.onnx"
    if not file.is_file():
        exported(imgtrain, "a")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    pixels = np.stack(
        [read_recipe(place / "runs/a/model.safetensors").preprocess.decoded(p.read_bytes())
         for p in sorted(place.glob("new-*.png"))]
    )  # fmt: skip

    logits, probs = session.run(["logits", "probabilities"], {"pixels": pixels})
    (alone,) = session.run(["probabilities"], {"pixels": pixels[:1]})

    np.testing.assert_allclose(probs, asked("a"), atol=1e-4)
    np.testing.assert_allclose(alone[0], probs[0], atol=1e-6)
    np.testing.assert_allclose(torch.tensor(logits).softmax(1).numpy(), probs, atol=1e-6)
    (shown,) = session.get_inputs()
    assert (shown.type, shown.shape) == ("tensor(uint8)", ["batch", 32, 32, 3])
    about = json.loads(session.get_modelmeta().custom_metadata_map["imgtrain"])
    assert about["format"] == 1
    assert about["version"] == package.__version__
    assert about["recipe"] == json.loads(
        json.dumps(read_recipe(place / "runs/a/model.safetensors").to_dict())
    )


def broken(how):
    """A graph in which something went wrong."""

    def make(*arguments):
        graph = Graph(*arguments)
        sight = graph.sights[0]
        if how == "temperature":
            sight.temperature = 1.0
        else:
            sight.shift += 0.5
        return graph

    return make


@pytest.mark.parametrize("how", ["temperature", "normalisation"])
def test_a_file_that_answers_otherwise_is_not_left_behind(place, monkeypatch, how):
    """The gate says by how much; nothing is written, and what was there stays."""
    monkeypatch.chdir(place)
    (place / "kept").mkdir(exist_ok=True)
    (place / "kept" / "model.pt2").write_bytes(b"before")
    wish = Wish(
        runs=("a",),
        output=Path("runs"),
        format=FORMATS["torch"],
        to=Path("kept"),
        hardware=HardwareSettings(),
    )

    with pytest.raises(GateError, match="does not answer as the run does: probabilities differ"):
        export_run(wish, make_graph=broken(how))

    assert [p.name for p in (place / "kept").iterdir()] == ["model.pt2"]
    assert (place / "kept" / "model.pt2").read_bytes() == b"before"


def test_int8_is_small_and_as_good(imgtrain, asked):
    """A quarter of the size, calibrated on the training part; its own description."""
    found = exported(imgtrain, "a", "--int8", "--calibration-pictures", "20")

    assert found["file"] == "runs/a/export/model-int8.onnx"
    assert found["precision"] == "int8"
    assert found["after"]["bytes"] < 0.5 * found["before"]["bytes"]
    assert found["before"]["top1"] - found["after"]["top1"] <= 0.01
    assert found["int8"]["pictures"] == 9
    narrow, whole = asked(found["file"]), asked("a")
    assert 0 < np.abs(narrow - whole).max() < 0.2
    np.testing.assert_array_equal(narrow.argmax(axis=1), whole.argmax(axis=1))


def test_int8_that_costs_accuracy_is_refused(imgtrain, place):
    """Ranges from black pictures fit no others: exit code 9, with the figures, and no file."""
    for label, name in enumerate(CLASSES):
        for part in ("train", "val"):
            folder = place / "dark" / part / name
            folder.mkdir(parents=True)
            for i in range(4):
                black = Image.new("RGB", (40, 40))
                (black if part == "train" else draw(label, i)).save(folder / f"{i}.png")

    ran = imgtrain("export", "a", "--int8", "--data", "dark", "--to", "dark/small.onnx")

    assert ran.code == 9, ran.err
    assert "int8 costs too much accuracy: top-1 " in ran.words
    assert "--max-accuracy-drop is 0.01" in ran.words
    assert not list((place / "dark").glob("*.onnx"))


def test_several_runs_make_one_file(imgtrain, asked, place):
    """Classes by name, each counts the same; mean and logits."""
    for rule in ("mean", "logits"):
        file = place / f"both-{rule}.pt2"
        exported(imgtrain, "a", "turned", "--ensemble", rule, "--to", file)

        np.testing.assert_allclose(asked(file), asked(["a", "turned"], ensemble=rule), atol=1e-4)
    model = package.load(file)
    assert model.classes == CLASSES
    assert model.recipe.architecture == "test_resnet"
    several = asked([file, "a"])
    np.testing.assert_allclose(several, (asked(file) + asked("a")) / 2, atol=1e-6)


def test_a_pruned_network_trains_on(imgtrain, place, monkeypatch):
    """Fewer weights and multiply-adds, as counted; train takes it, goes on, predict reads it."""
    monkeypatch.setenv("IMGTRAIN_CACHE", str(place / "cache"))
    ran = imgtrain("export", "a", "--prune", "0.5", "--json")
    assert ran.code == 0, ran.err
    found = ran.json

    file = Path(found["file"])
    assert file == Path("runs/a/export/pruned-0.5.safetensors")
    model, recipe = read_model(file)
    assert found["after"]["parameters"] == sum(p.numel() for p in model.parameters())
    assert found["after"]["parameters"] < 0.4 * found["before"]["parameters"]
    assert found["after"]["macs"] < 0.4 * found["before"]["macs"]
    assert recipe.temperature == 1
    train = ["train", "--data", "photos", *TINY, "--weights", file, "--epochs", "8"]
    tuned = imgtrain(*train, "--name", "tuned", "--json")
    assert tuned.code == 0, tuned.err
    assert "took 92 of 92 tensors" in tuned.words
    assert tuned.json["metrics"]["val"]["top1"] > 0.5
    hidden = file.with_name("away.safetensors")
    file.rename(hidden)  # what a run needs to go on is in the run
    more = imgtrain("train", "--resume", "tuned", "--epochs", "9", "--json")
    assert more.code == 0, more.err
    assert read_recipe(place / "runs/tuned/model.safetensors").pruned == recipe.pruned
    scored = imgtrain("predict", "new-0.png", "--run", "tuned", "--json")
    assert scored.code == 0, scored.err


REFUSED = {
    "export nobody": "6 error: no run 'nobody' here or in runs",
    "export a --format onxx": """2 error: --format onxx: there is no such format; did you mean
        'onnx'? take one of onnx, torch, torchscript, openvino""",
    "export a --to model.h5": "2 error: --to model.h5: the ending names no format",
    "export a --to model.pt2 --format onnx": """2 error: --to model.pt2 is the name of torch,
        --format asks for onnx""",
    "export a turned": "2 error: several runs become one file, which belongs to none of them",
    "export a wide --to x.pt2": """6 error: one file has one input, and these runs see pictures in
        other ways: 32 of 32 pixels and 3 channels on (255, 255, 255), 48 of 48 pixels""",
    "export a turned --ensemble vote --to x.pt2": """2 error: --ensemble vote is no rule that one
        file can combine by""",
    "export a --int8 --format torch": "2 error: --int8 makes files of onnx and openvino",
    "export vit --int8": "2 error: --int8 needs pictures to calibrate with",
    "export a --calibration-pictures 9": """2 error: --calibration-pictures has an effect only with
        --int8""",
    "export a --prune 1.5": "2 error: --prune 1.5 is no share",
    "export a --prune 0.5 --format onnx": """2 error: --prune writes weights to train on, and
        --format is about files to run""",
    "export vit --prune 0.5": "2 error: --prune knows the families ResNet, ",
    "export a --to new-0.png/model.pt2": "8 error: cannot write new-0.png/model.pt2: ",
    "export a --data nowhere": "3 error: there is no folder, manifest or known set 'nowhere'",
    "predict new-0.png --run runs/a/config.ts": "6 error: no run 'runs/a/config.ts'",
    "predict new-0.png --run foreign.onnx": "6 error: foreign.onnx is broken or no ONNX file: ",
    "predict new-0.png --run foreign.pt2": """6 error: foreign.pt2 is broken or no program of
        torch.export: """,
    "predict new-0.png --run foreign.ts": "6 error: foreign.ts is broken or no TorchScript file: ",
    "predict new-0.png --run foreign.xml": "6 error: foreign.xml is broken or no OpenVINO file: ",
}


@pytest.mark.parametrize("asked_for", REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence(imgtrain, place, asked_for):
    """With its exit code and the way out, before anything is written."""
    for suffix in ("onnx", "pt2", "ts", "xml"):
        (place / f"foreign.{suffix}").write_text("no model")

    ran = imgtrain(*asked_for.split())

    assert ran.out == ""
    assert f"{ran.code} {ran.words.removeprefix(warned(ran))}".startswith(
        " ".join(REFUSED[asked_for].split())
    )
    assert not list(place.glob("x.*"))


def warned(ran):
    """What stands before the error."""
    return ran.words[: ran.words.index("error: ")]


def test_missing_packages_are_named_before_work(imgtrain, monkeypatch):
    """Exit code 4, and what to install."""
    monkeypatch.setitem(sys.modules, "onnxscript", None)

    ran = imgtrain("export", "a")

    assert ran.code == 4
    assert "--format onnx needs onnxscript, which is not installed" in ran.words
    assert 'python -m pip install "imgtrain[onnx]"' in ran.words


def test_without_pictures_noise_is_said(imgtrain, place, asked):
    """A run whose data are gone is compared on noise, and so is a file of weights alone."""
    alone = place / "alone.safetensors"
    shutil.copy(place / "runs/a/model.safetensors", alone)

    ran = imgtrain("export", alone, "--format", "torch", "--to", "alone.pt2", "--json")

    assert ran.code == 0, ran.err
    assert "compared on 64 pictures of noise; --data FOLDER names real ones" in ran.words
    assert ran.json["parity"]["part"] == "noise"
    assert ran.json["before"]["top1"] is None
    np.testing.assert_allclose(asked("alone.pt2"), asked("a"), atol=1e-4)


def test_files_are_asked_as_they_are(imgtrain, place):
    """On the CPU, in their own precision; a test-time view is one more question."""
    file = place / "runs/a/export/model.pt2"
    if not file.is_file():
        exported(imgtrain, "a", "--format", "torch")

    assert imgtrain("predict", "new-0.png", "--run", file, "--precision", "bf16").code == 2
    views = {}
    for run in ("a", file):
        name = place / "views.csv"
        assert imgtrain("predict", *place.glob("new-*"), "--run", run, "--tta", "flip",
                        "--csv", name, "--fresh").code == 0  # fmt: skip
        with name.open(encoding="utf-8", newline="") as rows:
            views[run] = [float(row["prob_left"]) for row in csv.DictReader(rows)]
    np.testing.assert_allclose(views["a"], views[file], atol=1e-4)


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("test_vit2", {}),
        ("test_efficientnet", {}),
        ("test_convnext", {"attention": "cbam"}),
        ("test_resnet", {"head": "mlp", "stem": "small", "attention": "eca"}),
    ],
)
def test_families(imgtrain, place, asked, model, more):
    """Programs of other kinds of networks, with what may be added to them."""
    recipe = replace(about(place), architecture=model, **more)

    _answers_alike(imgtrain, place, asked, recipe, "pt2")


@pytest.mark.long
@pytest.mark.parametrize("suffix", ["onnx", "ts", "xml"])
@pytest.mark.parametrize(
    "model", ["test_vit2", "test_efficientnet", "test_convnext", "mobilenetv3_small_050"]
)
def test_families_in_every_format(imgtrain, place, asked, model, suffix):
    """As above."""
    _answers_alike(imgtrain, place, asked, replace(about(place), architecture=model), suffix)


def about(place):
    return read_recipe(place / "runs/a/model.safetensors")


def _answers_alike(imgtrain, place, asked, recipe, suffix):
    name = f"{recipe.architecture}-{suffix}"
    untrained(place, name, recipe)

    exported(imgtrain, name, "--data", "photos", "--to", f"{name}.{suffix}")

    np.testing.assert_allclose(asked(f"{name}.{suffix}"), asked(name), atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("suffix", ["onnx", "xml", "ts"])
def test_several_runs_in_every_format(imgtrain, place, asked, suffix):
    """As in one of torch's programs."""
    exported(imgtrain, "a", "turned", "--to", f"both.{suffix}")

    np.testing.assert_allclose(asked(f"both.{suffix}"), asked(["a", "turned"]), atol=1e-4)


@pytest.mark.long
def test_int8_for_openvino(imgtrain, asked, place):
    """The same numbers as ONNX Runtime's, within what 8 bits tell apart."""
    exported(imgtrain, "a", "--int8", "--to", "small.xml")

    assert (place / "small.bin").stat().st_size < 0.5e6
    assert np.abs(asked("small.xml") - asked("a")).max() < 0.2


@pytest.mark.long
@pytest.mark.parametrize(
    "model", ["test_efficientnet", "mobilenetv3_small_050", "regnetx_002", "resnet50", "vgg11"]
)
def test_families_that_can_be_pruned(imgtrain, place, model):
    """Written only if the same network can be built from the file."""
    recipe = read_recipe(place / "runs/a/model.safetensors")
    untrained(place, f"{model}-wide", replace(recipe, architecture=model))

    ran = imgtrain("export", f"{model}-wide", "--prune", "0.5", "--json")

    assert ran.code == 0, ran.err
    assert ran.json["after"]["parameters"] < 0.7 * ran.json["before"]["parameters"]


GUIDE = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text(encoding="utf-8")
BARE, EXACT, SERVICE = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def test_the_guides_way_to_run_an_onnx_file(imgtrain, place, monkeypatch, capfd):
    """Small pictures of any shape: the very pixels, and so the answers, of predict."""
    file = place / "runs/a/export/model.onnx"
    if not file.is_file():
        exported(imgtrain, "a")
    shapes = [(40, 40), (20, 33), (200, 90), (32, 32), (9, 150)]
    rng = np.random.default_rng(1)
    paths = []
    for i, (width, height) in enumerate(shapes):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        paths.append(f"odd-{i}.png")
        Image.fromarray(pixels).save(paths[-1])
    monkeypatch.setattr(sys, "argv", ["bare.py", str(file), *paths])
    known = {}

    exec(compile(BARE, "bare.py", "exec"), known)  # noqa: S102  # the guide's own code

    expected = np.stack([found.probs for found in package.load(file).predict(paths)])
    np.testing.assert_allclose(known["probabilities"], expected, atol=1e-6)
    assert len(capfd.readouterr().out.splitlines()) == 5
    draw(1, 0, size=500).save("large.jpg")
    bare = known["view"]("large.jpg").astype(int)
    exec(compile(EXACT, "exact.py", "exec"), known)  # noqa: S102  # as above
    exact = known["view"]("large.jpg")
    (found,) = package.load(file).predict(["large.jpg"])
    np.testing.assert_allclose(
        known["session"].run(["probabilities"], {"pixels": exact[None]})[0][0],
        found.probs,
        atol=1e-6,
    )
    assert np.abs(bare - exact).mean() < 4


def test_the_guides_service(place, asked, monkeypatch):
    """A picture sent is answered with every class's probability; other bytes with an error."""
    monkeypatch.chdir(place)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = SERVICE.replace("8000", str(port)).replace("runs/photos-resnet18", "a")
    known = {"__name__": "service"}
    thread = threading.Thread(target=lambda: exec(code, known), daemon=True)  # noqa: S102  # as above
    thread.start()
    deadline = time.monotonic() + 60
    while "server" not in known:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    monkeypatch.setattr(known["Handler"], "log_message", lambda *_: None)
    try:
        url = f"http://127.0.0.1:{port}/"
        with urllib.request.urlopen(url, Path("new-1.png").read_bytes()) as reply:
            told = json.load(reply)
        with pytest.raises(urllib.error.HTTPError, match="400") as refused:
            urllib.request.urlopen(url, b"no picture")
        assert "no picture in a known format" in json.load(refused.value)["error"]
        refused.value.close()
    finally:
        known["server"].shutdown()
        known["server"].server_close()
        thread.join(10)
    np.testing.assert_allclose([told[name] for name in CLASSES], asked("a")[1], atol=1e-6)
