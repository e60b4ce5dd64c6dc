"""``--teacher`` through the command line."""

import json
import shutil

import pytest
from conftest import TINY, make_folder

from imgtrain.errors import RunError
from imgtrain.settings.schema import Settings
from imgtrain.teaching import teacher_file

SHORT = [*TINY, "--epochs", "2", "--augmentation-policy", "none", "--device", "cpu"]


@pytest.mark.slow
def test_a_run_teaches_another(imgtrain, photos, tmp_path):
    """By name; kept in its identity, refused with other classes, noticed when it changed."""
    train = ["train", "--data", photos, *SHORT]
    assert imgtrain(*train, "--name", "teacher").code == 0
    teach = [*train, "--teacher", "teacher", "--distill-alpha", "0.9", "--name", "student"]
    taught = imgtrain(*teach, "--channels", "1", "--json")
    provenance = json.loads((tmp_path / "work/runs/student/provenance.json").read_text())

    assert taught.code == 0, taught.err
    assert "teacher teacher: 0.9 of the loss, temperature 3" in taught.words
    assert provenance["asked"]["loss.teacher"].startswith("teacher (")

    others = make_folder(tmp_path / "others", {"left": 20, "right": 20})
    refused = imgtrain("train", "--data", others, *SHORT, "--teacher", "teacher")
    assert refused.code == 2
    assert "left, middle, right; the pictures are of left, right" in refused.words

    run = tmp_path / "work/runs/teacher"
    file = run / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    changed = imgtrain("train", "--resume", "student", "--data", photos)
    assert changed.code == 6
    assert "--teacher teacher is not the one that it began with" in changed.words

    shutil.rmtree(run)
    gone = imgtrain(*teach)
    assert gone.code == 6
    assert "no run 'teacher'" in gone.words


def test_latest_is_no_teacher():
    """When the student goes on, it would be the student."""
    with pytest.raises(RunError, match="--teacher latest"):
        teacher_file(Settings.model_validate({"loss": {"teacher": "latest"}}))
