import dataclasses
import hashlib
import http.server
import io
import json
import os
import tarfile
import traceback
import zipfile
from pathlib import Path

import pytest

from data_cleaning.recipes import SourcesRecipe
from data_cleaning.sources import fetch, local, transport, web
from data_cleaning.sources.errors import FetchError, Unreachable
from tests.data_cleaning.raw import source
from tests.data_cleaning.sources.conftest import serving


@pytest.fixture
def server(tmp_path):
    """A web server over tmp_path/www; its address, and the paths that it was asked for."""
    asked: list[str] = []
    (tmp_path / "www").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args) -> None:
            super().__init__(*args, directory=str(tmp_path / "www"))

        def log_message(self, *args) -> None:
            asked.append(self.path)

        def do_GET(self) -> None:
            if self.path != "/cut":
                return super().do_GET()
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"only this")

    with serving(Handler) as address:
        yield address, tmp_path / "www", asked


def run(chosen, out: Path, log):
    out.mkdir(exist_ok=True)
    return fetch.run(SourcesRecipe(tuple(chosen)), {}, out, log)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_local_file_folder_and_archive_member(tmp_path, log):
    (tmp_path / "own" / "deep").mkdir(parents=True)
    (tmp_path / "own" / "deep" / "a.txt").write_text("a")
    (tmp_path / "own" / ".hidden").write_text("h")
    (tmp_path / "own" / "link.txt").symlink_to("/etc/passwd")
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive:
        archive.writestr("data/b.csv", "text\nb")
        archive.writestr("code.py", "boom")
    chosen = [
        source("file", str(tmp_path / "own" / "deep" / "a.txt")),
        source("folder", str(tmp_path / "own") + "/"),
        source("member", str(tmp_path / "own.zip") + "#data/*.csv"),
    ]
    metrics = run(chosen, tmp_path / "out", log)
    entries = {entry["name"]: entry for entry in json.loads((tmp_path / "out" / "sources.json").read_text())}
    assert {name: entry["files"] for name, entry in entries.items()} == {
        "file": ["a.txt"],
        "folder": ["deep/a.txt"],
        "member": ["b.csv"],
    }
    assert (tmp_path / "out" / "raw" / "member" / "b.csv").read_text() == "text\nb"
    assert entries["file"]["sha256"] == sha256(b"a")
    assert {name: entry["left_out"] for name, entry in entries.items()} == {"file": 0, "folder": 2, "member": 0}
    assert any("folder: left out 2 of" in line and ".hidden (a link, or hidden)" in line for line in log.lines)
    assert metrics["files"] == 3
    before = local.pin(chosen[1])
    (tmp_path / "own" / "deep" / "a.txt").write_text("changed")
    assert local.pin(chosen[1]) != before and local.pin(chosen[1]).sha256 != entries["folder"]["sha256"]
    with pytest.raises(FetchError, match="sha256 .* is not the one stated"):
        run([before], tmp_path / "again", log)
    with pytest.raises(FetchError, match="does not exist; a local path is relative to the sources file"):
        run([source("gone", str(tmp_path / "gone"))], tmp_path / "again", log)


def test_a_local_source_is_read_once_to_know_it_and_again_when_it_is_fetched(tmp_path, log):
    """A corpus of 100 GB beside the table must not be read at every start."""
    path = tmp_path / "own" / "a.txt"
    path.parent.mkdir()
    for uri in (str(path), f"{path.parent}/"):
        path.write_text("a")
        os.utime(path, (1e9, 1e9))
        before = local.pin(source("own", uri))
        path.write_text("b")
        os.utime(path, (1e9, 1e9))
        assert local.pin(source("own", uri)) == before, "nothing says that it changed, so it is not read"
        with pytest.raises(FetchError, match="sha256 .* is not the one stated"):
            run([before], tmp_path / "out", log)
        os.utime(path, (1e9 + 1, 1e9 + 1))
        assert local.pin(source("own", uri)) != before


def test_a_file_is_named_as_its_address_names_it_wherever_it_came_from_first(tmp_path, log, server):
    """Its name is part of what is made, and decides who reads it; in the cache it has the name of the first address."""
    address, www, _ = server
    for name in ("first.txt", "mirrored.md"):
        (www / name).write_bytes(b"# Text")
        run([source("web", f"{address}/{name}", sha256=sha256(b"# Text"))], tmp_path / name, log)
        assert (tmp_path / name / "raw" / "web" / name).read_bytes() == b"# Text"


def test_a_remote_file_needs_its_sha256_and_is_fetched_once(tmp_path, log, server):
    address, www, asked = server
    (www / "a b.jsonl").write_bytes(b'{"text": "hello"}\n')
    one = source("web", f"{address}/a%20b.jsonl")
    with pytest.raises(FetchError, match=f'sha256 = "{sha256((www / "a b.jsonl").read_bytes())}": paste that'):
        run([one], tmp_path / "out", log)
    pinned = dataclasses.replace(one, sha256=sha256((www / "a b.jsonl").read_bytes()))
    run([pinned], tmp_path / "out", log)
    assert (tmp_path / "out" / "raw" / "web" / "a b.jsonl").read_bytes() == b'{"text": "hello"}\n'
    count = len(asked)
    run([pinned], tmp_path / "second", log)
    assert len(asked) == count, "a cached file was fetched again"
    held = transport.cached_file(pinned.sha256)
    held.write_bytes(b"damaged")
    run([pinned], tmp_path / "third", log)
    assert len(asked) == count + 1, "a damaged cached file must be fetched again"
    assert (tmp_path / "third" / "raw" / "web" / "a b.jsonl").read_bytes() == b'{"text": "hello"}\n'


def test_an_encoded_slash_names_a_file_in_a_folder_and_never_leads_out_of_one(tmp_path, log, server):
    address, www, _ = server
    (www / "folder").mkdir()
    (www / "folder" / "file.txt").write_bytes(b"inside")
    run([source("one", f"{address}/folder%2Ffile.txt?alt=media", sha256=sha256(b"inside"))], tmp_path / "out", log)
    assert (tmp_path / "out" / "raw" / "one" / "file.txt").read_bytes() == b"inside"
    (www / "evil.txt").write_bytes(b"evil")
    with pytest.raises(FetchError, match="is not the one stated"):
        run([source("two", f"{address}/a/..%2F..%2F..%2Fevil.txt", sha256="0" * 64)], tmp_path / "again", log)
    assert [path for path in tmp_path.rglob("evil.txt") if path.parent != www] == []
    for path in ("", "/", "/a/..%2F..", "/%2E%2E", "/a%00b"):
        with pytest.raises(FetchError, match="names no file: its path must end in the name of one"):
            run([source("two", f"{address}{path}", sha256="0" * 64)], tmp_path / "again", log)


def test_what_is_secret_in_an_address_is_asked_for_and_never_told(tmp_path, log, server):
    address, www, asked = server
    (www / "a.txt").write_bytes(b"signed")
    signed = source("web", f"{address}/a.txt?signature=hunter2", sha256=sha256(b"signed"))
    run([signed], tmp_path / "out", log)
    assert asked == ["/a.txt?signature=hunter2"]
    told = [*log.lines, (tmp_path / "out" / "sources.json").read_text()]
    named = address.replace("://", "://me:hunter2@")
    wrong = [f"{address}/{rest}?t=hunter2" for rest in ("a.txt", "cut", "none", "")]
    wrong += [f"{named}/a.txt", "http://127.0.0.1:9/x?t=hunter2", "ftpx://me:hunter2@host/x?t=hunter2"]
    wrong += ["memory://bucket/none.txt?t=hunter2"]
    for uri in wrong:
        with pytest.raises((FetchError, Unreachable)) as caught:
            run([source("web", uri, sha256="1" * 64)], tmp_path / "again", log)
        told += traceback.format_exception(caught.value)
    assert [text for text in told if "hunter2" in text] == []


def test_another_sha256_states_both_and_keeps_nothing(tmp_path, log, server):
    address, www, _ = server
    (www / "a.txt").write_bytes(b"new")
    with pytest.raises(FetchError, match=f"expected {'0' * 64}, got {sha256(b'new')}. If you trust"):
        run([source("web", f"{address}/a.txt", sha256="0" * 64)], tmp_path / "out", log)
    assert {file.suffix for file in (tmp_path / "cache").rglob("*") if file.is_file()} == {".lock"}
    assert not (tmp_path / "out" / "sources.json").exists()


def test_members_of_a_remote_archive(tmp_path, log, server):
    address, www, _ = server
    with tarfile.open(www / "p.tgz", "w:gz") as archive:
        for name in ("package/data/x.json", "package/index.js"):
            info = tarfile.TarInfo(name)
            info.size = 2
            archive.addfile(info, io.BytesIO(b"{}"))
    digest = sha256((www / "p.tgz").read_bytes())
    run([source("npm", f"{address}/p.tgz#package/data/", sha256=digest)], tmp_path / "out", log)
    assert [f.name for f in (tmp_path / "out" / "raw" / "npm").iterdir()] == ["x.json"]
    with pytest.raises(FetchError, match="npm: p.tgz holds no 'package/date/'; nearest members: package/data/x.json"):
        run([source("npm", f"{address}/p.tgz#package/date/", sha256=digest)], tmp_path / "again", log)


def test_what_the_network_does_wrong_is_told_in_one_line(tmp_path, log, server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    address, _, _ = server
    once_more = {
        f"{address}/cut": "was cut off at 9 of 1,000 bytes",
        "http://127.0.0.1:9/x": r"cannot reach http://127.0.0.1:9/x .* Check the network or proxy and run again",
        "hf://datasets/org/name@main/data/": r"cannot reach hf:.* \(the Hugging Face hub",
    }
    to_mend = {
        f"{address}/none": "answers 404",
        "hf://datasets/org/name/x.parquet": "write hf://datasets/ORG/NAME@REVISION/PATH",
        "ftpx://host/x": "cannot be opened: Protocol not known",
        "memory://bucket/none.txt": "cannot be opened",
        "pip://name/x": "write pip://NAME==VERSION/PATH",
    }
    for kind, cases in ((Unreachable, once_more), (FetchError, to_mend)):
        for uri, message in cases.items():
            with pytest.raises(kind, match=message) as caught:
                run([source("web", uri, sha256="0" * 64)], tmp_path / "out", log)
            assert "\n" not in str(caught.value)


def test_object_stores_go_through_fsspec(tmp_path, log):
    import fsspec

    with fsspec.open("memory://bucket/a.txt", "wb") as file:
        file.write(b"stored")
    run([source("store", "memory://bucket/a.txt", sha256=sha256(b"stored"))], tmp_path / "out", log)
    assert (tmp_path / "out" / "raw" / "store" / "a.txt").read_bytes() == b"stored"


def test_an_object_store_that_breaks_off_is_read_on_from_there(tmp_path, log, monkeypatch):
    """Real reads of fsspec's store in memory, each of which ends in an error after some bytes."""
    import fsspec

    data = bytes(range(256)) * 40
    with fsspec.open("memory://bucket/b.bin", "wb") as file:
        file.write(data)
    begins = []
    whole = web._write

    def broken(source, stream, target, begin, size, log):
        begins.append(begin)
        if len(begins) > 3:
            return whole(source, stream, target, begin, size, log)
        with open(target, "ab") as half:
            half.write(stream.read(1000))
        raise ConnectionResetError("reset")

    monkeypatch.setattr(web, "_write", broken)
    run([source("store", "memory://bucket/b.bin", sha256=sha256(data))], tmp_path / "out", log)
    assert begins == [0, 1000, 2000, 3000]
    assert (tmp_path / "out" / "raw" / "store" / "b.bin").read_bytes() == data


def test_a_full_disk_says_what_to_do_and_the_run_continues_where_it_was(tmp_path, log):
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(name)
    chosen = [source(name, str(tmp_path / f"{name}.txt")) for name in ("a", "b")]
    marks = tmp_path / "out" / "_scratch" / "fetched"
    marks.mkdir(parents=True)
    (marks / ".b-2.json.part").symlink_to("/dev/full")  # every write to it fails as on a full disk
    with pytest.raises(FetchError, match=r"b: no space left while writing .* make room, or point CRIA_CACHE"):
        run(chosen, tmp_path / "out", log)
    (marks / ".b-2.json.part").unlink()
    (tmp_path / "a.txt").unlink()  # fetched before: not asked for again
    assert run(chosen, tmp_path / "out", log)["sources"] == 2
    assert (tmp_path / "out" / "raw" / "a" / "a.txt").read_text() == "a"
