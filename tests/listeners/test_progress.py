"""What a person sees while a model trains."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console
from rows import ended, row, started, stepped

from imgtrain import console
from imgtrain.events import Evaluating, RunEnded
from imgtrain.listeners.progress import number, percent, progress

OVER = RunEnded(reason="finished", epoch=2, best_epoch=2, best_value=0.8)


@pytest.fixture
def voice(monkeypatch):
    """A console on a recorded stream of a given width, a terminal or not."""

    def make(*, terminal, width=100):
        stream = io.StringIO()
        one = Console(
            file=stream,
            width=width,
            height=40,
            force_terminal=terminal,
            markup=False,
            highlight=False,
            emoji=False,
            soft_wrap=True,
            legacy_windows=False,
        )
        monkeypatch.setattr(console, "console", lambda: one)
        return stream

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    yield make
    console.set_verbosity(0)
    console.attach_log(None)


def tell(*events):
    with progress() as hear:
        for event in events:
            hear(event)


def frames(stream):
    """What was drawn, frame by frame, without colours: each a list of lines."""
    drawn = re.split(r"(?:\r?\x1b\[2K(?:\x1b\[1A)?)+", stream.getvalue())
    bare = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", frame) for frame in drawn]
    return [frame.splitlines() for frame in bare if frame.strip()]


def test_without_a_terminal_an_epoch_is_one_plain_line(voice):
    """The whole output; the best so far is marked; no colours, no cursor."""
    stream = voice(terminal=False)
    tell(
        started(epochs=2),
        stepped(1, 10),
        Evaluating(part="val", batch=1, batches=1),
        ended(1, epochs=2, is_best=1),
        ended(2, epochs=2, train_loss=0.12345, val_top1=0.999, images_per_second=99.6),
        OVER,
    )
    assert stream.getvalue() == (
        "epoch 1/2  train loss 1.0000  train top-1 50.0 %  val loss 0.2500  val top-1 75.0 %  "
        "val macro F1 70.0 %  640 images/s  (best)\n"
        "epoch 2/2  train loss 0.1235  train top-1 50.0 %  val loss 0.2500  val top-1 99.9 %  "
        "val macro F1 70.0 %  100 images/s\n"
    )


def test_without_a_validation_part_the_line_leaves_it_out(voice):
    """Words for what is not there would be noise."""
    stream = voice(terminal=False)
    tell(started(), ended(1, val_loss=None, val_top1=None, val_macro_f1=None))
    assert stream.getvalue() == ("epoch 1/4  train loss 1.0000  train top-1 50.0 %  640 images/s\n")


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_shows_nothing(voice, terminal):
    """-q: neither lines nor a display."""
    stream = voice(terminal=terminal)
    console.set_verbosity(-1)
    tell(started(), stepped(1, 10), ended(1), OVER)
    assert stream.getvalue() == ""


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(voice, monkeypatch):
    """TERM=dumb, as in editors."""
    stream = voice(terminal=True)
    monkeypatch.setenv("TERM", "dumb")
    tell(started(), stepped(1, 10), ended(1))
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert text.startswith("epoch 1/4  train loss 1.0000")
    assert " ".join(text.split()).endswith("val macro F1 70.0 % 640 images/s")


def test_the_live_display_shows_where_training_is(voice):
    """Epoch, step, loss, score, rate and speed, as they come."""
    stream = voice(terminal=True)
    tell(started(), stepped(1, 4))
    last = "\n".join(frames(stream)[-1])

    assert re.search(r"training +\S+ epoch 1 of 4", last), last
    assert re.search(r"this epoch +\S+ step 4 of 10", last), last
    assert "loss 0.7000   top-1 60.0 %   lr 1.00e-03   1234 images/s   2,346 MB" in last


def test_the_live_table_holds_the_epochs_and_marks_the_best(voice):
    """The newest best is marked, and it alone."""
    stream = voice(terminal=True)
    tell(
        started(epochs=3),
        ended(1, epochs=3, is_best=1),
        ended(2, epochs=3, is_best=1, val_top1=0.8),
        ended(3, epochs=3),
        OVER,
    )
    table = [" ".join(line.split()) for line in frames(stream)[-1] if re.match(r" *\d+ ", line)]

    assert table == [
        "1 1.00e-03 1.0000 50.0 % 0.2500 75.0 % 70.0 % 640",
        "2 1.00e-03 0.5000 50.0 % 0.2500 80.0 % 70.0 % 640 * best",
        "3 1.00e-03 0.3333 50.0 % 0.2500 75.0 % 70.0 % 640",
    ]


def test_a_resumed_run_shows_the_epochs_before_it(voice):
    """The table begins with what is done, the bars where training goes on."""
    stream = voice(terminal=True)
    tell(started(epoch=3, step=5, history=[row(1), row(2, is_best=1)]))
    last = frames(stream)[-1]

    assert sum(bool(re.match(r" *[12] ", line)) for line in last) == 2
    assert any("epoch 3 of 4" in line for line in last)
    assert any("step 5 of 10" in line for line in last)


def test_of_many_epochs_the_last_eight_are_shown(voice):
    """The display keeps its height."""
    stream = voice(terminal=True)
    tell(started(epoch=13, epochs=13, history=[row(n) for n in range(1, 13)]))
    shown = [line.split()[0] for line in frames(stream)[-1] if re.match(r" *\d+ ", line)]
    assert shown == [str(n) for n in range(5, 13)]


def test_scoring_is_shown_while_it_lasts(voice):
    """Which part, and how far."""
    stream = voice(terminal=True)
    tell(started(), Evaluating(part="val", batch=2, batches=7))
    assert frames(stream)[-1][-1].strip() == "scoring val: batch 2 of 7"


def test_at_the_end_nothing_looks_unfinished(voice):
    """What stays on the screen does not say that something goes on."""
    stream = voice(terminal=True)
    tell(started(), Evaluating(part="val", batch=2, batches=7), ended(1), OVER)
    assert frames(stream)[-1][-1].strip() == "epoch 1 is saved"


@pytest.mark.parametrize("width", [80, 100])
def test_no_line_of_the_display_is_wider_than_the_terminal(voice, width):
    """A line that wraps would be drawn again and again; nothing is cut off at 80 columns."""
    stream = voice(terminal=True, width=width)
    long = {"lr": 1e-10, "train_loss": 123.4567, "train_top1": 1.0}
    tell(
        started(epoch=998, epochs=1000, history=[row(n) for n in range(990, 998)]),
        ended(998, epochs=1000, **long, val_loss=12.0, val_top1=1.0, is_best=1),
        stepped(999, 10, **long, images_per_second=12345.6, memory_mb=123456.7),
    )
    drawn = frames(stream)

    assert max(cell_len(line.rstrip()) for frame in drawn for line in frame) <= width
    last = "\n".join(drawn[-1])
    assert "* best" in last
    assert "12346 images/s   123,457 MB" in last
    assert "…" not in last


def test_messages_stand_above_the_display(voice):
    """What is said while it is drawn stays on the screen, once."""
    stream = voice(terminal=True)
    with progress() as hear:
        hear(started())
        console.say("saved")
        hear(stepped(1, 10))
    assert sum(line == "saved" for frame in frames(stream) for line in frame) == 1


def test_the_log_has_the_epochs_that_a_live_display_shows(voice, tmp_path):
    """log.txt reads the same, with a terminal or without."""
    for name, terminal in (("a", True), ("b", False)):
        voice(terminal=terminal)
        console.attach_log(tmp_path / name)
        tell(started(), ended(1), ended(2))
        console.attach_log(None)
    a, b = ((tmp_path / n).read_text(encoding="utf-8").splitlines() for n in "ab")
    stamp = len("2026-01-01 00:00:00 ")

    assert [line[stamp:] for line in a] == [line[stamp:] for line in b]
    assert a[0][stamp:].startswith("epoch 1/4")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("bell\x07 back\x08 del\x7f", r"bell\x07 back\x08 del\x7f"),
        ("line\rover", r"line\rover"),
        ("c1 \x9b31m", r"c1 \x9b31m"),
        ("gpj\u202eexe.png", r"gpj\u202eexe.png"),
        ("\udcff.png", r"\udcff.png"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("[bold]not bold[/bold] :smile: ü 猫 🐈", "[bold]not bold[/bold] :smile: ü 猫 🐈"),
    ],
)
def test_control_characters_are_shown_as_escapes(text, expected):
    """No name can paint the terminal, move the cursor or turn the text around."""
    assert console.plain(text) == expected


def test_a_name_in_a_row_stays_in_its_cell():
    """Line breaks and tabs are escapes too."""
    assert console.one_line("a\nb\tc\u2028d\x1be") == r"a\nb\tc\u2028d\x1be"


def test_a_users_text_is_never_markup(voice):
    """Brackets and emoji codes come out as they went in."""
    stream = voice(terminal=False)
    console.say("[bold]cat[/bold] :cat: [link=x]")
    console.warn("[/]")
    assert stream.getvalue() == "[bold]cat[/bold] :cat: [link=x]\nwarning: [/]\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (float("nan"), "-"), (0.0, "0.0 %"), (0.93449, "93.4 %"), (1.0, "100.0 %")],
)
def test_shares_are_shown_in_percent(value, shown):
    """One digit; a dash where there is no number."""
    assert percent(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), (float("nan"), "-"), (0.0, "0.0000"), (1.23456, "1.2346")]
)
def test_losses_are_shown_with_four_digits(value, shown):
    """A dash where there is no number."""
    assert number(value) == shown
