"""Which pictures are the same: bit for bit, or re-encoded, resized or mirrored.

Two thumbnails are compared by their cosine transforms, without the mean and with every frequency
weighted by its distance from 0, as natural pictures have the less of one the higher it is (Field
1987). Two sunsets share the slow waves, only copies share all. Candidates come from locality
sensitive hashing: the signs of the waves, in bands, and those next to them that differ in the
weakest waves (Lv et al. 2007, multi-probe).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from imgtrain.data.listing import Ints
from imgtrain.data.prints import SIDE, Prints, is_taken

EXACT, NEAR = 0, 1
ALONE = -1

ALIKE = 0.95
"""Cosine of two prints from which on they are copies. In 60,000 photos of 32 pixels, those above
are, and some below; copies of larger photos reach 0.98 or more."""

STRICTEST = 0.995
"""Cosine that is asked for where all pictures of a set are alike, as digits are."""

_WAVES = 10
"""Frequencies along each side."""
_FLAT = 100.0
"""Length of a print below which there is nothing but noise to compare."""
_BRIGHTER = 40.0
"""Copies differ less in their mean level..."""
_STRONGER = 1.5
"""... and less in contrast, as a ratio."""
_BANDS = 4
_WEAKEST = 4
"""Signs of a band that are tried both ways."""
_MOST_DIFFERENT = 20
"""Of 64 signs; copies at ``ALIKE`` differ in 6.5 on average."""
_CROWD = 128
"""Most pictures of equal signs that one is compared with, an eighth of that where signs were
tried; clusters hang together all the same."""
_CHUNK = 1024
_SAMPLE = 200_000

Floats = NDArray[np.float32]
Codes = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Duplicates:
    """What was found.

    Args:
        pairs: Shape (M, 2), int64: two pictures that are the same, the smaller position first,
            sorted. Enough to connect every cluster, not every pair of it.
        kinds: Shape (M,), int8: ``EXACT`` (the same bytes) or ``NEAR``.
        clusters: Shape (N,), int64: the smallest position of the picture's cluster, or ``ALONE``.
    """

    pairs: Ints
    kinds: NDArray[np.int8]
    clusters: Ints


def find_duplicates(prints: Prints, *, near: bool = True) -> Duplicates:
    """Search all pictures for copies of each other.

    Args:
        prints: Shape (N,); what was not taken is a copy of nothing.
        near: Whether to look for more than equal bytes.
    """
    first, exact = _equal_bytes(prints)
    similar = first[_similar(prints["thumbnail"][first])] if near else exact[:0]
    pairs = np.concatenate([exact, similar])
    kinds = np.repeat(np.array([EXACT, NEAR], np.int8), [len(exact), len(similar)])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Duplicates(pairs[order], kinds[order], _clusters(pairs, len(prints)))


def _equal_bytes(prints: Prints) -> tuple[Ints, Ints]:
    """The first picture of every digest, (K,), and each further one paired with it, (M, 2)."""
    taken = np.flatnonzero(is_taken(prints))
    digests = np.ascontiguousarray(prints["digest"][taken]).view("V16").ravel()
    _, first, which = np.unique(digests, return_index=True, return_inverse=True)
    others = np.setdiff1d(np.arange(len(taken)), first)
    pairs = np.stack([taken[first[which[others]]], taken[others]], axis=1)
    return taken[np.sort(first)], pairs


def _clusters(pairs: Ints, length: int) -> Ints:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), np.int8), tuple(pairs.T)), shape=(length, length))
    _, parts = connected_components(links, directed=False)
    _, first, which, sizes = np.unique(
        parts, return_index=True, return_inverse=True, return_counts=True
    )
    return np.where(sizes[which] > 1, first[which], ALONE).astype(np.int64)


@cache
def _transform() -> tuple[Floats, Ints, Floats]:
    """The orthonormal cosine transform's matrix, which waves count, and the weights of these.

    They are in the order of their frequencies; the first is not the mean.
    """
    wave, place = np.mgrid[:_WAVES, :SIDE]
    matrix = np.cos(np.pi * wave * (place + 0.5) / SIDE) * np.sqrt(2 / SIDE)
    matrix[0] /= np.sqrt(2)
    rows, columns = np.divmod(np.arange(_WAVES**2), _WAVES)
    order = np.lexsort((columns, rows + columns))[1:]
    weights = np.hypot(rows, columns)[order]
    return matrix.astype(np.float32), order.astype(np.int64), weights.astype(np.float32)


def _signs_mirrored() -> NDArray[np.bool_]:
    """Which waves change their sign when a picture is mirrored."""
    found: NDArray[np.bool_] = _transform()[1] % _WAVES % 2 == 1
    return found


@dataclass(frozen=True, eq=False)
class _Waves:
    """What is compared: (N, W) directions of length 1, their lengths, and mean levels."""

    directions: NDArray[np.float16]
    lengths: Floats
    levels: Floats

    @classmethod
    def of(cls, thumbnails: NDArray[np.uint8]) -> _Waves:
        matrix, order, weights = _transform()
        directions = np.empty((len(thumbnails), len(order)), np.float16)
        lengths = np.empty(len(thumbnails), np.float32)
        for start in range(0, len(thumbnails), _CHUNK):
            here = slice(start, start + _CHUNK)
            waves = matrix @ thumbnails[here].astype(np.float32) @ matrix.T
            found = waves.reshape(-1, _WAVES**2)[:, order] * weights
            lengths[here] = np.linalg.norm(found, axis=1)
            directions[here] = found / np.maximum(lengths[here, None], 1)
        levels = thumbnails.mean(axis=(1, 2), dtype=np.float32)
        return cls(directions, lengths, levels)

    def cosines(self, left: Ints, right: Ints) -> Floats:
        """Of pairs of pictures, the right one as it is or mirrored, whichever is more alike."""
        products = self.directions[left].astype(np.float32) * self.directions[right]
        odd = _signs_mirrored()
        straight, turning = products[:, ~odd].sum(axis=1), products[:, odd].sum(axis=1)
        found: Floats = straight + np.abs(turning)
        return found

    def same_light(self, left: Ints, right: Ints) -> NDArray[np.bool_]:
        """Whether level and contrast of pairs are about the same."""
        ratio = self.lengths[left] / self.lengths[right]
        near = np.abs(self.levels[left] - self.levels[right]) < _BRIGHTER
        found: NDArray[np.bool_] = near & (ratio < _STRONGER) & (ratio > 1 / _STRONGER)
        return found


def _similar(thumbnails: NDArray[np.uint8]) -> Ints:
    """All pairs of copies, (M, 2), the smaller position first."""
    waves = _Waves.of(thumbnails)
    seen = np.flatnonzero(waves.lengths > _FLAT)
    waves = _Waves(waves.directions[seen], waves.lengths[seen], waves.levels[seen])
    alike = _threshold(waves)
    found = [np.empty((0, 2), np.int64)]
    for left, right in _candidates(waves):
        close = waves.same_light(left, right)
        close[close] = waves.cosines(left[close], right[close]) >= alike
        found.append(np.stack([left[close], right[close]], axis=1))
    pairs = np.sort(np.concatenate(found), axis=1)
    return seen[np.unique(pairs, axis=0)]


def _threshold(waves: _Waves) -> float:
    """How alike copies must be in this set: more than chance makes the closest of all pairs.

    The tail of Fisher's z over random pairs goes on beyond its last percent as it does within it.
    """
    number = len(waves.lengths)
    draw = np.random.default_rng(0).integers(0, max(number, 1), (2, _SAMPLE if number else 0))
    left, right = draw[:, draw[0] != draw[1]]
    cosines = waves.cosines(left, right)
    chance = np.arctanh(cosines[cosines < ALIKE].clip(min=0))
    if not len(chance):
        return ALIKE
    tenth, hundredth = np.quantile(chance, (0.9, 0.99))
    decades = max(0.0, np.log10(number * number / 2) - 2)
    farthest = hundredth + decades * (hundredth - tenth)
    return float(np.clip(np.tanh(farthest), ALIKE, STRICTEST))


def _candidates(waves: _Waves) -> Iterator[tuple[Ints, Ints]]:
    """Pairs worth a closer look, some of them more than once."""
    number = len(waves.lengths)
    width = 16 if number < 2**18 else 20
    odd = _signs_mirrored()
    most = np.full(2**_WEAKEST, _CROWD // 8)
    most[0] = _CROWD
    codes = _packed(waves.directions[:, :64] > 0)
    flip = _packed(odd[None, :64])[0]
    for band in range(_BANDS):
        inside = slice(band * width, (band + 1) * width)
        keys = _packed(waves.directions[:, inside] > 0)
        turned = _packed(odd[None, inside])[0]
        order = np.argsort(keys, kind="stable")
        sizes = np.bincount(keys.astype(np.int64), minlength=2**width)
        starts = np.cumsum(sizes) - sizes
        for start in range(0, number, _CHUNK):
            here = np.arange(start, min(start + _CHUNK, number))
            probes = _probes(waves.directions[here, inside], keys[here])
            for key, code in ((probes, codes[here]), (probes ^ turned, codes[here] ^ flip)):
                places = key.astype(np.int64)
                which, right = _runs(starts[places], np.minimum(sizes[places], most))
                left, right = which // probes.shape[1], order[right]
                few = np.bitwise_count(code[left] ^ codes[right]) <= _MOST_DIFFERENT
                left, right = here[left[few]], right[few]
                yield left[left != right], right[left != right]


def _packed(bits: NDArray[np.bool_]) -> Codes:
    """Rows of up to 64 bits as numbers."""
    powers = np.uint64(1) << np.arange(bits.shape[1], dtype=np.uint64)
    found: Codes = (bits * powers).sum(axis=1, dtype=np.uint64)
    return found


def _probes(values: NDArray[np.float16], keys: Codes) -> Codes:
    """Every row's own key, and those with its weakest signs the other way: (N, 2^weakest)."""
    weakest = np.argpartition(np.abs(values), _WEAKEST, axis=1)[:, :_WEAKEST]
    bits = np.uint64(1) << weakest.astype(np.uint64)
    found = keys[:, None]
    for bit in bits.T:
        found = np.concatenate([found, found ^ bit[:, None]], axis=1)
    return found


def _runs(starts: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """The places start, start + 1, ... of each run, and which run (of all, flat) each is of."""
    starts, lengths = starts.ravel(), lengths.ravel()
    which = np.repeat(np.arange(len(starts)), lengths)
    ends = np.cumsum(lengths)
    places = np.arange(len(which)) + np.repeat(starts - (ends - lengths), lengths)
    return which, places
