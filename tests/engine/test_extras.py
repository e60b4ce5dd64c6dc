"""Heads, attention, spatial dropout: what they add to a network, and where they are refused."""

import copy
from dataclasses import replace

import pytest
import torch
from test_models import recipe_of
from timm.layers.cbam import CbamModule
from timm.layers.eca import EcaModule
from timm.layers.squeeze_excite import SEModule
from torch import nn

from imgtrain.engine.model import build, check_model
from imgtrain.engine.optim import parameter_groups
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.weights import read_model, save_model
from imgtrain.errors import RunError, SettingsError
from imgtrain.settings.schema import ModelSettings, Settings

KINDS = {"se": SEModule, "eca": EcaModule, "cbam": CbamModule}


def built(**changes):
    torch.manual_seed(3)
    return build(recipe_of(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"head": "mlp", "drop_rate": 0.2},
        {"attention": "cbam", "attention_index": 2, "stem": "small", "size": 32},
        {"attention": "se", "head": "mlp", "drop_block": 0.1, "drop_path": 0.1},
    ],
)
def test_extras_come_back_with_the_weights(tmp_path, changes):
    """The recipe builds them again, and every score is the same to the bit."""
    model, recipe = built(**changes).eval(), recipe_of(**changes)
    save_model(tmp_path / "m.safetensors", model, recipe)
    found, known = read_model(tmp_path / "m.safetensors")

    assert known == recipe
    pixels = torch.rand(2, 3, 32, 32).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.equal(found(pixels), model(pixels))


def test_recipes_of_earlier_versions_have_the_defaults():
    """Format 1 knew neither heads nor attention: one layer, and none."""
    old = recipe_of().to_dict() | {"format": 1}
    for name in ("head", "drop_block", "attention", "attention_index"):
        del old[name]
    assert Recipe.from_dict(old) == recipe_of()
    del old["stem"]
    with pytest.raises(RunError, match="incomplete"):
        Recipe.from_dict(old)


@pytest.mark.parametrize(
    ("architecture", "layer"),
    [("test_resnet", nn.Linear), ("test_vit", nn.Linear), ("resnetv2_18", nn.Conv2d)],
)
def test_the_mlp_head_is_two_layers_as_wide_as_the_features(architecture, layer):
    """F x F + F, a norm of 2 F, F x C + C; the rest of the network stays as it was."""
    with torch.device("meta"):
        plain, mlp = (
            build(recipe_of(architecture, head=head, size=160)) for head in ("linear", "mlp")
        )
    head, width = mlp.get_classifier(), plain.num_features
    assert isinstance(head.hidden, layer)
    assert sum(p.numel() for p in head.parameters()) == width * width + 3 * width + 3 * width + 3
    own = {id(p) for p in head.parameters()}
    rest = {name for name, p in mlp.named_parameters() if id(p) not in own}
    before = {id(p) for p in plain.get_classifier().parameters()}
    assert rest == {name for name, p in plain.named_parameters() if id(p) not in before}


def test_the_mlp_head_is_linear_norm_gelu_linear():
    """The same numbers as the layers one after the other."""
    model = built(head="mlp", drop_rate=0.5).eval()
    head = model.get_classifier()
    features = torch.rand(4, model.num_features)
    hidden = nn.functional.layer_norm(head.hidden(features), (model.num_features,))
    torch.testing.assert_close(head(features), head.out(nn.functional.gelu(hidden)))
    assert head.drop.p == 0.5


def test_both_classifiers_of_a_distilled_net_become_heads():
    """Deit's second one too; the network still answers for each class."""
    with torch.device("meta"):
        model = build(recipe_of("deit_tiny_distilled_patch16_224", head="mlp", size=224)).eval()
        assert model(torch.zeros(2, 3, 224, 224)).shape == (2, 3)
    assert [hasattr(head, "hidden") for head in model.get_classifier()] == [True, True]


def test_a_head_that_is_an_mlp_already_stays():
    """caformer's: refused with the way out."""
    with pytest.raises(SettingsError, match="--head mlp: the classifier of caformer_s18") as error:
        check_model(ModelSettings(name="caformer_s18", head="mlp"))
    assert "--head linear" in error.value.hint


def test_the_whole_head_learns_at_the_heads_rate():
    """With --head-lr-factor as with --layer-decay, all its weights are the last layer's."""
    model = built(head="mlp")
    groups = parameter_groups(model, 0.05, layer_decay=0.5, head_factor=10.0)
    own = {id(p) for p in model.get_classifier().parameters()}
    scales = {g["lr_scale"] for g in groups for p in g["params"] if id(p) in own}
    others = {g["lr_scale"] for g in groups for p in g["params"] if id(p) not in own}
    assert scales == {10.0}
    assert max(others) < 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stem", ["standard", "small"])
def test_attention_is_timms_layer_after_the_stage(kind, stem):
    """What leaves the stage has gone through the block, and the names of the rest stay."""
    torch.manual_seed(3)
    plain = build(recipe_of(stem=stem)).eval()
    model = built(stem=stem, attention=kind, attention_index=2).eval()
    block = model.layer2.attention
    assert isinstance(block, KINDS[kind])
    added = model.state_dict().keys() - plain.state_dict().keys()
    assert added == {f"layer2.attention.{name}" for name in block.state_dict()}
    assert plain.state_dict().keys() < model.state_dict().keys()
    model.load_state_dict(plain.state_dict(), strict=False)
    inputs = torch.rand(2, plain.layer2[0].conv1.in_channels, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(model.layer2(inputs), block(plain.layer2(inputs)))


def test_the_last_stage_is_the_default():
    """Without --attention-index."""
    assert hasattr(built(attention="se").layer4, "attention")


def test_stages_that_are_no_sequences_get_the_block_behind_them():
    """Regnet's and convnext's stages run themselves; a copy of the net runs its own block."""
    model = built(architecture="regnety_002", attention="eca", attention_index=1, size=64).eval()
    twin = copy.deepcopy(model)
    inputs = torch.rand(1, 32, 16, 16)
    with torch.no_grad():
        twin.attention.conv.weight.zero_()  # every channel times sigmoid(0)
    plain = build(recipe_of("regnety_002", size=64)).eval()
    plain.load_state_dict({k: v for k, v in twin.state_dict().items() if "attention" not in k})

    torch.testing.assert_close(twin.s1(inputs), plain.s1(inputs) / 2)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_attention_takes_part_in_learning(checkpointed):
    """Its weights get gradients, whether activations are kept or computed again."""
    model = built(attention="cbam", attention_index=3)
    model.set_grad_checkpointing(checkpointed)
    model.train()(torch.rand(2, 3, 32, 32)).sum().backward()
    assert all(p.grad is not None for p in model.layer3.attention.parameters())


@pytest.mark.parametrize("name", ["test_vit", "swin_tiny_patch4_window7_224", "vgg11"])
def test_attention_is_for_staged_convolutional_nets(name):
    """Tokens, maps with channels last, and nets without stages: refused with an example."""
    with pytest.raises(SettingsError, match=f"--attention: {name} is no staged") as error:
        check_model(ModelSettings(name=name, attention="se"))
    assert "resnet18" in error.value.hint


def test_a_stage_that_is_not_there_is_refused_with_those_that_are():
    """By number and name."""
    with pytest.raises(
        SettingsError, match=r"has 4 stages: 1 layer1, 2 layer2, 3 layer3, 4 layer4"
    ):
        check_model(ModelSettings(name="test_resnet", attention="se", attention_index=5))
    check_model(ModelSettings(name="test_resnet", attention="se", attention_index=4))


def test_a_stage_without_attention_is_refused():
    """By the settings' own rules, with both ways out."""
    with pytest.raises(SettingsError, match="--attention-index 2 names a stage") as error:
        Settings.model_validate({"model": {"attention_index": 2}})
    assert "--attention se" in error.value.hint


@pytest.mark.parametrize("name", ["test_resnet", "gernet_s"])
def test_spatial_dropout_reaches_the_blocks(name):
    """Timm's DropBlock in the last stages: some values of training passes are 0, none of others."""
    check_model(ModelSettings(name=name, drop_block=0.3))
    model = build(replace(recipe_of(name, drop_block=0.3)))
    rates = [m.drop_prob for m in model.modules() if type(m).__name__ == "DropBlock2d"]
    assert rates
    assert set(rates) == {0.3}


@pytest.mark.parametrize("name", ["test_vit", "vgg11", "regnety_002", "test_efficientnet"])
def test_spatial_dropout_is_refused_where_there_is_none(name):
    """With families that have it."""
    with pytest.raises(SettingsError, match=f"--drop-block: the blocks of {name}") as error:
        check_model(ModelSettings(name=name, drop_block=0.1))
    assert "resnet18" in error.value.hint


def test_stochastic_depth_is_refused_where_there_is_none():
    """Before any weight is made."""
    with pytest.raises(SettingsError, match="--model vgg11 does not take") as error:
        check_model(ModelSettings(name="vgg11", drop_path=0.1))
    assert "leave out --drop-path" in error.value.hint


def test_a_map_that_is_dropped_whole_breaks_nothing_in_fp16():
    """Its rest is scaled by a number beyond fp16: running means stay finite all the same."""
    torch.manual_seed(2)
    model = build(recipe_of("test_resnet", size=16, drop_block=0.9)).train()
    for _ in range(6):
        with torch.autocast("cpu", torch.float16):
            logits = model(torch.rand(2, 3, 32, 32))
        assert logits.isfinite().all()

    assert all(b.isfinite().all() for b in model.buffers() if b.is_floating_point())
