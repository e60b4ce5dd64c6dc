"""What the model will see in training, drawn as a sheet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from imgtrain import console
from imgtrain.data.index import Index, read_index
from imgtrain.data.listing import count
from imgtrain.data.split import make_split
from imgtrain.errors import DataError, SettingsError
from imgtrain.files import replacing
from imgtrain.known_sets import settle_root
from imgtrain.loading.cache import Nowhere
from imgtrain.loading.loader import Pictures
from imgtrain.loading.mix import Mixing, mixed
from imgtrain.loading.preprocess import Pixels
from imgtrain.loading.samplewise import View, training_view
from imgtrain.loading.sampling import draws
from imgtrain.loading.sheet import Cell, draw_sheet, write_sheet
from imgtrain.preparing import Prepared
from imgtrain.resolve import make_preprocess, measure_statistics, resolve
from imgtrain.settings.schema import AugmentSettings, Settings

MOST_CELLS = 2_000
"""Of large pictures so many take a gigabyte while they are drawn."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How large the sheet is.

    Args:
        pictures: Rows.
        views: Variations of each picture.
        seed: Chooses pictures and variations.
    """

    pictures: int = 8
    views: int = 6
    seed: int = 0


def write_preview(settings: Settings, path: Path, wanted: Wanted) -> None:
    """Training pictures as they are stored, and as training will vary them.

    Size, crops and channels are decided as ``train`` decides them with the same settings.

    Raises:
        ImgtrainError: As ``train`` would.
    """
    cells = wanted.pictures * (wanted.views + 1)
    if cells > MOST_CELLS:
        raise SettingsError(
            f"{wanted.pictures} pictures and {wanted.views} views of each are {cells:,} cells",
            f"a sheet holds {MOST_CELLS:,}: ask for fewer with --pictures or --views",
        )
    index = read_index(settle_root(settings), group_by=settings.data.group_by)
    split, _ = make_split(index, settings.data.split_ratio, settings.data.split_seed)
    resolved = resolve(_without_weights(settings), index, split)
    preprocess = make_preprocess(resolved.settings, natural=resolved.natural)
    pictures = Pictures(index.source, preprocess, Nowhere(), on_bad="skip")
    if settings.augment.erase:
        final = measure_statistics(resolved.settings, pictures, split.train)
        pictures.preprocess = make_preprocess(final, natural=resolved.natural)
    view = training_view(pictures.preprocess, resolved.settings.augment, natural=resolved.natural)
    chosen = _chosen(index, split.train, pictures, wanted)
    if not chosen:
        raise DataError(f"{index.root}: no training picture can be read")
    write_sheet(path, _rows(index, chosen, view, resolved.settings.augment, wanted))
    console.say(
        f"{count(len(chosen), 'training picture')} of {index.root}, "
        f"{count(wanted.views, 'view')} each, "
        f"policy {settings.augment.policy} by {settings.augment.library}"
    )


IN_A_RUN = Wanted(pictures=5, views=5)
"""How much the report's page shows."""

_WIDEST, _QUALITY = 1000, 80
"""Of the sheet of a run, in pixels, and as JPEG has it."""


def write_contact_sheet(path: Path, ready: Prepared) -> None:
    """What a training saw, as a small JPEG; nothing if no picture can be read.

    Raises:
        DiskError: If it cannot be written.
    """
    index, view, augment = ready.index, ready.state.train_view, ready.settings.augment
    pictures = ready.state.loader.pictures
    chosen = _chosen(index, ready.split.train, pictures, IN_A_RUN, warns=False)
    if chosen:
        image = draw_sheet(_rows(index, chosen, view, augment, IN_A_RUN))
        image.thumbnail((_WIDEST, 2 * _WIDEST))
        with replacing(path) as handle:
            image.save(handle, "JPEG", quality=_QUALITY, optimize=True)


def _rows(
    index: Index,
    chosen: list[tuple[int, Pixels]],
    view: View,
    augment: AugmentSettings,
    wanted: Wanted,
) -> list[list[Cell]]:
    """A row a picture, and one of mixed pairs where pictures are mixed."""
    rows = [_row(index, i, pixels, view, wanted) for i, pixels in chosen]
    return rows + _mixed_rows(index, chosen, view, augment, wanted)


def _without_weights(settings: Settings) -> Settings:
    """Nobody looks for pretrained weights: they decide nothing about pictures."""
    model = settings.model.model_copy(update={"pretrained": False})
    return settings.model_copy(update={"model": model})


def _chosen(
    index: Index,
    train: NDArray[np.int64],
    pictures: Pictures,
    wanted: Wanted,
    *,
    warns: bool = True,
) -> list[tuple[int, Pixels]]:
    """Readable pictures, a class after the other as long as there are rows."""
    found = []
    order = np.random.default_rng(wanted.seed).permutation(train)
    for i in _in_turn(index, order):
        pixels = pictures.get(i)
        if pixels is None:
            if warns:
                console.warn(f"cannot read {index.source.path(i)}: {pictures.bad[i]}")
            continue
        found.append((i, pixels))
        if len(found) == wanted.pictures:
            break
    return found


def _in_turn(index: Index, order: NDArray[np.int64]) -> Iterator[int]:
    """The first of each class in this order, then the second of each, and so on."""
    labels = index.labels[order]
    turn = np.empty(len(order), np.int64)
    for label in range(len(index.classes)):
        mine = labels == label
        turn[mine] = np.arange(mine.sum())
    yield from order[np.lexsort((labels, turn))].tolist()


def _row(index: Index, i: int, pixels: Pixels, view: View, wanted: Wanted) -> list[Cell]:
    """The stored picture with its class, and its views."""
    name = index.classes[index.labels[i]]
    cells = [Cell(pixels, name)]
    for epoch in range(1, wanted.views + 1):
        (row,) = draws(np.array([i]), seed=wanted.seed, epoch=epoch)
        cells.append(Cell(view(pixels, row), f"view {epoch}"))
    return cells


def _mixed_rows(
    index: Index,
    chosen: list[tuple[int, Pixels]],
    view: View,
    augment: AugmentSettings,
    wanted: Wanted,
) -> list[list[Cell]]:
    """A row of mixed pairs with both labels, where mixup or cutmix is on."""
    assert augment.mixup_alpha != "auto"
    assert augment.cutmix_alpha != "auto"
    mixing = Mixing(mixup_alpha=augment.mixup_alpha, cutmix_alpha=augment.cutmix_alpha)
    cells = []
    for step in range(wanted.views + 1):
        pair = [chosen[(step + k) % len(chosen)] for k in range(2)]
        cell = _mixed(index, pair, view, mixing, seed=wanted.seed, step=step)
        cells += [] if cell is None else [cell]
    return [cells] if cells else []


def _mixed(
    index: Index,
    pair: list[tuple[int, Pixels]],
    view: View,
    mixing: Mixing,
    *,
    seed: int,
    step: int,
) -> Cell | None:
    """The second picture of a pair, mixed with the first as the batch of this step is mixed."""
    mix = mixing.draw(seed=seed, epoch=1, step=step)
    if mix is None:
        return None
    rows = [draws(np.array([i]), seed=seed, epoch=1)[0] for i, _ in pair]
    seen = np.stack([view(pixels, u) for (_, pixels), u in zip(pair, rows, strict=True)])
    inputs = torch.from_numpy(seen).permute(0, 3, 1, 2).float()
    labels = torch.from_numpy(index.labels[[i for i, _ in pair]])
    out, _, _ = mixed(inputs, labels, mix, classes=len(index.classes))
    share = mix.own_share(*seen.shape[1:3])
    other, own = (index.classes[label] for label in labels.tolist())
    pixels = out[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return Cell(pixels, f"{share:.0%} {own} + {1 - share:.0%} {other}")
