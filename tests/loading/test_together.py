"""Many small pictures at once: the same bytes as one by one."""

import threading

import numpy as np
import pytest
import torch
from small import PREPROCESS, Shapes

from imgtrain.engine.schedule import Batches
from imgtrain.loading.cache import InMemory, Nowhere, OnDisk
from imgtrain.loading.loader import Loader, Pictures
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.samplewise import Centre, SmallCrop
from imgtrain.loading.sampling import Share, draws, training_shares


def _preprocess(size, channels):
    return Preprocess.for_pictures(
        size=size,
        natural=False,
        channels=channels,
        background="white",
        max_pixels=10**8,
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
    )


@pytest.mark.parametrize("channels", [1, 3, 4, 7])
@pytest.mark.parametrize("size", [1, 5, 8, 32])
@pytest.mark.parametrize("flip", [True, False])
def test_a_batch_sees_what_its_pictures_see(size, channels, flip):
    """Every move and both sides of the coin, for all sizes and channels."""
    p = _preprocess(size, channels)
    pixels = np.random.default_rng(0).integers(0, 256, (300, size, size, channels)).astype(np.uint8)
    u = draws(np.arange(300), seed=3, epoch=2)
    kept = pixels.copy()
    for view in (SmallCrop(p, flip=flip), Centre(p)):
        assert view.takes(pixels.shape[1:])
        found = view.many(pixels, u)
        assert np.array_equal(found, [view(one, row) for one, row in zip(pixels, u, strict=True)])
    assert np.array_equal(pixels, kept)


@pytest.mark.parametrize("shape", [(9, 8, 3), (7, 7, 3), (16, 16, 3)])
def test_pictures_of_another_size_are_seen_one_by_one(shape):
    """They would have to be resized."""
    assert not SmallCrop(_preprocess(8, 3), flip=True).takes(shape)
    assert not Centre(_preprocess(8, 3)).takes(shape)


def _stores(folder, count):
    keys = np.arange(2 * count, dtype=np.uint64).reshape(count, 2)
    return InMemory(count), OnDisk(folder / "set", keys, channels=3, limit=10**9)


def test_stores_hand_out_many_of_one_shape(tmp_path):
    """In any order, twice too; not where one is missing or has another shape."""
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (4, 5, 3)).astype(np.uint8) for _ in range(8)]
    rows = np.array([5, 0, 5, 7])
    for store in _stores(tmp_path, 10):
        for i, pixels in enumerate(pictures):
            store.put(i, pixels)
        store.put(9, pictures[0][:2])
        assert store.shape(rows) == (4, 5, 3)
        assert np.array_equal(store.stack(rows), [pictures[i] for i in rows])
        assert store.shape(np.array([0, 8])) is None
        assert store.shape(np.array([0, 9])) is None
        store.close()


def _epochs(store, *, bad=frozenset(), threads=2, spare=True):
    """Bytes, targets and masks of two epochs."""
    source = Shapes(50, bad=bad)
    pictures = Pictures(source, PREPROCESS, store, on_bad="skip")
    loader = Loader(pictures, source.labels, torch.device("cpu"), threads=threads, spare=spare)
    batches = Batches(micro=16, accumulation=1, world_size=1)
    found = []
    for epoch in (1, 2):
        order = np.random.default_rng(epoch).permutation(50)
        steps = training_shares(order, batches, steps=4, first_step=0, rank=0)
        shares = (share for step in steps for share in step)
        view = SmallCrop(PREPROCESS, flip=True)
        found += [
            (b.pixels.tolist(), b.targets.tolist(), b.mask.tolist())
            for b in loader.batches(shares, view, seed=7, epoch=epoch)
        ]
    loader.close()
    return found


@pytest.mark.parametrize("bad", [frozenset(), frozenset({3, 30})])
def test_where_pictures_lie_changes_nothing(tmp_path, bad):
    """Decoded anew and seen one by one, or stored and seen at once: the same batches."""
    keys = np.arange(100, dtype=np.uint64).reshape(50, 2)
    disk = OnDisk(tmp_path / "set", keys, channels=1, limit=10**9)
    alone = _epochs(Nowhere(), bad=bad)

    assert _epochs(InMemory(50), bad=bad) == alone
    assert _epochs(InMemory(50), bad=bad, spare=False) == alone
    assert _epochs(disk, bad=bad) == alone
    assert _epochs(disk, bad=bad, threads=5) == alone
    disk.close()


@pytest.mark.parametrize("spare", [True, False])
def test_threads_help_only_where_cores_are_left(spare):
    """Of what lies in memory, batches are made by whoever asks, where all cores compute."""
    source, store = Shapes(8), InMemory(8)
    pictures = Pictures(source, PREPROCESS, store, on_bad="skip")
    for i in range(8):
        pictures.get(i)
    loader = Loader(pictures, source.labels, torch.device("cpu"), threads=1, spare=spare)
    share = Share(np.arange(8), None, np.ones(8, np.bool_))
    before = threading.active_count()
    list(loader.batches([share] * 6, Centre(PREPROCESS)))

    assert threading.active_count() - before == int(spare)
    loader.close()


def test_a_picture_that_went_bad_elsewhere_is_left_out():
    """Another process could not read what lies in this one's store: it counts nowhere in both."""
    source, store = Shapes(4), InMemory(4)
    pictures = Pictures(source, PREPROCESS, store, on_bad="skip")
    for i in range(4):
        pictures.get(i)
    pictures.bad[2] = "gone"
    loader = Loader(pictures, source.labels, torch.device("cpu"), threads=1)
    share = Share(np.arange(4), None, np.ones(4, np.bool_))
    (batch,) = loader.batches([share], Centre(PREPROCESS))
    loader.close()

    assert batch.mask.tolist() == [True, True, False, True]
