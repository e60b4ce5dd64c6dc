"""The notebooks run from top to bottom, as a student runs them, and are kept without outputs."""

import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CHEAP = {
    "IMGTRAIN_HARDWARE__DEVICE": "cpu",
    "IMGTRAIN_MODEL__NAME": "test_resnet",
    "IMGTRAIN_TRAIN__FAST_DEV": "true",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(path):
    """A change of a notebook is a change of its text: no outputs, no counts, no machine's names."""
    import nbformat

    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)

    assert all(not c.outputs and c.execution_count is None for c in book.cells if "outputs" in c)
    assert book.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


@pytest.mark.slow
def test_the_notebooks_run_one_after_the_other(tmp_path, monkeypatch):
    """In one folder, as they follow each other; every ``!`` command ends as the text says."""
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    for name, value in CHEAP.items():
        monkeypatch.setenv(name, value)
    said = {}
    for path in NOTEBOOKS:
        book = nbformat.read(path, as_version=4)
        NotebookClient(
            book,
            timeout=300,
            kernel_name="python3",
            resources={"metadata": {"path": str(tmp_path)}},
        ).execute()
        said[path.stem] = texts(book)
    explored, first, errors = (said[path.stem] for path in NOTEBOOKS)

    for finding in ("conflict", "truncated", "not-a-picture"):
        assert finding in explored
    assert "data/spoilt has 3 errors" in explored
    assert "error: " not in first + errors
    assert "of 64 test pictures are right; 95 % interval" in first
    assert first.count("%, ") >= 10  # three classes each of five pictures
    assert "of 64 are right" in errors
    assert (tmp_path / "runs" / "first" / "report.html").is_file()


def texts(book):
    """All that a notebook printed."""
    outputs = (output for cell in book.cells for output in cell.get("outputs", ()))
    return "".join(output.get("text", "") for output in outputs)
