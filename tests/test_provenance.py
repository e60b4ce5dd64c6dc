"""What a run's record says, and what it keeps to itself."""

import json
from types import SimpleNamespace

from imgtrain.provenance import settings_record, shareable
from imgtrain.settings.layers import from_flat, to_yaml


def test_a_databases_password_is_in_no_record(tmp_path):
    """Neither in the settings of a training nor of folds, whoever gave it: a file or a variable."""
    settings = from_flat({"tune.storage": "postgresql://ann:s3cret@db/x", "train.seed": 3})
    index = SimpleNamespace(root=str(tmp_path), fingerprint="f")
    found = settings_record(settings, settings, {"train.seed": "file exp.yaml"}, index)

    assert "s3cret" not in json.dumps(found) + to_yaml(shareable(settings))
    assert found["settings"]["train.seed"] == 3
    assert found["origins"]["train.seed"] == "file exp.yaml"
