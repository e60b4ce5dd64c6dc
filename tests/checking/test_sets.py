"""What only shows when all files are seen together."""

import os
import shutil

import pytest
from PIL import Image
from scenes import encoded, scene

from imgtrain.checking.findings import KINDS, count_findings, sort_findings
from imgtrain.checking.judging import Limits
from imgtrain.checking.survey import survey


def findings(root, **options):
    return survey(str(root), limits=Limits(), jobs=2, **options).findings


def only(root, code, **options):
    """The findings of one code, as (files, detail)."""
    return [(f.files, f.detail) for f in findings(root, **options) if f.code == code]


def again(folder, origin, to, **options):
    """The photo at ``origin`` saved anew."""
    place = folder / to
    place.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(folder / origin) as picture:
        picture.save(place, **options)


def test_a_whole_set_has_no_findings(folder):
    """Photos of two classes in two parts."""
    assert findings(folder) == []


def test_a_copy_in_another_part_is_a_leak(folder):
    """Of other bytes or the same; a leak is not told as a duplicate besides."""
    again(folder, "train/cat/0.jpg", "test/cat/copy.png")
    shutil.copy(folder / "train/dog/0.jpg", folder / "test/dog/copy.jpg")

    assert [(f.code, f.files, f.detail) for f in findings(folder)] == [
        (
            "leak",
            ("test/cat/copy.png", "train/cat/0.jpg"),
            "in train and test; re-encoded, resized or mirrored",
        ),
        ("leak", ("test/dog/copy.jpg", "train/dog/0.jpg"), "in train and test; the same bytes"),
    ]


def test_a_copy_in_another_class_is_a_conflict(folder):
    """One of the labels is wrong."""
    again(folder, "train/cat/0.jpg", "train/dog/copy.jpg", quality=50)

    (found,) = findings(folder)

    assert (found.code, found.severity) == ("conflict", "error")
    assert found.detail == "as cat, dog; re-encoded, resized or mirrored"


def test_copies_in_one_place_are_duplicates(folder):
    """Equal bytes apart from other copies."""
    shutil.copy(folder / "train/cat/0.jpg", folder / "train/cat/same.jpg")
    again(folder, "train/dog/0.jpg", "train/dog/small.jpg", quality=40)

    assert count_findings(findings(folder)) == {"exact-duplicate": 1, "near-duplicate": 1}
    assert count_findings(findings(folder, near=False)) == {"exact-duplicate": 1}


def test_groups_in_two_parts_leak(folder):
    """A person whose pictures are in train and in test."""
    (folder / "train/cat/0.jpg").rename(folder / "train/cat/anna-0.jpg")
    (folder / "test/dog/0.jpg").rename(folder / "test/dog/anna-1.jpg")

    (found,) = only(folder, "group-leak", group_by="anna")

    assert found == (
        ("test/dog/anna-1.jpg", "train/cat/anna-0.jpg"),
        "group anna: 1 in train, 1 in test",
    )


def test_a_class_that_a_part_lacks_is_told(folder):
    """By name."""
    shutil.rmtree(folder / "test/dog")

    assert only(folder, "missing-class") == [((), "test lacks 1 class: dog")]


def test_a_large_class_beside_a_small_one_is_told(folder):
    """Above ten to one, in train."""
    for i in range(56):
        (folder / "train/cat" / f"more{i}.jpg").write_bytes(encoded(scene(500 + i, (40, 30))))

    assert only(folder, "imbalance") == [((), "cat has 61 pictures, dog 5 (12.2 to 1)")]


def test_names_that_fold_together_collide(folder):
    """Case and Unicode form; on another file system one would replace the other."""
    cats = folder / "train/cat"
    (cats / "A.JPG").write_bytes(encoded(scene(90)))
    (cats / "a.jpg").write_bytes(encoded(scene(91)))
    (cats / "u\u0308.jpg").write_bytes(encoded(scene(92)))
    (cats / "\u00fc.jpg").write_bytes(encoded(scene(93)))

    names = [files for files, _ in only(folder, "name-collision")]

    assert ("train/cat/A.JPG", "train/cat/a.jpg") in names
    assert ("train/cat/\u00fc.jpg", "train/cat/\u00fc.jpg") in names
    assert len(names) == 2


def test_folders_that_read_the_same_are_told_once(folder):
    """Not again for every picture in them; what makes them two cannot be seen, so it is said."""
    for name in ("u\u0308", "\u00fc"):
        (folder / "train" / name).mkdir()
        for i in range(3):
            (folder / "train" / name / f"{i}.jpg").write_bytes(encoded(scene(len(name) * 10 + i)))

    assert only(folder, "name-collision") == [
        (("train/\u00fc", "train/\u00fc"), "they differ in their Unicode form alone")
    ]


def test_links_that_lead_nowhere_are_told(folder):
    """And links in a circle do not hang the look."""
    (folder / "train/cat/gone.jpg").symlink_to("nowhere.jpg")
    (folder / "train/cat/round.jpg").symlink_to("round.jpg")
    (folder / "train/cat/up").symlink_to(folder)

    found = [files for files, _ in only(folder, "broken-link")]

    assert found == [("train/cat/gone.jpg",), ("train/cat/round.jpg",)]


def test_what_cannot_be_trained_on_is_looked_at_all_the_same(tmp_path, photos):
    """One class: a finding, and the broken file in it another."""
    (tmp_path / "set/only").mkdir(parents=True)
    (tmp_path / "set/only/a.jpg").write_bytes(photos[0])
    (tmp_path / "set/only/b.jpg").write_bytes(photos[1][:500])

    found = findings(tmp_path / "set")

    assert [f.code for f in found] == ["unusable", "truncated"]
    assert "only one class" in found[0].detail


def test_an_empty_folder_is_unusable(tmp_path):
    """Nothing to look at, and that is said."""
    assert [f.code for f in findings(tmp_path)] == ["unusable"]


def test_files_that_training_leaves_out_are_looked_at(folder, photos):
    """A picture without an ending, and one beside the classes."""
    (folder / "train/cat/photo").write_bytes(photos[20])
    (folder / "train/cat/notes.txt").write_bytes(b"words")

    counts = count_findings(findings(folder))

    assert (counts["wrong-extension"], counts["other-file"]) == (1, 1)


def test_a_manifest_is_looked_at_as_it_says(tmp_path, photos):
    """Parts and classes are its own, whatever the folders are called."""
    for i in range(4):
        (tmp_path / f"{i}.jpg").write_bytes(photos[i % 3])
    rows = ["path,label,split", "0.jpg,x,train", "1.jpg,y,train", "2.jpg,x,test", "3.jpg,y,test"]
    (tmp_path / "set.csv").write_text("\n".join(rows))

    assert {f.code for f in findings(tmp_path / "set.csv")} >= {"leak", "conflict"}


def test_names_that_are_no_text_are_looked_at(folder, photos):
    """Bytes that are not UTF-8, control characters, markup, long ones."""
    for name in (b"\xff\xfe.jpg", b"new\nline.jpg", b"<script>.jpg", b"x" * 200 + b".jpg"):
        (folder / "train/cat" / os.fsdecode(name)).write_bytes(photos[0][:300])

    found = only(folder, "truncated")

    assert [files[0] for files, _ in found] == [
        "train/cat/<script>.jpg",
        r"train/cat/\xff\xfe.jpg",
        "train/cat/new\nline.jpg",
        f"train/cat/{'x' * 200}.jpg",
    ]


@pytest.mark.parametrize("jobs", [1, 4])
def test_the_number_of_threads_changes_nothing(folder, jobs):
    """The same findings in the same order."""
    again(folder, "train/cat/0.jpg", "test/cat/copy.png")

    found = survey(str(folder), limits=Limits(), jobs=jobs)

    assert found.findings == findings(folder)


def test_the_worst_comes_first():
    """Kinds are sorted by severity, and so are findings."""
    order = ["error", "warning", "info"]
    places = [order.index(kind.severity) for kind in KINDS.values()]

    assert places == sorted(places)
    assert sort_findings([]) == []
