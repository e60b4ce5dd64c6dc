"""A small file that claims to be huge takes no memory."""

import io
import json
import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image

from imgtrain.data.decode import open_picture

SIDE = 50_000


def _saved(kind, **options):
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 10, 10)).save(out, kind, **options)
    return bytearray(out.getvalue())


def _png():
    def chunk(name, body):
        whole = name + body
        return struct.pack(">I", len(body)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">2I5B", SIDE, SIDE, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10**5), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def _jpeg(**options):
    data = _saved("JPEG", **options)
    place = data.find(b"\xff\xc2" if options else b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">2H", SIDE, SIDE)
    return data


def _gif():
    data = _saved("GIF")
    data[6:10] = struct.pack("<2H", SIDE, SIDE)
    place = data.find(b"\x2c")
    data[place + 5 : place + 9] = struct.pack("<2H", SIDE, SIDE)
    return data


def _webp():
    inner = bytes(_saved("WEBP"))[12:]
    canvas = struct.pack("<I", SIDE - 1)[:3]
    head = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas + canvas
    return b"RIFF" + struct.pack("<I", 4 + len(head + inner)) + b"WEBP" + head + inner


def _tiff(pages=1):
    tags = [(256, 4, SIDE), (257, 4, SIDE), (258, 3, 8), (259, 3, 8), (262, 3, 1), (273, 4, 8)]
    tags += [(277, 3, 1), (278, 4, SIDE), (279, 4, 100)]
    out = struct.pack("<2sHI", b"II", 42, 108) + zlib.compress(bytes(50_000)).ljust(100, b"\0")
    for page in range(pages):
        size = 2 + 12 * len(tags) + 4
        following = 0 if page == pages - 1 else len(out) + size
        out += struct.pack("<H", len(tags))
        for tag, kind, value in tags:
            out += struct.pack("<HHI", tag, kind, 1)
            out += struct.pack("<I", value) if kind == 4 else struct.pack("<HH", value, 0)
        out += struct.pack("<I", following)
    return out


def _bmp():
    data = _saved("BMP")
    data[18:26] = struct.pack("<2i", SIDE, SIDE)
    return data


def _qoi():
    return b"qoif" + struct.pack(">2I2B", SIDE, SIDE, 3, 0) + b"\xfd" * 100 + bytes(7) + b"\x01"


def _npy(shape, dtype="<f8"):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(500)


BOMBS = {
    "png": _png(),
    "jpeg": _jpeg(),
    "progressive jpeg": _jpeg(progressive=True),
    "gif": _gif(),
    "webp": _webp(),
    "tiff": _tiff(),
    "tiff of pages": _tiff(5),
    "bmp": _bmp(),
    "qoi": _qoi(),
    "ppm": b"P6 50000 50000 255\n" + bytes(900),
    "pgm of 16 bits": b"P5 50000 50000 65535\n" + bytes(900),
    "npy": _npy((SIDE, SIDE)),
    "npy of planes": _npy((9_000, 9_000, 60)),
    "npy of nothing": _npy((2**62, 2**62)),
    "npy that lies": _npy((9_000, 9_000)),
}

REASONS = {"npy that lies": "", "webp": "(2500000000 pixels) exceeds limit"}
"""Where it is not our own limit that speaks; Pillow's WebP reader has one."""

_CHILD = """
import json, pathlib, resource, sys
from imgtrain.data.decode import BadImage, decode

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    data, said, before = path.read_bytes(), set(), peak()
    for channels in (1, 3, 4, 5, 60):
        for side in (None, 256):
            try:
                decode(data, channels=channels, background=(0, 0, 0), max_pixels=10**8, side=side)
            except BadImage as error:
                said.add(str(error))
            else:
                said.add("a picture")
    print(json.dumps([path.name, sorted(said), peak() - before]))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a process of its own, with little room, says of each, and the MB that it took."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, data in BOMBS.items():
        (folder / name).write_bytes(data)
    command = f'ulimit -v {4 * 2**20}; exec {sys.executable} -c "$1" {folder}'
    ran = subprocess.run(
        ["sh", "-c", command, "sh", _CHILD], capture_output=True, text=True, check=True, timeout=60
    )
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    return {name: (said, grown) for name, said, grown in rows}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb(told, name):
    """About a kilobyte: bad for its size, and no memory is taken."""
    said, grown = told[name]
    assert len(BOMBS[name]) < 1200
    assert said
    assert all(REASONS.get(name, "more pixels than") in reason for reason in said)
    assert grown < 20


def test_every_bomb_is_known_for_what_it_is():
    """The readers do open them: it is their size that is refused."""
    for name, data in BOMBS.items():
        if "npy" not in name and name != "webp":
            assert max(open_picture(bytes(data)).size) == SIDE
