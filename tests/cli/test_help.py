"""Help: what it says, what it imports, how long it takes."""

import statistics
import subprocess
import sys
import time

import pytest

from imgtrain import __version__

HEAVY = {"torch", "torchvision", "timm", "numpy", "pandas", "sklearn", "PIL", "cv2", "matplotlib"}
BARE = """
import typer

app = typer.Typer()

@app.command()
def one(count: int = 1) -> None:
    \"\"\"The first command.\"\"\"

@app.command()
def two(count: int = 1) -> None:
    \"\"\"The second command.\"\"\"

app()
"""


def test_root_help(imgtrain):
    """The whole text; ``imgtrain`` alone says the same."""
    text = """\
Usage: imgtrain [OPTIONS] COMMAND [ARGS]...

  Train image classifiers from the command line: right, fast, safe and
  pleasant.

Commands:
  data                        Fetch, check, clean and look at pictures.
  train                       Train a model on labelled pictures, score it,
                              write a report.
  cv                          Train on every fold, ensemble them, score an
                              untouched test part.
  tune                        Search for good settings by short trainings.
  find-lr                     Test a range of learning rates and suggest one.
  evaluate                    Score a trained model on labelled pictures;
                              calibrate it.
  predict                     Classify pictures with a trained model.
  export                      Write a model file for other programs, compared
                              with its run.
  explain                     Show where a model looks, in pictures or in a
                              run's mistakes.
  models                      List models, or what one costs by stage.
  report                      Write the page of a run again, or of several
                              compared.
  compare                     Tell real differences between runs from chance.
  find-batch-size             Find the largest batch that fits, and the one to
                              take.
  bench                       Measure how fast this machine reads pictures.
  config                      Show settings, who set them, and their schema.
  init                        Write a commented settings file to start from.
  doctor                      Look at this machine: what works, what does not,
                              what to do.

Options:
  --version                   Print the version.
  --install-completion        Install completion for the current shell.
  --show-completion           Show completion for the current shell, to copy
                              it or customize the installation.
  -h, --help                  Show this message and exit.

  imgtrain COMMAND --help tells more. Without arguments, train uses built-in
  digits.
"""

    assert imgtrain("--help") == (0, text, "")
    assert imgtrain("-h") == (0, text, "")
    assert imgtrain() == (0, text, "")


def test_group_help(imgtrain):
    """A group alone shows its help."""
    text = """\
Usage: imgtrain config [OPTIONS] COMMAND [ARGS]...

  Show settings, who set them, and their schema.

Commands:
  show                        Print all settings as the layers give them: a
                              file that train -c takes.
  schema                      Print the JSON schema of settings files, for
                              editors.

Options:
  -h, --help                  Show this message and exit.
"""

    assert imgtrain("config") == (0, text, "")


def test_options_are_grouped_by_section(imgtrain):
    """A heading for each section, each option with its sentence and default, in 80 columns."""
    code, out, err = imgtrain("train", "--help")

    assert (code, err) == (0, "")
    assert (
        """
Loss - what training makes small:
  --loss ce|bce|focal|nll     Cross-entropy (nll is the same); bce: each class
                              for itself; focal: hard ones count more.
                              [default: ce]
  --label-smoothing NUMBER    Share of the target spread over all classes
                              (Szegedy et al. 2016). [default: 0.1]
"""
        in out
    )
    assert (
        """
  --flip / --no-flip          Mirror half of the pictures; digits and letters
                              must not be. [default: yes, digits: no, mnist:
                              no, kmnist: no, svhn: no]
"""
        in out
    )
    assert max(map(len, out.splitlines())) <= 80


def test_headings_are_bold_in_a_terminal_that_has_colours(imgtrain, monkeypatch):
    """``NO_COLOR`` is heard; without a terminal Typer leaves styles out."""
    monkeypatch.delenv("NO_COLOR")

    assert "\x1b" not in imgtrain("--help").out


def test_version(imgtrain):
    """One line on stdout."""
    assert imgtrain("--version") == (0, f"imgtrain {__version__}\n", "")


@pytest.mark.parametrize(
    ("argv", "also"),
    [
        (["--version"], {"imgtrain.commands.flags"}),
        (["--help"], {"imgtrain.commands.flags", "pydantic", "rich", "yaml"}),
        (["train", "--help"], {"rich", "yaml"}),
        (["predict", "--help"], {"rich", "yaml"}),
        (["report", "--help"], set()),
        (["config", "show"], {"rich"}),
        (["config", "schema"], {"rich"}),
        (["init", "--list"], set()),
        (["doctor", "--help"], {"imgtrain.doctor", "rich"}),
    ],
)
def test_light_commands_import_nothing_heavy(argv, also, tmp_path):
    """No torch, no numpy: in a process of its own, its modules listed at the end."""
    script = (
        "import sys\nfrom imgtrain.cli import run\ncode = run(sys.argv[1:])\n"
        "sys.stderr.write('\\n'.join(sys.modules))\nsys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *argv],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(ended.stderr.split())

    assert modules & (HEAVY | also) == set()


def test_start_up(tmp_path):
    """--version within 1.5 times, --help within 2 times a bare two-command Typer app's --help."""
    bare = tmp_path / "bare.py"
    bare.write_text(BARE)
    commands = {
        "bare": [str(bare), "--help"],
        "version": ["-m", "imgtrain", "--version"],
        "help": ["-m", "imgtrain", "--help"],
    }
    seconds = {name: [] for name in commands}
    for _ in range(7):  # interleaved, so that a busy machine is busy for all
        for name, argv in commands.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, *argv], capture_output=True, check=True)
            seconds[name].append(time.perf_counter() - begun)
    median = {name: statistics.median(each) for name, each in seconds.items()}

    assert median["version"] <= 1.5 * median["bare"], median
    assert median["help"] <= 2 * median["bare"], median
