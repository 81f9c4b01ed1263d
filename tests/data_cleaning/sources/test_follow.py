"""What is new at an address becomes one pinned snapshot, and never twice; one source's failure stops no other."""

import base64
import datetime
import fcntl
import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from email.utils import formatdate

import fsspec
import pytest

from data_cleaning.snapshots import snapshot_order
from data_cleaning.sources import faults, follow, inbox, transport
from data_cleaning.sources.table import Entry, load_sources
from tests.data_cleaning.raw import CHECKOUT, source
from tests.data_cleaning.sources.conftest import serving

DAY = datetime.date(2026, 12, 1)
ONE, TWO = b"The first edition.", b"The second edition, which is longer."


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Site:
    """What the web server has, and what it was asked: (path, If-None-Match, Range, bytes sent)."""

    address: str = ""
    data: bytes = ONE
    etag: str = ""
    modified: str = ""
    cut: int | None = None  # bytes after which it breaks off, from then on answering 503
    code: int = 200
    reached: threading.Event = field(default_factory=threading.Event)
    wait: threading.Event | None = None  # before each answer
    asked: list[tuple] = field(default_factory=list)


@pytest.fixture
def site():
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

        def do_GET(self) -> None:
            site.reached.set()
            if site.wait:
                site.wait.wait(20)
            known = self.headers["If-None-Match"]
            code = 404 if self.path.startswith("/none") else 304 if known and known == site.etag else site.code
            begin = int((self.headers["Range"] or "bytes=0-")[6:-1]) if code == 200 else 0
            body = site.data[begin : site.cut] if code == 200 else b""
            site.asked.append((self.path, known, self.headers["Range"], len(body), self.headers["Authorization"]))
            self.send_response(206 if begin else code)
            for name, value in (("ETag", site.etag), ("Last-Modified", site.modified)):
                if value:
                    self.send_header(name, value)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(site.data) - 1}/{len(site.data)}")
            if code == 200:
                self.send_header("Content-Length", str(len(site.data) - begin))
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as address:
        site.address = address
        yield site


def template(name, uri, branch="main", **fields):
    return Entry(source(name, uri, **fields), branch)


def look(folder, log, *templates, today=DAY):
    return follow.look(templates, folder / "sources.toml", folder / "inbox", today, log)


def pinned(folder):
    return load_sources(folder / "inbox" / follow.TABLE)


def change(site, data, number) -> None:
    site.data = data
    site.etag = f'"{number}"' if site.etag else ""
    site.modified = formatdate(1e9 + number, usegmt=True) if site.modified else ""


@pytest.mark.parametrize("stated", ["etag", "modified", "nothing"])
def test_a_new_version_is_pinned_once_with_the_fields_of_its_template(tmp_path, log, site, stated):
    site.etag = '"0"' if stated == "etag" else ""
    site.modified = formatdate(1e9, usegmt=True) if stated == "modified" else ""
    news = template(
        "news", f"{site.address}/a.txt", license="CC “é”", reader="text", factual=True, delivers="full", sha256=""
    )
    (said,) = look(tmp_path, log, news)
    assert said == f"snapshot 2026-12-01: news, pinned in {tmp_path / 'inbox' / 'followed.toml'}"
    unchanged = (
        "news: the same bytes as in snapshot {}, nothing pinned"
        if stated == "nothing"
        else "news: nothing new since snapshot {}"
    )
    assert look(tmp_path, log, news) == (unchanged.format("2026-12-01"),)
    change(site, TWO, 1)
    assert look(tmp_path, log, news)[0].startswith("snapshot 2026-12-01.2: news")
    assert look(tmp_path, log, news) == (unchanged.format("2026-12-01.2"),)
    assert (tmp_path / "inbox" / follow.SAID).read_text() == unchanged.format("2026-12-01.2") + "\n"
    first, second = pinned(tmp_path)
    for one, data, name in ((first, ONE, "2026-12-01"), (second, TWO, "2026-12-01.2")):
        assert (one.name, one.uri, one.license, one.reader) == ("news", f"{site.address}/a.txt", "CC “é”", "text")
        assert (one.factual, one.delivers, one.snapshot, one.sha256) == (True, "full", name, sha256(data))
        assert transport.cached_file(one.sha256).read_bytes() == data, "the corpus run needs no network"
    if stated == "etag":
        assert [known for _, known, *_ in site.asked] == [None, None, '"0"', '"0"', None, '"1"']
    change(site, TWO, 2)
    assert look(tmp_path, log, news) == ("news: the same bytes as in snapshot 2026-12-01.2, nothing pinned",)
    assert look(tmp_path, log, news) == (unchanged.format("2026-12-01.2"),) and len(pinned(tmp_path)) == 2
    change(site, ONE, 3)
    assert look(tmp_path, log, news)[0].startswith("snapshot 2026-12-01.3"), "what comes back replaces what is newer"


def test_the_pin_of_the_template_counts_as_delivered(tmp_path, log, site):
    entry = '[[source]]\nname = "news"\nuri = "{}/a.txt"\nlicense = "MIT"\nsha256 = "{}"\n'
    (tmp_path / "sources.toml").write_text(entry.format(site.address, sha256(ONE)))
    news = template("news", f"{site.address}/a.txt", sha256=sha256(ONE))
    assert look(tmp_path, log, news) == ("news: the same bytes as in snapshot base, nothing pinned",)
    assert not (tmp_path / "inbox" / follow.TABLE).exists()


def test_one_failure_is_one_line_and_the_others_go_on(tmp_path, log, site, monkeypatch):
    monkeypatch.setattr(faults, "TRIES", 2)
    with fsspec.open("memory://bucket/new.txt", "wb") as file:
        file.write(TWO)
    with fsspec.open("memory://bucket/empty.txt", "wb") as file:
        file.write(b"")
    told = look(
        tmp_path, log,
        template("gone", f"{site.address}/none.txt"),
        template("down", "http://127.0.0.1:9/x.txt"),
        template("secret", "https://${T_UNSET}@host.org/x.txt"),
        template("lost", "memory://bucket/none.txt"),
        template("empty", "memory://bucket/empty.txt"),
        template("driver", "ftpx://host/x.txt"),
        template("unpinned", "hf://datasets/org/name/x.txt"),
        template("new", "memory://bucket/new.txt"),
        template("web", f"{site.address}/a.txt"),
    )  # fmt: skip
    assert told[0].startswith("snapshot 2026-12-01: new, web, pinned in") and len(told) == 8
    for line, message in zip(
        told[1:],
        ["answers 404", "cannot reach", "set T_UNSET in the environment", "FileNotFoundError", "empty file",
         "Protocol not known", "write hf://datasets/ORG/NAME@REVISION/PATH"],
        strict=True,
    ):  # fmt: skip
        assert message in line and "\n" not in line
    assert {one.snapshot for one in pinned(tmp_path)} == {"2026-12-01"}


def test_a_store_is_asked_for_size_and_time(tmp_path, log):
    one = template("store", "memory://bucket/a.txt")
    for data, said in ((ONE, "snapshot 2026-12-01: store"), (TWO, "snapshot 2026-12-01.2: store")):
        with fsspec.open("memory://bucket/a.txt", "wb") as file:
            file.write(data)
        assert look(tmp_path, log, one)[0].startswith(said)
        lines = len(log.lines)
        assert look(tmp_path, log, one)[0].startswith("store: nothing new since")
        assert len(log.lines) == lines, "it was not fetched again"


def test_a_secret_is_in_the_request_alone(tmp_path, log, site, monkeypatch):
    monkeypatch.setenv("T_PASSWORD", "p@ss/hunter2")
    monkeypatch.setenv("T_USER", "me")
    uri = site.address.replace("://", "://${T_USER}:${T_PASSWORD}@") + "/a.txt"
    site.etag = '"0"'
    told = [*look(tmp_path, log, template("news", uri)), *look(tmp_path, log, template("news", uri))]
    assert {asked[-1] for asked in site.asked} == {f"Basic {base64.b64encode(b'me:p@ss/hunter2').decode()}"}
    site.code = 403
    site.etag = ""
    told += look(tmp_path, log, template("news", uri))
    assert "answers 403" in told[-1] and pinned(tmp_path)[0].uri == uri
    told += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in [*told, *log.lines] if "hunter2" in text]


def test_names_ascend_whatever_the_clock_says_and_whoever_names_them(tmp_path, log, site):
    (tmp_path / "sources.toml").write_text(
        '[[source]]\nname = "own"\nuri = "own.txt"\nlicense = ""\nopt_in = true\nsnapshot = "2027-01-05"\n'
    )
    news = template("news", f"{site.address}/a.txt")
    look(tmp_path, log, news)
    site.data = TWO
    look(tmp_path, log, news, today=datetime.date(2020, 1, 1))
    (tmp_path / "inbox" / "taken" / "2027-01-05.4" / "handbook").mkdir(parents=True)  # the inbox was killed here
    site.data = ONE + TWO
    look(tmp_path, log, news)
    names = [one.snapshot for one in pinned(tmp_path)]
    assert names[:2] == ["2027-01-05.2", "2027-01-05.3"] and names == sorted(set(names), key=snapshot_order)
    assert "2027-01-05.4" not in names


def test_two_look_at_once_and_one_of_them_says_so(tmp_path, log, site):
    site.wait = threading.Event()
    news, said = template("news", f"{site.address}/a.txt"), []
    first = threading.Thread(target=lambda: said.extend(look(tmp_path, log, news)))
    first.start()
    assert site.reached.wait(20)
    assert look(tmp_path, log) == ("another process is looking at the remote sources",)
    with (tmp_path / "inbox" / inbox.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        site.wait.set()
        first.join(1.0)
        assert first.is_alive() and not (tmp_path / "inbox" / follow.TABLE).exists(), "the inbox is naming a snapshot"
    first.join(20)
    assert said[0].startswith("snapshot 2026-12-01: news") and len(pinned(tmp_path)) == 1


def test_what_came_before_the_network_failed_is_kept(tmp_path, log, site, monkeypatch):
    monkeypatch.setattr(faults, "TRIES", 1)
    site.etag, site.cut = '"0"', 5
    news = template("news", f"{site.address}/a.txt")
    (said,) = look(tmp_path, log, news)
    assert "was cut off at 5 of 18 bytes" in said
    site.cut = None
    assert look(tmp_path, log, news)[0].startswith("snapshot") and site.asked[-1][2] == "bytes=5-"
    assert pinned(tmp_path)[0].sha256 == sha256(ONE)


KILLED = """
import datetime, os, signal, sys
from pathlib import Path
from data_cleaning import files
from data_cleaning.sources import follow
from data_cleaning.sources.table import Entry
from tests.data_cleaning.raw import Quiet, source

def killed(path, text):
    with files.replacing(path) as part:
        part.write_text(text[: len(text) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

follow.write_text = killed
folder = Path(sys.argv[1])
template = Entry(source("news", sys.argv[2]), "main")
follow.look([template], folder / "sources.toml", folder / "inbox", datetime.date(2026, 12, 2), Quiet())
"""


def test_a_kill_in_the_middle_of_pinning_leaves_the_table_as_it_was(tmp_path, log, site):
    site.etag = '"0"'
    news = template("news", f"{site.address}/a.txt")
    look(tmp_path, log, news)
    table = tmp_path / "inbox" / follow.TABLE
    before = table.read_bytes()
    change(site, TWO, 1)
    command = [sys.executable, "-c", KILLED, str(tmp_path), news.source.uri]
    done = subprocess.run(command, cwd=CHECKOUT, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, check=False)
    assert done.returncode == -signal.SIGKILL and table.read_bytes() == before
    sent = sum(asked[3] for asked in site.asked)
    assert look(tmp_path, log, news, today=datetime.date(2026, 12, 2))[0].startswith("snapshot 2026-12-02: news")
    assert [one.sha256 for one in pinned(tmp_path)] == [sha256(ONE), sha256(TWO)]
    assert sum(asked[3] for asked in site.asked) == sent, "what was whole before the kill is not fetched again"
