"""The top of the page: what this run is, how good, and what stands out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imgtrain.report.markup import DASH, decimal, duration, name, percent, plural, text
from imgtrain.report.reading import PARTS, RunFiles

_STATES = {
    "finished": "finished",
    "running": "not finished",
    "interrupted": "interrupted",
    "failed": "failed",
}


def part_to_show(run: RunFiles) -> str | None:
    """The part whose scores lead: test, else validation or what the folds of a cv run give."""
    return next((part for part in ("test", "val", "oof") if run.scores(part)), None)


def pill(run: RunFiles) -> str:
    """How far the run came, in a word."""
    state = str(run.status.get("state", ""))
    words = text(_STATES.get(state, state))
    return f'<span class="state {text(state)}">{words}</span>' if state else ""


def header(run: RunFiles) -> str:
    """Name, state, and one sentence on what was trained on what."""
    return (
        f"<header><div><h1>{name(run.name)}</h1>{pill(run)}</div>"
        f'<p class="lead">{_sentence(run)}</p></header>'
    )


def _sentence(run: RunFiles) -> str:
    model, root = (run.settings.get(key) for key in ("model.name", "data.root"))
    what = f"<strong>{text(model)}</strong>" if model else "A model"
    if root:
        what += f" trained on <strong>{name(str(root))}</strong>"
    if run.classes:
        what += f" to tell {plural(len(run.classes), 'class', 'classes')} apart"
    return " ".join(f"{sentence}." for sentence in (what, _course(run)) if sentence)


def _course(run: RunFiles) -> str:
    """How many epochs of how many, which was best, how long it took."""
    done, best = len(run.history), run.metrics.get("best_epoch")
    fitted = run.settings.get("train.budget") or run.settings.get("train.realised")
    wanted = None if fitted else run.settings.get("train.epochs")
    if not done:
        return ""
    course = plural(done, "epoch")
    if isinstance(wanted, int) and wanted > done:
        course = f"{done} of {plural(wanted, 'epoch')}"
    if run.seconds is not None:
        course += f" in {duration(run.seconds)}"
    return course if best is None else f"{course}; the weights are those of epoch {text(best)}"


def headline(run: RunFiles) -> str:
    """The five numbers that matter most, with 95% intervals where there are."""
    part = part_to_show(run)
    if part is None:
        return '<p class="empty">No part of the data has been scored yet.</p>'
    scores = run.scores(part)
    intervals = scores.get("intervals", {})
    cards = [
        _card(title, scores.get(key), intervals.get(key))
        for key, title in (
            ("top1", "Accuracy (top-1)"),
            ("balanced_accuracy", "Balanced accuracy"),
            ("macro_f1", "Macro F1"),
        )
    ]
    cards += [
        _plain_card(
            "Macro AUROC", decimal(scores.get("macro_auroc")), "0.5 is chance, 1 is perfect"
        ),
        _plain_card("Calibration error", percent(scores.get("ece")), "gap between sure and right"),
    ]
    what = "predictions" if part == "oof" else "part"
    caption = (
        f"{PARTS[part]} {what}, {plural(scores['n'], 'picture')}. "
        "The bars are 95% intervals (Wilson's for accuracy, else bootstrap): "
        "where the score could have come out with other pictures."
    )
    if part == "val":
        caption += " Validation pictures chose the best epoch, so these scores flatter."
    if part == "oof":
        caption += (
            " Each picture was judged by a fold that had not trained on it; these pictures chose"
            " the best epochs, so the scores flatter a little."
        )
    return f'<div class="cards">{"".join(cards)}</div><p class="note">{caption}</p>'


def _card(title: str, value: float | None, ends: Any) -> str:
    if value is None or not isinstance(ends, list):
        return _plain_card(title, percent(value), "")
    low, high = (100 * float(end) for end in ends)
    return (
        f'<div class="card"><span class="what">{title}</span>'
        f'<span class="value">{percent(value)}</span>'
        f'<span class="interval" aria-hidden="true">'
        f'<i style="left:{low:.2f}%;width:{max(high - low, 0.6):.2f}%"></i>'
        f'<b style="left:{100 * value:.2f}%"></b></span>'
        f'<span class="ends">{low:.1f} {DASH} {high:.1f}%</span></div>'
    )


def _plain_card(title: str, value: str, note: str) -> str:
    return (
        f'<div class="card"><span class="what">{title}</span><span class="value">{value}</span>'
        f'<span class="ends">{note}</span></div>'
    )


def findings(run: RunFiles, notable: Sequence[str] = ()) -> str:
    """A few plain sentences on where the model fails.

    Args:
        run: What its folder says.
        notable: What the predictions of the part that is shown say; HTML.
    """
    part = part_to_show(run)
    found = [] if part is None else list(_findings(run, part, notable))
    if not found:
        return ""
    items = "".join(f"<li>{sentence}</li>" for sentence in found)
    return f'<h3>What stands out</h3><ul class="findings">{items}</ul>'


def _findings(run: RunFiles, part: str, notable: Sequence[str]) -> Iterator[str]:
    yield from _hardest_class(run.scores(part).get("per_class", {}))
    yield from notable
    yield from _imbalance(run)
    if run.bad_pictures:
        yield f"Left out because unreadable: {plural(len(run.bad_pictures), 'picture')}."


def _hardest_class(per_class: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    known = [(row["f1"], label) for label, row in per_class.items() if row.get("f1") is not None]
    if len(known) < 2:  # noqa: PLR2004  # one class is not harder than others
        return
    f1, label = min(known)
    if f1 == 1:  # none is harder than another
        return
    row = per_class[label]
    recall = "it has no pictures here" if not row["support"] else (
        f"{percent(row['recall'])} of its {plural(row['support'], 'picture')} "
        f"{'is' if row['support'] == 1 else 'are'} recognised"
    )  # fmt: skip
    yield f"Hardest class: <strong>{name(label)}</strong>, F1 {decimal(f1)}; {recall}."


def _imbalance(run: RunFiles) -> Iterator[str]:
    counts = [run.counts[label, "train"] for label in run.classes if (label, "train") in run.counts]
    if len(counts) > 1 and max(counts) >= 3 * min(counts):
        yield (
            f"Classes are imbalanced: the largest has {max(counts) / min(counts):.1f} times the "
            "training pictures of the smallest."
        )
