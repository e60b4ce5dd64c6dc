"""What a classical training tried, on the page."""

from imgtrain.files import write_csv
from imgtrain.report.page import write_page
from imgtrain.report.variants import read_variants

HEADER = ["C", "kernel", "val_top1", "val_macro_f1", "val_loss", "is_best"]
ROWS = [["0.1", "<rbf>", 0.8, 0.79, 0.5, 0], ["1", "linear", 0.9, 0.88, None, 1]]


def test_variants_are_a_table(make_run):
    """A row each, the chosen one in words; what is undefined is a dash, names are escaped."""
    run = make_run(["oak", "beech"], parts=("test",), pictures=20, side=8)
    write_csv(run / "selection.csv", HEADER, ROWS)
    page = write_page(run).read_text(encoding="utf-8")
    table = page[page.index('id="variants"') :].partition("</section>")[0]

    assert "the best is 1 / linear (90.0% top-1)" in table
    assert "<bdi>0.1 / &lt;rbf&gt;</bdi>" in table
    assert "80.0%" in table
    assert "0.500" in table
    assert table.count("<tr>") == 3
    assert '<a href="#variants">' in page


def test_where_there_was_no_choice_there_is_no_table(make_run):
    """No file, one variant, or a file that is cut."""
    run = make_run(["oak", "beech"], parts=("test",), pictures=20, side=8)
    assert read_variants(run) is None
    (run / "selection.csv").write_text("C,val_top1\n1\n", encoding="utf-8")
    assert read_variants(run) is None
    write_csv(run / "selection.csv", HEADER, ROWS[:1])
    assert 'id="variants"' not in write_page(run).read_text(encoding="utf-8")
