"""A small version of the benchmark of planted defects, on drawn photos."""

import importlib.util
import sys
from pathlib import Path

import pytest
from scenes import encoded, scene

from imgtrain.checking.judging import Limits
from imgtrain.checking.survey import survey


@pytest.fixture(scope="module")
def planted_defects():
    """The benchmark as a module."""
    place = Path(__file__).parent.parent / "benchmarks" / "planted_defects.py"
    spec = importlib.util.spec_from_file_location("planted_defects", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules["planted_defects"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["planted_defects"]


def test_planted_defects_are_found(tmp_path, planted_defects):
    """At least 95 % of each kind; of whole photos at most 1 % are called bad."""
    for i in range(120):
        place = tmp_path / ("train" if i % 3 else "test") / "ab"[i % 2] / f"{i}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encoded(scene(i, (160, 120)), quality=90))
    before = survey(str(tmp_path), limits=Limits(), jobs=2)
    planted = planted_defects.plant(tmp_path, each=20, seed=0)

    found = survey(str(tmp_path), limits=Limits(), jobs=2)

    shares = planted_defects.recall(found, planted)
    assert {kind: share for kind, share in shares.items() if share < 0.95} == {}
    assert len(planted_defects.false_alarms(found, before, planted)) <= 1
    assert before.findings == []
