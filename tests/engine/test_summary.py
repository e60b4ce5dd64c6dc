"""What a network costs, counted without computing."""

from dataclasses import replace

import pytest
import torch
from small import plan_cpu
from test_models import recipe_of

from imgtrain.engine.model import build
from imgtrain.engine.summary import summarize


def summary_of(name, *, size, batch=2, precision="fp32", classes=1000, **changes):
    recipe = replace(recipe_of(name, size=size, **changes), classes=tuple(map(str, range(classes))))
    return summarize(recipe, batch=batch, compute=plan_cpu(precision=precision))


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    [
        ("resnet18", 11_689_512, 1.81),  # torchvision's table of models: 11.7 M, 1.81
        ("resnet50", 25_557_032, 4.09),  # 25.6 M, 4.09
        ("vit_base_patch16_224", 86_567_656, 17.56),  # 86.6 M, 17.56
    ],
)
def test_costs_are_those_published(name, parameters, gmacs):
    """Parameters to the last one; multiply-adds with those of attention."""
    found = summary_of(name, size=224)
    assert found.parameters == parameters
    assert found.macs / 1e9 == pytest.approx(gmacs, abs=0.006)


def kept_bytes(recipe, batch):
    """What autograd keeps of a real forward pass, but for the weights."""
    model = build(recipe).train()
    own = {x.untyped_storage().data_ptr() for x in (*model.parameters(), *model.buffers())}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    p = recipe.preprocess
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(torch.zeros(batch, p.channels, p.size, p.size))
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("test_resnet", {"head": "mlp", "attention": "cbam", "attention_index": 2}),
        ("test_resnet", {"stem": "small"}),
        ("test_vit", {}),
    ],
)
def test_activations_are_what_the_backward_pass_keeps(name, changes):
    """To the byte, in fp32: as a real forward pass keeps them."""
    found = summary_of(name, size=64, batch=4, classes=3, **changes)
    recipe = replace(recipe_of(name, size=64, **changes), classes=("0", "1", "2"))
    assert found.activations == kept_bytes(recipe, 4)


def test_parts_are_stages_and_add_up():
    """A row a stage with its output; sums are the network's own; a wider type keeps more."""
    wide = summary_of("test_resnet", size=64, batch=4, classes=3)
    narrow = summary_of("test_resnet", size=64, batch=4, classes=3, precision="bf16")
    with torch.device("meta"):
        model = build(recipe_of(size=64))
    parts = {part.name: part for part in wide.parts}
    for name, module in model.named_children():
        own = sum(p.numel() for p in module.parameters())
        assert own == (parts[name].parameters if name in parts else 0)
    assert parts["layer4"].shape == (4, model.num_features, 2, 2)
    assert parts["fc"].shape == (4, 3)
    assert parts["fc"].macs == 3 * model.num_features
    assert wide.parameters == sum(p.numel() for p in model.parameters())
    assert wide.macs == narrow.macs
    assert narrow.activations < 0.9 * wide.activations


def test_a_batch_of_one_is_counted():
    """Batch normalisation of one picture and one pixel would be refused in training."""
    assert summary_of("test_resnet", size=8, batch=1, classes=3).activations > 0
