"""A mirror that is not there: told once, and gone without."""

import contextlib
import socket
import time
from dataclasses import replace

import little_sets as little
import pytest

from imgtrain.fetching.catalogue import CATALOGUE
from imgtrain.fetching.sets import fetch


@contextlib.contextmanager
def _closed():
    """An address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextlib.contextmanager
def _silent():
    """An address that swallows whoever knocks: a queue of connections that is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            knock = stack.enter_context(socket.socket())
            knock.setblocking(False)
            knock.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("where", [_closed, _silent])
def test_the_publisher_is_asked_at_once(site, tmp_path, hasty, capsys, where):
    """One try, one sentence: its other addresses are not waited for, nor other files."""
    files = little.cifar10()
    site.publish(files)
    entry = little.retold(CATALOGUE["cifar10"], files, site.url)
    patience = replace(hasty, connect=0.4)
    begun = time.monotonic()
    with where() as mirror:
        path = fetch(entry, tmp_path, mirror=mirror, patience=patience)
    said = capsys.readouterr().err

    assert path.is_dir()
    assert time.monotonic() - begun < 5
    assert said.count(mirror) == 1, said
    assert f"warning: --mirror {mirror}: no connection" in said
    assert "going on without it" in " ".join(said.split())
