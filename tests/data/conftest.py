"""Small data sets on disk."""

import io
import zlib
from pathlib import Path

import pytest
from PIL import Image


def png(name: str) -> bytes:
    """A small grey picture that differs by name."""
    file = io.BytesIO()
    Image.new("L", (4, 4), zlib.crc32(name.encode()) % 256).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def tree(tmp_path):
    """Write pictures (and anything else as text) under a new folder; its path."""

    def write(*names: str, root: str = "data") -> str:
        folder = tmp_path / root
        folder.mkdir(exist_ok=True)
        for name in names:
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                place.mkdir(exist_ok=True)
            else:
                place.write_bytes(png(Path(name).as_posix()))
        return str(folder)

    return write
