"""Files of answers: what stands in them, and that an interrupted command goes on."""

import csv
import json
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch
import warm
from conftest import Ran, draw
from PIL import Image

import imgtrain as package
from imgtrain.cli import run as run_cli
from imgtrain.engine.model import build
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.weights import save_model
from imgtrain.loading.preprocess import Preprocess
from imgtrain.metrics.conformal import least_probability

CLASSES = ("left", 'mid "d", le', "right")
SOME = [f"in/{i:02d}.png" for i in range(10)]


def make_run(folder, seed, **more):
    """A network of that seed, as a finished run."""
    recipe = Recipe(
        architecture="test_resnet",
        classes=CLASSES,
        stem="standard",
        drop_rate=0.0,
        drop_path=0.0,
        preprocess=Preprocess(
            size=32,
            side=32,
            channels=3,
            background=(255, 255, 255),
            max_pixels=10**6,
            mean=(0.5,) * 3,
            std=(0.5,) * 3,
        ),
        **more,
    )
    torch.manual_seed(seed)
    model = build(recipe)
    torch.nn.init.normal_(model.get_classifier().weight, std=0.5)  # sure of some, not of others
    folder.mkdir(parents=True)
    save_model(folder / "model.safetensors", model, recipe)
    (folder / "status.json").write_text('{"format": 1, "state": "finished"}')


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Runs a (calibrated) and b, and ``m.csv``: 150 pictures, one of them broken, with labels."""
    place = tmp_path_factory.mktemp("files")
    make_run(place / "runs" / "b", seed=2)
    make_run(place / "runs" / "a", seed=1, conformity=(0.5,) * 40)
    (place / "in").mkdir()
    for i in range(10):
        draw(i % 3, i).save(place / "in" / f"{i:02d}.png")
    for i in range(10, 150):
        os.link(place / "in" / f"{i % 10:02d}.png", place / "in" / f"{i:02d}.png")
    (place / "in" / "33.png").unlink()
    (place / "in" / "33.png").write_text("no picture")
    rows = [f"in/{i:02d}.png,{'cat' if i % 2 else ''}\n" for i in range(150)]
    (place / "m.csv").write_text("path,label\n" + "".join(rows))
    return place


@pytest.fixture
def predict(place, monkeypatch, capfd):
    """Run ``imgtrain predict`` in that place."""
    monkeypatch.chdir(place)

    def command(*arguments):
        capfd.readouterr()
        code = run_cli(["predict", *map(str, arguments)])
        return Ran(code, *capfd.readouterr())

    return command


@pytest.fixture(scope="module")
def whole(place):
    """The files of an uninterrupted command, and what it printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        names = ["--csv", "w.csv", "--jsonl", "w.jsonl", "--parquet", "w.parquet"]
        assert run_cli(["predict", "m.csv", "--run", "a", *names]) == 0
    return place


def table(file):
    with file.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_all_files_say_the_same(whole, predict):
    """CSV to six digits, JSON lines as --json, Parquet unrounded; labels come along."""
    import pyarrow.parquet as pq

    rows = table(whole / "w.csv")
    lines = [json.loads(line) for line in (whole / "w.jsonl").read_text().splitlines()]
    columns = pq.read_table(whole / "w.parquet").to_pylist()
    listed = predict("m.csv", "--run", "a", "--json").json

    assert list(rows[0]) == [
        *("path", "label", "pred", "prob"),
        *(f"prob_{name}" for name in CLASSES),
        "error",
    ]
    assert list(columns[0]) == list(rows[0])
    assert list(listed[0]) == ["path", "label", "pred", "prob", "top", "error"]
    assert lines == listed
    assert len(rows) == len(columns) == len(listed) == 150
    for row, column, said in zip(rows, columns, listed, strict=True):
        assert row["path"] == column["path"] == said["path"]
        assert (row["label"] or None) == column["label"] == said["label"]
        assert (row["pred"] or None) == column["pred"] == said["pred"]
        assert (row["error"] or None) == column["error"] == said["error"]
        for name in (f"prob_{name}" for name in CLASSES):
            assert row[name] == ("" if column[name] is None else f"{column[name]:.6f}")
    assert [row["path"] for row in rows if row["error"]] == ["in/33.png"]


def held(folder, name):
    """``m.csv`` as a copy whose 101st picture is a pipe: a command waits there."""
    folder.mkdir()
    (folder / "runs").symlink_to(folder.parent / "runs")
    (folder / "in").mkdir()
    for file in (folder.parent / "in").iterdir():
        if file.name != "100.png":
            (folder / "in" / file.name).symlink_to(file)
    os.mkfifo(folder / "in" / "100.png")
    (folder / "m.csv").write_text((folder.parent / "m.csv").read_text())
    return [sys.executable, "-m", "imgtrain", "predict", "m.csv", "--run", "a", *name]


def start(command, folder):
    return warm.Popen(
        command, cwd=folder, stdout=warm.subprocess.DEVNULL, stderr=warm.subprocess.PIPE, text=True
    )


def wait_for_rows(file, count):
    """Until the file holds so many rows."""
    ends = time.monotonic() + 300
    while time.monotonic() < ends:
        if file.exists() and file.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"{file} never held {count} rows")


FILES = ["--csv", "w.csv", "--jsonl", "w.jsonl", "--parquet", "w.parquet"]


@pytest.mark.parametrize("harm", ["none", "half a row", "a lost row"])
def test_killed_it_goes_on_to_the_same_bytes(whole, predict, monkeypatch, harm):
    """By kill -9 in the second batch: the first stands there; a half-written row is dropped."""
    folder = whole / f"killed {harm}"
    files = FILES[:4]
    with start(held(folder, files), folder) as child:
        wait_for_rows(folder / "w.jsonl", 64)  # written after the table
        child.kill()
    assert (folder / "w.jsonl").read_bytes().count(b"\n") == 64
    if harm == "half a row":
        with (folder / "w.csv").open("a") as file:
            file.write('in/64.png,"ca')
    elif harm == "a lost row":
        data = (folder / "w.jsonl").read_bytes()
        (folder / "w.jsonl").write_bytes(data[:-20])
    (folder / "in" / "100.png").unlink()
    (folder / "in" / "100.png").symlink_to(whole / "in" / "100.png")
    monkeypatch.chdir(folder)

    ran = predict("m.csv", "--run", "a", *files)

    assert ran.code == 0, ran.err
    assert ("going on after 64 of 150 pictures" in ran.words) == (harm != "a lost row")
    for name in files[1:4:2]:
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    again = predict("m.csv", "--run", "a", *files)
    assert again.code == 0
    assert "finished, 150 pictures (--fresh scores them again)" in again.words


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_after_the_batch(whole, predict, monkeypatch, number, code):
    """What was scored is in the files, Parquet's too; the same command goes on."""
    import pyarrow.parquet as pq

    folder = whole / f"stopped {code}"
    child = start([*held(folder, FILES), "--batch-size", "32"], folder)
    wait_for_rows(folder / "w.csv", 97)
    child.send_signal(number)
    time.sleep(0.3)
    with (folder / "in" / "100.png").open("wb") as pipe:
        pipe.write((whole / "in" / "100.png").read_bytes())
    _, err = child.communicate(60)
    assert child.returncode == code, err
    assert "stopped after 128 of 150 pictures, which are in w.csv and w.jsonl" in err
    assert len(table(folder / "w.csv")) == 128
    (folder / "in" / "100.png").unlink()
    (folder / "in" / "100.png").symlink_to(whole / "in" / "100.png")
    monkeypatch.chdir(folder)

    ran = predict("m.csv", "--run", "a", *FILES, "--batch-size", "32")

    assert ran.code == 0, ran.err
    assert "going on after 128 of 150 pictures" in ran.words
    assert "in/149.png" in ran.out
    assert "in/127.png" not in ran.out
    found, wanted = (pq.read_table(f / "w.parquet").to_pylist() for f in (folder, whole))
    assert [row["path"] for row in found] == [row["path"] for row in wanted]
    assert not (folder / "w.parquet.parts").exists()
    for row, other in zip(table(folder / "w.csv"), table(whole / "w.csv"), strict=True):
        assert float(row["prob"] or 0) == pytest.approx(float(other["prob"] or 0), abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["m.csv", "--run", "b"], "w.csv was made with the model runs/a/model.safetensors, not"),
        (["m.csv", "--run", "a", "--tta", "flip"], "w.csv was made with tta off, not with tta"),
        (["m.csv", "--run", "a", "--threshold", "0.5"], "w.csv was made with threshold off, not"),
        (["in/01.png", "--run", "a"], "w.csv was made with label True, not with label False"),
        (["o.csv", "--run", "a"], "row 1 is in/00.png, and now it would be in/01.png"),
    ],
)
def test_other_answers_are_refused(whole, predict, arguments, complaint):
    """Code 2, the file as it was, and the way out."""
    (whole / "o.csv").write_text("path,label\nin/01.png,\n")
    before = (whole / "w.csv").read_bytes()
    ran = predict(*arguments, "--csv", "w.csv")
    assert ran.code == 2
    assert complaint in ran.words
    assert "--fresh writes it anew; or name another file" in ran.words
    assert (whole / "w.csv").read_bytes() == before


def test_a_file_of_somebody_else_is_refused_and_fresh_replaces_it(whole, predict):
    """Nothing says that this command made it."""
    (whole / "mine.csv").write_text("a,b\n1,2\n")
    ran = predict("in/01.png", "--csv", "mine.csv")
    assert ran.code == 2
    assert "mine.csv is there already, and nothing says that this command made it" in ran.words
    assert predict("in/01.png", "--csv", "mine.csv", "--fresh").code == 0
    assert [row["path"] for row in table(whole / "mine.csv")] == ["in/01.png"]


def test_pictures_that_were_added_at_the_end_are_added(whole, predict):
    """A list that has grown: what is known stays, and an error counts as before."""
    (whole / "g.csv").write_text("path\nin/33.png\nin/01.png\n")
    first = predict("g.csv", "--csv", "grown.csv", "--run", "a", "-b", "1")
    with (whole / "g.csv").open("a") as file:
        file.write("in/02.png\n")

    ran = predict("g.csv", "--csv", "grown.csv", "--run", "a", "-b", "1", "--strict")

    assert [row["path"] for row in table(whole / "grown.csv")] == [
        f"in/{i}.png" for i in ("33", "01", "02")
    ]
    assert first.code == 0
    assert ran.code == 3
    assert "1 of 3 pictures could not be read" in ran.words
    assert (
        "stdout would lack them"
        in predict(*("g.csv", "--csv", "grown.csv", "--run", "a", "--json")).words
    )


def test_two_answers_in_one_place_are_refused(whole, predict):
    """One file for two kinds; two kinds on stdout."""
    ran = predict("in/01.png", "--csv", "x.csv", "--jsonl", "./x.csv")
    assert ran.code == 2
    assert "is named twice" in ran.words
    ran = predict("in/01.png", "--json", "--jsonl", "-")
    assert ran.code == 2
    lines = predict("in/01.png", "in/02.png", "--jsonl", "-").out.splitlines()
    assert [json.loads(line)["path"] for line in lines] == ["in/01.png", "in/02.png"]


def test_below_the_threshold_the_model_is_unsure(whole, predict):
    """No class is named; how likely the likeliest was, and the likeliest, are still there."""
    plain = predict("in", "--run", "a", "--json").json
    middle = sorted(row["prob"] for row in plain if row["prob"])[75]
    ran = predict(
        "in", "--run", "a", "--json", "--threshold", str(middle), "--csv", "t.csv", "--fresh"
    )
    text = predict("in", "--run", "a", "--threshold", str(middle)).out.splitlines()

    unsure = 0
    for row, before, line, cells in zip(ran.json, plain, text, table(whole / "t.csv"), strict=True):
        assert row["prob"] == before["prob"]
        assert row["top"] == before["top"]
        is_unsure = before["prob"] is not None and before["prob"] < middle
        assert row["pred"] == (None if is_unsure else before["pred"])
        assert ("\tunsure: " in line) == is_unsure
        assert cells["pred"] == (row["pred"] or "")
        unsure += is_unsure
    assert 40 < unsure < 110
    one = next(row["path"] for row in ran.json if row["prob"] and row["pred"] is None)
    alone = predict(one, "--run", "a", "--threshold", str(middle)).out
    assert alone.endswith("unsure: the likeliest class is below --threshold\n")


def test_sets_are_those_of_the_calibration(whole, predict):
    """Every class whose probability conforms, and the likeliest; a JSON list in the table."""
    second = np.sort([found.probs for found in package.load("runs/a").predict(SOME)])[:, 1]
    scores = (float(np.median(second)),) * 40
    make_run(whole / "runs" / "c", seed=1, conformity=scores)
    least = least_probability(scores, 0.9)
    ran = predict("in", "--run", "c", "--json", "--coverage", "0.9", "--csv", "s.csv")
    text = predict("in/01.png", "--run", "c", "--coverage", "0.9").out

    assert ran.code == 0, ran.err
    sizes = set()
    for row, cells in zip(ran.json, table(whole / "s.csv"), strict=True):
        if row["error"]:
            assert row["set"] is None
            assert cells["set"] == ""
            continue
        likely = [one["class"] for one in row["top"] if one["prob"] >= least]
        assert row["set"] == (likely or [row["pred"]])
        assert json.loads(cells["set"]) == row["set"]
        sizes.add(len(row["set"]))
    assert 1 in sizes
    assert max(sizes) > 1
    assert "\nset: " in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--run", "b"], "--coverage 0.9 needs a model that was calibrated, and this one was not"),
        (["--run", "a", "--run", "b"], "rests on the calibration pictures of one model"),
        (["--run", "a", "--tta", "flip"], "--tta flip averages several"),
        (
            ["--run", "a", "--coverage", "0.99"],
            "--coverage 0.99 needs 99 calibration pictures, and the model was calibrated on 40",
        ),
        (["--run", "a", "--coverage", "1"], "--coverage"),
    ],
)
def test_a_coverage_that_cannot_be_promised_is_refused(predict, arguments, complaint):
    """Code 2, with what it takes."""
    ran = predict("in/01.png", "--coverage", "0.9", *arguments)
    assert ran.code == 2
    assert complaint in ran.words


def test_addresses_and_offline_exclude_each_other(predict):
    """Before anything is opened."""
    assert predict("http://127.0.0.1:9/a.png").code == 2
    ran = predict("http://127.0.0.1:9/a.png", "--urls", "--offline")
    assert ran.code == 2
    assert "--urls fetches pictures, --offline opens no socket" in ran.words
    ran = predict("http://127.0.0.1:9/a.png", "in/01.png", "--urls", "--json")
    assert ran.code == 0
    assert "refused" in ran.json[0]["error"]
    assert ran.json[1]["error"] is None


def test_bytes_arrays_and_images_are_seen_as_their_files(place):
    """To the last bit; grey, alpha, a turned photo, a palette; from four threads at once."""
    model = package.load(place / "runs" / "a")
    turned = Image.Exif()
    turned[0x0112] = 6
    base = draw(1, 5).resize((50, 40))
    made = [
        (base, {}),
        (base.convert("L"), {}),
        (base.convert("RGBA"), {}),
        (base.convert("P"), {}),
    ]
    paths = []
    for number, (image, more) in enumerate([*made, (base, {"exif": turned})]):
        paths.append(place / f"seen{number}.png")
        image.save(paths[-1], **more)
    opened = [Image.open(path) for path in paths]
    arrays = [np.asarray(opened[number]) for number in range(3)]
    wanted = np.stack([found.probs for found in model.predict(paths)])

    def seen(pictures):
        return np.stack([found.probs for found in model.predict(pictures)])

    np.testing.assert_array_equal(seen([path.read_bytes() for path in paths]), wanted)
    np.testing.assert_array_equal(seen(opened), wanted)
    np.testing.assert_array_equal(seen([*arrays, *opened[3:]]), wanted)
    [bad] = model.predict([b"no picture"])
    assert bad.path == ""
    assert bad.error.startswith("no picture in a known format")
    for wrong in ([np.zeros((4, 4))], [7], b"one"):
        with pytest.raises(TypeError):
            model.predict(wrong)

    heard = {}

    def serve(who):
        for number in range(who, who + 5):
            data = paths[number % 5].read_bytes()
            heard[who, number] = model.predict([data])[0].probs - wanted[number % 5]

    threads = [threading.Thread(target=serve, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(heard) == 20
    assert np.abs(list(heard.values())).max() < 1e-5


def test_memory_does_not_grow_with_the_pictures(place, monkeypatch):
    """Ten times as many, the same peak but for their names, and every row in its place."""
    folder = place / "many"
    folder.mkdir()
    Image.new("RGB", (8, 8), "red").save(folder / "00000.png")
    for i in range(1, 2500):
        os.link(folder / "00000.png", folder / f"{i:05d}.png")
    code = (
        "import resource, sys\nfrom imgtrain.cli import run\n"
        "code = run(['predict', *sys.argv[1:], '--run', 'a', '--csv', sys.argv[1][:9] + '.csv',"
        " '--json', '-q'])\n"
        "print('\\n', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for pattern in ("many/00[01]*.png", "many"):
        ran = warm.run([sys.executable, "-c", code, pattern], cwd=place)
        assert ran.returncode == 0, ran.stderr
        peaks.append(int(ran.stdout.split()[-1]))
    assert len(table(place / "many.csv")) == 2500
    assert peaks[1] - peaks[0] < 12_000  # kilobytes
