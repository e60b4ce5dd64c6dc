"""Galleries: the mistakes of which the model was most sure, and the right answers it doubted."""

from __future__ import annotations

from collections.abc import Sequence

from imgtrain.report.album import Album
from imgtrain.report.gallery import Mistake, least_sure, worst_mistakes
from imgtrain.report.markup import name, percent, plural, text
from imgtrain.report.predictions import Predictions


def mistakes(rows: Predictions, classes: Sequence[str], album: Album) -> str:
    """The surest wrong answers as pictures."""
    wrong = int((rows.predicted != rows.labels).sum())
    if not wrong:
        return (
            f'<p class="empty">None: all {plural(len(rows.paths), "picture")} are recognised.</p>'
        )
    worst = worst_mistakes(rows)
    share = percent(wrong / len(rows.paths))
    which = (
        "All of them"
        if wrong == len(worst)
        else f"The {len(worst)} of which the model was most sure"
    )
    return (
        f'<p class="note">{plural(wrong, "mistake")} in {plural(len(rows.paths), "picture")} '
        f"({share}). {which}, surest first: some may be wrong labels.</p>"
        f'<ul class="gallery">{_cards(worst, classes, album)}</ul>'
    )


def doubted(rows: Predictions, classes: Sequence[str], album: Album) -> str:
    """The right answers with the lowest probabilities, the least sure first; nothing without."""
    found = least_sure(rows)
    if not found:
        return ""
    return (
        "<h3>Right, but least sure</h3>"
        '<p class="note">More pictures like these would help.</p>'
        f'<ul class="gallery">{_cards(found, classes, album)}</ul>'
    )


def _cards(found: Sequence[Mistake], classes: Sequence[str], album: Album) -> str:
    return "\n".join(_card(each, classes, album) for each in found)


def _card(each: Mistake, classes: Sequence[str], album: Album) -> str:
    true, taken = classes[each.label], classes[each.predicted]
    right = each.label == each.predicted
    image = album.image(each.path, true if right else f"{true}, taken for {taken}")
    kind = "taken right" if right else "taken"
    truth = "" if right else f'<p class="true">is {name(true)}</p>'
    return (
        f'<li>{image}<p class="{kind}"><span>{name(taken)}</span> <b>{percent(each.prob)}</b></p>'
        f'{truth}<p class="path" title="{text(each.path)}">{name(each.path)}</p></li>'
    )
