"""Networks, their recipes, and the file that carries both."""

import json
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from small import PREPROCESS

from imgtrain.engine.model import (
    build,
    check_name,
    check_small_stem,
    has_small_stem,
    small_stem_fits,
)
from imgtrain.engine.recipe import FORMAT, Recipe
from imgtrain.engine.weights import read_model, read_start, save_model
from imgtrain.errors import RunError, SettingsError


def recipe_of(architecture="test_resnet", *, size=64, **changes):
    preprocess = replace(PREPROCESS, size=size, side=size, channels=3, mean=(0.5,) * 3)
    known = {"stem": "standard", "drop_rate": 0.0, "drop_path": 0.0}
    return Recipe(
        architecture=architecture,
        classes=("a", "ü", "c\n"),
        preprocess=replace(preprocess, std=(0.25,) * 3),
        **known | changes,
    )


def saved(folder, recipe=None):
    """A model's file; returns its path, network and recipe."""
    recipe = recipe or recipe_of()
    torch.manual_seed(1)
    model = build(recipe)
    save_model(folder / "model.safetensors", model, recipe)
    return folder / "model.safetensors", model, recipe


@pytest.mark.parametrize(
    "recipe",
    [
        recipe_of(),
        recipe_of(stem="small", size=32),
        recipe_of("test_vit", size=96),
        recipe_of(drop_rate=0.3, drop_path=0.1),
    ],
    ids=["plain", "small stem", "vit of another size", "dropout"],
)
def test_a_model_comes_back_as_it_was_saved(tmp_path, recipe):
    """Every tensor to the bit, the classes in order, the preprocessing; ready to score."""
    path, model, _ = saved(tmp_path, recipe)
    found, known = read_model(path)

    assert known == recipe
    own = model.state_dict()
    assert found.state_dict().keys() == own.keys()
    assert all(torch.equal(v, own[k]) for k, v in found.state_dict().items())
    assert not found.training
    pixels = torch.rand(2, 3, recipe.preprocess.size, recipe.preprocess.size)
    with torch.inference_mode():
        assert torch.equal(found(pixels), model.eval()(pixels))


def feature_map(architecture, stem):
    """Shape of the last feature map for a picture of 64 pixels."""
    with torch.device("meta"):
        model = build(recipe_of(architecture, stem=stem)).eval()
        return tuple(model.forward_features(torch.zeros(1, 3, 64, 64)).shape)


@pytest.mark.parametrize(
    ("architecture", "factor"),
    [
        ("resnet18", 4),
        ("resnet50d", 4),
        ("densenet121", 4),
        ("resnetv2_50", 4),
        ("regnety_004", 2),
        ("mobilenetv3_small_100", 2),
        ("efficientnet_b0", 2),
    ],
)
def test_the_small_stem_keeps_small_pictures_large(architecture, factor):
    """Of 64 pixels 32 x 2 are left without it: the first stride, and the pooling, are gone."""
    _, channels, height, width = feature_map(architecture, "standard")
    assert (height, width) == (2, 2)
    assert feature_map(architecture, "small") == (1, channels, 2 * factor, 2 * factor)
    assert has_small_stem(architecture)


@pytest.mark.parametrize("architecture", ["convnext_tiny", "vit_tiny_patch16_224"])
def test_networks_that_start_with_patches_have_no_small_stem(architecture):
    """Refused with the way out when asked for; auto leaves it out."""
    with pytest.raises(SettingsError, match=f"--stem small: {architecture}") as error:
        check_small_stem(architecture)
    assert "--stem standard" in error.value.hint
    assert not small_stem_fits(architecture, 32)


def test_the_small_stem_is_for_small_pictures():
    """auto: up to 48 pixels."""
    assert small_stem_fits("resnet18", 48)
    assert not small_stem_fits("resnet18", 49)


@pytest.mark.parametrize(("size", "patches"), [(224, 196), (96, 36)])
def test_a_vit_takes_pictures_of_another_size(size, patches):
    """Its positions are those of the size asked for, not of the one it was made for."""
    with torch.device("meta"):
        model = build(recipe_of("vit_tiny_patch16_224", size=size)).eval()
        assert model(torch.zeros(1, 3, size, size)).shape == (1, 3)
    assert model.patch_embed.num_patches == patches


@pytest.mark.parametrize("size", [8, 40])
def test_pictures_that_patches_do_not_cover_are_refused(size):
    """With a size that fits."""
    with pytest.raises(SettingsError, match=f"--image-size {size}: test_vit cuts") as error:
        build(recipe_of("test_vit", size=size))
    assert f"--image-size {16 if size < 16 else 48}" in error.value.hint


@pytest.mark.parametrize("channels", [1, 3])
def test_classes_and_channels_shape_the_network(channels):
    """One output a class, one input a channel."""
    recipe = recipe_of()
    grey = replace(recipe, preprocess=replace(recipe.preprocess, channels=channels))
    with torch.device("meta"):
        assert build(grey)(torch.zeros(2, channels, 64, 64)).shape == (2, 3)


def test_an_unknown_name_is_refused_with_the_nearest():
    """The name, timm's version, the nearest one."""
    with pytest.raises(SettingsError, match=r"--model resnet81: timm [0-9.]+.*mean 'resnet") as e:
        check_name("resnet81")
    assert "imgtrain models" in e.value.hint


def test_a_setting_that_the_network_does_not_have_is_refused():
    """Stochastic depth where there are no blocks: one sentence, no traceback."""
    with pytest.raises(SettingsError, match="--model vgg11 does not take these settings"):
        build(recipe_of("vgg11", drop_path=0.1))


@pytest.mark.parametrize(
    "cut",
    [
        lambda data: data[:0],
        lambda data: data[:7],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"\0",
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: (1 << 40).to_bytes(8, "little") + data[8:],
        lambda data: b"PK\x03\x04" + data,
    ],
    ids=["empty", "short", "half", "longer", "huge header", "header of 1 TB", "zip"],
)
def test_a_broken_file_is_refused(tmp_path, cut):
    """The path in one sentence; no memory is taken on the header's word."""
    path, _, _ = saved(tmp_path)
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(RunError, match=r"model\.safetensors is broken or no safetensors file"):
        read_model(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    """With its path."""
    with pytest.raises(RunError, match=r"no such model file: .*m\.safetensors"):
        read_model(tmp_path / "m.safetensors")


def test_weights_without_a_recipe_are_refused(tmp_path):
    """With what they are good for."""
    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(RunError, match="no imgtrain recipe") as error:
        read_model(path)
    assert "--weights" in error.value.hint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": "test_vit"}, "does not fit its own recipe"),
        ({"architecture": "resnet81"}, "does not fit its own recipe"),
        ({"classes": ["a", "b"]}, "does not fit its own recipe"),
        ({"classes": None}, "recipe is incomplete"),
        ({"preprocess": {"size": 64}}, "recipe is incomplete"),
        ({"format": FORMAT + 1}, "later version of imgtrain"),
        ([], "does not fit its own recipe"),
    ],
)
def test_a_recipe_that_does_not_fit_the_weights_is_refused(tmp_path, change, words):
    """Another network, other classes, something missing, a later format: one sentence each."""
    path, model, recipe = saved(tmp_path)
    changed = recipe.to_dict() | change if isinstance(change, dict) else change
    safetensors.torch.save_file(
        dict(model.state_dict()), path, metadata={"imgtrain": json.dumps(changed)}
    )
    with pytest.raises(RunError, match=words):
        read_model(path)


def test_a_recipe_that_is_no_json_is_refused(tmp_path):
    """As any other that does not fit."""
    path, model, _ = saved(tmp_path)
    safetensors.torch.save_file(dict(model.state_dict()), path, metadata={"imgtrain": "{"})
    with pytest.raises(RunError, match="does not fit its own recipe"):
        read_model(path)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"state_dict": s}])
def test_weights_are_found_in_the_usual_wrappings(tmp_path, wrap):
    """Plain, under model or state_dict, with the prefix of DataParallel."""
    own = build(recipe_of()).state_dict()
    torch.save(wrap({f"module.{k}": v for k, v in own.items()}), tmp_path / "w.pt")
    found = read_start(str(tmp_path / "w.pt"), tmp_path).tensors
    assert found.keys() == own.keys()
    assert all(torch.equal(found[k], v) for k, v in own.items())


def test_weights_of_a_run_are_found_by_its_name(tmp_path):
    """In the folder of the runs."""
    (tmp_path / "first").mkdir()
    _, model, recipe = saved(tmp_path / "first")
    found = read_start("first", tmp_path)
    assert found.tensors.keys() == model.state_dict().keys()
    assert found.recipe == recipe
    with pytest.raises(RunError, match="--weights secnd: no such file or run"):
        read_start("secnd", tmp_path)
