"""``data clean --from-audit``: what a person accepted is done, checked first, and can be undone."""

import csv
import json
import shutil

import pytest
from audits import make_cv_run
from test_quarantine import DIED, dying
from trees import snapshot

PICTURES = [(f"train/{label}/{i}.jpg", label) for label in ("cat", "dog") for i in range(5)]
WRONG = ("train/cat/3.jpg", "train/cat/4.jpg", "train/dog/1.jpg")


@pytest.fixture
def audited(folder, tmp_path, imgtrain):
    """The folder, audited; a function that answers the rows of the list by path."""
    run = make_cv_run(tmp_path / "here" / "runs" / "pets", folder, PICTURES, wrong=WRONG)
    assert imgtrain("data", "audit", "pets").code == 0
    return answering(run / "label_audit.csv")


def answering(file):
    def answer(**accepted):
        rows = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
        for row in rows[1:]:
            row[-1] = accepted.get(row[0].replace("/", "_").removesuffix(".jpg"), "")
        with file.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows(rows)
        return file

    return answer


def test_files_move_and_come_back(audited, folder, imgtrain):
    """Into the class, under a free name; ``remove`` into quarantine; back bit for bit."""
    before = snapshot(folder)
    file = audited(train_cat_3="yes", train_cat_4="remove", train_dog_1="X")

    ended = imgtrain("data", "clean", "--from-audit", file, "--apply")
    after = snapshot(folder)

    assert ended.code == 0, ended.err
    assert "3 files cleaned" in ended.err
    assert after[b"train/dog/3-2.jpg"] == before[b"train/cat/3.jpg"]
    assert after[b"train/cat/1-2.jpg"] == before[b"train/dog/1.jpg"]
    assert len(after) == len(before) - 1
    aside = folder.with_name("data-quarantine") / "files" / "train" / "cat" / "4.jpg"
    assert aside.read_bytes() == before[b"train/cat/4.jpg"][0]
    assert imgtrain("data", "clean", folder, "--restore").code == 0
    assert snapshot(folder) == before


def test_without_apply_nothing_changes(audited, folder, imgtrain):
    """The plan is told; an empty list is nothing to do."""
    before = snapshot(folder)
    file = audited(train_cat_3="dog", train_dog_1="no")

    ended = imgtrain("data", "clean", "--from-audit", file)

    assert "rename train/cat/3.jpg -> train/dog/3-2.jpg (wrong label: cat, is dog)" in ended.err
    assert "a dry run: 1 file" in ended.err
    assert snapshot(folder) == before
    assert "nothing to clean" in imgtrain("data", "clean", "--from-audit", audited()).err
    plan = json.loads(
        imgtrain("data", "clean", "--from-audit", audited(train_dog_1="1"), "--json").out
    )
    assert [step["to"] for step in plan["plan"]] == ["train/cat/1-2.jpg"]


def test_the_same_list_twice_is_done_once(audited, folder, imgtrain):
    """What the journal holds is done; and after --restore it can be done again."""
    file = audited(train_cat_3="yes", train_cat_4="remove")
    imgtrain("data", "clean", "--from-audit", file, "--apply")
    after = snapshot(folder)

    ended = imgtrain("data", "clean", "--from-audit", file, "--apply")

    assert (ended.code, "nothing to clean" in ended.err) == (0, True), ended.err
    imgtrain("data", "clean", folder, "--restore")
    assert imgtrain("data", "clean", "--from-audit", file, "--apply").code == 0
    assert snapshot(folder) == after


@pytest.mark.slow
def test_a_crash_loses_nothing_and_the_same_command_goes_on(audited, folder, imgtrain):
    """Killed at one file operation after the other; the end is that of an undisturbed run."""
    before = snapshot(folder)
    file = audited(train_cat_3="yes", train_cat_4="remove", train_dog_1="yes")
    whole = shutil.copytree(folder, folder.with_name("whole"), symlinks=True)
    imgtrain("data", "clean", whole, "--from-audit", file, "--apply")
    codes = [
        dying(steps, "data-quarantine", "data", "clean", folder, "--from-audit", file, "--apply")
        for steps in (3, 2, 2)
    ]

    assert imgtrain("data", "clean", "--from-audit", file, "--apply").code == 0
    assert snapshot(folder) == snapshot(whole)
    assert imgtrain("data", "clean", folder, "--restore").code == 0
    assert snapshot(folder) == before
    assert DIED in codes


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("cow", "row 2: accepted is 'cow', which is neither yes, no, remove nor a class"),
        ("dgo", "did you mean 'dog'?"),
    ],
)
def test_an_unknown_answer_stops_everything(audited, folder, imgtrain, word, text):
    """It is named with its row, and no file moves."""
    before = snapshot(folder)
    file = audited(train_cat_3=word, train_dog_1="yes")

    ended = imgtrain("data", "clean", "--from-audit", file, "--apply")

    assert (ended.code, text in ended.err) == (3, True), ended.err
    assert snapshot(folder) == before


def test_what_has_changed_since_is_refused(audited, folder, imgtrain):
    """Another content, another class, gone: each in a sentence, and no file moves."""
    file = audited(train_cat_3="yes", train_dog_1="yes")
    picture = folder / "train/cat/3.jpg"
    content = picture.read_bytes()

    picture.write_bytes(content + b" ")
    assert "1 file has changed since the audit: train/cat/3.jpg" in refused(imgtrain, file, folder)
    picture.rename(folder / "train/cat/other.jpg")
    assert "cannot be found in the data: train/cat/3.jpg (row 2)" in refused(imgtrain, file, folder)
    file.write_text(file.read_text().replace("cat/3.jpg,cat,dog", "dog/3.jpg,cat,dog"))
    said = refused(imgtrain, file, folder)
    assert "row 2 says train/dog/3.jpg is 'cat', now it is 'dog'" in said


def refused(imgtrain, file, folder):
    before = snapshot(folder)
    ended = imgtrain("data", "clean", "--from-audit", file, "--apply")
    assert ended.code == 3
    assert snapshot(folder) == before
    return " ".join(ended.err.split())


def test_a_class_that_is_called_like_an_answer(tmp_path):
    """``1`` is refused where it could mean either; ``class:1`` and a ``1`` that agree are not."""
    from imgtrain.checking.answers import read_answers
    from imgtrain.errors import DataError

    file = tmp_path / "list.csv"
    head = "path,label,suggested,accepted\n"

    def read(row):
        file.write_text(head + row + "\n")
        return [answer.new for answer in read_answers(file, ("0", "1", "2"))]

    assert read("a,0,1,1") == ["1"]
    assert read("a,0,2,class:1") == ["1"]
    assert read("a,0,2,2") == ["2"]
    assert read("a,0,2,0") == []
    with pytest.raises(DataError, match="write class:1 for the class, or yes for the other"):
        read("a,0,2,1")
    with pytest.raises(DataError, match="rows 2 and 3 disagree about a"):
        read("a,0,2,yes\na,0,2,remove")
    file.write_text("path,label\n")
    with pytest.raises(DataError, match="no list of a label audit"):
        read_answers(file, ("0", "1"))


def test_links_that_would_lead_nowhere_are_refused(audited, folder, imgtrain):
    """A relative target means another place in another folder."""
    file = audited(train_cat_3="yes")
    (folder / "train/cat/3.jpg").rename(folder / "train/cat/target.jpg")
    (folder / "train/cat/3.jpg").symlink_to("target.jpg")

    assert "is a link whose target is relative" in refused(imgtrain, file, folder)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--from-audit", "LIST", "--near"], "looks at nothing else"),
        (["--from-audit", "LIST", "--jobs", "2"], "looks at nothing else"),
        (["--from-audit", "LIST", "--restore"], "reads no list"),
        ([], "PATH is missing"),
    ],
)
def test_contradictions_are_told(audited, imgtrain, argv, text):
    """Before anything is read."""
    file = str(audited(train_cat_3="yes"))

    ended = imgtrain("data", "clean", *(a.replace("LIST", file) for a in argv))

    assert (ended.code, text in " ".join(ended.err.split())) == (2, True), ended.err


def test_a_list_that_was_moved_needs_the_data(audited, folder, imgtrain, tmp_path):
    """It is asked for; then the list does, but nothing says whether files have changed."""
    away = shutil.move(audited(train_cat_3="yes"), tmp_path / "away.csv")

    ended = imgtrain("data", "clean", "--from-audit", away)
    told = imgtrain("data", "clean", folder, "--from-audit", away)

    assert (ended.code, "there is no label_audit.json beside" in ended.err) == (2, True)
    assert (told.code, "is not checked" in told.err) == (0, True)
    assert imgtrain("data", "clean", "--from-audit", "nowhere.csv").code == 3


@pytest.fixture
def manifest(folder):
    """A manifest with columns of its own, in another order, with another separator."""
    file = folder.with_name("pets.csv")
    rows = [f"{i};{label};data/{path};a, b" for i, (path, label) in enumerate(PICTURES)]
    lines = ["number;label;path;note", *rows, " "]  # an editor's last line
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_manifest_gets_a_corrected_copy(manifest, tmp_path, imgtrain, kind):
    """All else as it was, rows that are out left out; the user's own file stays as it is."""
    pictures = [(f"data/{path}", label) for path, label in PICTURES]
    if kind == "parquet":
        manifest = as_parquet(manifest)
    before = manifest.read_bytes()
    wrong = [f"data/{path}" for path in WRONG]
    run = make_cv_run(tmp_path / "here" / "runs" / "pets", manifest, pictures, wrong=wrong)
    assert imgtrain("data", "audit", "pets").code == 0
    file = answering(run / "label_audit.csv")(data_train_cat_3="yes", data_train_cat_4="remove")
    dry = imgtrain("data", "clean", "--from-audit", file)
    corrected = manifest.with_name(f"pets-relabelled.{kind}")
    assert "data/train/cat/3.jpg: cat -> dog" in dry.err
    assert not corrected.exists()

    ended = imgtrain("data", "clean", "--from-audit", file, "--apply")

    assert ended.code == 0, ended.err
    assert manifest.read_bytes() == before
    assert lines_of(corrected) == [
        *[f"{i};cat;data/train/cat/{i}.jpg;a, b" for i in range(3)],
        "3;dog;data/train/cat/3.jpg;a, b",
        *[f"{i + 5};dog;data/train/dog/{i}.jpg;a, b" for i in range(5)],
    ]
    imgtrain("data", "clean", "--from-audit", file, "--apply")
    assert manifest.with_name(f"pets-relabelled-2.{kind}").exists()


def as_parquet(manifest):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    lines = manifest.read_text(encoding="utf-8").splitlines()[:-1]
    head, *rows = csv.reader(lines, delimiter=";")
    columns = dict(zip(head, map(list, zip(*rows, strict=True)), strict=True))
    columns["number"] = [int(cell) for cell in columns["number"]]
    place = manifest.with_suffix(".parquet")
    pq.write_table(pa.table(columns), place)
    return place


def lines_of(file):
    if file.suffix == ".csv":
        return file.read_text(encoding="utf-8").splitlines()[1:]
    import pyarrow.parquet as pq

    return [";".join(map(str, row.values())) for row in pq.read_table(file).to_pylist()]
