"""``imgtrain bench data``: figures that fit each other, nothing left behind."""

from imgtrain.files import cache_folder

FEW = ["--turns", "1", "--pictures", "40", "--image-size", "32"]


def test_the_table(imgtrain, photos):
    """A row a measurement, on stdout; the measured cache is gone."""
    ran = imgtrain("bench", "data", "--data", photos, *FEW)
    assert ran.code == 0, ran.err
    rows = [line.split("  ")[0] for line in ran.out.splitlines()]
    assert rows[1].startswith("bare decoding")
    assert [row.split()[0] for row in rows[1:6]] == ["bare", "imgtrain's", "cold", "warm", "warm"]
    assert "40 pictures, 32 x 32 x 3" in ran.out
    assert list(cache_folder().iterdir()) == []


def test_the_figures(imgtrain, photos):
    """--json: rates, what they make a core and of bare decoding, and the machine."""
    (photos / "left" / "000.png").write_text("no picture")
    ran = imgtrain("bench", "data", "--data", photos, *FEW[:2], *FEW[4:], "--json", "-j", "2")
    assert ran.code == 0, ran.err
    found = ran.json
    rates = found["rates"]
    assert found["pictures"] == 59
    assert found["threads"] == 2
    assert abs(found["per_core"]["cold"] - rates["cold"] / 2) <= 0.1
    assert abs(found["cold_share_of_bare"] - rates["cold"] / rates["bare"] / 2) < 0.002
    assert all(rates[name] > 0 for name in ("bare", "decoder", "cold", "warm", "warm_one"))
    assert {"processor", "cores", "versions"} == found["machine"].keys()
    assert {"python", "pillow", "torch"} <= {name.lower() for name in found["machine"]["versions"]}


def test_no_readable_picture(imgtrain, photos):
    """Code 3."""
    for path in photos.rglob("*.png"):
        path.write_text("no picture")
    ran = imgtrain("bench", "data", "--data", photos, *FEW)
    assert ran.code == 3
