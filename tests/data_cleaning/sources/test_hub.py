"""Sources on the Hugging Face hub, against a server that speaks the hub's protocol."""

import hashlib
import http.server
import json
import os
import re
import subprocess
import sys

import pytest

from tests.data_cleaning.raw import CHECKOUT
from tests.data_cleaning.sources.conftest import serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"data/a.jsonl": b'{"text": "a"}\n', "data/b.jsonl": b'{"text": "b"}\n', "README.md": b"about"}
LISTED = sorted(FILES)[1:]
LISTING = b"".join(b"%s %s\n" % (n.encode(), hashlib.sha256(FILES[n]).hexdigest().encode()) for n in LISTED)
CROSSED = {"deep/c.jsonl": b'{"text": "c"}\n', "deep/er/d.jsonl": b'{"text": "d"}\n'}
FILES |= CROSSED | {"data/.hidden.jsonl": b'{"text": "outside of the pin"}\n'}


class Hub(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = path.partition("/resolve/main/")[2] or path.partition(f"/resolve/{COMMIT}/")[2]
        if "/busy/" in path:
            self.send_response(503)
            self.end_headers()
            return
        if "/resolve/" in path and name not in FILES:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            return
        if "/tree/" in path:
            body = json.dumps(
                [{"type": "file", "path": n, "size": len(d), "oid": n} for n, d in FILES.items()]
            ).encode()
        elif name:
            body = FILES[name]
        else:
            siblings = [{"rfilename": name} for name in FILES]
            body = json.dumps({"id": "org/name", "_id": "1", "sha": COMMIT, "siblings": siblings}).encode()
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


FETCH = """
import sys
from pathlib import Path
from data_cleaning.recipes import SourcesRecipe
from data_cleaning.sources import faults, fetch
from data_cleaning.sources.errors import FetchError, Unreachable
from tests.data_cleaning.raw import Quiet, source
faults.TRIES = 1
for number, (uri, sha256) in enumerate(zip(sys.argv[2::2], sys.argv[3::2])):
    out = Path(sys.argv[1]) / str(number)
    out.mkdir()
    try:
        fetch.run(SourcesRecipe((source("hub", uri, sha256=sha256),)), {}, out, Quiet())
    except (FetchError, Unreachable) as error:
        (out / "error").write_text(f"{type(error).__name__} {error}")
"""


@pytest.fixture
def hub():
    with serving(Hub) as address:
        yield address


def test_a_file_and_a_glob_of_a_repository_are_fetched_and_pinned(tmp_path, hub):
    """In a process that forbids itself the hub, as a pipeline does."""
    repository = "hf://datasets/org/name@main/"
    one, several = hashlib.sha256(FILES["data/a.jsonl"]).hexdigest(), hashlib.sha256(LISTING).hexdigest()
    asked = [repository + "data/a.jsonl", one, repository + "data/*.jsonl", several]
    asked += [repository + "data/", several, repository + "data/none", one[::-1], repository + "data/a.jsonl", "0" * 64]
    outer = f"deep/c.jsonl {hashlib.sha256(CROSSED['deep/c.jsonl']).hexdigest()}\n".encode()
    asked += [repository + "deep/*.jsonl", hashlib.sha256(outer).hexdigest(), repository + "data/*.txt", "2" * 64]
    asked += ["hf://datasets/org/busy@main/data/*.jsonl", "3" * 64]
    environment = os.environ | {"HF_ENDPOINT": hub, "CRIA_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(CHECKOUT)}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", FETCH, str(tmp_path), *asked]
    subprocess.run(command, env=environment, cwd=CHECKOUT, check=True, capture_output=True)
    assert (tmp_path / "0/raw/hub/a.jsonl").read_bytes() == FILES["data/a.jsonl"]
    for number in "12":
        names = sorted(path.name for path in (tmp_path / number / "raw/hub").rglob("*") if path.is_file())
        assert names == ["a.jsonl", "b.jsonl"], "what the pin does not cover is not read"
        (entry,) = json.loads((tmp_path / number / "sources.json").read_text())
        assert entry["left_out"] == 1
    assert "EntryNotFound" in (tmp_path / "3/error").read_text() or "404" in (tmp_path / "3/error").read_text()
    assert f"expected {'0' * 64}, got {one}" in (tmp_path / "4/error").read_text()
    assert [path.name for path in (tmp_path / "5/raw/hub").rglob("*.jsonl")] == ["c.jsonl"], "* stays within a folder"
    assert "no file of org/name fits 'data/*.txt'" in (tmp_path / "6/error").read_text()
    assert re.match("Unreachable .*503", (tmp_path / "7/error").read_text()), "a busy hub may answer the next time"
