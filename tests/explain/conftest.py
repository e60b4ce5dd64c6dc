"""One trained net for all tests of this folder; the networks themselves."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def spotter():
    """Not to be changed."""
    from nets import trained_spotter

    return trained_spotter()
