"""Tables as spreadsheets and scripts write them."""

import sys
import unicodedata
from pathlib import Path

import pytest

from imgtrain.data.index import PARTS, read_index
from imgtrain.errors import DataError, OutsideError, SettingsError


def manifest(root, text, name="m.csv"):
    """Write a manifest into ``root``; its path."""
    path = Path(root) / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def listed(index):
    """(path, class, part) of every picture."""
    names = (*PARTS, "")
    return [
        (index.source.path(i), index.classes[index.labels[i]], names[index.given[i]])
        for i in range(len(index.source))
    ]


def test_path_and_label(tree):
    """Paths are relative to the manifest or absolute; rows are sorted by class and path."""
    root = tree("x/1.png", "x/2.png", "3.png")
    path = manifest(root, f"path,label\nx/2.png,dog\nx/1.png,dog\n{root}/3.png,cat\n")
    index = read_index(path)
    assert index.root == path
    assert listed(index) == [
        (f"{root}/3.png", "cat", ""),
        ("x/1.png", "dog", ""),
        ("x/2.png", "dog", ""),
    ]
    assert index.source.read(1) == Path(root, "x/1.png").read_bytes()
    assert index.source.stamp(1)[0] == Path(root, "x/1.png").stat().st_size


def test_what_spreadsheets_write(tree):
    """BOM, CRLF, quotes, blank lines, other columns, column case and blanks are no obstacle."""
    root = tree("a, b.png", 'c "d".png')
    text = '\ufeffid, Label ,PATH\r\n1,x,"a, b.png"\r\n\r\n2, y ,"c ""d"".png"\r\n,,\r\n'
    assert listed(read_index(manifest(root, text))) == [
        ("a, b.png", "x", ""),
        ('c "d".png', "y", ""),
    ]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_delimiters(tree, mark):
    """Semicolons and tabs are understood where the header has no comma."""
    root = tree("1.png", "2.png")
    text = "path,label\n1.png,a\n2.png,b\n".replace(",", mark)
    assert len(read_index(manifest(root, text)).source) == 2


def test_split_words(tree):
    """Every word for a part is understood, in any case."""
    root = tree(*(f"{i}.png" for i in range(5)))
    rows = ["0.png,a,Train", "1.png,b,training", "2.png,a,valid", "3.png,b,DEV", "4.png,a,test"]
    text = "\n".join(["path,label,split", *rows])
    assert [part for *_, part in listed(read_index(manifest(root, text)))] == [
        "train", "train", "val", "val", "test",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file,class\n1.png,a\n",
            "no column path and no column label; its columns are: file, class",
        ),
        ("", "no column path .* its columns are: none"),
        ("path,label\n", "names no pictures"),
        ("path,label\n1.png,a\n2.png\n", "row 3 has 1 cells where the header has 2"),
        ("path,label\n1.png,a\nx, y.png,b\n", "row 3 has 3 cells"),
        ("path,label\n1.png,a\n2.png, \n", "row 3: it has no label"),
        ("path,label\n,a\n", "row 2: it has no path"),
        (
            "path,label,split\n1.png,a,training set\n",
            "row 2: split 'training set' is none of train",
        ),
        ("path,label,split\n1.png,a,\n", "row 2: split '' is none of"),
        ('path,label\n"1.png,a\n2.png,b\n', "unexpected end of data"),
        ("path,label\n1.png,a\nnone.png,b\n7.png,b\n", "2 files of 3 named in .* none.png, 7.png"),
        ("path,label\n1.png,a\nfolder,b\n", "1 file of 2 .* folder"),
        ("path,label\n1.png,a\n2\0.png,b\n", "1 file of 2"),
        ("path,label\n1.png,a\n2.png,a\n", "only one class, 'a'"),
        ("path,label\n1.png,a\n1.png,b\n", "gives 1.png two different labels"),
        ("path,label\n1.png,a\n./1.png,b\n", "gives 1.png two different labels"),
        ("path,label,split\n1.png,a,train\n1.png,a,test\n", "gives 1.png two different parts"),
        ("path,label,split\n1.png,a,train\n2.png,b,val\n", "class 'b' is in val but not in train"),
        ("path,label,split\n1.png,a,val\n2.png,b,test\n", "no pictures in the train part"),
    ],
)
def test_what_is_wrong_is_named(tree, text, message):
    """Errors name the row, the file or the columns."""
    root = tree("1.png", "2.png", "folder/")
    with pytest.raises(DataError, match=message):
        read_index(manifest(root, text))


def test_utf16_is_refused(tree):
    """Another encoding is an error, not a bug."""
    with pytest.raises(DataError, match="no column path"):
        read_index(manifest(tree(), "path,label\n1.png,a\n".encode("utf-16")))


def test_repeated_rows(tree):
    """A row that says the same again counts once, and that is said."""
    root = tree("1.png", "2.png")
    index = read_index(manifest(root, "path,label\n1.png,a\n2.png,b\n1.png,a\n"))
    assert len(index.source) == 2
    assert index.notes == ("rows left out because they repeat another: 1",)


def test_order_does_not_matter(tree):
    """A shuffled manifest is the same data set."""
    root = tree("1.png", "2.png", "3.png")
    rows = ["1.png,b", "2.png,a", "3.png,b"]
    first = read_index(manifest(root, "\n".join(["path,label", *rows])))
    second = read_index(manifest(root, "\n".join(["path,label", *rows[::-1]])))
    assert first.fingerprint == second.fingerprint
    assert listed(first) == listed(second)


def test_windows_separators(tree):
    r"""A manifest with ``x\1.png`` works elsewhere too."""
    root = tree("x/1.png", "y/1.png")
    index = read_index(manifest(root, "path,label\nx\\1.png,a\ny\\1.png,b\n"))
    assert index.source.path(0) == "x/1.png"


def test_other_unicode_forms(tree):
    """A name in NFC finds the file in NFD, and is shown in NFC; so are labels."""
    root = tree("e\u0301.png", "2.png", "3.png")
    text = "path,label\n\u00e9.png,\u00e9\n2.png,e\u0301\n3.png,x\n"
    index = read_index(manifest(root, text))
    assert index.classes == ("x", "\u00e9")
    shown = [index.source.path(i) for i in range(3)]
    assert "\u00e9.png" in shown
    assert all(unicodedata.is_normalized("NFC", name) for name in shown)
    assert all(index.source.read(i) for i in range(3))


def test_bytes_that_are_not_utf8(tree):
    """A manifest in Latin-1 finds files named in Latin-1, and shows them escaped."""
    root = tree("1.png")
    Path(root, "1.png").rename(Path(root, "\udce9.png"))
    tree("2.png")
    index = read_index(manifest(root, b"path,label\n\xe9.png,th\xe9\n2.png,b\n"))
    assert index.classes == ("b", "th\\xe9")
    assert index.source.path(1) == "\\xe9.png"
    assert index.source.read(1)


def test_a_column_of_groups(tree):
    """A column group is used; pictures without one stand for themselves."""
    root = tree(*(f"{i}.png" for i in range(5)))
    text = (
        "path,label,group,patient\n0.png,a,g,p\n1.png,a,,p\n2.png,b,g,q\n3.png,b,,q\n4.png,b,h,q\n"
    )
    index = read_index(manifest(root, text))
    assert index.groups.tolist() == [0, 1, 0, 2, 3]
    assert index.group_names == ("g", "", "", "h")
    assert index.notes == ("pictures that belong to no group and stand for themselves: 2",)
    patients = read_index(manifest(root, text), group_by="Patient")
    assert patients.groups.tolist() == [0, 0, 1, 1, 1]
    assert patients.group_names == ("p", "q")


def test_groups_by_path(tree):
    """The first group of a regular expression, or its whole match, names the group."""
    root = tree("a/p1_x.png", "a/p2_x.png", "b/p1_y.png", "b/other.png")
    index = read_index(root, group_by=r"/(p\d)_")
    names = [index.group_names[number] for number in index.groups]
    assert names == ["p1", "p2", "", "p1"]
    whole = read_index(root, group_by=r"p\d")
    assert whole.groups.tolist() == index.groups.tolist()
    table = manifest(root, "path,label,group\na/p1_x.png,a,g\nb/p1_y.png,b,h\n")
    assert read_index(table, group_by=r"p\d").group_names == ("p1",)


@pytest.mark.parametrize("pattern", ["patiant", "(", r"\d{9}"])
def test_groups_that_match_nothing(tree, pattern):
    """A group_by that is no column and fits no path is refused, not ignored."""
    root = tree("a/1.png", "b/2.png")
    with pytest.raises(SettingsError, match="group_by"):
        read_index(root, group_by=pattern)


def test_parquet(tree):
    """A .parquet reads like a .csv; numbers and categories as labels are text."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    root = tree(*(f"{i}.png" for i in range(3)))
    table = {
        "bytes": [b"x"] * 3,
        "path": ["2.png", "1.png", "0.png"],
        "label": pa.array([1, 10, 2]),
        "split": pa.array(["train"] * 3).dictionary_encode(),
    }
    pq.write_table(pa.table(table), Path(root, "m.parquet"))
    index = read_index(f"{root}/m.parquet")
    assert listed(index) == [
        ("2.png", "1", "train"),
        ("1.png", "10", "train"),
        ("0.png", "2", "train"),
    ]


def test_a_broken_parquet(tree):
    """What is no .parquet inside is an error that names it."""
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match=r"cannot read .*m\.parquet"):
        read_index(manifest(tree(), "path,label\n", "m.parquet"))


def test_parquet_without_pyarrow(tree, monkeypatch):
    """The package that is missing is named, with the command that installs it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OutsideError, match="needs the package pyarrow") as caught:
        read_index(manifest(tree(), "", "m.parquet"))
    assert caught.value.hint == "pip install 'imgtrain[parquet]'"
