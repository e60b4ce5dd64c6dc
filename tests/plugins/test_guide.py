"""The example of docs/plugins.md, as its reader would run it."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
MODULE = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)[1]
TRAIN, PREDICT = (
    shlex.split(line)[1:]
    for line in GUIDE.replace("\\\n", "").splitlines()
    if line.startswith("imgtrain ")
)


def in_a_process(arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "imgtrain", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_the_guides_example(work, imgtrain, monkeypatch):
    """A model, a loss, an augmentation and a source together: train, predict, resume."""
    Path("stripes.py").write_text(MODULE)

    ran = in_a_process([*TRAIN, "--device", "cpu", "--json"], work)

    assert ran.returncode == 0, ran.stderr
    metrics = json.loads(ran.stdout)["metrics"]
    assert metrics["test"]["top1"] > 0.6
    assert "policy scratches by stripes" in ran.stderr
    run = work / json.loads(ran.stdout)["run"]
    assert run.name == "stripes-90-two-layers"
    assert (run / "config.yaml").read_text().startswith("plugins: [stripes]\n")

    monkeypatch.syspath_prepend(work)
    import stripes  # for its own pictures

    Path("picture.png").write_bytes(stripes.stripes("3").source.read(0))
    forget("stripes")
    refused = imgtrain("predict", "picture.png")
    assert (refused.code, refused.out) == (6, "")
    assert "needs the plugin stripes\n" in refused.err
    assert "--plugin stripes" in refused.err
    scored = imgtrain(*PREDICT, "--json")
    assert (scored.code, json.loads(scored.out)[0]["pred"]) == (0, "left")

    forget("stripes")
    more = imgtrain("train", "--resume", "latest", "--epochs", "9")
    assert more.code == 0, more.err
    assert "restored last.pt: epoch 9, step 0" in more.err


def forget(name):
    from imgtrain import registry
    from imgtrain.settings import modules

    for table in registry.TABLES:
        table.forget(name)
    modules._imported.discard(name)
    sys.modules.pop(name, None)


@pytest.mark.long
def test_every_process_imports_the_plugin(work):
    """Two processes of one command know the names."""
    Path("stripes.py").write_text(MODULE)
    arguments = [word if word != "8" else "1" for word in TRAIN]

    ran = in_a_process([*arguments, "--device", "cpu", "--processes", "2"], work)

    assert ran.returncode == 0, ran.stderr
    assert "batch 32 = 16 x 1 accumulated x 2 processes" in ran.stderr
