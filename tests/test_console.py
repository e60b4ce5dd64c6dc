"""What a person reads, as the terminal shows it."""

import pytest

from imgtrain import console

PLAN = "plan     4 epochs of 90 steps, batch 16 = 16 x 1 accumulated x 1 process, lr 0.001"


@pytest.fixture
def fresh(monkeypatch):
    """A console that looks at the environment anew, before the test and after it."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    console.console.cache_clear()
    yield monkeypatch
    console.console.cache_clear()


def test_lines_end_between_words_on_a_terminal(fresh, capsys):
    """No number is cut in two where the window ends."""
    fresh.setenv("FORCE_COLOR", "1")
    console.say(PLAN)

    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= 40
    assert " ".join(line.strip() for line in lines).split() == PLAN.split()


def test_a_message_is_one_line_elsewhere(fresh, capsys):
    """Logs and pipes are read line by line."""
    fresh.delenv("FORCE_COLOR", raising=False)
    console.say(PLAN)

    assert capsys.readouterr().err == f"{PLAN}\n"
