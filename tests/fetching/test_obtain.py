"""One archive from servers that misbehave."""

import hashlib
import json
import re
import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import little_sets as little
import pytest

from imgtrain.errors import DiskError, OutsideError, SettingsError
from imgtrain.fetching.answers import Patience, client, shown
from imgtrain.fetching.catalogue import CATALOGUE
from imgtrain.fetching.place import writing
from imgtrain.fetching.sources import check_mirror, obtain

NAME = "cifar-10-binary.tar.gz"
DATA = little.pixels(1, 300_000).tobytes()
OTHER = little.pixels(1, 300_000, seed=9).tobytes()


@pytest.fixture
def get(site, tmp_path, hasty):
    """Obtain the archive, whose right bytes are ``DATA``; what lies there then."""

    def ask(*bases, mirror=None, patience=hasty, **changes):
        entry = little.retold(CATALOGUE["cifar10"], {NAME: DATA}, *(bases or (site.url,)))
        (archive,) = entry.archives
        folder = tmp_path / "downloads"
        folder.mkdir(exist_ok=True)
        with client(patience) as http:
            found = obtain(
                http,
                entry,
                replace(archive, **changes),
                folder,
                mirror=mirror,
                patience=patience,
            )
        assert not list(folder.glob("*.part*"))
        return found

    return ask


@pytest.fixture
def said(capsys):
    """All that was said, on one line."""
    return lambda: " ".join(capsys.readouterr().err.split())


def part(tmp_path):
    return tmp_path / "downloads" / f"{NAME}.part"


def test_it_comes_in_one_piece(site, get, said):
    """The bytes, and a record of where they are from and who vouches for them."""
    site.publish({NAME: DATA})
    found = get()

    assert found.path.read_bytes() == DATA
    assert found.url == f"{site.url}/{NAME}"
    assert found.digest == f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    assert found.checked_against == "the test"
    assert f"{NAME} is here: 300 kB, sha256 is right" in said()


def test_what_is_here_is_not_fetched_again(site, get):
    """An archive that an earlier process fetched is taken as it is."""
    site.publish({NAME: DATA})
    first = get()
    assert get() == first
    assert len(site.asked) == 1


def test_a_server_that_fails_for_a_moment(site, get):
    """500 twice, then fine."""
    site.publish({NAME: DATA})
    site.moods[f"/{NAME}"] = [500, 503]
    assert get().path.read_bytes() == DATA
    assert [status for _, _, status in site.asked] == [500, 503, 200]


def test_a_server_that_fails_for_good(site, get):
    """The tries are bounded, and the error says how many there were."""
    site.publish({NAME: DATA})
    site.always[f"/{NAME}"] = 500
    with pytest.raises(OutsideError, match="500 Internal Server Error, 4 times") as caught:
        get()
    assert len(site.asked) == 4
    assert "--mirror" in caught.value.hint


def test_what_is_not_there_is_asked_for_once(site, get):
    """404 will not become better."""
    with pytest.raises(OutsideError, match="404 Not Found"):
        get()
    assert len(site.asked) == 1


def test_the_next_source_is_asked(site, other_site, get):
    """Sources in turn, in their order."""
    other_site.publish({NAME: DATA})
    assert get(site.url, other_site.url).url.startswith(other_site.url)
    assert site.paths() == [f"/{NAME}"]


def test_nobody_there(site, get, said):
    """A refused connection is an error that names the address, after the other sources."""
    with pytest.raises(OutsideError, match="no connection") as caught:
        get("http://127.0.0.1:9", site.url)
    assert "http://127.0.0.1:9/" in caught.value.message
    assert "404" in caught.value.message


def test_a_cut_connection_goes_on_where_it_was(site, get, said):
    """The rest alone is asked for."""
    site.publish({NAME: DATA})
    site.tags[f"/{NAME}"] = '"v1"'
    site.moods[f"/{NAME}"] = [("cut", 200_000), ("cut", 50_000)]

    assert get().path.read_bytes() == DATA
    starts = [int(r[6:-1]) if r else 0 for _, r, _ in site.asked]
    assert starts == [0, 200_000, 250_000]
    assert "going on from byte 200,000" in said()


def test_a_server_without_ranges_begins_again(site, get, said):
    """It sends the whole file, and the whole file is taken."""
    site.publish({NAME: DATA})
    site.moods[f"/{NAME}"] = [("cut", 200_000), "no range"]

    assert get().path.read_bytes() == DATA
    assert [status for *_, status in site.asked] == [200, 200]
    assert "cannot go on where it stopped" in said()


def test_another_file_since_is_fetched_from_the_beginning(site, get):
    """Its tag tells: If-Range gives the whole new file instead of a rest that does not fit."""
    site.publish({NAME: OTHER})
    site.tags[f"/{NAME}"] = '"old"'
    site.moods[f"/{NAME}"] = [("cut", 200_000), 404]
    with pytest.raises(OutsideError):
        get()
    site.publish({NAME: DATA})
    site.tags[f"/{NAME}"] = '"new"'

    assert get().path.read_bytes() == DATA
    assert site.asked[-1] == (f"/{NAME}", "bytes=200000-", 200)


def test_another_server_goes_on(site, other_site, get):
    """A file that is known by its checksum may come from two."""
    for one in (site, other_site):
        one.publish({NAME: DATA})
    site.moods[f"/{NAME}"] = [("cut", 200_000), 404]

    assert get(site.url, other_site.url).path.read_bytes() == DATA
    assert other_site.asked == [(f"/{NAME}", "bytes=200000-", 206)]


def test_without_checksum_and_tag_nothing_is_continued(site, get, said):
    """Nothing would tell that the rest belongs to the beginning."""
    site.publish({NAME: DATA})
    site.moods[f"/{NAME}"] = [("cut", 200_000)]

    found = get(digest=None)
    assert found.path.read_bytes() == DATA
    assert [r for _, r, _ in site.asked] == [None, None]
    assert found.checked_against is None
    assert f"nobody published a checksum; it is sha256:{hashlib.sha256(DATA).hexdigest()}" in said()


@pytest.mark.parametrize("size", [None, 300_000])
def test_a_whole_file_that_was_not_checked_yet(site, get, tmp_path, size):
    """Killed between the last byte and the check: nothing is fetched twice."""
    site.publish({NAME: DATA})
    site.moods[f"/{NAME}"] = [("cut", 200_000), 404]
    with pytest.raises(OutsideError):
        get(size=size)
    part(tmp_path).write_bytes(DATA)

    assert get(size=size).path.read_bytes() == DATA
    assert len(site.asked) == 2


def test_a_server_of_another_length_is_left(site, other_site, get):
    """It is told before anything is fetched."""
    site.publish({NAME: DATA[:-1]})
    other_site.publish({NAME: DATA})
    assert get(site.url, other_site.url).path.read_bytes() == DATA

    with pytest.raises(OutsideError, match="it has 299,999 bytes there, not 300,000"):
        get(site.url, size=300_000, name="other")


@pytest.mark.parametrize("data", [DATA + b"x" * 100_000, DATA[:-5]])
def test_a_length_that_was_not_told_is_counted(site, get, data):
    """Without Content-Length, too much or too little is noticed at the end."""
    site.publish({NAME: data})
    site.always[f"/{NAME}"] = "no length"
    with pytest.raises(OutsideError, match=r"more than the 300,000 bytes|it has 299,995 bytes"):
        get()


def test_a_wrong_checksum_is_fetched_once_more(site, other_site, get, said):
    """From the next source; what was wrong does not stay."""
    site.publish({NAME: OTHER})
    other_site.publish({NAME: DATA})
    assert get(site.url, other_site.url).path.read_bytes() == DATA
    assert "wrong checksum" in said()


@pytest.mark.parametrize("servers", [1, 2])
def test_a_wrong_checksum_twice_is_an_error(site, other_site, get, tmp_path, servers):
    """It names the address, what was expected and what came; the file is thrown away."""
    site.publish({NAME: OTHER})
    other_site.publish({NAME: OTHER})
    with pytest.raises(OutsideError) as caught:
        get(*[site.url, other_site.url][:servers])

    assert f"{site.url}/{NAME}" in caught.value.message
    assert f"got sha256:{hashlib.sha256(OTHER).hexdigest()}" in caught.value.message
    assert f"expected sha256:{hashlib.sha256(DATA).hexdigest()}" in caught.value.message
    assert len(site.asked) + len(other_site.asked) == 2
    assert list((tmp_path / "downloads").iterdir()) == []


def test_a_redirect_is_followed(site, other_site, get):
    """Also to another server."""
    site.moods[f"/{NAME}"] = [("redirect", f"{other_site.url}/elsewhere")]
    other_site.publish({"elsewhere": DATA})
    assert get().path.read_bytes() == DATA


def test_redirects_in_a_circle_end(site, get):
    """As an error of that source."""
    site.always[f"/{NAME}"] = ("redirect", f"/{NAME}")
    with pytest.raises(OutsideError, match="redirect"):
        get()


def test_a_silent_server_is_left_in_time(site, get, hasty):
    """Each try ends after the time for the next bytes."""
    site.publish({NAME: DATA})
    site.always[f"/{NAME}"] = ("silent", 30)
    before = time.monotonic()
    with pytest.raises(OutsideError, match="it fell silent, 2 times"):
        get(patience=replace(hasty, tries=2, stall=0.2))
    assert time.monotonic() - before < 15


def test_a_trickle_is_no_flow(site, get, hasty):
    """A byte now and then would take for ever."""
    site.publish({NAME: DATA})
    site.always[f"/{NAME}"] = ("trickle", 10, 0.05)
    with pytest.raises(OutsideError, match=r"bytes in \d s, 2 times"):
        get(patience=replace(hasty, tries=2, stall=0.3, trickle=10_000))


def test_a_slow_server_is_waited_for(site, get, hasty):
    """As long as bytes flow."""
    site.publish({NAME: DATA})
    site.always[f"/{NAME}"] = ("trickle", 12_000, 0.05)
    assert get(patience=replace(hasty, stall=1.0)).path.read_bytes() == DATA


@pytest.mark.parametrize("given", ["1", "date", "86400", "soon"])
def test_retry_after_is_respected_up_to_a_cap(site, get, hasty, said, given):
    """Seconds or a date; a day is cut short, and nonsense is passed over."""
    site.publish({NAME: DATA})
    site.moods[f"/{NAME}"] = [429]
    value = formatdate(time.time() + 1.5, usegmt=True) if given == "date" else given
    site.headers[f"/{NAME}"] = {"Retry-After": value}
    assert get(patience=replace(hasty, longest_pause=0.3)).path.read_bytes() == DATA
    assert pauses(said()) == [0.0 if given == "soon" else 0.3]


def pauses(text):
    return [float(found) for found in re.findall(r"again in ([\d.]+) s", text)]


def test_pauses_grow(site, get, said):
    """Each is up to twice the one before, and at least half of its most."""
    site.publish({NAME: DATA})
    site.moods[f"/{NAME}"] = [500, 500, 500]
    get(patience=Patience(tries=4, pause=0.2))
    first, second, third = pauses(said())
    assert 0.1 <= first <= 0.2 <= second <= 0.4 <= third <= 0.8


def test_the_mirror_is_asked_first(site, other_site, get):
    """Below the set's name, then beside it; then everyone else."""
    site.publish({NAME: DATA})
    get(mirror=other_site.url)
    paths = [p for p in other_site.paths() if not p.endswith("SHA256SUMS")]
    assert paths == [f"/cifar10/{NAME}", f"/{NAME}"]
    assert site.paths() == [f"/{NAME}"]


@pytest.mark.parametrize("below", ["/cifar10", ""])
def test_a_mirror_may_vouch_for_its_own_files(site, other_site, get, said, below):
    """Its SHA256SUMS counts for what it sends; and this is said, and recorded."""
    files = {NAME: OTHER}
    site.publish(files | {"SHA256SUMS": little.sums(files)}, below)
    found = get(other_site.url, mirror=site.url)

    assert found.path.read_bytes() == OTHER
    assert found.checked_against == f"{site.url}{below}/SHA256SUMS"
    assert "warning:" in (heard := said())
    assert f"{NAME} is checked against {site.url}{below}/SHA256SUMS, not against" in heard
    assert other_site.asked == []


def test_a_mirrors_file_must_be_what_it_vouches_for(site, other_site, get):
    """Its own checksum is checked like any other."""
    site.publish({NAME: DATA, "SHA256SUMS": little.sums({NAME: OTHER})}, "/cifar10")
    other_site.publish({NAME: DATA})
    assert get(other_site.url, mirror=site.url).checked_against == "the test"


def test_a_mirror_that_vouches_for_nothing_is_held_to_the_publishers_sum(site, other_site, get):
    """Without SHA256SUMS, or with one that does not name the file."""
    site.publish({NAME: OTHER, "SHA256SUMS": little.sums({"another": OTHER})}, "/cifar10")
    other_site.publish({NAME: DATA})
    found = get(other_site.url, mirror=site.url)
    assert (found.path.read_bytes(), found.checked_against) == (DATA, "the test")


@pytest.mark.parametrize(
    "mirror",
    ["files.local/sets", "ftp://x/y", "/mnt/sets", "", "http://", "http://[::1", "http://x:port/y"],
)
def test_a_mirror_is_an_address(mirror):
    """What is none is refused before anything is asked."""
    with pytest.raises(SettingsError, match="is no address of a server"):
        check_mirror(mirror)


def test_passwords_are_not_shown(site, get, tmp_path, capsys):
    """Neither in messages nor in files."""
    assert shown("https://me:secret@host/a@b") == "https://host/a@b"
    site.publish({NAME: DATA})
    with_password = site.url.replace("http://", "http://me:secret@")
    found = get(with_password)
    written = "".join(p.read_text("latin-1") for p in found.path.parent.glob("*.json"))
    assert "secret" not in capsys.readouterr().err + written + found.url


def test_a_full_disk_is_told(site, get, tmp_path):
    """/dev/full is full: exit code 8, and what to do."""
    site.publish({NAME: DATA})
    (tmp_path / "downloads").mkdir()
    part(tmp_path).symlink_to("/dev/full")
    with pytest.raises(DiskError, match="the disk is full"), writing(tmp_path):
        get()


def test_the_beginning_says_of_what_it_is(site, get, tmp_path):
    """Address, checksum, tag and length lie beside the part."""
    site.publish({NAME: DATA})
    site.tags[f"/{NAME}"] = '"v1"'
    site.moods[f"/{NAME}"] = [("cut", 1_000), 404]
    with pytest.raises(OutsideError):
        get()

    noted = json.loads(Path(f"{part(tmp_path)}.json").read_text())
    assert noted == {
        "url": f"{site.url}/{NAME}",
        "digest": f"sha256:{hashlib.sha256(DATA).hexdigest()}",
        "validator": '"v1"',
        "bytes": 300_000,
    }
    assert part(tmp_path).read_bytes() == DATA[:1_000]
