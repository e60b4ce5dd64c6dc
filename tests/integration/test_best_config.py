"""What a search found, on the command line."""

import pytest
import yaml

from imgtrain.settings.layers import from_flat
from imgtrain.tuning.best import write_best


@pytest.mark.slow
def test_the_best_settings_train_and_are_shown(imgtrain, tmp_path):
    """``train -c best_config.yaml`` runs as it is, and ``config show`` gives the values found."""
    folder = tmp_path / "work" / "runs" / "digits-search"
    folder.mkdir(parents=True)
    shared = {"model.name": "test_resnet", "data.image_size": 8, "augment.flip": False}
    found = {"optim.lr": 0.00371, "optim.name": "sgd", "augment.policy": "light"}
    write_best(folder, from_flat({**shared, "train.epochs": 12}), found)
    path = "runs/digits-search/best_config.yaml"

    shown = yaml.safe_load(imgtrain("config", "show", "-c", path).out)
    ran = imgtrain("train", "-c", path, "--fast-dev", "--json")

    assert (shown["optim"]["lr"], shown["optim"]["name"]) == (0.00371, "sgd")
    assert (shown["augment"]["policy"], shown["train"]["epochs"]) == ("light", 12)
    assert ran.code == 0
    assert ran.json["run"] == "runs/digits-search-best"
    assert "warning" not in ran.err
