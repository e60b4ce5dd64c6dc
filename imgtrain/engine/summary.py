"""What a network costs: shapes, parameters, multiply-adds, memory of activations; stage by stage.

Nothing is computed: the network runs on tensors that have a shape and no values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from imgtrain.engine.device import ComputePlan
from imgtrain.engine.model import build, check_small_stem, model_defaults, small_stem_fits
from imgtrain.engine.recipe import Recipe
from imgtrain.loading.preprocess import Preprocess
from imgtrain.settings.schema import Settings

REST = "(rest)"
"""What belongs to no part: weights and work of the network's own."""


_ATTENTION_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001  # torch's name for it
"""What torch's counter does not know in every version."""


def _of_attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Floating-point operations, from shapes."""
    count: int = sdpa_flop_count(query, key, value)  # type: ignore[no-untyped-call]  # torch's
    return count


@dataclass(slots=True)
class Part:
    """One stage or module.

    Args:
        name: Path of the module.
        kind: Its class.
        shape: What it puts out, (B, ...); None where it is never called or gives no tensor.
        parameters: Their number.
        macs: Multiply-adds for one picture, of matrix products, convolutions and attention.
        activations: Bytes that the backward pass of a batch needs, kept first by this part.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None = None
    parameters: int = 0
    macs: float = 0.0
    activations: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A network's parts, in order; sums are those of the parts."""

    recipe: Recipe
    batch: int
    precision: str
    parts: tuple[Part, ...] = field(default=())

    @property
    def parameters(self) -> int:
        """Of the whole network."""
        return sum(part.parameters for part in self.parts)

    @property
    def macs(self) -> float:
        """For one picture, forward."""
        return sum(part.macs for part in self.parts)

    @property
    def activations(self) -> int:
        """Bytes for a batch."""
        return sum(part.activations for part in self.parts)


def summarize(recipe: Recipe, *, batch: int, compute: ComputePlan) -> Summary:
    """Run one training step's forward pass on tensors without values, and count.

    Args:
        recipe: The network.
        batch: Pictures that are in memory together.
        compute: Its precision decides on the bytes.

    Raises:
        SettingsError: If the recipe's settings do not fit the architecture.
    """
    with torch.device("meta"):
        model = build(recipe)
    parts = {name: Part(name, type(model.get_submodule(name)).__name__) for name in _split(model)}
    rest = Part(REST, type(model).__name__)
    for name, parameter in model.named_parameters():
        _owner(name, parts, rest).parameters += parameter.numel()
    counter = FlopCounterMode(display=False, custom_mapping={_ATTENTION_ON_CPU: _of_attention})
    p = recipe.preprocess
    with FakeTensorMode(allow_non_fake_inputs=True), ExitStack() as stack:
        model = model.to_empty(device="cpu").train(batch > 1)
        stack.enter_context(_watching(model, parts, rest))
        stack.enter_context(counter)
        stack.enter_context(_narrow(compute.precision))
        model(torch.zeros(batch, p.channels, p.size, p.size))
    _share_out(counter, model, parts, rest, batch)
    kept = [part for part in parts.values() if part.parameters or part.macs or part.activations]
    own = [rest] if rest.parameters or rest.macs or rest.activations else []
    return Summary(recipe=recipe, batch=batch, precision=compute.precision, parts=(*kept, *own))


def _narrow(precision: str) -> Any:
    narrow = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast("cpu", narrow or torch.bfloat16, enabled=narrow is not None)


def _split(model: nn.Module) -> Iterator[str]:
    """Paths of the parts: the network's children, and instead of what holds stages its members."""
    listed: Any = getattr(model, "feature_info", None) or ()
    stages = [entry["module"] for entry in listed]
    for name, child in model.named_children():
        if any(stage.startswith(f"{name}.") for stage in stages):
            yield from (f"{name}.{inner}" for inner, _ in child.named_children())
        else:
            yield name


def _owner(name: str, parts: dict[str, Part], rest: Part) -> Part:
    """The part that a tensor or module of this name belongs to."""
    while name:
        if name in parts:
            return parts[name]
        name = name.rpartition(".")[0]
    return rest


def _place(tensor: Tensor) -> int:
    """Where its values would lie: views of a tensor share it."""
    place: int = tensor.untyped_storage()._cdata  # noqa: SLF001  # data_ptr() refuses without values
    return place


@contextmanager
def _watching(model: nn.Module, parts: dict[str, Part], rest: Part) -> Iterator[None]:
    """Note each part's output, and which part first keeps what the backward pass needs."""
    now = [rest]
    known = {_place(x): x for x in (*model.parameters(), *model.buffers())}

    def leave(part: Part) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            now.pop()
            part.shape = tuple(output.shape) if isinstance(output, Tensor) else None

        return hook

    def pack(tensor: Tensor) -> Tensor:
        if _place(tensor) not in known:
            known[_place(tensor)] = tensor  # held, so that nothing else takes its place
            now[-1].activations += tensor.untyped_storage().nbytes()
        return tensor

    for name, part in parts.items():
        module = model.get_submodule(name)
        module.register_forward_pre_hook(lambda _module, _inputs, part=part: now.append(part))
        module.register_forward_hook(leave(part))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield


def _share_out(
    counter: FlopCounterMode, model: nn.Module, parts: dict[str, Part], rest: Part, batch: int
) -> None:
    """Two floating-point operations are one multiply-add."""
    counts = counter.get_flop_counts()
    root = type(model).__name__
    for name, part in parts.items():
        part.macs = sum(counts.get(f"{root}.{name}", {}).values()) / 2 / batch
    rest.macs = counter.get_total_flops() / 2 / batch - sum(p.macs for p in parts.values())


def recipe_for(settings: Settings, *, classes: int) -> Recipe:
    """What settings say about a network before any data is seen.

    Args:
        settings: Size and channels that are open are the model's own size, and colour.
        classes: Their number.

    Raises:
        SettingsError: If the model has no small stem and is to get one.
    """
    model, data = settings.model, settings.data
    size = model_defaults(model.name)["size"] if data.image_size == "auto" else data.image_size
    stem = model.stem
    if stem == "auto":
        stem = "small" if small_stem_fits(model.name, size) else "standard"
    if stem == "small":
        check_small_stem(model.name)
    channels = 3 if data.channels == "auto" else data.channels
    unknown = (0.5,) * channels
    return Recipe(
        architecture=model.name,
        classes=tuple(map(str, range(classes))),
        stem=stem,
        drop_rate=0.0,
        drop_path=0.0,
        head=model.head,
        attention=model.attention,
        attention_index=model.attention_index,
        preprocess=Preprocess.for_pictures(
            size=size,
            natural=True,
            channels=channels,
            background=data.background,
            max_pixels=data.max_pixels,
            mean=unknown,
            std=unknown,
        ),
    )
