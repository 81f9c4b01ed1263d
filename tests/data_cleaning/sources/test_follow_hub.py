"""A branch of a repository on the Hugging Face hub is followed by its commit."""

import datetime
import hashlib
import http.server
import json

import pytest

from data_cleaning.sources import follow
from data_cleaning.sources.table import Entry, load_sources
from tests.data_cleaning.raw import source
from tests.data_cleaning.sources.conftest import serving

ONE, TWO, THREE = ("0123456789abcdef" * 3)[:40], "1" * 40, "2" * 40
FILES = {ONE: b'{"text": "a"}\n', TWO: b'{"text": "b"}\n', THREE: b'{"text": "b"}\n'}
DAY = datetime.date(2026, 12, 1)
BRANCHES: dict[str, str] = {}


class Hub(http.server.BaseHTTPRequestHandler):
    asked: list[str] = []

    def log_message(self, *_) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        _, resolving, rest = path.partition("/resolve/")
        commit = rest.partition("/")[0] if resolving else BRANCHES.get(path.partition("/revision/")[2])
        if commit is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RevisionNotFound")
            return self.end_headers()
        about = {"id": "org/name", "_id": "1", "sha": commit, "siblings": []}
        body = FILES[commit] if resolving else json.dumps(about).encode()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serving(Hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        yield Hub.asked


def test_a_new_commit_with_new_bytes_is_pinned_at_that_commit(tmp_path, log, hub):
    entry = '[[source]]\nname = "hub"\nuri = "{}"\nlicense = "MIT"\nsha256 = "{}"\n'
    address = "hf://datasets/org/name@{}/data/a.jsonl"
    sha256 = {commit: hashlib.sha256(data).hexdigest() for commit, data in FILES.items()}
    (tmp_path / "sources.toml").write_text(entry.format(address.format(ONE), sha256[ONE]))

    def look(branch="main"):
        template = Entry(source("hub", address.format(ONE), sha256=sha256[ONE]), branch)
        return follow.look([template], tmp_path / "sources.toml", tmp_path / "inbox", DAY, log)

    BRANCHES["main"] = ONE
    assert look() == ("hub: the same bytes as in snapshot base, nothing pinned",)
    assert not [path for path in hub if "/resolve/" in path], "the template names this commit, so nothing was fetched"
    BRANCHES["main"] = TWO
    assert look()[0].startswith("snapshot 2026-12-01: hub, pinned in")
    assert look() == ("hub: nothing new since snapshot 2026-12-01",)
    BRANCHES["main"] = THREE
    assert look() == ("hub: the same bytes as in snapshot 2026-12-01, nothing pinned",), "another file changed"
    (pin,) = load_sources(tmp_path / "inbox" / follow.TABLE)
    assert (pin.uri, pin.sha256, pin.snapshot) == (address.format(TWO), sha256[TWO], "2026-12-01")
    (said,) = look("v9")
    assert said.startswith(f"hub: the branch 'v9' of {address.format(ONE)}:") and "404" in said
    BRANCHES["v9"] = ONE
    assert look("v9")[0].startswith("snapshot 2026-12-01.2: hub"), "a branch that goes back is a delivery again"
