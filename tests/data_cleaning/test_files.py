"""Files are whole or absent, and a hash is read again only where it may have changed."""

import hashlib
import json
import os

import pytest

from data_cleaning.files import remembered_sha256, replacing, sha256_of_all, write_json, write_text


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(OSError), replacing(path) as part:
        part.write_text("half")
        raise OSError("no space left")
    assert path.read_text() == "old"
    write_json(path, {"\udcff": 1})  # as Python names a file that is called b"\xff"
    assert json.loads(path.read_text()) == {"\udcff": 1}
    assert not list(tmp_path.glob(".*.part"))


def test_hashes_of_many_files_are_those_of_their_bytes(tmp_path):
    names = [f"{number}.bin" for number in range(20)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 1000)
    expected = {name: hashlib.sha256(name.encode() * 1000).hexdigest() for name in names}
    assert sha256_of_all(tmp_path, names) == expected
    memory = tmp_path / "memory.json"
    assert remembered_sha256(tmp_path, names, memory) == expected


def test_what_is_remembered_of_other_files_stays(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1e9, 1e9))
    memory = tmp_path / "memory.json"
    before = remembered_sha256(tmp_path, ["a", "b"], memory)
    (tmp_path / "b").write_text("c")
    os.utime(tmp_path / "b", (1e9 + 1, 1e9 + 1))
    assert remembered_sha256(tmp_path, ["b"], memory)["b"] == hashlib.sha256(b"c").hexdigest()
    status = (tmp_path / "a").stat()
    (tmp_path / "a").write_text("x")
    os.utime(tmp_path / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert remembered_sha256(tmp_path, ["a"], memory)["a"] == before["a"], "not read"
