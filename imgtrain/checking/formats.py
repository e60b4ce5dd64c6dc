"""What formats are called on disk, and how a whole file of each ends."""

from __future__ import annotations

SUFFIXES: dict[str, tuple[str, ...]] = {
    "JPEG": ("jpg", "jpeg", "jpe", "jfif"),
    "MPO": ("jpg", "jpeg", "jpe", "mpo"),
    "PNG": ("png", "apng"),
    "WEBP": ("webp",),
    "GIF": ("gif",),
    "BMP": ("bmp", "dib"),
    "DIB": ("dib", "bmp"),
    "TIFF": ("tif", "tiff"),
    "PPM": ("ppm", "pgm", "pbm", "pnm", "pfm"),
    "JPEG2000": ("jp2", "j2k", "j2c", "jpc", "jpf", "jpx"),
    "AVIF": ("avif", "avifs"),
    "ICO": ("ico",),
    "QOI": ("qoi",),
    "PCX": ("pcx",),
    "SGI": ("sgi", "rgb", "rgba", "bw"),
    "SUN": ("ras",),
    "TGA": ("tga",),
    "NPY": ("npy",),
}
"""By Pillow's name; the usual one first."""

VAGUE = frozenset({"TGA", "PCX", "DIB", "ICO", "PPM"})
"""Formats that begin with hardly any mark: other files may look like them."""

_SOS, _EOI = 0xDA, b"\xff\xd9"  # ITU-T T.81, table B.1
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_TAIL = 4096


def fits(name: str, kind: str) -> bool:
    """Whether the file's name ends as pictures of this format do."""
    return name.rpartition(".")[2].lower() in SUFFIXES.get(kind, ())


def has_end(data: bytes) -> bool:
    """Whether the file has the mark that ends its format; True where there is none to look for."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg_ends(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"IEND" in data[-_TAIL:]
    if data.startswith((b"GIF87a", b"GIF89a")):
        return b";" in data[-_TAIL:]
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return len(data) >= int.from_bytes(data[4:8], "little") + 8
    return True


def _jpeg_ends(data: bytes) -> bool:
    """The end mark after the first scan; a preview inside the header has one of its own."""
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:  # noqa: PLR2004  # every marker begins so
            return False
        marker = data[place + 1]
        if marker == _SOS:
            return data.find(_EOI, place) >= 0
        if marker == 0xFF or marker in _ALONE:  # noqa: PLR2004  # a filling byte
            place += 1 if marker == 0xFF else 2  # noqa: PLR2004  # as above
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return False
