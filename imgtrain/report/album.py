"""The pictures of one page: each is embedded once, and all together within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imgtrain.report.gallery import Reader, Thumbnail, thumbnail
from imgtrain.report.markup import text
from imgtrain.report.overlays import Overlay

MOST_BYTES = 3_000_000
"""Of all pictures in the cells of a page's matrices."""

CELL_SIDE = 96
_TINY = 64


@dataclass(slots=True)
class Album:
    """Thumbnails by path, as data URIs.

    Args:
        read: The bytes of a picture by its path; None where nothing is known about the data.
        overlays: By the path of the picture that they explain.
        room: Bytes that pictures of cells may still take.

    Attributes:
        cells: The pictures of cells by their number; those that stand in a gallery are not in it.
    """

    read: Reader | None
    overlays: Mapping[str, Sequence[Overlay]] = field(default_factory=dict)
    room: int = MOST_BYTES
    cells: dict[int, str] = field(default_factory=dict)
    _numbers: dict[str, int | None] = field(default_factory=dict)

    def image(self, path: str, words: str) -> str:
        """The picture as an element, its overlay behind it, or a placeholder; HTML.

        Args:
            path: As in ``splits.csv``.
            words: What is to be seen, for those who cannot see it; not escaped.
        """
        known = self._numbers.get(path)
        shot = thumbnail(self.read, path)
        if shot is None:
            return '<div class="missing">picture not found</div>'
        anchor = ""
        if known is None:  # a picture may stand in two galleries, its number in one
            self._numbers[path] = known = len(self._numbers)
            anchor = f' id="picture-{known}"'
        plain = _element(shot, words, f' loading="lazy"{anchor}')
        return f'<div class="shot">{plain}{self._overlay(path, words)}</div>'

    def _overlay(self, path: str, words: str) -> str:
        for overlay in self.overlays.get(path, ()):
            shot = thumbnail(lambda _, file=overlay.file: file.read_bytes(), path)  # type: ignore[misc]  # bound at once
            if shot is not None:
                told = f"{words}: {overlay.words}"
                return (
                    _element(shot, told, " hidden")
                    + '<button type="button" class="overlay" aria-pressed="false" '
                    f'title="{text(overlay.words)}">overlay'
                    f'<span class="unseen"> of {text(words)}</span></button>'
                )
        return ""

    def number(self, path: str) -> int | None:
        """The picture's number, embedded for a cell unless a gallery has it; None: no room."""
        if path in self._numbers:
            return self._numbers[path]
        if self.room <= 0:
            return None
        shot = thumbnail(self.read, path, CELL_SIDE)
        self._numbers[path] = None
        if shot is not None:
            self._numbers[path] = number = len(self._numbers)
            self.cells[number] = shot.uri
            self.room -= len(shot.uri)
        return self._numbers[path]


def _element(shot: Thumbnail, words: str, more: str) -> str:
    tiny = ' class="tiny"' if max(shot.width, shot.height) < _TINY else ""
    return (
        f'<img src="{shot.uri}" width="{shot.width}" height="{shot.height}" '
        f'alt="{text(words)}"{tiny}{more}>'
    )
