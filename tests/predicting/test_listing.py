"""Which pictures are to be scored."""

import tracemalloc

import pytest

from imgtrain.errors import DataError, SettingsError
from imgtrain.predicting.listing import list_pictures


def names(listed):
    return [listed.path(i) for i in range(len(listed))]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_manifest_is_its_rows(here):
    """In their order, read from beside it; its labels come along, other columns do not."""
    (here / "in").mkdir()
    (here / "in" / "b.png").write_bytes(b"bb")
    (here / "in" / "m.csv").write_text('label,path,x\ncat,b.png,1\n,"a, c.png",2\ndog,b.png,3\n')

    listed = list_pictures(["in/m.csv", "z.png"], fetch=None)

    assert names(listed) == ["b.png", "a, c.png", "b.png", "z.png"]
    assert [listed.label(i) for i in range(4)] == ["cat", "", "dog", ""]
    assert listed.read(2) == b"bb"
    assert listed.stamp(0)[0] == 2
    with pytest.raises(FileNotFoundError):
        listed.read(1)


def test_a_parquet_manifest_is_read_alike(here):
    """Without a label there is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"path": ["a.png", "b.png"]}), here / "m.parquet")

    listed = list_pictures(["m.parquet"], fetch=None)

    assert names(listed) == ["a.png", "b.png"]
    assert listed.label(0) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("file,label\na.png,b\n", "m.csv has no column path; its columns are: file, label"),
        ("path,label\n,b\n", "m.csv, row 2: it has no path"),
        ("path\n", "no pictures in m.csv"),
    ],
)
def test_a_manifest_that_names_nothing_is_an_error(here, text, complaint):
    """With what it has instead."""
    (here / "m.csv").write_text(text)
    with pytest.raises(DataError, match=complaint):
        list_pictures(["m.csv"], fetch=None)


def test_links_between_folders_are_followed_once(here):
    """A circle ends; a linked folder's pictures count."""
    (here / "in" / "a").mkdir(parents=True)
    (here / "in" / "a" / "1.png").write_bytes(b"")
    (here / "in" / "a" / "up").symlink_to(here / "in")
    (here / "out").mkdir()
    (here / "out" / "2.png").write_bytes(b"")
    (here / "in" / "out").symlink_to(here / "out")

    assert names(list_pictures(["in/"], fetch=None)) == ["in/a/1.png", "in/out/2.png"]
    assert names(list_pictures(["."], fetch=None))[0] == "in/a/1.png"


def test_addresses_are_refused_unasked(here):
    """Named, or in a manifest; asked for, they are fetched."""
    (here / "m.csv").write_text("path\na.png\nHTTPS://b.example/c.png\n")
    for name in ("http://a.example/b.png", "m.csv"):
        with pytest.raises(SettingsError, match="is an address, and nothing is fetched unasked"):
            list_pictures([name], fetch=None)

    listed = list_pictures(["m.csv"], fetch=str.encode)

    assert listed.read(1) == b"HTTPS://b.example/c.png"
    assert listed.stamp(1) == (0, 0)
    assert listed.has_addresses


def test_names_take_little_more_than_their_letters(here):
    """A hundred thousand are a few megabytes."""
    rows = "".join(f"some/longer/folder/picture_{i:08d}.jpeg,cat\n" for i in range(20_000))
    (here / "m.csv").write_text(f"path,label\n{rows}")
    tracemalloc.start()
    listed = list_pictures(["m.csv"], fetch=None)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert len(listed) == 20_000
    assert listed.path(19_999) == "some/longer/folder/picture_00019999.jpeg"
    assert used < 2_400_000
