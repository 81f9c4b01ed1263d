import gzip
import io
import os
import tarfile
import zipfile
from dataclasses import replace

import pyarrow as pa
import pytest

from data_cleaning.reading import archives
from data_cleaning.reading.archive_bounds import Bounds, BrokenArchive, UnsafeArchive
from data_cleaning.reading.archives import fixed_folder, is_archive, matches

ROOMY = Bounds(total_bytes=1 << 30, member_bytes=1 << 30, members=1000)


def unpack(path, pattern, into, bounds):
    """What was left out, as {name: why}; the files are in `into`."""
    left_out = []
    archives.unpack(path, pattern, into, bounds, left_out)
    return {name: bad.error for name, bad in left_out}


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def tarred(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for info, data in members:
            info = tarfile.TarInfo(info) if isinstance(info, str) else info
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def everything(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir())


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("a/b.txt", ["a/b.txt"], ["a/b.txt.gz", "x/a/b.txt", "a/B.txt"]),
        ("a/", ["a/b", "a/c/d"], ["b/a/c", "ab"]),
        ("a/*.csv", ["a/x.csv"], ["a/b/x.csv", "a/x.csvx", "a/x_csv"]),
        ("a/**/*.csv", ["a/x.csv", "a/b/c/x.csv"], ["b/x.csv"]),
        ("a/[xy]?.txt", ["a/x1.txt"], ["a/z1.txt", "a/x.txt"]),
        ("", ["anything", "a/b"], []),
    ],
)
def test_patterns(pattern, fitting, others):
    assert all(matches(name, pattern) for name in fitting)
    assert not any(matches(name, pattern) for name in others)


def test_only_what_the_pattern_names_is_written_below_its_fixed_folder(tmp_path):
    archive = zipped(tmp_path / "a.whl", [("p/data/x.csv", "1"), ("p/data/deep/y.csv", "2"), ("p/code.py", "boom")])
    assert unpack(archive, "p/data/**/*.csv", tmp_path / "out", ROOMY) == {}
    assert everything(tmp_path / "out") == ["deep/y.csv", "x.csv"]
    assert fixed_folder("p/data/**/*.csv") == "p/data/"


def test_a_missing_member_is_named_with_its_neighbours(tmp_path):
    archive = zipped(tmp_path / "a.zip", [("data/english.json", "1"), ("code.py", "2")])
    with pytest.raises(FileNotFoundError, match=r"holds no 'data/englsh.json'; nearest members: data/english.json"):
        unpack(archive, "data/englsh.json", tmp_path / "out", ROOMY)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"])
def test_tar_in_all_its_packings(tmp_path, suffix):
    mode = {".tar": "w", ".tar.xz": "w:xz", ".tar.bz2": "w:bz2"}.get(suffix, "w:gz")
    archive = tarred(tmp_path / f"a{suffix}", [("./package/data.txt", b"hello" * 100_000)], mode)
    assert is_archive(archive)
    unpack(archive, "package/", tmp_path / "out", ROOMY)
    assert (tmp_path / "out" / "data.txt").read_bytes() == b"hello" * 100_000


def test_single_packed_files_but_not_packed_warcs(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}'))
    (tmp_path / "b.txt.zst").write_bytes(pa.compress(b"x" * 100_000, "zstd", asbytes=True))
    for name in ("a.jsonl.gz", "b.txt.zst"):
        assert unpack(tmp_path / name, "", tmp_path / "out", ROOMY) == {}
    assert everything(tmp_path / "out") == ["a.jsonl", "b.txt"]
    assert (tmp_path / "out" / "b.txt").read_bytes() == b"x" * 100_000
    assert not is_archive("crawl.warc.gz")


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/tmp/evil.txt", "..\\evil.txt", "C:\\evil.txt"])
def test_no_member_leaves_its_folder(tmp_path, name):
    archives = [zipped(tmp_path / "a.zip", [("good.txt", "1"), (name, "2")])]
    archives.append(tarred(tmp_path / "a.tar.gz", [("good.txt", b"1"), (name, b"2")]))
    for archive in archives:
        with pytest.raises(UnsafeArchive, match="outside of its folder"):
            unpack(archive, "", tmp_path / "in" / "out", ROOMY)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_left_out_and_named(tmp_path, kind):
    archive = tarred(tmp_path / "a.tar.gz", [(link("way-out", "/etc", kind), b""), ("good.txt", b"1")])
    assert unpack(archive, "", tmp_path / "out", ROOMY) == {"way-out": "link in an archive, not followed"}
    assert everything(tmp_path / "out") == ["good.txt"]


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "victim").mkdir()
    archive = tarred(tmp_path / "a.tar", [(link("d", str(tmp_path / "victim")), b""), ("d/evil.txt", b"1")], "w")
    unpack(archive, "", tmp_path / "out", ROOMY)
    assert everything(tmp_path / "victim") == []


def test_a_zip_link_is_left_out(tmp_path):
    info = zipfile.ZipInfo("way-out")
    info.external_attr = 0o120777 << 16
    archive = zipped(tmp_path / "a.zip", [(info, "/etc/passwd")])
    assert list(unpack(archive, "", tmp_path / "out", ROOMY)) == ["way-out"]


@pytest.mark.parametrize("make", ["zip", "tar.gz", "gz"])
def test_a_bomb_is_stopped_at_the_bound_on_what_it_unpacks_to(tmp_path, make):
    path, zeros = tmp_path / f"bomb.{make}", bytes(64 << 20)
    if make == "zip":
        zipped(path, [("zeros", zeros)])
    elif make == "tar.gz":
        tarred(path, [("zeros", zeros)])
    else:
        path.write_bytes(gzip.compress(zeros))
    with pytest.raises(UnsafeArchive, match=r"unpacks to more than 5,000,000 bytes"):
        unpack(path, "", tmp_path / "out", replace(ROOMY, total_bytes=5_000_000, member_bytes=1 << 30))
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*")) <= 5_000_000
    with pytest.raises(UnsafeArchive, match=r"unpacks to more than [\d,]+ bytes"):  # by ratio alone
        unpack(path, "", tmp_path / "out", ROOMY)
    with pytest.raises(UnsafeArchive, match="member 'zeros' unpacks|member 'bomb' unpacks"):
        unpack(path, "", tmp_path / "out", replace(ROOMY, total_bytes=1 << 30, member_bytes=1_000_000))


def test_a_bomb_in_a_member_that_is_not_wanted_is_stopped_too(tmp_path):
    archive = tarred(tmp_path / "a.tar.gz", [("zeros", bytes(64 << 20)), ("good.txt", b"1")])
    with pytest.raises(UnsafeArchive, match="unpacks to more than"):
        unpack(archive, "good.txt", tmp_path / "out", replace(ROOMY, total_bytes=5_000_000, member_bytes=5_000_000))


def test_a_size_that_the_zip_states_is_not_believed(tmp_path):
    archive = zipped(tmp_path / "a.zip", [("zeros", bytes(8 << 20))])
    data = archive.read_bytes().replace((8 << 20).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    archive.write_bytes(data)
    with pytest.raises(UnsafeArchive):
        unpack(archive, "", tmp_path / "out", replace(ROOMY, total_bytes=1 << 20, member_bytes=1 << 20))


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar", "a.jsonl.gz", "a.txt.xz", "a.txt.bz2", "a.txt.zst"])
def test_cut_and_foreign_files_are_refused_as_broken(tmp_path, name):
    (tmp_path / name).write_bytes(os.urandom(4096))
    with pytest.raises(UnsafeArchive, match="broken archive"):
        unpack(tmp_path / name, "", tmp_path / "out", ROOMY)
    whole = tarred(tmp_path / "whole.tar.gz", [("x", os.urandom(100_000))]).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[:50_000])
    with pytest.raises(UnsafeArchive, match="broken archive"):
        unpack(tmp_path / "cut.tar.gz", "", tmp_path / "out", ROOMY)
    assert everything(tmp_path / "out") == [] and not list(tmp_path.glob("*.part"))


def test_a_name_that_is_file_and_folder_is_refused(tmp_path):
    archive = zipped(tmp_path / "a.zip", [("x", "1"), ("x/y", "2")])
    with pytest.raises(UnsafeArchive, match="both a file and a folder"):
        unpack(archive, "", tmp_path / "out", ROOMY)


TAR_MEMBERS = [(f"{number}.txt", b"text" * 500) for number in range(3)]  # 512 bytes of header, 2048 with padding


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("place", [512 + 2048, 2 * (512 + 2048) + 100, 3 * (512 + 2048)])
def test_a_tar_that_ends_without_its_end_is_broken_and_keeps_what_was_whole(tmp_path, suffix, place):
    whole = tarred(tmp_path / "whole.tar", TAR_MEMBERS, "w").read_bytes()
    cut = whole[:place]
    (tmp_path / f"a{suffix}").write_bytes(gzip.compress(cut) if suffix == ".tar.gz" else cut)
    with pytest.raises(BrokenArchive, match="broken archive"):
        unpack(tmp_path / f"a{suffix}", "", tmp_path / "out", ROOMY)
    assert len(everything(tmp_path / "out")) == place // (512 + 2048)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    archive = tarred(tmp_path / "a.tar", TAR_MEMBERS, "w")
    damaged = bytearray(archive.read_bytes())
    damaged[512 + 2048] ^= 0xFF
    archive.write_bytes(damaged)
    with pytest.raises(BrokenArchive, match="at byte 2,560: bad checksum"):
        unpack(archive, "", tmp_path / "out", ROOMY)
    assert everything(tmp_path / "out") == ["0.txt"]


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_one_name_the_later_counts_and_the_other_is_told(tmp_path, make):
    archive = make(tmp_path / ("a.zip" if make is zipped else "a.tar.gz"), [("x.txt", b"old"), ("x.txt", b"new")])
    assert unpack(archive, "", tmp_path / "out", ROOMY) == {"x.txt": "member that a later one of its name replaces"}
    assert (tmp_path / "out" / "x.txt").read_bytes() == b"new"


def test_names_that_no_file_can_have_or_that_look_temporary(tmp_path):
    long = "x" * 300 + ".txt"
    archive = zipped(tmp_path / "a.zip", [("a.txt.part", "1"), ("a.txt", "2"), (long, "3"), ("y" * 254, "4")])
    assert unpack(archive, "", tmp_path / "out", ROOMY) == {long: "member whose name is too long for this file system"}
    assert everything(tmp_path / "out") == ["a.txt", "a.txt.part", "y" * 254]
    assert (tmp_path / "out" / "a.txt.part").read_text() == "1"


def test_a_full_disk_is_no_fault_of_the_archive(tmp_path):
    archive = zipped(tmp_path / "a.zip", [("a.txt", "1" * 100_000)])
    (tmp_path / "out.part").symlink_to("/dev/full")  # every write to it fails as on a full disk
    with pytest.raises(OSError, match="No space left"):
        unpack(archive, "", tmp_path / "out", ROOMY)
