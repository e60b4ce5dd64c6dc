"""Attention maps against timm's own, against matrices, and against a hand-computed example."""

import pytest
import timm
import torch
from test_last_layer import swin
from timm.models.swin_transformer import SwinTransformerBlock
from timm.utils import AttentionExtract
from torch import nn

from imgtrain.explain.attention import (
    Tokens,
    attention_grid,
    attention_map,
    gradient_attention,
    rollout,
    watched,
)
from imgtrain.explain.windows import Window, Windows


@pytest.fixture(scope="module")
def vit():
    """Six layers of attention over a class token and sixteen patches."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=3, img_size=64).eval()
    for weight in model.parameters():
        weight.requires_grad_(requires_grad=False)
    return model


@pytest.fixture(scope="module")
def inputs():
    torch.manual_seed(1)
    return torch.randn(2, 3, 64, 64)


@pytest.fixture(scope="module")
def of_timm(vit, inputs):
    """Each layer's attention as timm reads it out of the traced graph, (B, heads, N, N)."""
    with watched(vit, []):  # not fused
        graph = AttentionExtract(vit, method="fx")
    with torch.no_grad():
        return list(graph(inputs).values())


def test_maps_are_those_of_timm(vit, inputs, of_timm):
    """Read by hooks or out of a traced graph; the answer is that of fused attention."""
    before = vit(inputs)
    grid = attention_grid(vit, inputs[:1])
    with torch.no_grad(), watched(vit, grid.layers) as maps:
        unfused = vit(inputs)

    assert [block.attn.fused_attn for block in vit.blocks] == [True] * 6
    torch.testing.assert_close(unfused, before)
    for ours, theirs in zip(maps, of_timm, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_fused_attention_comes_back_after_an_error(vit, inputs):
    """Whatever happens in the block."""

    def fail():
        with watched(vit, []):
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert all(block.attn.fused_attn for block in vit.blocks)


def test_one_layer_is_the_row_of_the_class_token(vit, inputs, of_timm):
    """Heads averaged, patches alone, in rows of four."""
    grid = attention_grid(vit, inputs[:1])

    found = attention_map(vit, grid, inputs, 2)

    torch.testing.assert_close(found, of_timm[2].mean(dim=1)[:, 0, 1:].reshape(2, 4, 4))


def test_rollout_is_a_product_of_matrices(vit, inputs, of_timm):
    """Half attention, half identity, layer upon layer; the class token's row."""
    whole = torch.eye(17).expand(2, 17, 17)
    for maps in of_timm:
        whole = (maps.mean(dim=1) + torch.eye(17)) / 2 @ whole

    found = rollout(vit, attention_grid(vit, inputs[:1]), inputs)

    torch.testing.assert_close(found, whole[:, 0, 1:].reshape(2, 4, 4))


class Written(nn.Module):
    """Two layers whose attention is written down: two heads, a class token and one patch."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"attn": nn.ModuleDict({"attn_drop": nn.Identity()})}) for _ in range(2)
        )

    def forward(self, inputs):
        first = torch.tensor([[[0.9, 0.1], [0.6, 0.4]], [[0.7, 0.3], [0.2, 0.8]]])
        second = torch.tensor([[[0.3, 0.7], [0.0, 1.0]], [[0.7, 0.3], [0.2, 0.8]]])
        for block, maps in zip(self.blocks, (first, second), strict=True):
            block["attn"]["attn_drop"](maps.expand(len(inputs), -1, -1, -1))
        return inputs


def test_rollout_of_two_layers_by_hand():
    """Mean heads .8 .2 / .4 .6, then .5 .5 / .1 .9; with the residual .9 .1 / .2 .8 and .75 .25.

    The class token's share of the patch: .75 x .1 + .25 x .8 = .275.
    """
    layers = ("blocks.0.attn.attn_drop", "blocks.1.attn.attn_drop")

    found = rollout(Written(), Tokens(layers, prefix=1, side=1, read_by=(0, 1)), torch.zeros(3, 1))

    torch.testing.assert_close(found, torch.full((3, 1, 1), 0.275))


def relevance(model, grid, inputs, targets):
    """R as Chefer et al. write it, from the identity, with whole matrices."""
    with watched(model, grid.layers) as maps:
        logits = model(inputs.requires_grad_())
        score = logits.gather(1, targets[:, None]).sum()
        slopes = torch.autograd.grad(score, maps)
    count = maps[0].shape[-1]
    whole = torch.eye(count).expand(len(inputs), count, count)
    for attention, slope in zip(maps, slopes, strict=True):
        whole = whole + (attention.detach() * slope).clamp(min=0).mean(dim=1) @ whole
    return whole


def test_gradient_attention_is_the_relevance_of_the_class_token(vit, inputs):
    """The first row of R, its patches."""
    grid, targets = attention_grid(vit, inputs[:1]), torch.tensor([0, 2])

    found = gradient_attention(vit, grid, inputs, targets)

    expected = relevance(vit, grid, inputs.clone(), targets)[:, 0, 1:].reshape(2, 4, 4)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
    assert not torch.allclose(found, gradient_attention(vit, grid, inputs, targets.flip(0)))


def test_where_patches_are_averaged_all_of_them_are_read():
    """Without a class token, the mean of the patches' rows."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit_relpos", num_classes=3, img_size=64).eval()
    inputs, targets = torch.randn(2, 3, 64, 64), torch.tensor([0, 2])

    grid = attention_grid(model, inputs[:1])

    assert grid.read_by == (0, 16)
    found = gradient_attention(model, grid, inputs, targets)
    rows = relevance(model, grid, inputs.clone(), targets) - torch.eye(16)
    torch.testing.assert_close(found, rows.mean(dim=1).view(2, 4, 4), rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("name", ["test_resnet", "test_maxvit", "test_coatnet"])
def test_other_attention_is_not_read(name):
    """None at all, or of several grids."""
    model = timm.create_model(name, num_classes=3).eval()

    assert attention_grid(model, torch.randn(1, 3, 160, 160)) is None


@pytest.mark.parametrize(
    ("grid", "size", "shift"),
    [((10, 10), 4, 2), ((10, 10), 4, 0), ((8, 8), 4, 1), ((5, 7), 3, 1)],
)
def test_windows_are_put_back_where_timm_puts_them(grid, size, shift):
    """A row sent back through a block's attention weighs tokens as the block itself would.

    Timm's block, made to pass on values as they are, gives A x; then <row A, x> = <row, A x>.
    """
    torch.manual_seed(2)
    block = SwinTransformerBlock(
        6, grid, num_heads=1, window_size=size, shift_size=shift, qkv_bias=False
    ).eval()
    block.attn.fused_attn = False
    block.attn.proj = nn.Identity()
    with torch.no_grad():
        block.attn.qkv.weight[12:] = torch.eye(6)
    tokens, row = torch.randn(2, *grid, 6), torch.rand(2, *grid)
    seen = []
    block.attn.attn_drop.register_forward_hook(lambda *given: seen.append(given[2]))
    with torch.no_grad():
        passed = block._attn(tokens)

    windows = Windows(("only",), (Window.of(block),))
    back = windows.back(row, seen[0].mean(dim=1), 0)

    assert block.shift_size == (shift, shift)
    torch.testing.assert_close(
        torch.einsum("bhw,bhwc->bc", back, tokens), torch.einsum("bhw,bhwc->bc", row, passed)
    )


def test_swin_layer_by_layer_and_its_last_stage():
    """Every layer has a map of its own grid; gradients go through the last stage."""
    torch.manual_seed(0)
    model = swin().eval()
    inputs, targets = torch.randn(3, 3, 40, 40), torch.tensor([0, 1, 2])

    grid = attention_grid(model, inputs[:1])
    maps = [attention_map(model, grid, inputs, k) for k in range(4)]
    found = gradient_attention(model, grid.last_stage(), inputs, targets)

    assert [tuple(each.shape) for each in maps] == [(3, 10, 10)] * 2 + [(3, 5, 5)] * 2
    assert found.shape == (3, 5, 5)
    assert bool((found >= 0).all())
    assert bool((found > 0).any())
    for each in maps:  # padding takes its share
        assert bool((each.sum(dim=(1, 2)) <= 1.0001).all())
    assert grid.windows[1].shift == (2, 2)
