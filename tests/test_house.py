"""The house: who may import whom, how large a room may be, and what stays light."""

import ast
from pathlib import Path

import pytest

import imgtrain

ROOT = Path(imgtrain.__file__).parent
MODULES = {
    ".".join(("imgtrain", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(ROOT.rglob("*.py"))
}
FLOORS = (
    ("imgtrain.errors", -1),
    ("imgtrain.registry", -1),
    ("imgtrain.events", 0),
    ("imgtrain.console", 0),
    ("imgtrain.files", 0),
    ("imgtrain.rundir", 0),
    ("imgtrain.ensemble_file", 0),
    ("imgtrain.starters", 0),
    ("imgtrain.children", 0),
    ("imgtrain.batch_finding", 1),
    ("imgtrain.stopping", 0),
    ("imgtrain.wall_clock", 0),
    ("imgtrain.passwords", 0),
    ("imgtrain.waiting", 0),
    ("imgtrain.settings.layers", 1),
    ("imgtrain.settings.sources", 1),
    ("imgtrain.settings.space_rules", 1),
    ("imgtrain.settings", 0),
    ("imgtrain.data", 1),
    ("imgtrain.fetching", 1),
    ("imgtrain.checking", 2),
    ("imgtrain.metrics", 1),
    ("imgtrain.engine.schedule", 1),
    ("imgtrain.engine.course", 1),
    ("imgtrain.engine.pacing", 1),
    ("imgtrain.engine.shapes", 1),
    ("imgtrain.engine.lr_curve", 1),
    ("imgtrain.loading.policies", 1),
    ("imgtrain.loading", 2),
    ("imgtrain.engine.world", 2),
    ("imgtrain.engine.sharding", 1),
    ("imgtrain.engine.device", 2),
    ("imgtrain.engine.optim", 2),
    ("imgtrain.engine.loss", 2),
    ("imgtrain.engine.tally", 2),
    ("imgtrain.engine", 3),
    ("imgtrain.classical", 4),
    ("imgtrain.listeners", 4),
    ("imgtrain.report", 4),
    ("imgtrain.export.pictures", 5.3),
    ("imgtrain.export.pruning", 5.3),
    ("imgtrain.export.exporting", 5.3),
    ("imgtrain.export.parity", 5.3),
    ("imgtrain.export", 4),
    ("imgtrain.tracking.own", -1),
    ("imgtrain.tracking", 4.5),
    ("imgtrain.doctor", 5),
    ("imgtrain.crossval", 5.2),
    ("imgtrain.evaluating", 5.2),
    ("imgtrain.predicting", 5.2),
    ("imgtrain.explain", 5.2),
    ("imgtrain.tuning", 5.5),
    ("imgtrain.commands.flags", 5),
    ("imgtrain.commands.layout", 5),
    ("imgtrain.commands", 6),
    ("imgtrain.cli", 7),
    ("imgtrain.__main__", 8),
    ("imgtrain", 5),
)
"""The first name that a module's own name begins with decides."""


def _floor(module):
    return next(n for name, n in FLOORS if module == name or module.startswith(f"{name}."))


def _imports(path, module):
    """Names of imgtrain's modules that ``path`` imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in inside}
    ours = {name for name in found if name.split(".")[0] == "imgtrain"}
    return ours - {module, "imgtrain"}


def _package(module):
    return module.rpartition(".")[0]


@pytest.mark.parametrize("module", [m for m in MODULES if m != "imgtrain"])
def test_imports_go_downwards(module):
    """From lower floors, or from the same floor of the same package."""
    for other in _imports(MODULES[module], module):
        same_room = _package(other) == _package(module)
        lower = _floor(other) < _floor(module)
        assert lower or (same_room and _floor(other) == _floor(module)), f"{module} -> {other}"


def test_no_circles():
    """No module imports itself by way of others."""
    graph = {m: _imports(path, m) & MODULES.keys() for m, path in MODULES.items()}
    done = set()

    def visit(module, way):
        assert module not in way, " -> ".join((*way, module))
        if module not in done:
            for other in graph[module]:
                visit(other, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("module", MODULES)
def test_no_room_is_too_large(module):
    """Above 350 lines the design asks for another room."""
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= 350


@pytest.mark.parametrize(
    "module",
    [
        m
        for m in MODULES
        if m.startswith(
            ("imgtrain.report", "imgtrain.data", "imgtrain.fetching", "imgtrain.checking")
        )
    ],
)
def test_reports_and_data_know_no_torch(module):
    """What reads files needs no engine."""
    text = MODULES[module].read_text(encoding="utf-8")
    assert not {"torch", "torchvision", "timm"} & _roots(text)


def _roots(text):
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_public_names_are_frozen():
    """What ``import imgtrain`` offers changes on purpose only."""
    named = ["RunResult", "Settings", "__version__", "cross_validate", "evaluate", "load", "train"]
    assert imgtrain.__all__ == named
