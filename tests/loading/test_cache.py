"""Decoded pictures on disk: decoded once, never stale, safe for several processes."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from small import PREPROCESS, Shapes

from imgtrain.loading.cache import InMemory, Nowhere, OnDisk, open_store


def _keys(count, salt=0):
    return np.arange(2 * count, dtype=np.uint64).reshape(count, 2) + np.uint64(1000 * salt)


def _picture(i, channels=3):
    rng = np.random.default_rng(i)
    return rng.integers(0, 255, (4 + i % 5, 3 + i % 7, channels)).astype(np.uint8)


_opened = []


@pytest.fixture(autouse=True)
def _close_all():
    yield
    while _opened:
        _opened.pop().close()


def _open(folder, count=20, *, limit=10**9, salt=0):
    store = OnDisk(folder, _keys(count, salt), channels=3, limit=limit)
    _opened.append(store)
    return store


def test_pictures_of_any_shape_come_back_in_the_same_and_the_next_process(tmp_path):
    """What was put is what is got, before and after saving and opening anew."""
    store = _open(tmp_path)
    for i in range(20):
        assert store.get(i) is None
        store.put(i, _picture(i))
    store.save()
    for found in (store, _open(tmp_path)):
        for i in range(20):
            assert np.array_equal(found.get(i), _picture(i))


def test_what_comes_back_cannot_be_written(tmp_path):
    """Augmentation that wrote into the cache would change every later epoch."""
    store = _open(tmp_path)
    store.put(0, _picture(0))
    with pytest.raises(ValueError, match="read-only"):
        store.get(0)[0, 0, 0] = 1


def test_a_changed_file_is_decoded_anew(tmp_path):
    """Another key (size or time of change) finds nothing of the old one."""
    store = _open(tmp_path)
    store.put(3, _picture(3))
    store.save()

    assert _open(tmp_path, salt=1).get(3) is None


def test_pixels_without_an_index_are_cut_off(tmp_path):
    """A process killed before saving leaves bytes that the next one drops."""
    store = _open(tmp_path)
    store.put(0, _picture(0))
    store.save()
    size = (tmp_path / "pixels.bin").stat().st_size
    store.put(1, _picture(1))
    store._dirty = False  # as if killed: nothing more is saved
    store.close()
    _opened.remove(store)
    again = _open(tmp_path)

    assert (tmp_path / "pixels.bin").stat().st_size == size
    assert np.array_equal(again.get(0), _picture(0))
    assert again.get(1) is None


def test_a_broken_index_costs_time_only(tmp_path):
    """Half an index is no index."""
    store = _open(tmp_path)
    store.put(0, _picture(0))
    store.save()
    index = tmp_path / "index.npz"
    index.write_bytes(index.read_bytes()[:40])

    assert _open(tmp_path).get(0) is None


def test_the_size_is_bounded(tmp_path, capsys):
    """Nothing is written beyond the limit, and it is said once."""
    store = _open(tmp_path, limit=200)
    for i in range(20):
        store.put(i, _picture(i))

    assert (tmp_path / "pixels.bin").stat().st_size <= 200
    assert capsys.readouterr().err.count("--cache-gb") == 1


def test_threads_do_not_write_over_each_other(tmp_path):
    """Eight threads, all pictures whole."""
    store = _open(tmp_path, count=400)
    work = [
        threading.Thread(target=lambda k=k: [store.put(i, _picture(i)) for i in range(k, 400, 8)])
        for k in range(8)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()

    assert all(np.array_equal(store.get(i), _picture(i)) for i in range(400))


_CHILD = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_cache import _open, _picture
store = _open(Path(sys.argv[1]), count=200)
for i in range(int(sys.argv[3]), 200, 2):
    store.put(i, _picture(i))
store.save()
"""


def test_two_processes_share_one_file(tmp_path):
    """Each adds half at the same time; a third finds all."""
    here = str(__file__).rpartition("/")[0]
    children = [
        subprocess.Popen([sys.executable, "-c", _CHILD, str(tmp_path), here, str(k)], env=_env())
        for k in range(2)
    ]
    assert [child.wait(60) for child in children] == [0, 0]
    store = _open(tmp_path, count=200)

    assert all(np.array_equal(store.get(i), _picture(i)) for i in range(200))


def _env():
    import os

    engine = str(__file__).rpartition("/loading")[0] + "/engine"
    return {**os.environ, "PYTHONPATH": engine}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("off", Nowhere), ("ram", InMemory), ("auto", InMemory), ("disk", OnDisk)],
)
def test_which_store(tmp_path, kind, expected):
    """Auto keeps a small set in memory."""
    source = Shapes(4)
    store = open_store(source, str(tmp_path), PREPROCESS, kind=kind, gigabytes=1)

    assert isinstance(store, expected)
    store.close()


def test_a_cache_folder_that_cannot_be_made_is_no_obstacle(tmp_path, monkeypatch, capsys):
    """A file in its place: pictures stay in memory, and it is said."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IMGTRAIN_CACHE", str(tmp_path / "file"))
    store = open_store(Shapes(4), str(tmp_path), PREPROCESS, kind="disk", gigabytes=1)

    assert isinstance(store, InMemory)
    assert "stay in memory" in capsys.readouterr().err
