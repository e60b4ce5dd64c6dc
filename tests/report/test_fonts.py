"""Names that matplotlib's own font cannot show."""

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.ttLib.tables._g_l_y_f import Glyph

from imgtrain.report import fonts
from imgtrain.report.fonts import families_for
from imgtrain.report.plots import drawing

SAID = "warning: plots show boxes for Chinese, Japanese or Korean letters"


@pytest.fixture(autouse=True)
def _forget():
    fonts._installed_for.cache_clear()
    yield
    fonts._installed_for.cache_clear()


@pytest.fixture
def fonts_here():
    """The fonts that matplotlib knows, without this machine's own for East Asia."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    kept = list(manager.ttflist)
    manager.ttflist = [entry for entry in kept if "DejaVu" in entry.name]
    yield manager
    manager.ttflist = kept


def test_other_names_change_nothing(fonts_here, capsys):
    """Latin, Cyrillic, Arabic, Hebrew: the font that comes along."""
    assert families_for(["oak", "дуб", "بلوط", "naïve €", "", "→ ½"]) == ["DejaVu Sans"]
    assert capsys.readouterr().err == ""


def test_without_a_font_it_is_said_once(fonts_here, capsys):
    """However often is drawn."""
    for _ in range(3):
        assert families_for(["橡树", "oak"]) == ["DejaVu Sans"]

    said = " ".join(capsys.readouterr().err.split())
    assert said.count(SAID) == 1
    assert "Noto Sans CJK" in said


def _make_font(path, family, letters):
    """A font whose letters are empty."""
    names = [".notdef", *(f"u{ord(letter):04X}" for letter in letters)]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(letter): f"u{ord(letter):04X}" for letter in letters})
    builder.setupGlyf({name: Glyph() for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (500, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.mark.parametrize(
    ("family", "name"),
    [("Noto Sans CJK JP", "かしの木"), ("NanumGothic", "참나무"), ("WenQuanYi Zen Hei", "橡树")],
)
def test_an_installed_font_is_taken(fonts_here, tmp_path, capsys, family, name):
    """For letters of its script, behind the usual one; no letter is missing then."""
    _make_font(tmp_path / "font.ttf", family, name)
    fonts_here.addfont(tmp_path / "font.ttf")

    assert families_for(["oak", name]) == ["DejaVu Sans", family]
    with drawing(tmp_path / "plot.png", 2, 2, names=[name]) as figure:
        text = figure.add_subplot().set_title(f"oak {name}")
    assert text.get_fontfamily() == ["DejaVu Sans", family]
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().err == ""
