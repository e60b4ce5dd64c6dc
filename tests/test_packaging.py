"""What a user gets: the wheel, built and unpacked as pip does it."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import PathDistribution, version
from pathlib import Path

import pytest

import imgtrain

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


def run(*command, cwd, **more):
    ended = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **more},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An empty folder into which the wheel of this checkout was installed."""
    pytest.importorskip("hatchling")
    place = tmp_path_factory.mktemp("packaging")
    source = place / "source"
    source.mkdir()
    for name in ("imgtrain", "templates", "tests"):
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = ("-m", "pip", "--quiet")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", place, source, cwd=place)
    (wheel,) = place.glob("*.whl")
    run(*pip, "install", "--no-deps", "--target", place / "site", wheel, cwd=place)
    return place / "site"


def metadata(installed):
    (folder,) = installed.glob("*.dist-info")
    return PathDistribution(folder)


def ask(installed, script):
    """What a process prints that finds the installed package first."""
    away = installed.parent / "away"
    away.mkdir(exist_ok=True)
    return run("-c", script, cwd=away, PYTHONPATH=str(installed))


def test_every_template_can_be_read_from_the_wheel(installed):
    """Each file of templates/, equal to the last byte, by the way the program reads it."""
    expected = {p.name: p.read_bytes() for p in (ROOT / "templates").iterdir() if p.is_file()}
    found = ask(
        installed,
        "import imgtrain.starters as s, hashlib\n"
        "print(s.__file__)\n"
        "for item in s.templates().iterdir():\n"
        "    print(item.name, s.read_template(item.name).encode().hex())\n",
    ).splitlines()

    assert Path(found[0]) == installed / "imgtrain" / "starters.py"
    assert {line.split()[0]: bytes.fromhex(line.split()[1]) for line in found[1:]} == expected
    assert {"basic.yaml", "advanced.yaml", "report.html"} <= expected.keys()


def test_the_wheel_holds_the_package_and_nothing_else(installed):
    """Every module, py.typed, the templates; no tests, no caches."""
    top = {p.name for p in installed.iterdir()} - {"bin"}
    ours = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "imgtrain").rglob("*")
        if p.is_file() and p.suffix in {".py", ".typed"}
    }
    ours |= {f"imgtrain/templates/{p.name}" for p in (ROOT / "templates").iterdir()}
    held = {
        p.relative_to(installed).as_posix()
        for p in (installed / "imgtrain").rglob("*")
        if p.is_file() and p.suffix != ".pyc"
    }

    assert top == {"imgtrain", f"imgtrain-{imgtrain.__version__}.dist-info"}
    assert held == ours
    assert "imgtrain/py.typed" in held


def test_the_metadata_is_whole(installed):
    """Name, version, licence and its text, the command."""
    found = metadata(installed)
    (command,) = found.entry_points.select(group="console_scripts")

    assert found.metadata["Name"] == "imgtrain"
    assert found.version == imgtrain.__version__
    assert found.metadata["License-Expression"] == "Apache-2.0"
    assert found.metadata.get_all("License-File") == ["LICENSE"]
    (licence,) = (file for file in found.files if file.name == "LICENSE")
    assert licence.locate().read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (command.name, command.value) == ("imgtrain", "imgtrain.cli:main")
    assert (installed / "bin" / "imgtrain").is_file()


def test_the_installed_command_runs(installed):
    """As a script, from a folder that is not the checkout."""
    script = (
        "import sys; from imgtrain.cli import run; import imgtrain; print(imgtrain.__file__); "
        "sys.exit(run(['init', '--list']) or run(['--version']))"
    )
    found = ask(installed, script)
    assert found.splitlines()[0] == str(installed / "imgtrain" / "__init__.py")
    assert "advanced" in found
    assert found.endswith(f"imgtrain {imgtrain.__version__}\n")


def test_an_editable_install_knows_its_version():
    """Metadata and package agree here, too."""
    assert version("imgtrain") == imgtrain.__version__
