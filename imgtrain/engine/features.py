"""A frozen network's features: computed once for every picture, then only the classifier trains."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, cast

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imgtrain import console
from imgtrain.data.stamps import stamp_keys
from imgtrain.engine.device import ComputePlan
from imgtrain.engine.pieces import Pieces
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.state import SCORING_BATCH, Normalise
from imgtrain.engine.world import World
from imgtrain.files import cache_folder
from imgtrain.loading.cache import decoding_digest
from imgtrain.loading.feature_file import BAD, GOOD, UNKNOWN, InMemory, OnDisk, open_features
from imgtrain.loading.loader import Loader
from imgtrain.loading.rows import RowLoader
from imgtrain.loading.samplewise import scoring_view
from imgtrain.loading.sampling import scoring_shares

_VERSION = 1
"""Raised whenever features come out otherwise, so that none is stale."""

_TELL_EVERY = 10.0
"""Seconds between two lines on how far the one pass is."""


def pooled(network: nn.Module, inputs: Tensor) -> Tensor:
    """What the network hands to its classifier, (B, D)."""
    timms = cast("Any", network)
    features: Tensor = timms.forward_head(timms.forward_features(inputs), pre_logits=True)
    return features


def width_of(network: nn.Module, example: Tensor) -> int | None:
    """Features per picture; None where the classifier cannot be told from the rest.

    That the classifier of the features is the network is tried out on ``example`` (B, C, H, W).
    """
    timms = cast("Any", network)
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            features, classifier = pooled(network, example), timms.get_classifier()
            if features.ndim != 2:  # noqa: PLR2004  # (B, D)
                return None
            torch.testing.assert_close(classifier(features), network(example))
    except (AttributeError, TypeError, RuntimeError, AssertionError):
        return None
    finally:
        network.train(training)
    return features.shape[1]


def example_for(recipe: Recipe, compute: ComputePlan) -> Tensor:
    """Two pictures of stripes, as the network sees pictures."""
    p = recipe.preprocess
    stripes = torch.linspace(-2, 2, 2 * p.channels * p.size**2, device=compute.torch_device)
    return stripes.sin().view(2, p.channels, p.size, p.size)


def weights_digest(network: nn.Module) -> bytes:
    """Of everything but the classifier: names, shapes, values; 16 bytes."""
    own = {id(t) for t in cast("Any", network).get_classifier().state_dict(keep_vars=True).values()}
    digest = hashlib.sha256()
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) not in own:
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.digest()[:16]


class Probe(nn.Module):
    """The classifier alone: what trains, and all that a checkpoint holds.

    Its state names the frozen weights that its features come from; those of others are refused.

    Args:
        network: One of timm's.
        drop_rate: Dropout before the classifier, as the network has it.
    """

    def __init__(self, network: nn.Module, drop_rate: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(drop_rate)
        self.classifier = copy.deepcopy(cast("Any", network).get_classifier())
        self.classifier.requires_grad_(requires_grad=True)
        self._frozen = torch.frombuffer(bytearray(weights_digest(network)), dtype=torch.uint8)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) -> (B, C)."""
        logits: Tensor = self.classifier(self.drop(features))
        return logits

    def get_classifier(self) -> nn.Module:
        """As timm's networks have it."""
        classifier: nn.Module = self.classifier
        return classifier

    def get_extra_state(self) -> Tensor:
        """Which frozen weights the features come from."""
        return self._frozen.clone()

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse a classifier of other features.

        Raises:
            RuntimeError: With the reason.
        """
        if not torch.equal(state.cpu(), self._frozen):
            raise RuntimeError("the frozen weights are not those that it began with")


class Frozen:
    """A network that no longer learns, and the features it makes of a set's pictures.

    Features are computed in fp32 whatever trains on them, and in batches whose pictures depend on
    the set alone: so scores are exact, and a pass that was cut short goes on to the same bits.

    Args:
        network: On its device.
        recipe: What it is, and what it wants to see.
        compute: How the machine computes.
        loader: The pictures.
        positions: Shape (N,): which of them are needed.
        world: The processes that share the work.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        *,
        compute: ComputePlan,
        loader: Loader,
        positions: NDArray[np.int64],
        world: World,
    ) -> None:
        self.network = network.eval().requires_grad_(requires_grad=False)
        self.loader, self.world, self.positions = loader, world, np.sort(positions)
        self._exact = replace(compute, precision="fp32")
        self._normalise = Normalise(recipe.preprocess, self._exact)
        self._recipe = recipe

    def name(self, root: str) -> str:
        """Hex digest of all that the features depend on."""
        c, recipe = self._exact, self._recipe.to_dict()
        how = {k: recipe[k] for k in sorted(recipe) if k not in ("classes", "drop_rate", "head")}
        digest = hashlib.sha256(weights_digest(self.network))
        machine = (torch.__version__, timm.__version__, c.torch_device.type, c.channels_last)
        digest.update(repr((_VERSION, how, *machine, c.threads)).encode())
        digest.update(decoding_digest(root, self._recipe.preprocess).encode())
        digest.update(stamp_keys(self.loader.pictures.source, self.positions).tobytes())
        return f"features-{digest.hexdigest()[:24]}"

    def open(self, root: str, *, width: int, kind: str, gigabytes: float) -> InMemory | OnDisk:
        """Where the features of the set at ``root`` stay; they are not computed yet."""
        folder = cache_folder() / "pictures" / self.name(root)
        return open_features(folder, len(self.positions), width, kind=kind, gigabytes=gigabytes)

    def fill(self, known: InMemory | OnDisk, stopped: Callable[[], bool]) -> bool:
        """Send through the network what has not been. All processes together.

        One that works alone leaves at once when it is ``stopped``; what is computed by then stays.

        Returns:
            Whether everything is known.
        """
        missing = int((known.marks == UNKNOWN).sum())
        self._mark_bad(known)
        if self.world.largest(missing):
            console.say(f"features: {missing:,} pictures go through the frozen network, once")
        own = self._compute(known, stopped)
        known.refresh()
        self.world.wait()
        known.refresh()
        if self.world.size > 1:
            self._exchange(known, own)
        return bool((known.marks != UNKNOWN).all())

    def _mark_bad(self, known: InMemory | OnDisk) -> None:
        """Pictures known as unreadable are looked at again: for the reason, and the list."""
        for row in np.flatnonzero(known.marks == BAD).tolist():
            self.loader.pictures.get(int(self.positions[row]))

    def _compute(self, known: InMemory | OnDisk, stopped: Callable[[], bool]) -> list[int]:
        """This process's batches that are not known; returns their first rows."""
        rank, size = self.world.rank, self.world.size
        total = -(-len(self.positions) // SCORING_BATCH)
        first = total * rank // size
        every = scoring_shares(self.positions, SCORING_BATCH, rank=rank, world_size=size)
        starts = range(first * SCORING_BATCH, len(self.positions), SCORING_BATCH)
        open_ = [
            (start, share)
            for start, share in zip(islice(starts, total), every, strict=False)
            if (known.marks[start : start + SCORING_BATCH] == UNKNOWN).any()
        ]
        shares = [share for _, share in open_]
        left = [min(SCORING_BATCH, len(self.positions) - start) for start, _ in open_]
        network, pieces = partial(pooled, self.network), Pieces()
        view, told = scoring_view(self._recipe.preprocess), time.monotonic()
        batches = self.loader.batches(shares, view)
        for done, ((start, _), batch) in enumerate(zip(open_, batches, strict=False), start=1):
            with torch.inference_mode():
                features = pieces.logits(network, batch.pixels, self._normalise).float()
            good = batch.mask.cpu().numpy()  # waits for the device
            marks = np.where(good, GOOD, BAD).astype(np.uint8)
            known.put(start, features.cpu().numpy() * good[:, None], marks)
            if size == 1 and stopped():
                break
            if time.monotonic() - told > _TELL_EVERY:
                told = time.monotonic()
                console.say(f"features: {sum(left[:done]):,} of {sum(left):,}")
        return [start for start, _ in open_]

    def _exchange(self, known: InMemory | OnDisk, own: list[int]) -> None:
        """What some process cannot read from a common file, all hand to each other."""
        if not self.world.largest(int((known.marks == UNKNOWN).any())):
            return
        cut = [slice(start, start + SCORING_BATCH) for start in own]
        mine = [(c.start, np.array(known.rows[c]), known.marks[c]) for c in cut]
        for theirs in self.world.gather(mine):
            for start, rows, marks in theirs:
                known.put(start, rows, marks)

    def whole(self, probe: nn.Module) -> nn.Module:
        """The full network with the classifier of ``probe``, ready to score."""
        trained = cast("Any", probe).get_classifier().state_dict()
        cast("Any", self.network).get_classifier().load_state_dict(trained)
        return self.network


class FeatureLoader(RowLoader):
    """The features of a frozen network, and the network.

    Args:
        frozen: The network.
        known: Where its features stay.
    """

    def __init__(self, frozen: Frozen, known: InMemory | OnDisk) -> None:
        super().__init__(
            frozen.loader, known, frozen.positions, lambda stopped: frozen.fill(known, stopped)
        )
        self.frozen, self._close = frozen, known.close

    def close(self) -> None:
        """Let go of the file; the loader of the pictures is closed by whoever made it."""
        self._close()
