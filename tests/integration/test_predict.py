"""``imgtrain predict``: what it scores, in which order, and how it says so."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY, Ran, draw, make_folder

from imgtrain import console
from imgtrain.cli import run as run_cli
from imgtrain.engine.model import build
from imgtrain.engine.weights import read_model, save_model

CLASSES = ["left", "middle", "right"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a small training, ``runs/first``, and one of other weights, ``runs/second``."""
    place = tmp_path_factory.mktemp("trained")
    photos = make_folder(place / "photos", dict.fromkeys(CLASSES, 8), size=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("IMGTRAIN_CACHE", str(place / "cache"))
        arguments = ["--data", str(photos), *TINY, "--epochs", "1", "--name", "first"]
        assert run_cli(["train", "-q", *arguments]) == 0
    console.set_verbosity(0)
    second = place / "runs" / "second"
    second.mkdir()
    _, recipe = read_model(place / "runs" / "first" / "model.safetensors")
    save_model(second / "model.safetensors", build(recipe), recipe)
    (second / "status.json").write_text('{"format": 1, "state": "finished"}')
    return place


@pytest.fixture
def predict(trained, tmp_path, monkeypatch, capfd):
    """Run ``imgtrain predict`` in a folder of its own that holds those runs."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "runs").symlink_to(trained / "runs")
    monkeypatch.chdir(work)

    def command(*arguments):
        capfd.readouterr()
        code = run_cli(["predict", *map(str, arguments)])
        return Ran(code, *capfd.readouterr())

    return command


@pytest.fixture
def pictures(tmp_path, predict):
    """``a.png`` of the first class, ``b.png`` of the second, ``c.png`` of the third."""
    for label, name in enumerate("abc"):
        draw(label, 90 + label).save(tmp_path / "work" / f"{name}.png")


def paths(ran):
    return [row["path"] for row in ran.json]


def shown(row):
    """The row of ``--json``, as it is printed for people."""
    return "  ".join(f"{one['class']} {one['prob']:.6f}" for one in row["top"])


def test_one_picture_is_a_small_table(predict, pictures):
    """Path, heading, a line a class, likeliest first; nothing else on stdout."""
    top = predict("a.png", "--json").json[0]["top"]
    ran = predict("a.png")
    lines = [f"{one['class']:<6}  {one['prob']:.6f}" for one in top]

    assert ran.code == 0
    assert ran.out == "\n".join(["a.png", "class   probability", *lines]) + "\n"
    assert ran.err == ""


def test_several_pictures_are_a_line_each(predict, pictures):
    """Path, tab, classes with their probabilities, in the order in which they were given."""
    rows = predict("c.png", "a.png", "c.png", "--json").json
    ran = predict("c.png", "a.png", "c.png")

    assert ran.out == "".join(f"{row['path']}\t{shown(row)}\n" for row in rows)
    assert [row["path"] for row in rows] == ["c.png", "a.png", "c.png"]


def test_json_has_exactly_the_promised_keys(predict, pictures):
    """One list; keys in their order; likeliest first; probabilities of all classes make one."""
    ran = predict("a.png", "b.png", "none.png", "--json")
    good, _, bad = ran.json

    assert ran.code == 0
    assert ran.out.count("\n") == 1
    assert list(good) == ["path", "pred", "prob", "top", "error"]
    assert [list(one) for one in good["top"]] == [["class", "prob"]] * 3
    assert sorted(one["class"] for one in good["top"]) == CLASSES
    assert [one["prob"] for one in good["top"]] == sorted(
        (one["prob"] for one in good["top"]), reverse=True
    )
    assert sum(one["prob"] for one in good["top"]) == pytest.approx(1, abs=2e-6)
    assert (good["pred"], good["prob"]) == tuple(good["top"][0].values())
    assert good["error"] is None
    assert bad == {
        "path": "none.png",
        "pred": None,
        "prob": None,
        "top": [],
        "error": "No such file or directory",
    }


def test_the_csv_has_every_class_in_index_order(predict, pictures, tmp_path):
    """path, pred, prob, a column a class, error; the numbers of --json; not only the top k."""
    ran = predict("a.png", "none.png", "--json", "--top-k", "1", "--csv", "out/p.csv")
    full = predict("a.png", "--json").json[0]
    with (tmp_path / "work" / "out" / "p.csv").open(encoding="utf-8", newline="") as file:
        header, good, bad = csv.reader(file)

    assert ran.code == 0
    assert header == ["path", "pred", "prob", "prob_left", "prob_middle", "prob_right", "error"]
    probs = {one["class"]: f"{one['prob']:.6f}" for one in full["top"]}
    assert good == [
        "a.png",
        full["pred"],
        f"{full['prob']:.6f}",
        *(probs[name] for name in CLASSES),
        "",
    ]
    assert bad == ["none.png", "", "", "", "", "", "No such file or directory"]


@pytest.mark.parametrize(("k", "count"), [("1", 1), ("2", 2), ("3", 3), ("99", 3)])
def test_top_k_shows_at_most_the_classes_there_are(predict, pictures, k, count):
    """More than there are is all of them."""
    assert len(predict("a.png", "--json", "-k", k).json[0]["top"]) == count


def test_a_folder_is_its_pictures_at_any_depth(predict, tmp_path):
    """Sorted; hidden ones, what systems leave behind, and other files left out."""
    for name in ("z.png", "b/2.JPG", "b/10.png", ".h.png", ".git/x.png", "__MACOSX/m.png"):
        path = tmp_path / "work" / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(0, 1).save(path)
    (tmp_path / "work" / "in" / "notes.txt").write_text("x")
    (tmp_path / "work" / "in" / "folder.png").mkdir()

    assert paths(predict("in", "--json")) == ["in/b/10.png", "in/b/2.JPG", "in/z.png"]


def test_a_hidden_folder_that_was_named_is_taken(predict, tmp_path):
    """Hidden is what lies below the folder; the user's own word counts for the folder itself."""
    folder = tmp_path / "work" / ".cam"
    folder.mkdir()
    draw(0, 1).save(folder / "a.png")
    assert paths(predict(".cam", "--json")) == [".cam/a.png"]
    assert paths(predict(tmp_path / "work" / ".cam", "--json")) == [f"{folder}/a.png"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.png", ["a.png", "b.png", "c.png"]),
        ("[ab].png", ["a.png", "b.png"]),
        ("?.jpg", ["?.jpg"]),
        ("sub/**/*.png", ["sub/d.png", "sub/sub/e.png"]),
    ],
)
def test_a_quoted_glob_is_expanded(predict, pictures, tmp_path, pattern, found):
    """Sorted; what matches nothing stays, as a row with an error."""
    (tmp_path / "work" / "sub" / "sub").mkdir(parents=True)
    for name in ("sub/sub/e.png", "sub/d.png"):
        draw(0, 1).save(tmp_path / "work" / name)
    assert paths(predict(pattern, "a.png", "--json")) == [*found, "a.png"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(predict, pictures, tmp_path):
    """[ab].png is itself if it is there."""
    draw(0, 1).save(tmp_path / "work" / "[ab].png")
    assert paths(predict("[ab].png", "--json")) == ["[ab].png"]


def read_from(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def test_a_dash_reads_names_from_stdin(predict, pictures, monkeypatch):
    """A name a line, either line end, blank lines skipped, spaces kept, nothing expanded."""
    read_from(monkeypatch, "c.png\r\n\n a.png\nä 🐈.png\n*.png".encode())
    ran = predict("b.png", "-", "--json")
    assert paths(ran) == ["b.png", "c.png", " a.png", "ä 🐈.png", "*.png"]
    assert [row["error"] is None for row in ran.json] == [True, True, False, False, False]


def test_names_on_stdin_may_be_any_bytes(predict, pictures, tmp_path, monkeypatch):
    """Names that are not UTF-8 are read; a zero byte (find -print0) is an error of its row."""
    name = os.fsdecode(b"\xff.png")
    draw(0, 1).save(tmp_path / "work" / name)
    read_from(monkeypatch, b"\xff.png\na.png\0b.png\n")
    ran = predict("-", "--json", "--csv", "p.csv")

    assert ran.code == 0, ran.err
    assert paths(ran) == [name, "a.png\0b.png"]
    assert [row["error"] for row in ran.json] == [None, "the name holds a zero byte"]


def test_a_bad_picture_among_good_ones_is_a_row(predict, pictures, tmp_path):
    """The rest is scored as ever; exit code 0; the reason stands in its line."""
    alone = predict("a.png", "c.png", "--json").json
    (tmp_path / "work" / "bad.png").write_text("no picture")
    ran = predict("a.png", "bad.png", "c.png", "--json")
    text = predict("a.png", "bad.png")

    assert ran.code == text.code == 0
    assert [ran.json[0], ran.json[2]] == alone
    assert ran.json[1]["error"]
    assert text.out.splitlines()[1] == f"bad.png\terror: {ran.json[1]['error']}"


def test_strict_makes_a_bad_picture_an_error(predict, pictures):
    """Code 3, after all rows are out."""
    ran = predict("a.png", "none.png", "--json", "--strict", "--csv", "p.csv")
    assert ran.code == 3
    assert ran.err == "error: 1 of 2 pictures could not be read\n"
    assert len(ran.json) == 2
    assert predict("a.png", "--strict").code == 0


def test_no_readable_picture_is_an_error(predict, tmp_path):
    """Code 3 without --strict too; the rows are there."""
    (tmp_path / "work" / "bad.png").write_text("no picture")
    ran = predict("bad.png", "none.png", "--json")
    assert ran.code == 3
    assert paths(ran) == ["bad.png", "none.png"]
    assert ran.err == "error: 2 of 2 pictures could not be read\n"


def test_an_empty_folder_is_an_error(predict, tmp_path):
    """Code 3, nothing on stdout; a class folder may be empty, a question may not."""
    (tmp_path / "work" / "in").mkdir()
    ran = predict("in", "--json")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == ("error: no pictures in in\n  give files, folders, globs, or - for stdin\n")


def test_a_name_longer_than_the_system_allows_is_a_row(predict, pictures):
    """It is not there, like any other."""
    ran = predict("a.png", "x" * 300, "--json")
    assert ran.code == 0, ran.err
    assert ran.json[1]["error"] == "File name too long"


def test_the_newest_run_is_taken_and_any_other_can_be_named(predict, pictures, trained, tmp_path):
    """By name, by folder, by its model.safetensors wherever that lies; all the same numbers."""
    first = predict("a.png", "--json", "--run", "first").json
    second = predict("a.png", "--json", "--run", "second").json
    shutil.copy(trained / "runs" / "first" / "model.safetensors", tmp_path / "m.safetensors")

    assert first != second
    assert predict("a.png", "--json").json == second
    assert predict("a.png", "--json", "--run", "latest").json == second
    assert predict("a.png", "--json", "--run", trained / "runs" / "first").json == first
    assert predict("a.png", "--json", "--run", tmp_path / "m.safetensors").json == first
    assert predict("a.png", "--json", "-r", "first", "-o", trained / "runs").json == first


def test_a_run_that_is_not_there_is_an_error(predict, pictures):
    """Code 6, with the nearest name."""
    ran = predict("a.png", "--run", "frist")
    assert ran.code == 6
    assert "did you mean 'first'?" in ran.words


def test_company_does_not_change_a_picture(predict, trained):
    """One by one against all together: less than 1e-5."""
    together = predict(trained / "photos", "--json").json
    assert len(together) == 24
    for row in together[::5]:
        alone = predict(row["path"], "--json").json[0]
        probs = {one["class"]: one["prob"] for one in alone["top"]}
        for one in row["top"]:
            assert probs[one["class"]] == pytest.approx(one["prob"], abs=1e-5)


ODD = ["two words.png", "🐈 ü.png", "[bold]x[bold].png", ":smile:.png", "-dash.png", 'q"u,o.png']


def test_odd_names_come_back_as_they_are(predict, tmp_path):
    """Spaces, emoji, markup, a leading dash, quotes: in text, JSON and CSV."""
    folder = tmp_path / "work" / "in"
    folder.mkdir()
    for name in ODD:
        draw(0, 1).save(folder / name)
    expected = sorted(f"in/{name}" for name in ODD)
    text = predict("in", "--csv", "p.csv")
    with (tmp_path / "work" / "p.csv").open(encoding="utf-8", newline="") as file:
        listed = [row["path"] for row in csv.DictReader(file)]

    assert [line.partition("\t")[0] for line in text.out.splitlines()] == expected
    assert paths(predict("in", "--json")) == expected
    assert listed == expected


def test_no_name_can_paint_the_terminal(predict, tmp_path):
    """Control characters are escapes in text and JSON; a row stays one line; data is unharmed."""
    folder = tmp_path / "work" / "in"
    folder.mkdir()
    names = ["\x1b[31mred.png", "a\nb.png", "c\td.png", "e\x9b2J.png", "f\u202egnp.exe.png"]
    for name in names:
        draw(0, 1).save(folder / name)
    raw = os.fsdecode(b"g\xff.png")
    shutil.copy(folder / names[0], folder / raw)
    expected = sorted(f"in/{name}" for name in [*names, raw])
    text = predict("in", "none\x1b[2J.png", "--csv", "p.csv")
    found = predict("in", "--json")
    with (tmp_path / "work" / "p.csv").open(encoding="utf-8", newline="") as file:
        listed = [row["path"] for row in csv.DictReader(file)]

    lines = text.out.splitlines()
    assert len(lines) == 7
    assert [line.partition("\t")[0] for line in lines[:3]] == [
        r"in/\x1b[31mred.png",
        r"in/a\nb.png",
        r"in/c\td.png",
    ]
    assert lines[6] == "none\\x1b[2J.png\terror: No such file or directory"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text.out + found.out)
    assert paths(found) == expected
    assert listed[:-1] == [name.replace("\udcff", r"\udcff") for name in expected]


@pytest.mark.slow
def test_a_reader_that_leaves_ends_the_work_quietly(predict, trained, tmp_path):
    """``| head -1``: 141 as a shell reports it, no traceback; the table's rows are whole."""
    script = (
        f'"{sys.executable}" -m imgtrain predict {trained}/photos --csv p.csv '
        "| true; echo ${PIPESTATUS[0]}"
    )
    ran = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, cwd=tmp_path / "work"
    )
    assert ran.stderr == ""
    assert ran.stdout == "141\n"
    assert (tmp_path / "work" / "p.csv").read_text().endswith("\n")


def test_a_table_that_cannot_be_written_is_a_disk_error(predict, pictures):
    """Code 8, before a device is replaced."""
    ran = predict("a.png", "--csv", "/dev/null")
    assert ran.code == 8
    assert "cannot write /dev/null: it is no ordinary file" in ran.words


def test_quiet_leaves_the_results(predict, pictures):
    """-q silences messages, not what was asked for."""
    assert predict("a.png", "-q").out == predict("a.png").out
    console.set_verbosity(0)


def test_json_is_one_list_however_many_pictures(predict, pictures):
    """One picture is a list of one."""
    assert isinstance(json.loads(predict("a.png", "--json").out), list)


@pytest.mark.parametrize("kind", ["flip", "five", "ten"])
def test_views_are_averaged_alike_in_training_and_prediction(imgtrain, photos, kind):
    """``predict --tta`` gives the test rows of a run scored with the same views, and only then."""
    ran = imgtrain(
        "train", "--data", photos, *TINY, "--epochs", "1", "--tta", kind, "--json", "--fresh"
    )
    assert ran.json["metrics"]["tta"] == kind
    with (Path(ran.json["run"]) / "predictions_test.csv").open() as file:
        wanted = {row["path"]: float(row["prob"]) for row in csv.DictReader(file)}
    paths = [photos / name for name in wanted]
    found = imgtrain("predict", *paths, "--tta", kind, "--json").json
    plain = imgtrain("predict", *paths, "--json").json

    for row, prob in zip(found, wanted.values(), strict=True):
        assert row["prob"] == pytest.approx(prob, abs=2e-6)
    assert any(a["prob"] != b["prob"] for a, b in zip(found, plain, strict=True))


def test_mirrored_views_of_what_must_not_be_mirrored_are_refused(imgtrain):
    """Digits are never flipped, at test time neither."""
    ran = imgtrain("train", "--tta", "flip", "--fast-dev")
    assert ran.code == 2
    assert "--no-flip forbids mirroring" in ran.words
