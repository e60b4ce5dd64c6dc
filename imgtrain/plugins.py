"""What a module of yours may bring: a model, a loss, an augmentation, pictures, a tracker.

Name the module in the settings (``plugins: [my_module]``, ``--plugin my_module``), and they accept
the names that it registers. See docs/plugins.md.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from imgtrain.data.listing import NO_PART, PART_WORDS, PARTS, Listing, Source
from imgtrain.errors import DataError, SettingsError
from imgtrain.registry import (
    AUGMENTATIONS,
    LOSSES,
    MODELS,
    POLICIES,
    SOURCES,
    TRACKERS,
    Augmentation,
    Function,
    Model,
    Tracker,
    options_of,
)
from imgtrain.tracking.own import report_number

__all__ = [
    "Listing",
    "Source",
    "listing",
    "register_augmentation",
    "register_loss",
    "register_model",
    "register_source",
    "register_tracker",
    "report_number",
]

_OF_A_LOSS = frozenset({"label_smoothing", "weights", "gamma", "pos_weight"})
_OF_A_MODEL = frozenset({"classes", "channels", "size", "drop_rate", "drop_path", "drop_block"})

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def register_model(
    name: str,
    *,
    size: int = 224,
    mean: Sequence[float] = _IMAGENET[0],
    std: Sequence[float] = _IMAGENET[1],
) -> Callable[[Function], Function]:
    """Make ``--model NAME`` build a network of yours.

    The function is called by keyword and returns a ``torch.nn.Module``: pictures
    (B, channels, size, size), float32, normalised, to logits (B, classes). Its parameters are
    ``classes``, ``channels`` and ``size``, and, where it has them, ``drop_rate``, ``drop_path``
    and ``drop_block`` (``--dropout`` and so on; else these are refused). Weights are drawn from
    torch's generator, which is seeded. With ``get_classifier()``, as timm's models have it,
    ``--head-lr-factor`` works.

    Args:
        name: What ``--model`` accepts.
        size: Side of photos that it likes, for ``--image-size auto``.
        mean: Of the normalisation, for ``--normalize-mean model``.
        std: As the mean.
    """

    def register(build: Function) -> Function:
        _check_options(name, build, _OF_A_MODEL)
        MODELS.add(name, Model(build, size, tuple(mean), tuple(std)), build)
        return build

    return register


def register_loss(name: str) -> Callable[[Function], Function]:
    """Make ``--loss NAME`` call a function of yours.

    It takes logits (B, C) of any floating type and targets, (B,) int64 class numbers or (B, C)
    float32 shares of the classes (mixing makes those), and returns one loss a picture, (B,)
    float32, that can be differentiated. Keyword-only parameters get what the settings say:
    ``label_smoothing`` (float), ``weights`` ((C,) tensor or None, what each class counts),
    ``gamma`` (``--focal-gamma``), ``pos_weight`` (float or None). What is not among its parameters
    cannot be set with it.
    """

    def register(loss: Function) -> Function:
        _check_options(name, loss, _OF_A_LOSS)
        LOSSES.add(name, loss, loss)
        return loss

    return register


def register_augmentation(name: str, *, mirrors: bool = False) -> Callable[[Function], Function]:
    """Make ``{name: NAME, args: {...}, p: 0.5}`` in ``augment.custom``, and the policy NAME.

    The function takes a picture (H, W, C) uint8, which it must not write to, and a
    ``numpy.random.Generator`` from which alone it draws, and returns the picture changed,
    (H', W', C) uint8; other sizes are brought back to the model's. ``args`` come as keywords; as a
    policy it is called without any, after the crop and the flip. It runs in several threads.

    Args:
        name: What the settings accept.
        mirrors: Whether ``--no-flip`` forbids it.
    """

    def register(change: Function) -> Function:
        made = Augmentation(change, mirrors)
        AUGMENTATIONS.add(name, made, change)
        POLICIES.add(name, made, change)
        return change

    return register


def register_source(scheme: str) -> Callable[[Function], Function]:
    """Make ``--data SCHEME:TEXT`` (or ``--data SCHEME``) list pictures of yours.

    The function is called with TEXT ("" without) and returns a ``Listing``; ``listing`` makes one.
    A folder or file of that name on disk comes first.
    """

    def register(read: Function) -> Function:
        if len(scheme) == 1:
            raise SettingsError(
                f"the source {scheme!r} would read as a drive", "a scheme has two letters or more"
            )
        SOURCES.add(scheme, read, read)
        return read

    return register


def register_tracker(name: str) -> Callable[[Function], Function]:
    """Make ``--track NAME`` tell a function of yours how a training goes.

    The function takes a ``Tracked`` (``imgtrain.tracking.told``: the run's folder, name, settings,
    what you remembered of it) and is a context manager of a function that is told one thing after
    the other: ``Parameters``, ``Began``, ``Numbers``, ``Outcome``, ``Ended``, with ``Pause`` in
    between. All of it runs in a thread of its own, and may be slow. What it raises is told once and
    ends nothing: it is left, entered again after a while, and told again what came after the last
    ``Pause``.
    """

    def register(track: Function) -> Function:
        if inspect.isgeneratorfunction(track):
            raise SettingsError(
                f"the tracker {name!r} yields, but is no context manager",
                "write @contextmanager (of contextlib) between @register_tracker and the function",
            )
        TRACKERS.add(name, Tracker(track), track)
        return track

    return register


def listing(
    paths: Sequence[str],
    labels: Sequence[str],
    read: Callable[[int], bytes],
    *,
    parts: Sequence[str] | None = None,
    stamps: Sequence[tuple[int, int]] | None = None,
    natural: bool = True,
) -> Listing:
    """Labelled pictures for ``register_source``, in an order that does not depend on yours.

    Args:
        paths: Name of each picture as people read it, each once, with slashes.
        labels: Name of its class.
        read: The bytes of picture ``i``, a file as PNG or JPEG; called from several threads. An
            ``OSError`` counts as an unreadable picture.
        parts: ``train``, ``val`` or ``test`` of each; cut by ``--split-ratio`` if None.
        stamps: Two whole numbers each that change when the picture does (caches go by them); if
            None, every picture is read once for its length and checksum.
        natural: False for digits, letters and the like, which must not be mirrored.

    Raises:
        DataError: If the lists differ in length, or a name is there twice.
    """
    given = [NO_PART] * len(paths) if parts is None else [_part(word) for word in parts]
    lengths = {len(paths), len(labels), len(given), len(paths if stamps is None else stamps)}
    if len(lengths) > 1:
        raise DataError(f"a source lists {len(paths)} paths, and other numbers of labels or parts")
    if len(set(paths)) < len(paths):
        twin = next(path for path in paths if list(paths).count(path) > 1)
        raise DataError(f"a source lists {twin!r} twice")
    order = sorted(range(len(paths)), key=lambda i: (given[i], labels[i], paths[i]))
    classes = sorted(set(labels))
    known = [_stamp(read(i)) if stamps is None else stamps[i] for i in order]
    return Listing(
        classes=tuple(classes),
        source=_Pictures([paths[i] for i in order], order, read, known),
        labels=np.array([classes.index(labels[i]) for i in order], np.int64),
        given=np.array([given[i] for i in order], np.int8),
        natural=natural,
    )


class _Pictures:
    """Pictures that a function reads; satisfies ``Source``."""

    def __init__(
        self,
        paths: Sequence[str],
        order: Sequence[int],
        read: Callable[[int], bytes],
        stamps: Sequence[tuple[int, int]],
    ) -> None:
        self._paths, self._order, self._read, self._stamps = paths, order, read, stamps

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, i: int) -> str:
        """As the source named it."""
        return self._paths[i]

    def read(self, i: int) -> bytes:
        """What the function gives."""
        return self._read(self._order[i])

    def stamp(self, i: int) -> tuple[int, int]:
        """As given, or length and checksum."""
        return self._stamps[i]


def _part(word: str) -> int:
    if word not in PART_WORDS:
        raise DataError(f"a source names the part {word!r}", f"parts are {', '.join(PARTS)}")
    return PART_WORDS[word]


def _stamp(content: bytes) -> tuple[int, int]:
    return len(content), zlib.crc32(content)


def _check_options(name: str, function: Callable[..., object], known: frozenset[str]) -> None:
    """Refuse a function that asks for what nobody gives.

    Raises:
        SettingsError: With the parameter.
    """
    for option, needed in options_of(function).items():
        if needed and option not in known:
            raise SettingsError(
                f"{name}: nobody gives its parameter {option!r}",
                f"give it a default; what is given: {', '.join(sorted(known))}",
            )
