"""Starting from another training's weights: what is taken, adapted, left, and said."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from test_models import recipe_of, saved
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models import adapt_input_conv

from imgtrain.engine.model import build
from imgtrain.engine.transfer import Start, take_over
from imgtrain.engine.weights import read_start
from imgtrain.errors import RunError


def taken_over(mine, theirs, *, with_recipe=True):
    """Tensors before, theirs, after, and what was said."""
    torch.manual_seed(1)
    start = Start(build(theirs).state_dict(), theirs if with_recipe else None)
    torch.manual_seed(2)
    model = build(mine)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    taken = take_over(model, start, mine, "there")
    return before, start.tensors, model.state_dict(), taken


def of_classes(*classes, **changes):
    return replace(recipe_of(**changes), classes=classes)


def same(after, source, names):
    return all(torch.equal(after[name], source[name]) for name in names)


def test_the_same_training_is_taken_whole(tmp_path):
    """Every tensor, by the file of a run."""
    path, model, recipe = saved(tmp_path)
    torch.manual_seed(2)
    mine = build(recipe)
    taken = take_over(mine, read_start(str(path), tmp_path), recipe, "there")
    assert same(mine.state_dict(), model.state_dict(), model.state_dict())
    assert str(taken) == f"took {taken.total} of {taken.total} tensors"


def test_other_classes_leave_the_classifier_fresh():
    """None of their names is known: all but the classifier is taken, and it is named."""
    before, theirs, after, taken = taken_over(of_classes("x", "y"), of_classes("a", "b", "c"))
    assert same(after, theirs, before.keys() - {"fc.weight", "fc.bias"})
    assert same(after, before, ("fc.weight", "fc.bias"))
    assert str(taken) == (
        f"took {len(before) - 2} of {len(before)} tensors; fresh: fc.weight, fc.bias"
    )


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_classes_keep_their_rows_by_name(head):
    """In another order, among others, and with as many classes as before."""
    before, theirs, after, taken = taken_over(
        of_classes("c", "new", "a", head=head), of_classes("a", "b", "c", head=head)
    )
    ends = [k for k in before if k.startswith("fc.out." if head == "mlp" else "fc.")]
    assert len(ends) == 2
    for name in ends:
        assert torch.equal(after[name][0], theirs[name][2])
        assert torch.equal(after[name][1], before[name][1])
        assert torch.equal(after[name][2], theirs[name][0])
    assert same(after, theirs, before.keys() - {*ends})
    assert set(taken.adapted) == {*ends}
    assert "(rows of c, a by name)" in str(taken)


def test_a_file_without_names_of_classes_is_taken_by_shape():
    """What the classes are called is not known: three are three."""
    before, theirs, after, _ = taken_over(
        of_classes("c", "b", "a"), of_classes("a", "b", "c"), with_recipe=False
    )
    assert same(after, theirs, before)


@pytest.mark.parametrize(("theirs", "mine"), [(3, 1), (1, 3), (3, 5)])
def test_other_channels_adapt_the_first_convolution(theirs, mine):
    """As timm does for its own weights; the rest is taken as it is."""
    recipe = recipe_of()
    planes = {
        n: replace(
            recipe,
            preprocess=replace(recipe.preprocess, channels=n, mean=(0.5,) * n, std=(0.2,) * n),
        )
        for n in (theirs, mine)
    }
    before, source, after, taken = taken_over(planes[mine], planes[theirs])
    weight = adapt_input_conv(mine, source["conv1.0.weight"].clone(), base_chans=theirs)
    torch.testing.assert_close(after["conv1.0.weight"], weight)
    assert same(after, source, before.keys() - {"conv1.0.weight"})
    assert f"adapted conv1.0.weight ({theirs} to {mine} channels)" in str(taken)


def test_another_size_resamples_the_positions():
    """As timm does; 4 x 4 patches and a class token become 10 x 10."""
    before, source, after, taken = taken_over(
        recipe_of("test_vit", size=160), recipe_of("test_vit", size=64)
    )
    positions = resample_abs_pos_embed(source["pos_embed"], [10, 10], num_prefix_tokens=1)
    torch.testing.assert_close(after["pos_embed"], positions)
    assert same(after, source, before.keys() - {"pos_embed"})
    assert "adapted pos_embed (1 x 17 x 64 to 1 x 101 x 64)" in str(taken)


def test_another_stem_is_fresh():
    """A 7 x 7 convolution is no 3 x 3 one: it stays as it was drawn, and that is said."""
    before, source, after, taken = taken_over(
        recipe_of("resnet18", stem="small", size=32), recipe_of("resnet18", size=64)
    )
    assert same(after, source, before.keys() - {"conv1.weight"})
    assert same(after, before, {"conv1.weight"})
    assert str(taken).endswith("; fresh: conv1.weight")


def test_added_blocks_are_fresh_and_lost_ones_are_named():
    """Attention that only one of the two has."""
    before, source, after, taken = taken_over(recipe_of(attention="se"), recipe_of())
    added = before.keys() - source.keys()
    assert set(taken.left) == added
    assert same(after, source, source)

    *_, lost = taken_over(recipe_of(), recipe_of(attention="se"))
    assert set(lost.unused) == added
    assert "not used: layer4.attention.fc1.weight" in str(lost)


@pytest.mark.parametrize("theirs", ["test_vit", "resnet10t"])
def test_weights_of_another_architecture_are_refused(theirs):
    """By the recipe: what they are, and what to choose."""
    with pytest.raises(RunError, match=f"--weights there holds weights of {theirs}") as error:
        taken_over(recipe_of(), recipe_of(theirs))
    assert f"--model {theirs}" in error.value.hint


def test_a_file_of_which_less_than_half_fits_is_refused():
    """How many fit, and what to choose."""
    with pytest.raises(RunError, match=r"--weights w: 0 of the model's \d+ tensors") as error:
        take_over(build(recipe_of()), Start({"a": torch.zeros(2)}), recipe_of(), "w")
    assert "--model" in error.value.hint


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("words.pt", lambda path: path.write_text("hello")),
        ("format.pt", lambda path: torch.save({"format": "x"}, path)),
        ("deep.safetensors", lambda path: save_file({}, path, {"imgtrain": "[" * 50_000})),
        (
            "number.safetensors",
            lambda path: save_file(
                {}, path, {"imgtrain": json.dumps(recipe_of().to_dict() | {"architecture": 5})}
            ),
        ),
    ],
)
def test_what_is_no_file_of_weights_is_one_sentence(tmp_path, name, write):
    """Whatever the readers below make of it."""
    write(tmp_path / name)
    with pytest.raises(RunError):
        read_start(str(tmp_path / name), tmp_path)


def test_tensors_without_a_name_are_left_out(tmp_path):
    """Names are text; numbers beside them are nobody's."""
    torch.save(
        {"model": {1: torch.ones(2), "module.a": torch.ones(3), "epoch": 4}}, tmp_path / "w.pt"
    )
    assert list(read_start(str(tmp_path / "w.pt"), tmp_path).tensors) == ["a"]
