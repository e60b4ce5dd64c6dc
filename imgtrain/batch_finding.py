"""The largest batch that fits, and the smallest that is about as fast: asked of child processes.

Memory is affine in the batch: small sizes tell where the limit is, and a full trial has the last
word. This side imports no torch, and survives whatever happens to a child.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from imgtrain import console, errors
from imgtrain.children import Outcome, in_child
from imgtrain.errors import MemoryLimitError

ENOUGH = 0.95
"""A size counts as fast from this share of the best speed, and as largest from this share of it."""

PROBES, ON_CPU = 6, 14
"""Children at most; what a CPU's process takes is known less well, and its failures are quick."""

_AIM = 0.985
"""Share of the predicted maximum that is tried first: a failure costs as much as a success."""

_EVEN = 160
"""From here on sizes are multiples of 8; it costs less than a twentieth."""

_UPDATES = 50
"""An epoch of fewer updates learns less from each picture than the speed is worth."""

_FEWEST = 10
"""Fewer updates an epoch are hardly a training: then smaller sizes are taken, however slow."""

_SECONDS = 120.0
"""No size is tried whose four steps would take longer than this on a CPU."""

_DONT_FIT = "even a single picture does not fit into {limit:.1f} GB ({bound})"


@dataclass(slots=True, kw_only=True)
class Found:
    """What the probes say; every size in it passed.

    Args:
        recommended: The size to take.
        why: In words.
        knee: Smallest size with 0.95 of the best speed that was measured.
        maximum: Largest size; None where it was not looked for.
        ends: What bounds the maximum: memory, the training part, or time.
        failed: Smallest size that did not pass.
        rungs: Size, ``rate`` (pictures a second) and ``peak`` (bytes) of each, ascending.
        limit: Bytes that the training may take.
        bound: What sets the limit.
        device: How it was computed.
        probes: How many children it took.
    """

    recommended: int
    why: str
    knee: int
    maximum: int | None
    ends: str
    failed: int | None
    rungs: list[dict[str, Any]]
    limit: float
    bound: str
    device: str
    probes: int

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "recommended": self.recommended,
            "why": self.why,
            "knee": self.knee,
            "maximum": self.maximum,
            "maximum_bounded_by": self.ends,
            "smallest_that_failed": self.failed,
            "limit_gb": round(self.limit / 1e9, 3),
            "limit_from": self.bound,
            "device": self.device,
            "probes": self.probes,
            "sizes": [
                {
                    "size": rung["size"],
                    "images_per_second": round(rung["rate"], 1),
                    "memory_gb": round(rung["peak"] / 1e9, 3),
                }
                for rung in self.rungs
            ],
        }


def asked(function: str, value: Any) -> Any:
    """What a child answers, its error raised here; None where the child ran out of memory.

    ``function`` is ``module:name``.

    Raises:
        ImgtrainError: The child's own.
    """
    outcome = in_child(function, value)
    if outcome.value is None:
        if _died_of_memory(outcome):
            return None
        raise RuntimeError(f"a probe failed with code {outcome.code}:\n{outcome.error}")
    if isinstance(outcome.value, dict) and "error" in outcome.value:
        kind, message, hint = outcome.value["error"]
        raise getattr(errors, kind)(message, hint)
    return outcome.value


def _died_of_memory(outcome: Outcome) -> bool:
    """A signal (the kernel's killer, an abort in a library), or an error that says so."""
    words = (
        "MemoryError",
        "could not create a primitive",
        "out of memory",
        "can't allocate memory",
        "std::bad_alloc",
    )
    return outcome.code < 0 or any(word in outcome.error for word in words)


def in_children(question: dict[str, Any]) -> Any:
    """Try sizes in a child process."""
    return asked("imgtrain.batch_trials:probe", question)


@dataclass(slots=True)
class _Search:
    """What is known so far: the sizes that passed, and the smallest that did not."""

    question: dict[str, Any]
    try_sizes: Callable[[dict[str, Any]], Any]
    cap: int
    rungs: dict[int, dict[str, Any]] = field(default_factory=dict)
    failed: int | None = None
    failures: int = 0
    limit: float = 0.0
    bound: str = ""
    device: str = ""
    ended: str | None = None
    probes: int = 0

    def probe(self, sizes: list[int], *, until_flat: bool = False) -> None:
        """One child tries these sizes."""
        self.probes += 1
        seconds = _SECONDS if "cuda" not in self.device else math.inf
        more = {"sizes": sizes, "until_flat": until_flat, "seconds": min(seconds, 1e9)}
        answer = self.try_sizes(self.question | more)
        if answer is None:
            self.ended = "memory"
            self._fails(sizes[0])
            return
        for rung in answer["rungs"]:
            self.rungs[rung["size"]] = rung
        if answer["failed"] is not None:
            self._fails(answer["failed"])
        self.limit, self.bound = answer["limit"], answer["bound"]
        self.device, self.ended = answer["device"], answer["ended"]

    def _fails(self, size: int) -> None:
        self.failures += 1
        self.failed = size if self.failed is None else min(size, self.failed)

    @property
    def largest(self) -> int:
        """The largest size that passed."""
        return max(self.rungs)

    def predicted(self) -> float:
        """Where the line through the two largest sizes meets the limit."""
        a, b = (self.rungs[size] for size in sorted(self.rungs)[-2:])
        slope = (b["peak"] - a["peak"]) / (b["size"] - a["size"])
        return b["size"] + (self.limit - b["peak"]) / slope if slope > 0 else math.inf

    def next_size(self) -> int | None:
        """The size whose trial says most; None when the largest is known well enough."""
        low, high = self.largest, self.failed
        if low >= self.cap or (high is not None and (low + 1 >= high or low >= ENOUGH * high)):
            return None
        aim = self.predicted() if len(self.rungs) > 1 else 2 * low
        if high is None and low >= 0.97 * min(aim, self.cap):
            return None
        if high is None:
            size = math.floor(min(_AIM * aim, 64 * low, self.cap))
        else:  # at first the line was nearly right, or else it is no line
            size = math.floor(0.96 * high) if self.failures == 1 else (low + high) // 2
        size = max(size, low + 1)
        return size // 8 * 8 if size >= _EVEN and size // 8 * 8 > low else size


def ladder(cap: int, *, start: int = 8) -> list[int]:
    """Powers of two from ``start`` below ``cap``, and ``cap`` itself where it is near."""
    sizes = [start * 2**k for k in range(20) if start * 2**k <= cap]
    return sizes or [cap]


def find(
    question: dict[str, Any],
    *,
    try_sizes: Callable[[dict[str, Any]], Any] = in_children,
    wants_maximum: bool = True,
) -> Found:
    """Look for the largest and the fastest batch of the training that ``question`` describes.

    Args:
        question: See ``imgtrain.batch_trials.question_of``; ``processes`` where there are several.
        try_sizes: Answers a question with ``sizes`` as ``imgtrain.batch_trials.probe`` does, in a
            process of its own; None for a child that died of it.
        wants_maximum: On a CPU, whether the largest is looked for, too.

    Raises:
        MemoryLimitError: If even a single picture does not fit.
    """
    search = _Search(question, try_sizes, largest_allowed(question))
    search.probe(ladder(search.cap), until_flat=True)
    if not search.rungs:
        search.probe([size for size in (1, 2, 4) if size < min(8, search.cap + 1)])
    if not search.rungs:
        raise MemoryLimitError(
            _DONT_FIT.format(limit=search.limit / 1e9, bound=search.bound or "this machine's"),
            "try a smaller --image-size or --model, --gradient-checkpointing, or another precision",
        )
    on_gpu = "cuda" in search.device
    if wants_maximum or on_gpu:
        _look_for_the_largest(search, on_gpu=on_gpu)
    return _concluded(search, on_gpu=on_gpu, has_maximum=wants_maximum or on_gpu)


def _look_for_the_largest(search: _Search, *, on_gpu: bool) -> None:
    while search.probes < (PROBES if on_gpu else ON_CPU):
        size = search.next_size()
        if size is None:
            return
        fastest = max(rung["rate"] for rung in search.rungs.values())
        if not on_gpu and 4 * size / fastest > _SECONDS:
            search.ended = "time"
            return
        search.probe([size])


def largest_allowed(question: dict[str, Any]) -> int:
    """Not more than a process's share of the training part, or of ``--global-batch-size``."""
    flat, processes = question["settings"], int(question.get("processes", 1))
    share = max(1, -(-int(question["pictures"]) // processes))
    whole: int | None = flat["train.global_batch_size"]
    return share if whole is None else max(1, min(share, whole // processes))


def _concluded(search: _Search, *, on_gpu: bool, has_maximum: bool) -> Found:
    rungs = [search.rungs[size] for size in sorted(search.rungs)]
    best = max(rung["rate"] for rung in rungs)
    knee = next(rung["size"] for rung in rungs if rung["rate"] >= ENOUGH * best)
    maximum = search.largest if has_maximum else None
    recommended, why = _recommended(search, knee, maximum, on_gpu=on_gpu)
    ends = "the training part" if search.largest >= search.cap else "memory"
    if search.ended == "time" and search.failed is None:
        ends = "time"
    return Found(
        recommended=recommended,
        why=why,
        knee=knee,
        maximum=maximum,
        ends=ends,
        failed=search.failed,
        rungs=rungs,
        limit=search.limit,
        bound=search.bound,
        device=search.device,
        probes=search.probes,
    )


def _recommended(
    search: _Search, knee: int, maximum: int | None, *, on_gpu: bool
) -> tuple[int, str]:
    question = search.question
    updates = question["pictures"] / (question.get("processes", 1) * (maximum or 1))
    if not on_gpu or maximum is None:
        chosen, why = knee, "larger ones are hardly faster on a CPU, and update less often"
    elif updates < _UPDATES:
        chosen = knee
        why = f"as fast as the largest, of which an epoch would have {updates:.0f} updates only"
    else:
        chosen, why = maximum, f"the largest that fits, with {updates:.0f} updates an epoch"
    whole = question["settings"]["train.global_batch_size"]
    if whole is None:
        return _not_too_large(search, chosen, why)
    share = int(whole) // int(question.get("processes", 1))
    fits = [size for size in search.rungs if size <= chosen and share % size == 0]
    if not fits:
        search.probe([max(d for d in range(1, chosen + 1) if share % d == 0)])
        fits = [size for size in search.rungs if size <= chosen and share % size == 0]
    return max(fits), f"the largest up to {chosen} that divides --global-batch-size {whole}"


def _not_too_large(search: _Search, chosen: int, why: str) -> tuple[int, str]:
    """Of a small set, a batch that leaves some updates to an epoch."""
    question = search.question
    more = question.get("processes", 1) * question["settings"]["train.accumulation_steps"]
    if question["pictures"] / (more * chosen) >= _FEWEST:
        return chosen, why
    small = [size for size in search.rungs if question["pictures"] / (more * size) >= _FEWEST]
    size = max(small) if small else min(search.rungs)
    return size, f"of {question['pictures']} pictures, so that an epoch has some updates"


def tell(found: Found) -> None:
    """The result in one sentence, on the way to a training."""
    rates = {rung["size"]: rung["rate"] for rung in found.rungs}
    console.say(
        f"batch    {found.recommended} pictures ({rates[found.recommended]:,.0f} a second; "
        f"{found.why}; {found.limit / 1e9:.1f} GB: {found.bound})"
    )
