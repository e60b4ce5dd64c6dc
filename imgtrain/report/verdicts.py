"""A comparison in words, as a table of text, and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_uppercase
from typing import Any

from imgtrain.console import one_line, text_table
from imgtrain.report.contenders import Contender
from imgtrain.report.pairs import METRICS, Gap, Pair

_SMALLEST = 0.0001


def verdicts(pair: Pair, contenders: Sequence[Contender], pairs: int = 1) -> list[str]:
    """What each score of a pair means, a sentence each.

    Args:
        pair: Of two runs.
        contenders: All runs.
        pairs: How many pairs were compared.
    """
    names = tuple(contenders[place].label for place in pair.places)
    if pair.reason:
        return [f"{names[0]} and {names[1]} cannot be compared: {pair.reason}."]
    return [_verdict(gap, names, pairs) for gap in pair.gaps]


def _verdict(gap: Gap, names: Sequence[str], pairs: int) -> str:
    what = f"{METRICS[gap.metric]} {place_of(gap)}"
    if gap.p is None:
        reason = (
            "there is one fold" if gap.count == 1 else "the difference is the same in every fold"
        )
        return f"Whether {what} differs cannot be tested: {reason}."
    told = f"{chance(gap)}{' adjusted for all pairs' if pairs > 1 else ''}"
    if not gap.is_sure:
        if gap.interval is not None:
            told = f"95 % interval {between(gap)}, {told}"
        return f"No evidence of a difference in {what} ({signed(gap)}, {told})."
    word = "lower, which is better," if gap.metric == "log_loss" else "higher"
    better, worse = names[gap.leads], names[1 - gap.leads]
    return f"{better} is better than {worse}: {what} is {word} by {_lead(gap)}, {told})."


def _lead(gap: Gap) -> str:
    """How much better the better one is: ``2.06 points (95 % interval 0.86 to 3.26``."""
    scale, unit = (1, "") if gap.metric == "log_loss" else (100, " points")
    digits = 4 if gap.metric == "log_loss" else 2
    sign = 1 if gap.difference > 0 else -1
    by = f"{abs(gap.difference) * scale:.{digits}f}{unit}"
    assert gap.interval is not None  # where nothing varies, nothing is sure
    low, high = sorted(sign * scale * end for end in gap.interval)
    return f"{by} (95 % interval {low:.{digits}f} to {high:.{digits}f}"


def place_of(gap: Gap) -> str:
    """``over 5 folds``, ``on 360 test pictures``."""
    if gap.where == "folds":
        return f"over {gap.count} {'fold' if gap.count == 1 else 'folds'}"
    return f"on {gap.count:,} test {'picture' if gap.count == 1 else 'pictures'}"


def signed(gap: Gap) -> str:
    """The difference with its sign: points of per cent, or as it is."""
    if gap.metric == "log_loss":
        return f"{gap.difference:+.4f}"
    return f"{100 * gap.difference:+.2f} points"


def between(gap: Gap) -> str:
    """``+0.12 to +1.40``; a dash where it is unknown."""
    if gap.interval is None:
        return "-"
    if gap.metric == "log_loss":
        return "{:+.4f} to {:+.4f}".format(*gap.interval)
    return "{:+.2f} to {:+.2f}".format(*(100 * end for end in gap.interval))


def chance(gap: Gap) -> str:
    """``p = 0.032``, after adjustment."""
    if gap.adjusted is None:
        return "p unknown"
    if gap.adjusted < _SMALLEST:
        return f"p < {_SMALLEST}"
    return f"p = {gap.adjusted:.2g}" if gap.adjusted < 1 else "p = 1"


def value_of(gap: Gap, value: float) -> str:
    """A score: per cent, or as it is."""
    return f"{value:.4f}" if gap.metric == "log_loss" else f"{100 * value:.2f} %"


def letters(contenders: Sequence[Contender]) -> list[str]:
    """A short name for each run: A, B, ..., Z, AA."""
    found = [*ascii_uppercase, *(a + b for a in ascii_uppercase for b in ascii_uppercase)]
    return found[: len(contenders)]


def as_text(contenders: Sequence[Contender], pairs: Sequence[Pair]) -> str:
    """Who is who, a table a pair, and what it means."""
    short = letters(contenders)
    lines = [
        f"{letter}  {one_line(each.label)}  ({kind_of(each)})"
        for letter, each in zip(short, contenders, strict=True)
    ]
    for pair in pairs:
        lines += ["", *_pair_lines(pair, contenders, short, len(pairs))]
    if len(pairs) > 1:
        adjusted = f"p is adjusted for {len(pairs)} comparisons of each score (Holm)"
        lines += ["", f"{adjusted}; intervals are of one by itself."]
    return "\n".join(lines)


def kind_of(each: Contender) -> str:
    """``one training``, or ``cross-validation, 5 folds``."""
    if each.kind == "train":
        return "one training"
    return f"cross-validation, {len(each.folds)} folds"


def _pair_lines(
    pair: Pair, contenders: Sequence[Contender], short: Sequence[str], pairs: int
) -> Iterator[str]:
    a, b = (short[place] for place in pair.places)
    if pair.gaps:
        header = ["", a, b, f"{a} - {b}", "95 % interval", "p", "by"]
        yield text_table(header, [_cells(gap) for gap in pair.gaps])
    yield from (one_line(sentence) for sentence in verdicts(pair, contenders, pairs))


def _cells(gap: Gap) -> list[str]:
    disagree = "" if gap.alone is None else f" ({gap.alone[0]} and {gap.alone[1]} alone)"
    return [
        f"{METRICS[gap.metric]} {place_of(gap)}",
        value_of(gap, gap.first),
        value_of(gap, gap.second),
        signed(gap).removesuffix(" points"),
        between(gap),
        chance(gap).removeprefix("p ").removeprefix("= "),
        gap.test + disagree,
    ]


def as_json(contenders: Sequence[Contender], pairs: Sequence[Pair]) -> dict[str, Any]:
    """For programs: fractions in [0, 1], differences first minus second."""
    return {
        "format": 1,
        "runs": [
            {"run": str(each.folder), "name": each.label, "kind": each.kind} for each in contenders
        ],
        "pairs": [
            {
                "first": contenders[pair.places[0]].label,
                "second": contenders[pair.places[1]].label,
                "scores": [_score_json(gap) for gap in pair.gaps],
                "words": verdicts(pair, contenders, len(pairs)),
            }
            for pair in pairs
        ],
    }


def _score_json(gap: Gap) -> dict[str, Any]:
    found = {
        "on": gap.where,
        "metric": gap.metric,
        "count": gap.count,
        "first": gap.first,
        "second": gap.second,
        "difference": gap.difference,
        "interval": None if gap.interval is None else list(gap.interval),
        "p": gap.p,
        "p_adjusted": gap.adjusted,
        "test": gap.test,
    }
    if gap.alone is not None:
        found |= {"only_first": gap.alone[0], "only_second": gap.alone[1]}
    return found
