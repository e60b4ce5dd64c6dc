"""What documents tell a reader to type: fenced blocks, their commands, flags in running text."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

SHELLS = {"", "bash", "sh", "shell", "console", "text"}
_ENDS = {"&&", "||", ";", "|", "&", "|&"}
_INTO = {">", ">>", "2>", "&>", "<"}


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        document: Its file.
        line: Of the opening fence, from 1.
        language: As written behind the fence.
        text: What is inside.
        above: The paragraph before it.
    """

    document: Path
    line: int
    language: str
    text: str
    above: str = ""


@dataclass(frozen=True)
class Command:
    """A simple command of a shell line.

    Args:
        document: Its file.
        line: Where it begins, from 1.
        text: As typed, without what is behind it.
        words: Its words; a word in quotes is kept in them.
        block: Line of the block that it stands in.
        variables: Of ``NAME=value`` before it.
    """

    document: Path
    line: int
    text: str
    words: tuple[str, ...]
    block: int = 0
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def place(self):
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def program(self):
        return self.words[0] if self.words else ""


def blocks(document):
    """Every fenced block, in order."""
    found, opened, above = [], None, []
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"\s*```(\S*)", line)
        if fence and opened is None:
            opened, inside = (number, fence[1]), []
        elif fence:
            text = "\n".join(inside) + "\n"
            found.append(Block(document, *opened, text, " ".join(above)))
            opened, above = None, []
        elif opened:
            inside.append(line)
        else:
            above = [*above, line] if line.strip() else above if not above else [*above[-3:]]
    assert opened is None, f"{document}: a block is not closed"
    return found


def commands(block):
    """The commands of a shell block; lines that are none (output, trees of files) are left out."""
    number, lines = block.line, block.text.splitlines()
    while lines:
        number += 1
        begun, line = number, lines.pop(0)
        while line.rstrip().endswith("\\") and lines:
            line, number = line.rstrip()[:-1] + " " + lines.pop(0).strip(), number + 1
        line = re.sub(r"^\s*[$>] (?=\w)", "", line)
        yield from simple(block.document, begun, line, block.line)


def simple(document, number, line, block=0):
    """The simple commands of one line."""
    try:
        lexer = shlex.shlex(line, posix=False, punctuation_chars="&|;<>")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words = list(lexer)
    except ValueError:  # a lone quote: prose, or the inside of another language
        return
    parts, skip = [[]], False
    for word in words:
        if word in _ENDS:
            parts.append([])
        elif word in _INTO:
            skip = True
        elif skip:
            skip = False
        else:
            parts[-1].append(word)
    for part in parts:
        variables = {}
        while part and (given := re.fullmatch(r"([A-Za-z_]\w*)=(.*)", part[0])):
            variables[given[1]] = given[2]
            part = part[1:]  # noqa: PLW2901  # what is left of it
        if part or variables:
            yield Command(document, number, " ".join(part), tuple(part), block, variables)


def spans(document):
    """Code in running text, outside of blocks: (line, text)."""
    inside = False
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside:
            yield from ((number, text) for text in re.findall(r"`([^`]+)`", line))
