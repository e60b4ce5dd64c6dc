"""Every command and every piece of Python in README.md, CONTRIBUTING.md and docs/, as typed.

Each is parsed and its settings are checked; then it is run in a folder that has what the documents
speak of (``sandbox.py``), with less to do (``treatment.py``), unless a rule says why not. A new
document is covered by being there.
"""

import contextlib
import glob
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
import typer
import yaml
from fenced import DOCUMENTS, ROOT, SHELLS, blocks, commands, simple, spans
from sandbox import RUNS, Sandbox, template, variables
from small_plots import SmallFigure
from treatment import (
    CHEAP,
    COSTLY,
    FOREIGN,
    HEAVY,
    MAY_END,
    MOST,
    REPEATS,
    cheap_for,
    cheaper,
    why_not_run,
    why_only_compiled,
)

from imgtrain import console
from imgtrain.cli import COMMANDS, root, run
from imgtrain.commands.flags import _name
from imgtrain.settings.catalog import all_sections, all_settings, option_names
from imgtrain.settings.effects import check_effects
from imgtrain.settings.layers import load_settings

FLAGS = Path(__file__).parents[1] / "cli" / "flags.txt"
ABOUT_AN_EXIT = re.compile(r"exit code (\d)")


def plan():
    """(document, what, why it is only checked) for every command and block of code, in order."""
    known, found = set(), []
    for document in DOCUMENTS:
        trained = 0
        for block in blocks(document):
            if block.language in {"python", "yaml"}:
                why = why_only_compiled(block.text) if block.language == "python" else None
                found.append((document, block, why))
            for command in commands(block) if block.language in SHELLS else ():
                if "imgtrain" in command.words:
                    why = _treated(command, known, trained)
                    trained += why is None and COSTLY.match(command.text) is not None
                    found.append((document, command, why))
                elif command.program in FOREIGN:
                    found.append((document, command, FOREIGN[command.program]))
                elif command.program == "export":
                    found.append((document, command, None))
    return found


def _treated(command, known, trained):
    """Why it is not run in the short tests; what runs from here on is entered in ``known``."""
    why, heavy = why_not_run(command.text), HEAVY.match(command.text)
    if why is not None or not (heavy or COSTLY.match(command.text)):
        return why
    flags = {word.partition("=")[0] for word in command.words if word.startswith("-")}
    kinds = {word.partition(":")[0] for word in command.words if re.match(r"[a-z]+:", word)}
    words = {heavy[1]} if heavy else {command.words[1], *flags, *kinds}
    if words <= known or (trained >= MOST and not heavy):
        return REPEATS
    known |= words
    return None


PLAN = plan()


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """The pictures and runs that every sandbox begins with."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    cache = {"IMGTRAIN_CACHE": str(shared / "documents-cache")}
    return template(shared / "documents", CHEAP | cache)


@pytest.fixture
def sandbox(source, tmp_path, monkeypatch, site_of_sets):
    """A folder of the document's own, and the variables under which its commands run."""
    made = Sandbox(tmp_path / "work", source)
    made.environ |= {
        "IMGTRAIN_CACHE": str(source.parents[1] / "documents-cache"),
        "IMGTRAIN_DATA__MIRROR": site_of_sets,
        "COLUMNS": "200",
    }
    monkeypatch.chdir(made.place)
    monkeypatch.setattr("matplotlib.figure.Figure", SmallFigure)
    yield made
    console.set_verbosity(0)


@pytest.fixture
def site_of_sets():
    """A server on loopback that has a little CIFAR-10 and vouches for it."""
    import little_sets as little
    from unruly_server import serving

    with serving() as site:
        files = little.cifar10()
        site.publish(files | {"SHA256SUMS": little.sums(files)}, "/sets/cifar10")
        yield f"{site.url}/sets"


def expanded(words, environ):
    """Words as a shell would hand them over: variables, patterns, quotes."""
    for word in words:
        if word[:1] == word[-1:] == "'" and len(word) > 1:
            yield word[1:-1]
            continue
        told = re.sub(r"\$\{?(\w+)\}?", lambda m: environ.get(m[1], m[0]), word)
        (plain,) = shlex.split(told) or [""]
        found = sorted(glob.glob(plain)) if plain == told and re.search(r"[*?\[]", plain) else []  # noqa: PTH207  # as a shell
        yield from found or [plain]


def parsed(argv, environ):
    """Parse a command line and check its settings, as typed, without running it."""
    ctx = typer.main.get_command(root).make_context("imgtrain", list(argv), obj=tuple(argv))
    while (rest := [*ctx._protected_args, *ctx.args]) and hasattr(ctx.command, "resolve_command"):
        name, command, rest = ctx.command.resolve_command(ctx, rest)
        ctx = command.make_context(name, rest, parent=ctx)
    given = dict(ctx.params)
    if "set_" not in given or given.get("plugins"):
        return
    chosen = {_name(s): s.key for s in all_settings().values()}
    flags = {chosen[k]: v for k, v in given.items() if k in chosen and v not in (None, [], ())}
    flags = {k: list(v) if isinstance(v, tuple) else v for k, v in flags.items()}
    loaded = load_settings(
        preset=given["preset"],
        files=given["config"] or (),
        flags=flags,
        sets=given["set_"] or (),
        environ=environ,
    )
    if loaded.settings.run.resume is None:
        check_effects(loaded.settings, {k: loaded.origins[k] for k in flags})


class Reader:
    """Somebody who types a document from top to bottom; remembers what did not work."""

    def __init__(self, sandbox, capfd):
        self.sandbox, self.capfd = sandbox, capfd
        self.failed, self.block, self.typed, self.names = [], None, {}, {}

    def does(self, what, why):
        try:
            if hasattr(what, "language"):
                self.reads(what, why)
                return
            if what.block != self.block:  # variables are those of one block
                self.block, self.typed = what.block, {}
            if what.program == "export":
                pairs = (word.partition("=") for word in what.words[1:])
                self.typed |= {name: value for name, is_set, value in pairs if is_set}
            else:
                self.types(what, why)
        except AssertionError as error:
            self.failed.append(str(error))

    def types(self, command, why):
        begins = command.words.index("imgtrain") if "imgtrain" in command.words else None
        if begins is None:
            return
        words = command.words[begins + 1 :]
        self.sandbox.provide(("imgtrain", *words))
        environ = {k: v for k, v in (self.typed | command.variables).items() if "IMGTRAIN" in k}
        with variables(environ):
            argv = list(expanded(words, environ))
            try:
                parsed(argv, environ)
            except typer.Exit:
                return
            except Exception as error:
                raise AssertionError(f"{command.place}: {command.text}\n    {error}") from error
        if why is not None:
            return
        text = cheaper(" ".join(("imgtrain", *words)))
        if text in RUNS.values():  # so the sandbox began
            return
        cheap = tuple(w for c in simple(command.document, 0, text) for w in c.words[1:])
        self.sandbox.provide(("imgtrain", *cheap))
        with variables(cheap_for(text) | self.sandbox.environ | environ):
            code, said = self.runs(list(expanded(cheap, environ)))
        line = command.document.read_text(encoding="utf-8").splitlines()[command.line - 1]
        expected = {0} | {int(code) for code in ABOUT_AN_EXIT.findall(line)}
        expected |= {code for pattern, code in MAY_END if re.search(pattern, text)}
        assert code in expected, f"{command.place}: {command.text}\n    code {code}: {said}"

    def runs(self, argv):
        """The exit code, and the end of what was said."""
        self.capfd.readouterr()
        with (
            Path("list.txt").open(encoding="utf-8") as names,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr("sys.stdin", names)  # what - reads
            code = run(argv)
        return code, self.capfd.readouterr().err[-800:]

    def reads(self, block, why):
        """Python is run, or written where it is the file that is being told of."""
        place = f"{block.document.relative_to(ROOT)}:{block.line}"
        try:
            if block.language == "yaml":
                self.sets(block.text)
            elif block.language == "python":
                named = re.search(r"`([\w/]+\.py)`", block.above)
                code = compile(block.text, place, "exec")
                self.sandbox.provide(re.findall(r"[\"']([^\"'\n]+)[\"']", block.text))
                if named:
                    Path(named[1]).write_text(block.text, encoding="utf-8")
                    return
                if why is None:
                    with variables(CHEAP | self.sandbox.environ), cheap_python():
                        exec(code, self.names)  # noqa: S102  # what the document tells to run
        except Exception as error:
            raise AssertionError(f"{place}: {type(error).__name__}: {error}") from error

    def sets(self, text):
        """A piece of a settings file holds settings that exist and fit."""
        content = yaml.safe_load(text)
        if isinstance(content, dict) and content.keys() <= {*all_sections(), *all_settings()}:
            Path("piece.yaml").write_text(text, encoding="utf-8")
            load_settings(files=[Path("piece.yaml")], environ={})


@contextlib.contextmanager
def cheap_python():
    """Settings made in Python read no variables: within the block they are as cheap."""
    import imgtrain.crossval.whole as crossval
    from imgtrain import training
    from imgtrain.settings.layers import flatten, from_flat

    keys = {f"IMGTRAIN_{key.replace('.', '__').upper()}": key for key in all_settings()}

    def less(call):
        def called(settings, *rest, **more):
            own = {keys[name]: value for name, value in CHEAP.items()}
            return call(from_flat(flatten(settings) | own), *rest, **more)

        return called

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", less(training.train))
        patch.setattr(crossval, "cross_validate", less(crossval.cross_validate))
        yield


def _walk(sandbox, capfd, document, *, everything):
    reader = Reader(sandbox, capfd)
    for where, what, why in PLAN:
        if where == document:
            reader.does(what, None if everything and why == REPEATS else why)
    assert not reader.failed, "\n".join(["", *reader.failed])


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_tells_to_type_works(sandbox, capfd, document):
    """From top to bottom: parsed, settings checked, run; failures name file and line."""
    _walk(sandbox, capfd, document, everything=False)


@pytest.mark.long
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_all_that_a_document_tells_to_type_works(sandbox, capfd, document):
    """As above, with the commands that differ from earlier ones in nothing but their values."""
    _walk(sandbox, capfd, document, everything=True)


def test_few_commands_are_only_checked():
    """Of imgtrain's own commands more than half are run; of the others each has its reason."""
    ours = [why for _, what, why in PLAN if getattr(what, "program", "") == "imgtrain"]
    checked = [why for why in ours if why is not None]

    assert len(checked) < len(ours) / 2, f"{len(checked)} of {len(ours)}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_flag_and_command_in_running_text_exists(document):
    """``--flag`` in code, ``imgtrain COMMAND`` in code: known to some command of imgtrain's."""
    flags = set(re.findall(r"(?<![\w-])--?[\w-]+", FLAGS.read_text(encoding="utf-8")))
    flags |= {
        name for s in all_settings().values() for o in option_names(s) for name in o.split("/")
    }
    flags |= FOREIGN_FLAGS | {"--help", "-h"}
    wrong = [
        f"{document.name}:{line}: {text}"
        for line, text in spans(document)
        for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", text)
        if flag not in flags and not text.startswith((*FOREIGN, "torchrun", "srun"))
    ]
    wrong += [
        f"{document.name}:{line}: {text}"
        for line, text in spans(document)
        if (named := re.match(r"imgtrain ([a-z][\w-]*)", text)) and named[1] not in COMMANDS
    ]
    assert not wrong


FOREIGN_FLAGS = {"--node-rank", "--master-addr", "--master-port", "--rdzv-backend", "--rdzv",
                 "--index-url", "--no-deps", "--shm-size", "--user-data-dir", "--clear-output",
                 "--inplace"}  # fmt: skip
"""Of torchrun, pip, docker, jupyter."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    """Files that are linked to exist, and so do the headings behind a #."""
    wrong = []
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", document.read_text("utf-8")):
        file, _, heading = target.partition("#")
        path = (document.parent / file) if file else document
        if not path.exists() or (heading and heading not in anchors(path)):
            wrong.append(target)
    assert not wrong


def anchors(path):
    """Headings as GitHub spells them in addresses."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    heads = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def main():
    """``python tests/documents/test_documents.py``: what is run, what is only checked, and why."""
    for _, what, why in PLAN:
        if hasattr(what, "program"):
            sys.stdout.write(f"{'run' if why is None else 'checked':8} {what.place}: {what.text}\n")
            if why is not None:
                sys.stdout.write(f"{'':8}   ({why})\n")


if __name__ == "__main__":
    main()
