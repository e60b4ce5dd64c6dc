"""A server of one's own, and what is known about little sets."""

import pytest
from unruly_server import serving

from imgtrain import console
from imgtrain.fetching.answers import Patience


@pytest.fixture
def site():
    with serving() as found:
        yield found


@pytest.fixture
def other_site():
    with serving() as found:
        yield found


@pytest.fixture
def hasty():
    """Patience whose pauses are hundredths of seconds."""
    return Patience(tries=4, connect=10, stall=10, pause=0.01, longest_pause=0.05)


@pytest.fixture(autouse=True)
def _loud():
    console.set_verbosity(0)
    yield
    console.set_verbosity(0)
