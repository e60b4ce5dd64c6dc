"""Which modules are imported, and what is said about those that cannot be."""

import sys
from pathlib import Path

import pytest

LOSS = "@register_loss('halved')\ndef halved(logits, targets): return logits[:, 0] / 2"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\nx.y", ".py, line 3: AttributeError: 'int' object has no attribute 'y'"),
        ("def f(:", ".py, line 2: SyntaxError: invalid syntax"),
        ("import nosuch_module", "line 2: ModuleNotFoundError: No module named 'nosuch_module'"),
        ("raise SystemExit(3)", "line 2: SystemExit: 3"),
        ("x = 1", "plugin mine ({work}/mine.py) registers nothing"),
        (
            "register_loss('ce')(lambda a, b: a)",
            "plugin mine: the loss 'ce' is registered by imgtrain already",
        ),
        (
            "register_augmentation('rotate')(lambda a, b: a)",
            "plugin mine: the augmentation 'rotate' is registered by imgtrain already",
        ),
        (
            "register_augmentation('heavy')(lambda a, b: a)",
            "plugin mine: the augmentation policy 'heavy' is registered by imgtrain already",
        ),
        (
            "register_loss('a')(lambda a, b: a)\ndef g(a, b): pass\nregister_loss('a')(g)",
            "plugin mine: the loss 'a' is registered by mine already",
        ),
        (
            "register_loss('a')(lambda a, b, *, tempo: a)",
            "a: nobody gives its parameter 'tempo'",
        ),
        ("register_model('a:b')(lambda: 1)", "'a:b' cannot be the name of a model"),
        ("register_source('c')(lambda text: 1)", "the source 'c' would read as a drive"),
    ],
)
def test_bad_modules(imgtrain, write, work, text, told):
    """One sentence with file and line, exit code 2, and nothing stays registered."""
    write("mine", text)

    for _ in range(2):
        ran = imgtrain("config", "show", "--plugin", "mine")

        assert (ran.code, ran.out) == (2, "")
        assert told.format(work=work) in " ".join(ran.err.split())
        assert "Traceback" not in ran.err
        sys.modules.pop("mine", None)


def test_a_traceback_where_it_is_asked_for(imgtrain, write, monkeypatch):
    """``IMGTRAIN_DEBUG=1`` shows where the module failed."""
    write("mine", "def deep(): raise OSError('no disc')\ndeep()")
    monkeypatch.setenv("IMGTRAIN_DEBUG", "1")

    ran = imgtrain("config", "show", "--plugin", "mine")

    assert ran.code == 2
    assert "Traceback" in ran.err
    assert "line 2: OSError: no disc" in ran.err


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mime", "there is no module 'mime' for --plugin"),
        ("mime", "did you mean 'mine'?"),
        ("mine.losses", "there is no module 'mine.losses' for --plugin"),
        ("mine.py", "there is no module 'mine.py' for --plugin"),
        ("./mine.py", "plugins = ['./mine.py'] (flag --plugin) must be names of modules"),
    ],
)
def test_modules_that_are_not_there(imgtrain, write, work, name, told):
    """It says where it looked."""
    write("mine", LOSS)

    ran = imgtrain("config", "show", "--plugin", name)

    assert ran.code == 2
    assert told in " ".join(ran.err.split())
    assert "there is no" not in ran.err or str(work) in ran.err


@pytest.mark.parametrize("how", ["flags", "list", "set", "file", "environment"])
def test_where_modules_are_named(imgtrain, write, monkeypatch, how):
    """In flags, files and the environment, before names are checked; ``config show`` tells who."""
    write("one", LOSS)
    write("two", LOSS.replace("halved", "doubled"))
    arguments, origin = {
        "flags": (["--plugin", "one", "--plugin", "two"], "flag --plugin"),
        "list": (["--plugin", "one, two"], "flag --plugin"),
        "set": (["--set", "plugins=one,two"], "flag --set"),
        "file": (["-c", "exp.yaml"], "file exp.yaml"),
        "environment": ([], "environment IMGTRAIN_PLUGINS"),
    }[how]
    if how == "file":
        Path("exp.yaml").write_text("plugins: [one, two]\nloss:\n  name: doubled\n")
    if how == "environment":
        monkeypatch.setenv("IMGTRAIN_PLUGINS", "one,two")
    loss = [] if how == "file" else ["--loss", "doubled"]

    ran = imgtrain("config", "show", "--origin", *arguments, *loss)

    assert ran.code == 0, ran.err
    assert f"plugins: [one, two]  # {origin}\n" in ran.out
    assert "name: doubled" in ran.out


def test_names_of_plugins_are_near_names_too(imgtrain, write):
    """An unknown name is refused with the nearest, a plugin's included."""
    write("mine", LOSS)

    ran = imgtrain("config", "show", "--plugin", "mine", "--loss", "halfed")

    assert ran.code == 2
    assert "must be ce, bce, focal, nll or halved; did you mean 'halved'?" in ran.err


def test_editors_know_the_names(write, work):
    """The JSON schema lists what is registered."""
    from imgtrain.settings.modules import import_plugins
    from imgtrain.settings.schema import Settings

    import_plugins([write("mine", LOSS)])

    schema = Settings.model_json_schema()

    assert schema["$defs"]["LossSettings"]["properties"]["name"]["enum"][-2:] == ["nll", "halved"]


def test_a_broken_function_is_its_plugins_fault(imgtrain, write, capfd):
    """What is raised in a plugin's function is one sentence with its line, not a bug of ours."""
    from imgtrain.cli import exit_code
    from imgtrain.registry import LOSSES
    from imgtrain.settings.modules import import_plugins

    import_plugins([write("mine", "@register_loss('odd')\ndef odd(a, b):\n    return a.nothing")])
    try:
        LOSSES["odd"](1, 2)
    except AttributeError as error:
        code = exit_code(error)

    told = " ".join(capfd.readouterr().err.split())
    assert code == 2
    assert "plugin mine failed: " in told
    assert "mine.py, line 4: AttributeError: 'int' object has no attribute 'nothing'" in told
