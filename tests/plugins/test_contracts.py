"""What a plugin's functions are given, and what is refused when they give something else."""

import numpy as np
import pytest
import torch

from imgtrain.data.index import read_index
from imgtrain.engine.loss import cross_entropy, make_loss
from imgtrain.engine.model import build, check_model
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.weights import read_model, save_model
from imgtrain.errors import DataError, RunError, SettingsError
from imgtrain.loading.policies.apply import variation
from imgtrain.loading.policies.catalog import CATALOG
from imgtrain.loading.preprocess import Preprocess
from imgtrain.plugins import (
    listing,
    register_augmentation,
    register_loss,
    register_model,
    register_source,
)
from imgtrain.registry import AUGMENTATIONS, LOSSES, POLICIES, SOURCES
from imgtrain.settings.effects import idle
from imgtrain.settings.schema import AugmentSettings, LossSettings, ModelSettings, Settings

pytestmark = pytest.mark.usefixtures("work")

GREY = Preprocess(
    size=8, side=8, channels=1, background=(255,) * 3, max_pixels=100, mean=(0.5,), std=(0.5,)
)


def recipe(name, **changes):
    values = {"stem": "standard", "drop_rate": 0.0, "drop_path": 0.0, "plugin": __name__}
    return Recipe(architecture=name, classes=("a", "b", "c"), preprocess=GREY, **values | changes)


def linear(*, classes, channels, size):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(channels * size * size, classes))


def test_what_ships_is_registered_where_it_says():
    """Every shipped name leads to a function."""
    for table in (LOSSES, POLICIES, SOURCES):
        assert all(callable(table[name]) for name in table.names())
        assert {table.plugin(name) for name in table.names()} == {None}
    assert not set(AUGMENTATIONS.names()) & set(CATALOG)


def test_a_model_is_built_saved_and_read(tmp_path):
    """Its weights and the name of its plugin travel; without the plugin the file is refused."""
    register_model("lin")(linear)
    torch.manual_seed(0)
    model = build(recipe("lin"))
    save_model(tmp_path / "model.safetensors", model, recipe("lin"))

    again, read = read_model(tmp_path / "model.safetensors")
    pictures = torch.rand(2, 1, 8, 8)
    assert torch.equal(again(pictures), model(pictures))
    assert read == recipe("lin")

    from imgtrain.registry import MODELS

    MODELS.forget(__name__)
    with pytest.raises(RunError, match=f"needs the plugin {__name__}"):
        read_model(tmp_path / "model.safetensors")


def test_trying_a_model_leaves_no_trace():
    """The weights, the generator and the mode are those of the function itself."""
    register_model("lin")(
        lambda *, classes, channels, size: torch.nn.Sequential(
            linear(classes=classes, channels=channels, size=size), torch.nn.BatchNorm1d(classes)
        )
    )
    torch.manual_seed(3)
    model = build(recipe("lin"))
    after = torch.rand(1)

    torch.manual_seed(3)
    other = linear(classes=3, channels=1, size=8)
    assert torch.equal(model[0][1].weight, other[1].weight)
    assert torch.equal(after, torch.rand(1))
    assert model.training
    assert model[1].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda **_: torch.nn.Flatten(), r"gives \(2, 64\) for 2"),
        (lambda **_: "net", "gives str, not a torch.nn.Module"),
    ],
)
def test_models_that_do_not_fit(function, told):
    """One logit a class."""
    register_model("odd")(function)

    with pytest.raises(SettingsError, match=told):
        build(recipe("odd"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"drop_rate": 0.5}, "has no parameter 'drop_rate'"),
        ({"drop_path": 0.5}, "has no parameter 'drop_path'"),
        ({"drop_block": 0.5}, "has no parameter 'drop_block'"),
        ({"head": "mlp"}, "has its own classifier"),
        ({"attention": "se"}, "has no stages that are known"),
    ],
)
def test_what_a_model_does_not_have(settings, told):
    """Settings that a plugin's network would ignore are refused."""
    register_model("lin")(linear)

    check_model(ModelSettings(name="lin"))
    with pytest.raises(SettingsError, match=told):
        check_model(ModelSettings(name="lin", **settings))


def test_a_loss_gets_what_it_asks_for():
    """Its keyword-only parameters, by the names of the settings; written so, ours is the same."""

    @register_loss("same")
    def same(logits, targets, *, label_smoothing, weights):
        return cross_entropy(logits, targets, label_smoothing=label_smoothing, weights=weights)

    logits, targets = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    weights = torch.tensor([1.0, 2.0, 0.5])
    ours, theirs = (
        make_loss(LossSettings(name=name, label_smoothing=0.2), weights) for name in ("ce", "same")
    )

    assert torch.equal(ours(logits, targets), theirs(logits, targets))


def test_losses_that_do_not_fit():
    """One loss a picture; class weights only where they are taken."""
    register_loss("mean")(lambda logits, targets: (logits.sum(1) - targets).mean())

    with pytest.raises(SettingsError, match="does not weight classes"):
        make_loss(LossSettings(name="mean"), torch.ones(3))
    loss = make_loss(LossSettings(name="mean"), None)
    with pytest.raises(SettingsError, match=r"gives \(\) for 4 pictures"):
        loss(torch.zeros(4, 3), torch.zeros(4))


def test_an_augmentation_is_a_policy_and_an_operation():
    """The same numbers, the same picture; arguments come from the list."""

    @register_augmentation("spots")
    def spots(pixels, rng, *, grey=255):
        pixels = pixels.copy()
        pixels[rng.integers(8), rng.integers(8)] = grey
        return pixels

    black = np.zeros((8, 8, 1), np.uint8)
    whole = {"policy": "custom", "custom": [{"name": "spots", "args": {"grey": 7}}]}
    for augment, grey in (({"policy": "spots"}, 255), (whole, 7)):
        vary = variation(AugmentSettings(**augment), size=8, channels=1, natural=False)
        first, again = (vary(black, np.random.default_rng(4)) for _ in range(2))
        assert (first == again).all()
        assert first.sum() == grey
    assert black.sum() == 0


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda pixels, rng: pixels.fill(0), "read-only"),  # noqa: ARG005  # the operation's signature
        (lambda pixels, rng: pixels / 255, "of float64"),  # noqa: ARG005  # the operation's signature
        (lambda pixels: pixels, "positional argument"),
    ],
)
def test_augmentations_that_do_not_fit(function, told):
    """Tried once on a grey square, before anything trains."""
    register_augmentation("odd")(function)

    with pytest.raises(SettingsError, match=told):
        variation(AugmentSettings(policy="odd"), size=8, channels=1, natural=False)


def test_a_mirror_is_refused_where_mirroring_is():
    """``--no-flip`` counts for plugins, too."""
    register_augmentation("turned", mirrors=True)(lambda pixels, _: pixels[:, ::-1])

    variation(AugmentSettings(policy="turned"), size=8, channels=1, natural=False)
    with pytest.raises(SettingsError, match=r"operation 'turned' .* mirrors"):
        variation(AugmentSettings(policy="turned", flip=False), size=8, channels=1, natural=False)


def test_a_source_lists_in_its_own_order_and_ours():
    """By part, class and path; reading follows; another order is the same index."""
    paths, labels = ["b/1", "a/1", "b/0", "a/0"], ["b", "a", "b", "a"]
    parts = ["test", "train", "train", "train"]

    def read(i):
        return f"{paths[i]}!".encode()

    register_source("two")(lambda text: listing(paths, labels, read, parts=parts))  # noqa: ARG005  # the source's signature
    first = read_index("two:x")
    found = [first.source.path(i) for i in range(4)]
    assert found == ["a/0", "a/1", "b/0", "b/1"]
    assert [first.source.read(i).decode() for i in range(4)] == [f"{path}!" for path in found]
    assert first.labels.tolist() == [0, 0, 1, 1]
    assert first.given.tolist() == [0, 0, 0, 2]

    for values in (paths, labels, parts):
        values.reverse()
    assert read_index("two").fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: "nothing", "gives str, not a Listing"),
        (lambda: listing(["a"], ["x", "y"], bytes), "1 paths, and other numbers"),
        (lambda: listing(["a", "a"], ["x", "y"], bytes), "lists 'a' twice"),
        (lambda: listing(["a"], ["x"], bytes, parts=["trian"]), "the part 'trian'"),
        (lambda: listing([], [], bytes), "it lists no pictures"),
        (lambda: listing(["a", "b"], ["x", "x"], bytes), "only one class, 'x'"),
    ],
)
def test_sources_that_do_not_fit(make, told):
    """An error about the data, exit code 3."""
    register_source("odd")(lambda text: make())  # noqa: ARG005  # the source's signature

    with pytest.raises(DataError, match=told):
        read_index("odd:")


def test_what_is_on_disk_comes_first(work):
    """A folder that is called like a source is a folder."""
    register_source("mine")(lambda text: 1 / 0)  # noqa: ARG005  # the source's signature
    (work / "mine:x").mkdir()

    with pytest.raises(DataError, match="mine:x has no pictures and no class folders"):
        read_index("mine:x")


def test_a_loss_that_does_not_smooth():
    """``--label-smoothing`` is idle with a loss that does not take it."""
    register_loss("plain")(lambda logits, targets: logits[:, 0] * targets)
    register_loss("smooth")(lambda logits, targets, *, label_smoothing: logits[:, 0] * targets)  # noqa: ARG005  # the loss's signature

    for name, expected in (("plain", ["loss.label_smoothing"]), ("smooth", []), ("ce", [])):
        settings = Settings(loss=LossSettings(name=name, label_smoothing=0.3))
        assert [e.key for e in idle(settings, ["loss.label_smoothing"])] == expected
