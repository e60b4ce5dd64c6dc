"""Names of folders, sizes, times and lines of progress."""

import io
import unicodedata

import pytest
from rich.console import Console

from imgtrain import console
from imgtrain.fetching import progress
from imgtrain.fetching.names import folder_name, unique_names
from imgtrain.fetching.progress import line, metering, size_text, time_text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("pink primrose", "pink_primrose"),
        ("T-shirt/top", "T-shirt_top"),
        ("aquarium_fish", "aquarium_fish"),
        ("colt's foot", "colt's_foot"),
        ("<script>", "script"),
        ("../x", "x"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("a\0b\nc", "a_b_c"),
        ("ÿ", "ÿ"),
        (unicodedata.normalize("NFD", "ÿ"), "ÿ"),
        ("🦊 fox", "🦊_fox"),
        ("x" * 200, "x" * 80),
        ("\udcff", "unnamed"),
    ],
)
def test_class_names_as_folders(given, expected):
    """Readable, and a single folder on every system."""
    assert folder_name(given) == expected


def test_equal_names_are_told_apart():
    """By what they are known by; also those that differ only in case."""
    words = {"n1": "crane", "n2": "Crane", "n3": "fox"}
    assert unique_names(words) == {"n1": "crane_n1", "n2": "Crane_n2", "n3": "fox"}


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (170_052_171, "170 MB"), (2.64e9, "2.64 GB")],
)
def test_sizes(number, expected):
    """Decimal units, two or three digits."""
    assert size_text(number) == expected


def test_times():
    """Seconds, then minutes."""
    assert [time_text(s) for s in (0.4, 59, 60, 185.2)] == ["0 s", "59 s", "1:00 min", "3:05 min"]


def test_a_line_says_how_far_and_how_long():
    """Done, whole, share, rate, rest; without a whole, what is known."""
    assert line("a.tgz", 34_000_000, 170_000_000, "bytes", 12e6) == (
        "a.tgz: 34 MB of 170 MB (20 %), 12 MB/s, 11 s left"
    )
    assert line("x", 12_000, 60_000, "pictures", 7_000.0) == (
        "x: 12,000 of 60,000 (20 %), 7,000/s, 7 s left"
    )
    assert line("a", 5_000, None, "bytes", 0) == "a: 5.0 kB, 0 B/s"
    assert line("a", 0, 10, "bytes", 0) == "a: 0 B of 10 B (0 %), 0 B/s"


def test_plain_lines_come_now_and_then(capsys, monkeypatch):
    """A log is not flooded: one line in so many seconds."""
    with metering("a", 1_000_000) as meter:
        for done in range(0, 1_000_000, 1_000):
            meter.at(done)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    with metering("a", 100, done=50) as meter:
        meter.at(60)
    assert capsys.readouterr().err.startswith("a: 60 B of 100 B (60 %), ")


@pytest.mark.parametrize(
    ("unit", "words"), [("bytes", ("[b]a[/b]", "400/800", "bytes")), ("pictures", ("400/800",))]
)
def test_a_terminal_gets_a_bar(monkeypatch, unit, words):
    """With the label as it is, how much of how much, and the time left."""
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=120, markup=False, highlight=False)
    monkeypatch.setattr(console, "console", lambda: terminal)
    monkeypatch.setenv("TERM", "xterm")
    with metering("[b]a[/b]", 800, unit, done=100) as meter:
        meter.at(400)
    for word in words:
        assert word in screen.getvalue()
