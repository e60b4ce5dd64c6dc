"""The local check is the check of CI."""

import re

import yaml
from fenced import ROOT


def test_the_hooks_are_the_linters_of_ci():
    """Each hook's program is called in .ci/run, and each linter there is a hook."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    local = {
        " ".join(hook["entry"].split()[:2]).removesuffix(" --fix")
        for repository in hooks["repos"]
        for hook in repository["hooks"]
    }
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    linters = text.partition('step "Linters"')[2].partition("step ")[0]
    called = {
        re.match(r"ruff \w+|[\w-]+", line)[0] for line in linters.splitlines() if line.strip()
    }

    assert local == called


def test_ci_runs_the_commands_of_the_readme():
    """The line that .ci/run looks for stands there once, with an install and the tests."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^python -m pip install .*&& python -m pytest.*$", readme, re.MULTILINE)

    assert found == ['python -m pip install ".[dev]" && python -m pytest']
    assert "\npython -m pip install . && imgtrain train\n" in readme
