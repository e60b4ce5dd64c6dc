"""Disks that are full, too small or read-only, as real ones: a private mount of a few kB."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import little_sets as little
import pytest

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import little_sets as little
from imgtrain.cli import exit_code
from imgtrain.fetching.catalogue import CATALOGUE
from imgtrain.fetching.sets import fetch
entry = little.retold(CATALOGUE["cifar10"], little.cifar10(), sys.argv[1])
unmeasured = tuple(replace(archive, size=None) for archive in entry.archives)
try:
    fetch(replace(entry, archives=unmeasured, room=0), Path(sys.argv[2]))
except BaseException as error:
    code = exit_code(error)
    print(sorted(p.name for p in Path(sys.argv[2]).rglob("*")))
    sys.exit(code)
"""


@pytest.fixture
def on_disk(tmp_path):
    """Run Python in a private mount namespace where a folder is a tiny disk."""

    def ran(options, *argv):
        if os.geteuid() != 0 or shutil.which("unshare") is None:
            pytest.skip("a private mount namespace needs root and unshare")
        mounted = 'mount -t tmpfs -o "$1" tmpfs "$2" || exit 32; shift 2; exec "$@"'
        command = ["unshare", "-m", "sh", "-c", mounted, "sh", options, str(tmp_path)]
        ended = subprocess.run(
            [*command, sys.executable, *argv], capture_output=True, text=True, timeout=60
        )
        if ended.returncode in {1, 32} and ("mount" in ended.stderr or "unshare" in ended.stderr):
            pytest.skip("tmpfs cannot be mounted here")
        return ended

    return ran


@pytest.mark.parametrize(("size", "stays"), [("400k", ""), ("40k", ".part")])
def test_a_disk_that_fills_up(site, on_disk, tmp_path, size, stays):
    """Code 8, one message; no half set: the archive stays, or its beginning, and nothing else."""
    site.publish(little.cifar10())
    ended = on_disk(f"size={size}", "-c", SCRIPT, site.url, tmp_path, Path(__file__).parent)

    assert ended.returncode == 8, ended.stderr
    name = f"cifar-10-binary.tar.gz{stays}"
    assert ended.stdout == f"{['.cifar10.download', name, f'{name}.json']}\n"
    assert "Traceback" not in ended.stderr
    assert "--output" in ended.stderr


@pytest.mark.parametrize(
    ("options", "words"), [("size=2m", "cifar10 needs 600 MB"), ("ro", "the disk is read-only")]
)
def test_a_disk_that_will_not_do(site, on_disk, tmp_path, options, words):
    """Code 8 before anything is fetched."""
    argv = ("-m", "imgtrain", "data", "download", "cifar10", "--mirror", site.url)
    ended = on_disk(options, *argv, "--output", tmp_path / "sets")

    assert ended.returncode == 8, ended.stderr
    assert words in " ".join(ended.stderr.split())
    assert site.asked == []
