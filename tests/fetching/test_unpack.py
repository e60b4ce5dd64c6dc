"""Archives that are hostile, damaged, or as they should be."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib

import little_sets as little
import pytest

from imgtrain.errors import DataError
from imgtrain.fetching.unpack import Limits, decompress, inner_members, members

FILES = {"a/one.txt": b"1", "a/b/two.bin": bytes(3_000_000), "three": "drei ÿ".encode()}
SMALL = Limits(members=100, file_bytes=2**20, total_bytes=2**22, ratio=10, free_bytes=2**20)


@pytest.fixture
def saved(tmp_path):
    """Unpack bytes below a folder, as the layouts do; the files that are there then."""

    def unpack(data, limits=None):
        archive = tmp_path / "archive"
        archive.write_bytes(data)
        place = tmp_path / "deep" / "place"
        place.mkdir(parents=True)
        for member in members(archive, limits):
            member.save(place.joinpath(*member.parts))
        return {p.relative_to(place).as_posix(): p.read_bytes() for p in place.rglob("*.*")} | {
            p.name: p.read_bytes() for p in place.iterdir() if p.is_file()
        }

    yield unpack
    outside = [p for p in tmp_path.rglob("*") if p.is_file() or p.is_symlink()]
    inside = tmp_path / "deep" / "place"
    assert [p for p in outside if inside not in p.parents] == [tmp_path / "archive"]


def tar_with(*infos, mode=tarfile.USTAR_FORMAT):
    """A tar of headers (and as many bytes as they claim)."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=mode) as tar:
        for info in infos:
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return raw.getvalue()


def entry(name, kind=tarfile.REGTYPE, link="", size=0):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


@pytest.mark.parametrize("kind", little.COMPRESSIONS)
def test_tars_are_unpacked_whatever_their_compression(saved, kind):
    """What was packed comes out, byte for byte."""
    assert saved(little.tar_of(FILES, little.COMPRESSIONS[kind])) == FILES


def test_zips_are_unpacked(saved):
    """What was packed comes out, byte for byte."""
    assert saved(little.zip_of(FILES)) == FILES


@pytest.mark.parametrize("kind", [k for k in little.COMPRESSIONS if k != "tar"])
def test_single_files_are_decompressed(tmp_path, kind):
    """gz, bz2 and xz are told by their first bytes."""
    path = tmp_path / "any-name"
    path.write_bytes(little.COMPRESSIONS[kind](b"hello"))
    assert decompress(path) == b"hello"


BAD_NAMES = ["/etc/passwd", "../up.txt", "a/../../up.txt", "C:\\up.txt", "c:up.txt", "a/c:up.txt",
             "..\\up.txt", "\\\\server\\share", "//server/share"]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("pack", [little.tar_of, little.zip_of], ids=["tar", "zip"])
def test_names_that_lead_out_are_refused(saved, pack, name):
    """Absolute, upwards, or on a drive: none of it is written."""
    with pytest.raises(DataError, match="is not safe to unpack"):
        saved(pack({"good.txt": b"1", name: b"evil"}))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"],
    ids=["symlink", "hard link", "character device", "block device", "pipe", "unknown"],
)
def test_tars_hold_files_and_folders_only(saved, kind):
    """Links and devices are refused, wherever they point."""
    with pytest.raises(DataError, match="is not safe to unpack: 'x' is a"):
        saved(tar_with(entry("x", kind, "/etc/passwd"), entry("x/y")))


def test_sparse_files_are_refused(saved):
    """A file with holes claims any size for nothing."""
    info = entry("holes")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": str(10**15),
                        "GNU.sparse.map": "0,1"}  # fmt: skip
    with pytest.raises(DataError, match="a file with holes"):
        saved(tar_with(info, mode=tarfile.PAX_FORMAT))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_zips_hold_files_and_folders_only(saved, kind):
    """A mode in a zip may say link or device, too."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        info = zipfile.ZipInfo("x")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="is a link or a device"):
        saved(raw.getvalue())


@pytest.mark.parametrize("second", ["a.txt", "./a.txt", "a.txt/b.txt"])
def test_two_files_of_one_name_are_refused(saved, second):
    """Nothing is overwritten, nor a file made a folder."""
    with pytest.raises(DataError, match=r"is not safe to unpack: (it holds )?two"):
        saved(tar_with(entry("a.txt"), entry(second)))


def test_two_files_of_one_name_in_a_zip_are_refused(saved):
    """As in a tar."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("a.txt", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.txt", "2")
    with pytest.raises(DataError, match="two files"):
        saved(raw.getvalue())


@pytest.mark.parametrize("pack", [little.tar_of, little.zip_of], ids=["tar", "zip"])
def test_bombs_stop_at_the_ratio(saved, pack, tmp_path):
    """40 MB of zeros in a few kB: ended early, long before they are written."""
    with pytest.raises(DataError, match="bytes unpack to more than"):
        saved(pack({"zeros.bin": bytes(40 * 2**20)}), Limits(ratio=20, free_bytes=2**20))
    written = sum(p.stat().st_size for p in (tmp_path / "deep").rglob("*") if p.is_file())
    assert written <= 3 * 2**20


def test_a_lying_header_does_not_help_a_bomb(saved):
    """The zip claims 10 bytes and unpacks to megabytes: real bytes are counted."""
    squeezed = zlib.compressobj(wbits=-15)
    content = squeezed.compress(bytes(8 * 2**20)) + squeezed.flush()
    name = b"zeros.bin"
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(content), 10, 9, 0)
    central = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, len(content), 10, 9,
                          0, 0, 0, 0, 0, 0)  # fmt: skip
    body = local + name + content
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central) + 9, len(body), 0)
    with pytest.raises(DataError):
        saved(body + central + name + end, SMALL)


def test_a_file_may_not_be_too_large(saved):
    """Whatever all together may be."""
    with pytest.raises(DataError, match=r"'big\.bin' is larger than 1,048,576 bytes"):
        saved(little.tar_of({"big.bin": bytes(2**20 + 1)}, little.plain), SMALL)


def test_all_files_may_not_be_too_large(saved):
    """Many that are each allowed."""
    files = {f"{i}.bin": bytes(2**20) for i in range(5)}
    with pytest.raises(DataError, match="unpack to more than 4,194,304"):
        saved(little.tar_of(files, little.plain), SMALL)


@pytest.mark.parametrize("pack", [little.tar_of, little.zip_of], ids=["tar", "zip"])
def test_there_may_not_be_too_many_files(saved, pack):
    """Empty ones cost room, too."""
    with pytest.raises(DataError, match="more than 100 files"):
        saved(pack({f"{i}.txt": b"" for i in range(101)}), SMALL)


def test_a_huge_header_is_not_read_into_memory(saved):
    """A name of a gigabyte is no name."""
    raw = entry("x", tarfile.XHDTYPE, size=2**30).tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(DataError, match="one of its headers is too large"):
        saved(raw + bytes(10_240))


def test_many_long_names_do_not_fill_the_memory(saved):
    """A name of half a megabyte packs to nothing, and a thousand of them would not."""
    with pytest.raises(DataError, match="is a name of 500,001 characters") as caught:
        saved(little.tar_of({"a/" * 250_000 + "b": b""}))
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("size", [-1, -512, -5_000])
def test_a_file_of_less_than_nothing_is_refused(saved, size):
    """A reader that believed it would go back, and round in a circle."""
    info = entry("x")
    info.pax_headers = {"size": str(size)}
    with pytest.raises(DataError, match=f"'x' is a file of {size:,} bytes"):
        saved(tar_with(info, mode=tarfile.PAX_FORMAT))


def test_a_zip_that_points_before_its_start_is_told(saved):
    """Where its list of files claims to begin is damaged: one sentence, no traceback."""
    raw = bytearray(little.zip_of({"x": b"1"}))
    place = raw.rindex(b"PK\5\6") + 16
    raw[place : place + 4] = struct.pack("<I", 2**31)
    with pytest.raises(DataError, match="cannot be unpacked"):
        saved(bytes(raw))


def test_headers_without_end_are_refused(saved):
    """A chain of long names, each announcing the next, ends in an error and not in the stack."""
    link = entry("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=512).tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(DataError, match="cannot be unpacked"):
        saved((link + b"a" * 512) * 3_000)


@pytest.mark.parametrize("kind", [k for k in little.COMPRESSIONS if k != "tar"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damage_is_told(saved, kind, damage):
    """A cut or changed archive is named as such."""
    packed = little.tar_of({"x.bin": little.pixels(1, 100_000).tobytes()},
                           little.COMPRESSIONS[kind])  # fmt: skip
    half = len(packed) // 2
    if damage == "cut":
        broken = packed[:half]
    else:
        broken = (
            packed[:half] + bytes(b ^ 0xFF for b in packed[half : half + 50]) + packed[half + 50 :]
        )
    with pytest.raises(DataError, match="cut or damaged"):
        saved(broken)


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"PK\5\6", b"hello" * 300, gzip.compress(b"hello", mtime=0)]
)
def test_what_is_no_archive_is_told(saved, data):
    """Empty, text, or a compressed file that is no tar."""
    with pytest.raises(DataError, match="cannot be unpacked"):
        saved(data)


def test_an_encrypted_zip_is_refused(saved):
    """Nobody knows the password."""
    raw = bytearray(little.zip_of({"x": b"1"}))
    raw[6] |= 1
    raw[raw.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(DataError, match="wants a password"):
        saved(bytes(raw))


def test_an_archive_in_an_archive(tmp_path):
    """A tar of tars is read without unpacking the inner ones to the disk."""
    inner = little.tar_of({"p.JPEG": b"picture"}, little.plain)
    archive = tmp_path / "outer.tar"
    archive.write_bytes(little.tar_of({"n1.tar": inner, "n2.tar": inner}, little.plain))

    found = [
        (outer.parts, member.parts, member.read())
        for outer in members(archive)
        for member in inner_members(outer)
    ]

    assert found == [(("n1.tar",), ("p.JPEG",), b"picture"), (("n2.tar",), ("p.JPEG",), b"picture")]


@pytest.mark.parametrize("name", BAD_NAMES[:3])
def test_an_inner_archive_is_checked_as_well(tmp_path, name):
    """Hostile names are refused at any depth."""
    archive = tmp_path / "outer.tar"
    inner = little.tar_of({name: b"evil"}, little.plain)
    archive.write_bytes(little.tar_of({"n1.tar": inner}, little.plain))
    with pytest.raises(DataError, match="not safe"):
        [list(inner_members(outer)) for outer in members(archive)]


def test_a_name_too_long_for_the_disk_is_told(saved):
    """One sentence, no traceback."""
    with pytest.raises(DataError, match="is no name of a file"):
        saved(little.tar_of({"x" * 300: b"1"}))
