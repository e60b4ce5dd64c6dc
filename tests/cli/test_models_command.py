"""``imgtrain models``: lists, summaries, and what it refuses."""

import json

import pytest
import timm

from imgtrain.cli import run


@pytest.fixture
def models(capfd, tmp_path, monkeypatch):
    """Run the command with a cache of its own; returns code, stdout, stderr."""
    monkeypatch.setenv("IMGTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        capfd.readouterr()
        code = run(["models", *arguments])
        return (code, *capfd.readouterr())

    return command


def names(out):
    return [line.split()[0] for line in out.splitlines()[1:]]


@pytest.mark.parametrize("pattern", ["test_resnet", "TEST_RES", "test_res*t"])
def test_names_match_by_part_or_whole_without_capitals(models, pattern):
    """Without a wildcard a part is enough."""
    code, out, _ = models(pattern)
    assert code == 0
    assert names(out) == ["test_resnet"]


def test_a_row_says_what_a_model_is(models):
    """Parameters of timm's own network, its size, its weights, and whether they are here."""
    parameters = sum(p.numel() for p in timm.create_model("test_vit").parameters())
    _, out, _ = models("test_vit", "--json")
    row = next(row for row in json.loads(out) if row["name"] == "test_vit")
    assert row == {
        "name": "test_vit",
        "parameters": parameters,
        "size": 160,
        "weights": ["r160_in1k"],
        "cached": row["cached"],
    }


def test_parameters_are_remembered(models, tmp_path):
    """In the cache folder, for this version of timm; a broken file is written again."""
    _, first, _ = models("test_resnet")
    kept = tmp_path / "cache" / "models" / f"timm-{timm.__version__}.json"
    assert json.loads(kept.read_text()) == {"test_resnet": 469688}
    kept.write_text('{"test_resnet": 12340000}')
    assert "12.34 M" in models("test_resnet")[1]
    kept.write_text("{")
    assert models("test_resnet")[1] == first


def test_long_lists_say_how_much_is_left(models):
    """--limit cuts, and tells."""
    code, out, err = models("test_*", "--limit", "2")
    assert code == 0
    assert len(names(out)) == 2
    assert f"{len(timm.list_models('test_*')) - 2} more match; --limit 0" in err


def test_only_models_with_weights(models):
    """--pretrained leaves out the others."""
    _, everything, _ = models("resnetv2_18*", "--json")
    _, some, _ = models("resnetv2_18*", "--json", "--pretrained")
    assert {row["name"] for row in json.loads(some)} == {
        row["name"] for row in json.loads(everything) if row["weights"]
    }


def test_families_are_listed_without_a_pattern(models):
    """Every model of timm's is of one; counted by timm's own filter."""
    code, out, _ = models("--json")
    found = {family["name"]: family for family in json.loads(out)}
    assert code == 0
    assert sum(family["models"] for family in found.values()) == len(timm.list_models())
    assert found["vgg"]["models"] == len(timm.list_models(module="vgg"))


def test_an_unknown_name_is_refused_with_the_nearest(models):
    """Exit code 2, on the list as in a summary."""
    code, _, err = models("resnot18")
    assert code == 2
    assert "knows no model like resnot18; near: resnet18" in err
    code, _, err = models("resnot18", "--summary")
    assert code == 2
    assert "did you mean 'resnet18'?" in err


def test_a_summary_is_of_one_model_and_these_settings(models):
    """The table ends with the sums; the settings shape the network."""
    code, out, _ = models(
        "test_resnet", "--summary", "--image-size", "64", "--channels", "1", "--classes", "5",
        "--head", "mlp", "--attention", "se", "--precision", "fp32",
    )  # fmt: skip
    assert code == 0
    assert "MlpHead" in out
    assert out.splitlines()[-2].startswith("sum")
    assert "64 x 64 x 1" in out.splitlines()[-1]
    _, plain, _ = models("test_resnet", "--summary", "--json", "--precision", "fp32")
    assert json.loads(plain)["image_size"] == 160
    assert json.loads(plain)["parameters"] == 469688


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["test_resnet", "test_vit", "--summary"], "--summary is of one model"),
        (["test_vit", "--classes", "3"], "--classes has an effect only with --summary"),
        (["test_vit", "--summary", "--attention", "se"], "--attention: test_vit"),
        (["test_vit", "--summary", "--stem", "small"], "--stem small: test_vit"),
    ],
)
def test_contradictions_are_refused(models, arguments, words):
    """As in training, with exit code 2."""
    code, _, err = models(*arguments)
    assert code == 2
    assert words in err
