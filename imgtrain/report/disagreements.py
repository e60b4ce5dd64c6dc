"""Test pictures that one of two runs recognises and the other does not."""

from __future__ import annotations

from collections.abc import Sequence

from imgtrain.report.contenders import Contender
from imgtrain.report.gallery import Reader, thumbnail
from imgtrain.report.markup import name, plural, section, text
from imgtrain.report.pairs import Pair

MOST = 12
"""Pictures of each kind that are shown."""


def disagreements(
    contenders: Sequence[Contender], pairs: Sequence[Pair], read: Reader | None
) -> str:
    """For two runs, the pictures that only the one or only the other recognises.

    Args:
        contenders: The runs.
        pairs: Their comparison.
        read: The bytes of a picture by its path; None where they cannot be found.
    """
    if len(contenders) != 2 or not any(gap.alone for pair in pairs for gap in pair.gaps):  # noqa: PLR2004  # two runs
        return ""
    first, second = contenders
    blocks = [_block(first, second, read), _block(second, first, read)]
    return section("disagreements", "Where they disagree", *blocks)


def _block(right: Contender, wrong: Contender, read: Reader | None) -> str:
    alone = [
        path
        for path, (label, taken) in right.answers.items()
        if label == taken and wrong.answers[path][1] != label
    ]
    shown = alone[:: max(1, -(-len(alone) // MOST))]  # of all classes, as they lie in the list
    cards = "".join(_card(path, wrong.answers[path], read) for path in shown)
    which = plural(len(alone), "picture")
    which += f", {len(shown)} of them shown" if len(shown) < len(alone) else ""
    body = f'<ul class="gallery">{cards}</ul>' if alone else '<p class="empty">None.</p>'
    return f"<h3>Only {name(right.label)} recognises <small>{which}</small></h3>{body}"


def _card(path: str, answer: tuple[str, str], read: Reader | None) -> str:
    label, taken = answer
    picture = thumbnail(read, path)
    if picture is None:
        image = '<div class="missing">picture not found</div>'
    else:
        tiny = ' class="tiny"' if max(picture.width, picture.height) < 64 else ""  # noqa: PLR2004  # pixels
        image = (
            f'<img src="{picture.uri}" width="{picture.width}" height="{picture.height}" '
            f'alt="{text(f"{label}, taken for {taken}")}"{tiny}>'
        )
    return (
        f'<li>{image}<p class="taken"><span>{name(taken)}</span></p>'
        f'<p class="true">is {name(label)}</p><p class="path" title="{text(path)}">{name(path)}</p>'
        "</li>"
    )
