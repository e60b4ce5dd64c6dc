"""Decoded pictures on disk: decoded once, never stale, safe for several processes."""

import os
import shutil
import subprocess
import sys
import threading
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import warm
from PIL import Image
from small import PREPROCESS, Shapes

from imgtrain.data.listing import Files, Names
from imgtrain.data.stamps import stamp_keys
from imgtrain.loading.cache import InMemory, Nowhere, OnDisk, open_store
from imgtrain.loading.loader import Pictures


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


def _open(root, count=20, *, limit=10**9, salt=0, name="set"):
    """One set of the cache ``root``."""
    store = OnDisk(root / name, _keys(count, salt), channels=3, limit=limit)
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
    size = (tmp_path / "set" / "pixels.bin").stat().st_size
    store.put(1, _picture(1))
    store._dirty = False  # as if killed: nothing more is saved
    store.close()
    _opened.remove(store)
    again = _open(tmp_path)

    assert (tmp_path / "set" / "pixels.bin").stat().st_size == size
    assert np.array_equal(again.get(0), _picture(0))
    assert again.get(1) is None


def test_a_broken_index_costs_time_only(tmp_path):
    """Half an index is no index."""
    store = _open(tmp_path)
    store.put(0, _picture(0))
    store.save()
    index = tmp_path / "set" / "index.npz"
    index.write_bytes(index.read_bytes()[:40])

    assert _open(tmp_path).get(0) is None


def test_the_size_is_bounded(tmp_path, capsys):
    """Nothing is written beyond the limit, and it is said once."""
    store = _open(tmp_path, limit=200)
    for i in range(20):
        store.put(i, _picture(i))

    assert (tmp_path / "set" / "pixels.bin").stat().st_size <= 200
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
        warm.Popen([sys.executable, "-c", _CHILD, str(tmp_path), here, str(k)], env=_env())
        for k in range(2)
    ]
    assert [child.wait(60) for child in children] == [0, 0]
    store = _open(tmp_path, count=200)

    assert all(np.array_equal(store.get(i), _picture(i)) for i in range(200))


def _env():
    engine = str(__file__).rpartition("/loading")[0] + "/engine"
    return {**os.environ, "PYTHONPATH": engine}


# --- never stale -------------------------------------------------------------------------------


def _listed(folder):
    """The files of a folder as a source, as they are now."""
    names, sizes, times = Names(), array("q"), array("q")
    for path in sorted(folder.iterdir()):
        names.append(path.name.encode())
        sizes.append(path.stat().st_size)
        times.append(path.stat().st_mtime_ns)
    return Files(str(folder), names, sizes, times)


def _save(path, level, side=8):
    Image.new("L", (side, side), level).save(path, "BMP")


@pytest.fixture
def levels(tmp_path):
    """Three flat grey pictures: 10, 20, 30."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for level in (10, 20, 30):
        _save(folder / f"{level}.bmp", level)
    return folder


def _epoch(folder, cache, monkeypatch):
    """The levels of all pictures through the cache, and how many had to be decoded."""
    source = _listed(folder)
    store = OnDisk(cache / "set", stamp_keys(source), channels=1, limit=10**9)
    decoded = []
    pictures = Pictures(source, PREPROCESS, store, on_bad="error")
    decode = type(PREPROCESS).decoded
    monkeypatch.setattr(
        type(PREPROCESS), "decoded", lambda p, data: decoded.append(1) or decode(p, data)
    )
    found = [int(pictures.get(i)[0, 0, 0]) for i in range(len(source))]
    monkeypatch.undo()
    store.close()
    return found, len(decoded)


def test_what_was_only_touched_is_not_decoded_again(levels, tmp_path, monkeypatch):
    """New times, new names, another copy: known by content; afterwards by its new stamp."""
    assert _epoch(levels, tmp_path, monkeypatch) == ([10, 20, 30], 3)
    assert _epoch(levels, tmp_path, monkeypatch) == ([10, 20, 30], 0)
    os.utime(levels / "10.bmp")
    (levels / "20.bmp").rename(levels / "99.bmp")
    shutil.copyfile(levels / "30.bmp", levels / "15.bmp")
    assert _epoch(levels, tmp_path, monkeypatch) == ([10, 30, 30, 20], 0)
    assert _epoch(levels, tmp_path, monkeypatch) == ([10, 30, 30, 20], 0)


def test_what_changed_is_decoded_anew(levels, tmp_path, monkeypatch):
    """Replaced by another of equal size, by a larger one, deleted, added: nothing is stale."""
    _epoch(levels, tmp_path, monkeypatch)
    _save(levels / "new.bmp", 11)
    (levels / "new.bmp").replace(levels / "10.bmp")
    _save(levels / "20.bmp", 21, side=9)
    (levels / "30.bmp").unlink()
    _save(levels / "40.bmp", 40)
    assert _epoch(levels, tmp_path, monkeypatch) == ([11, 21, 40], 3)
    assert _epoch(levels, tmp_path, monkeypatch) == ([11, 21, 40], 0)


def test_two_pictures_that_change_places(levels, tmp_path, monkeypatch):
    """Each shows its own content, and neither is decoded again."""
    _epoch(levels, tmp_path, monkeypatch)
    (levels / "10.bmp").rename(levels / "tmp")
    (levels / "20.bmp").rename(levels / "10.bmp")
    (levels / "tmp").rename(levels / "20.bmp")
    for place, name in enumerate(("10.bmp", "20.bmp")):
        os.utime(levels / name, ns=(0, place + 1))
    assert _epoch(levels, tmp_path, monkeypatch) == ([20, 10, 30], 0)


def test_another_way_of_decoding_is_another_set(tmp_path):
    """Whatever shapes stored pixels opens its own folder; what comes later does not."""
    source = Shapes(4)

    def folder(preprocess, root="a"):
        store = open_store(source, root, preprocess, kind="disk", gigabytes=1)
        _opened.append(store)
        return store._folder

    first = folder(PREPROCESS)
    for change in ({"side": 4}, {"channels": 3}, {"background": (0, 0, 0)}, {"max_pixels": 9}):
        assert folder(replace(PREPROCESS, **change)) != first
    assert folder(PREPROCESS, root="b") != first
    assert folder(replace(PREPROCESS, mean=(0.1,), std=(0.2,), size=4)) == first


def test_bytes_that_nobody_needs_are_dropped(levels, tmp_path, monkeypatch):
    """When most of a set is of files that are gone, the next process that is alone starts anew."""
    monkeypatch.setattr("imgtrain.loading.disk.SMALL_SET", 0)
    pixels = tmp_path / "set" / "pixels.bin"
    for level in range(50, 60):
        _save(levels / f"{level}.bmp", level)
    _epoch(levels, tmp_path, monkeypatch)
    assert pixels.stat().st_size == 13 * 64
    for level in range(50, 60):
        (levels / f"{level}.bmp").unlink()
    _save(levels / "40.bmp", 40)
    monkeypatch.setattr("imgtrain.loading.disk.SMALL_SET", 0)
    _epoch(levels, tmp_path, monkeypatch)
    monkeypatch.setattr("imgtrain.loading.disk.SMALL_SET", 0)
    assert _epoch(levels, tmp_path, monkeypatch)[0] == [10, 20, 30, 40]
    assert pixels.stat().st_size == 4 * 64


# --- bounded -----------------------------------------------------------------------------------


def _large(level):
    return np.full((100, 100, 3), level % 256, np.uint8)


def _fill(store, count):
    for i in range(count):
        store.put(i, _large(i))


def _sizes(root):
    return {path.parent.name: path.stat().st_size for path in root.glob("*/pixels.bin")}


def test_all_sets_together_are_bounded(tmp_path):
    """--cache-gb is for all: the sets used longest ago are emptied, one by one."""
    for age, name in ((3, "oldest"), (2, "older"), (1, "old")):
        store = _open(tmp_path, name=name, limit=200_000)
        _fill(store, 2)
        store.close()
        _opened.remove(store)
        os.utime(tmp_path / name / "users.lock", (age * -1000 + 10**9,) * 2)
    assert sum(_sizes(tmp_path).values()) == 180_000
    store = _open(tmp_path, name="new", limit=200_000)
    _fill(store, 4)
    assert _sizes(tmp_path) == {"old": 60_000, "new": 120_000}
    assert all(np.array_equal(store.get(i), _large(i)) for i in range(4))


def test_sets_in_use_stay(tmp_path, capsys):
    """Neither the own nor another one that is open is emptied: then the rest is not kept."""
    other = _open(tmp_path, name="other", limit=200_000)
    _fill(other, 4)
    store = _open(tmp_path, name="new", limit=200_000)
    _fill(store, 4)
    assert _sizes(tmp_path) == {"other": 120_000, "new": 60_000}
    assert np.array_equal(other.get(3), _large(3))
    assert store.get(3) is None
    assert capsys.readouterr().err.count("is full (--cache-gb)") == 1


def test_an_emptied_set_is_filled_again(tmp_path):
    """Nothing of it is left that could be taken for pictures."""
    store = _open(tmp_path, name="a", limit=100_000)
    _fill(store, 3)
    store.close()
    _opened.remove(store)
    other = _open(tmp_path, name="b", limit=100_000)
    _fill(other, 3)
    other.close()
    _opened.remove(other)
    again = _open(tmp_path, name="a", limit=100_000)
    assert [again.get(i) for i in range(3)] == [None] * 3
    again.put(1, _large(7))
    assert np.array_equal(again.get(1), _large(7))


def test_a_lower_limit_is_obeyed(tmp_path):
    """A set that is larger than all may be starts anew."""
    store = _open(tmp_path, limit=10**6)
    _fill(store, 10)
    store.close()
    _opened.remove(store)
    again = _open(tmp_path, limit=100_000)
    _fill(again, 10)
    assert _sizes(tmp_path) == {"set": 90_000}


_GREEDY = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_cache import _fill, _large, _open
store = _open(Path(sys.argv[1]), count=400, name=sys.argv[3], limit=6_000_000)
_fill(store, 400)
print(sum(store.get(i) is not None and (store.get(i) == _large(i)).all() for i in range(400)))
store.close()
"""


def test_two_processes_that_fill_the_cache(tmp_path):
    """Both at once, each a set of its own: together below the limit, what is there is right."""
    here = str(Path(__file__).parent)
    children = [
        warm.Popen(
            [sys.executable, "-c", _GREEDY, str(tmp_path), here, name],
            env=_env(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    kept = [int(child.communicate(timeout=60)[0]) for child in children]
    assert sum(_sizes(tmp_path).values()) <= 6_000_000 * 1.02
    assert max(kept) >= 90


def test_a_file_cut_short_is_noticed(tmp_path):
    """Rows of the index beyond the end of the pixels count for nothing."""
    store = _open(tmp_path)
    _fill(store, 3)
    store.close()
    _opened.remove(store)
    os.truncate(tmp_path / "set" / "pixels.bin", 70_000)
    again = _open(tmp_path)
    assert [again.get(i) is not None for i in range(3)] == [True, True, False]


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
