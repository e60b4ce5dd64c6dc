"""Fonts for names that matplotlib's own font cannot show."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache

from imgtrain import console

_OWN = "DejaVu Sans"
_EAST_ASIAN = {
    "CJK": ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC",
            "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans GB",
            "Microsoft YaHei", "SimHei", "Droid Sans Fallback", "Arial Unicode MS"),
    "HIRAGANA": ("Noto Sans CJK JP", "Noto Sans JP", "Source Han Sans JP", "Hiragino Sans",
                 "Yu Gothic", "Meiryo", "MS Gothic", "IPAexGothic", "IPAGothic", "TakaoGothic",
                 "VL Gothic"),
    "HANGUL": ("Noto Sans CJK KR", "Noto Sans KR", "Source Han Sans KR", "Apple SD Gothic Neo",
               "Malgun Gothic", "NanumGothic", "Baekmuk Gulim", "UnDotum"),
}  # fmt: skip
"""Fonts that have the letters of each script, the usual ones first."""

_LIKE = {"KATAKANA": "HIRAGANA", "BOPOMOFO": "CJK"}


def families_for(names: Iterable[str]) -> list[str]:
    """Font families, in the order in which matplotlib is to try them, that show ``names``.

    Where Chinese, Japanese or Korean letters occur and no installed font has them, that is said
    once, and boxes are drawn.
    """
    scripts = sorted({found for name in names for found in map(_script, name) if found})[::-1]
    return [_OWN, *dict.fromkeys(name for script in scripts for name in _installed_for(script))]


def _script(letter: str) -> str | None:
    if ord(letter) < 0x1100:  # noqa: PLR2004  # Hangul begins here, the first of them
        return None
    first = unicodedata.name(letter, "").partition(" ")[0]
    first = _LIKE.get(first, first)
    return first if first in _EAST_ASIAN else None


def scripts_without_font() -> list[str]:
    """Scripts whose letters no installed font has, as words."""
    words = {"CJK": "Chinese", "HIRAGANA": "Japanese", "HANGUL": "Korean"}
    return [words[script] for script in _EAST_ASIAN if _found_for(script) is None]


def _found_for(script: str) -> str | None:
    """The first installed font of a script."""
    from matplotlib import font_manager

    known = {entry.name for entry in font_manager.fontManager.ttflist}
    wanted = _EAST_ASIAN[script]
    others = (name for fonts in _EAST_ASIAN.values() for name in fonts if "CJK" in name)
    return next((name for name in (*wanted, *others) if name in known), None)


@cache
def _installed_for(script: str) -> tuple[str, ...]:
    """The first installed font of a script, or none, which is said."""
    found = _found_for(script)
    if found is None:
        console.warn(
            "plots show boxes for Chinese, Japanese or Korean letters: no font here has them "
            f"(install one such as {_EAST_ASIAN[script][0]}; report.html shows them all the same)"
        )
        return ()
    return (found,)
