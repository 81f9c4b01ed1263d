"""Archives are bounded in what they list: members, their names, and what is told of them. Memory follows the bounds."""

import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile
from dataclasses import replace

import pytest

from data_cleaning.reading.archive_bounds import UnsafeArchive
from tests.data_cleaning.reading.test_archives import ROOMY, everything, link, tarred, unpack, zipped

MAKERS = {"zip": zipped, "tar.gz": tarred}
SMALL = replace(ROOMY, members=5)


def members(make, count):
    return [(f"{number}.txt", "x" if make is zipped else b"x") for number in range(count)]


@pytest.fixture
def peak():
    """Bytes of memory at most in use since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.mark.parametrize("kind", MAKERS)
def test_an_archive_of_more_members_than_the_bound_is_refused(tmp_path, kind):
    make = MAKERS[kind]
    unpack(make(tmp_path / f"five.{kind}", members(make, 5)), "", tmp_path / "out", SMALL)
    assert len(everything(tmp_path / "out")) == 5
    for pattern in ("", "3.txt"):  # those that are not wanted count too
        with pytest.raises(UnsafeArchive, match=f"six.{kind}: more than 5 members, stopped there"):
            unpack(make(tmp_path / f"six.{kind}", members(make, 6)), pattern, tmp_path / "six", SMALL)


def test_folders_and_links_are_members(tmp_path):
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE
    with pytest.raises(UnsafeArchive, match="more than 5 members"):
        unpack(tarred(tmp_path / "a.tar", [(folder, b"")] * 6, "w"), "", tmp_path / "out", SMALL)
    with pytest.raises(UnsafeArchive, match="more than 5 members"):
        unpack(tarred(tmp_path / "b.tar", [(link("a", "b"), b"")] * 6, "w"), "", tmp_path / "out", SMALL)
    with pytest.raises(UnsafeArchive, match="more than 5 members"):
        unpack(zipped(tmp_path / "c.zip", [(f"{n}/", "") for n in range(6)]), "", tmp_path / "out", SMALL)


@pytest.mark.parametrize("stated", [1, 65535, 400_000 & 0xFFFF])
def test_a_list_of_very_many_members_costs_no_more_memory_than_its_bytes(tmp_path, peak, stated):
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", *[0] * 11, 1, *[0] * 6)  # with a name of one byte
    listing = (entry + b"x") * 400_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, stated, stated, len(listing), 0, 0)
    (tmp_path / "a.zip").write_bytes(listing + end)
    del listing
    tracemalloc.reset_peak()
    with pytest.raises(UnsafeArchive, match="a.zip: more than 1,000 members, stopped there"):
        unpack(tmp_path / "a.zip", "", tmp_path / "out", ROOMY)
    assert peak() < 60 << 20


def test_what_looks_like_entries_inside_a_member_counts_nothing(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        file.writestr("inner.bin", b"PK\x01\x02" * 1000)
    unpack(archive, "", tmp_path / "out", SMALL)
    assert everything(tmp_path / "out") == ["inner.bin"]


@pytest.mark.parametrize("kind", MAKERS)
def test_members_with_too_long_or_too_deep_a_name_are_left_out_with_the_limit(tmp_path, kind):
    make = MAKERS[kind]
    long, deep, content = "é" * 100 + "/" + "x" * 2000, "d/" * 40 + "x", "1" if make is zipped else b"1"
    archive = make(tmp_path / f"a.{kind}", [(long, content), (deep, content), ("good.txt", content)])
    assert unpack(archive, "", tmp_path / "out", ROOMY) == {
        long[:1024]: "member whose name is longer than 1,024 bytes",
        deep: "member in more than 32 folders",
    }
    assert everything(tmp_path / "out") == ["good.txt"]


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT)


SIZE = 12 << 20
LONG_NAME = header(tarfile.GNUTYPE_LONGNAME, SIZE) + b"n" * SIZE
PAX = header(tarfile.XHDTYPE, SIZE) + f"{SIZE} path=".encode() + b"n" * (SIZE - 15) + b"\n"
GLOBAL = header(tarfile.XGLTYPE, SIZE) + f"{SIZE} comment=".encode() + b"n" * (SIZE - 18) + b"\n"
CHAIN = (header(tarfile.GNUTYPE_LONGNAME, 512) + b"n" * 512) * 3000


def sparse() -> bytes:
    """A sparse file in PAX 1.0: its map of a million places stands before its bytes and is read to the end at once."""
    places = b"1000000\n" + b"0\n" * 2_000_000
    records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
    named = header(tarfile.XHDTYPE, len(records)) + records.ljust(512, b"\0")
    return named + header(tarfile.REGTYPE, len(places)) + places.ljust(-(-len(places) // 512) * 512, b"\0")


@pytest.mark.parametrize(
    "begin", [LONG_NAME, PAX, GLOBAL, CHAIN, sparse()], ids=["name", "pax", "global", "chain", "sparse"]
)
@pytest.mark.parametrize("packed", [True, False])
def test_what_a_tar_says_of_a_member_is_bounded(tmp_path, peak, begin, packed):
    whole = begin + header(tarfile.REGTYPE, 0) + bytes(1024)
    path = tmp_path / ("a.tar.gz" if packed else "a.tar")
    path.write_bytes(gzip.compress(whole) if packed else whole)
    del whole
    tracemalloc.reset_peak()
    with pytest.raises(UnsafeArchive, match="a header of more than 1,048,576 bytes|recursion"):
        unpack(path, "", tmp_path / "out", ROOMY)
    assert peak() < 20 << 20
    assert not (tmp_path / "out").exists()


def test_ordinary_long_names_are_read(tmp_path):
    name = "/".join(["folder" * 10] * 8) + "/" + "n" * 200
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = 1, {"comment": "é" * 1000}
            archive.addfile(info, io.BytesIO(b"x"))
        unpack(tmp_path / "a.tar", "", tmp_path / f"out{form}", ROOMY)
        assert everything(tmp_path / f"out{form}") == [name]
