"""What docs/troubleshooting.md quotes is what imgtrain says."""

import ast
import re
from pathlib import Path

import pytest
from fenced import ROOT

GUIDE = ROOT / "docs" / "troubleshooting.md"
VARIES = r"\b[A-Z]{3,}\b"


def templates():
    """Every text in the source, what is filled in being a zero byte."""
    for path in sorted((ROOT / "imgtrain").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from (text for node in ast.walk(tree) if (text := text_of(node)))


def text_of(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(value) or "\0" for value in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (text_of(node.left) or "\0") + (text_of(node.right) or "\0")
    return None


def quotes():
    """(line, message) of the tables' second column."""
    found, column = [], None
    for number, line in enumerate(GUIDE.read_text(encoding="utf-8").splitlines(), 1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        column = cells.index("it says") if "it says" in cells else column if "|" in line else None
        if column is not None and len(cells) > column:
            found += [(number, text) for text in re.findall(r"`([^`]+)`", cells[column])]
    return found


ALL = "\n".join(templates())


@pytest.mark.parametrize(("line", "message"), quotes(), ids=lambda value: str(value)[:60])
def test_a_quoted_message_exists(line, message):
    """Its fixed words, in their order, in one text of the source; capitals vary."""
    fixed = [re.escape(piece.strip()) for piece in re.split(VARIES, message) if piece.strip(" '")]

    assert fixed, f"{GUIDE.name}:{line}: nothing but names"
    assert re.search(r"[^\n]*?".join(fixed), ALL), f"{GUIDE.name}:{line}: {message}"


def test_there_are_many():
    """The tables are read."""
    assert len(quotes()) > 30
    assert Path(GUIDE).stat().st_size > 5000
