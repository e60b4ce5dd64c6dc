"""Pretrained weights from a hub that speaks the real one's protocol, and from its cache."""

import json
import os
import subprocess
import sys
import time

import pytest
import safetensors.torch
import timm
import torch
from small_hub import small_hub

from imgtrain.engine.hub import RESTARTS, _bar, without_secrets

_RUN = (
    "import json, sys; from imgtrain.cli import run;"
    "print('codes', json.dumps([run(a) for a in json.loads(sys.argv[1])]))"
)
_STILL = ["--lr", "1e-9", "--weight-decay", "0", "--warmup-epochs", "0"]
"""Weights stay where they started, to six digits."""


def commands(folder, url, *lines):
    """Run command lines in a process with a hub and caches of its own; codes, stdout, stderr."""
    ours = {
        "HF_ENDPOINT": url,
        "HF_HOME": str(folder / "hub"),
        "IMGTRAIN_CACHE": str(folder / "cache"),
        "COLUMNS": "300",
    }
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE_"))}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps([list(map(str, line)) for line in lines])],
        env=kept | ours,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    out, _, codes = done.stdout.rpartition("codes ")
    return json.loads(codes), out, done.stderr


def weights_of(name):
    torch.manual_seed(7)
    return timm.create_model(name).state_dict()


def repository(name):
    return f"timm/{name}.r160_in1k"


def train_line(photos, name, *more):
    return [
        "train", "--data", photos, "--model", name, "--image-size", "32", "--epochs", "1",
        "--batch-size", "16", "--device", "cpu", "--precision", "fp32", "--fresh", *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_weights_come_from_the_hub_once(photos, tmp_path):
    """Training starts from them; then the cache has them, and --offline asks nobody."""
    tensors = weights_of("test_resnet")
    with small_hub() as hub:
        hub.files[f"{repository('test_resnet')}/model.safetensors"] = safetensors.torch.save(
            tensors
        )
        line = train_line(photos, "test_resnet", "--pretrained", "--stem", "standard", *_STILL)
        codes, _, err = commands(tmp_path, hub.url, line)
        assert codes == [0], err
        assert "starting from timm's weights of test_resnet" in err
        assert {path for _, path in hub.asked if not path.startswith("/api/")} == {
            f"/{repository('test_resnet')}/resolve/main/model.safetensors",
            f"/cdn/{repository('test_resnet')}/model.safetensors",
        }
        asked = len(hub.asked)
        codes, out, err = commands(
            tmp_path, hub.url, [*line, "--offline"], ["models", "test_resnet", "--json"]
        )
        assert codes == [0, 0], err
        assert len(hub.asked) == asked
    assert json.loads(out[out.index("[") :])[0]["cached"] is True
    for run in ("photos-test_resnet", "photos-test_resnet-2"):
        found = safetensors.torch.load_file(tmp_path / "runs" / run / "model.safetensors")
        names = [n for n in tensors if n.endswith(".weight") and not n.startswith("fc.")]
        for name in names:
            torch.testing.assert_close(found[name], tensors[name], rtol=1e-5, atol=1e-6)


@pytest.mark.long
def test_a_hub_that_fails_is_told_in_time(photos, tmp_path):
    """No such file, an error, silence, a cut download, other bytes: code 4 and why, in seconds.

    Without --pretrained, training goes on from scratch, and says so.
    """
    moods = {
        "test_resnet": None,
        "test_vit": 503,
        "test_efficientnet": "silent",
        "test_convnext": "cut",
        "test_byobnet": "other",
    }
    words = {
        "test_resnet": "has no weights at timm/test_resnet.r160_in1k",
        "test_vit": "503",
        "test_efficientnet": "timed out",
        "test_convnext": "the download broke off: peer closed connection",
        "test_byobnet": "what came is not what was announced (SHA-256)",
    }
    with small_hub() as hub:
        for name, mood in moods.items():
            hub.moods[repository(name)] = mood
            if mood is not None:
                data = safetensors.torch.save({"a": torch.arange(1000.0)})
                hub.files[f"{repository(name)}/model.safetensors"] = data
        started = time.monotonic()
        codes, _, err = commands(
            tmp_path,
            hub.url,
            *(train_line(photos, name, "--pretrained") for name in moods),
            train_line(photos, "test_resnet", "--fast-dev"),
        )
        assert time.monotonic() - started < 120
    assert codes == [4] * 5 + [0], err
    for name, why in words.items():
        said = [line for line in err.splitlines() if f"no pretrained weights for {name}: " in line]
        assert any(why in line for line in said), err
    assert "training from scratch: no pretrained weights of test_resnet: " in err
    assert "--no-pretrained" in err
    assert not list((tmp_path / "hub").rglob("*.incomplete"))


def test_a_download_that_begins_anew_for_ever_is_ended():
    """The client's bar is turned back each time; the fourth time is too often."""
    bar = _bar()(total=10, disable=True)
    for _ in range(RESTARTS):
        bar.update(5)
        bar.update(-5)
    with pytest.raises(OSError, match="the server cut it 4 times"):
        bar.update(-5)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("http://me:pass@hub.lan:8080", "http://hub.lan:8080"),
        (
            "404 Not Found for url 'https://me:p@hub.lan/a@main/f.bin?sig=abc&t=1' (Request: 7?)",
            "404 Not Found for url 'https://hub.lan/a@main/f.bin' (Request: 7?)",
        ),
        ("mail me@hub.lan, why?", "mail me@hub.lan, why?"),
    ],
)
def test_addresses_are_told_without_secrets(said, told):
    """User, password and signature are nobody's business."""
    assert without_secrets(said) == told


def test_a_dead_hub_is_told_at_once(photos, tmp_path):
    """Nobody listens: code 4; the password in the address is kept."""
    with small_hub() as hub:
        url = hub.url
    secret = url.replace("//", "//me:pass@")
    codes, _, err = commands(tmp_path, secret, train_line(photos, "test_resnet", "--pretrained"))
    assert codes == [4]
    assert f"no pretrained weights for test_resnet: {url} says: " in err
    assert "pass@" not in err
