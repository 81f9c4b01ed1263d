"""Downloads through a network that fails, from a web server that fails as it is told to."""

import hashlib
import http.server
import random
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from types import SimpleNamespace

import pytest

from data_cleaning.recipes import SourcesRecipe
from data_cleaning.sources import faults, fetch, web
from data_cleaning.sources.errors import FetchError, Unreachable
from tests.data_cleaning.raw import source
from tests.data_cleaning.sources.conftest import serving

DATA, OTHER = random.Random(0).randbytes(3_000_000), bytes(3_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@dataclass(frozen=True)
class Answer:
    """One answer of the server: an error, or the bytes asked for, whole or broken off."""

    code: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None  # bytes after which the connection is closed
    reset: bool = False  # closed without a farewell: bytes on the way are lost
    stall: float = 0.0  # seconds of silence before that
    ranges: bool = True
    if_range: bool = True
    etag: str = '"one"'
    data: bytes = DATA


WHOLE = Answer()


@pytest.fixture
def server():
    """(address, script of the answers to come, Range of each request so far); with no script left it answers whole."""
    script: list[Answer] = []
    asked: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

        def do_GET(self) -> None:
            asked.append(self.headers["Range"])
            answer = script.pop(0) if script else WHOLE
            if answer.code != 200:
                self.send_response(answer.code)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                return self.end_headers()
            begin = 0
            unchanged = not answer.if_range or self.headers.get("If-Range", answer.etag) == answer.etag
            if answer.ranges and self.headers["Range"] and unchanged:
                begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
                if begin >= len(answer.data):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(answer.data)}")
                    return self.end_headers()
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(answer.data) - 1}/{len(answer.data)}")
            if answer.etag:
                self.send_header("ETag", answer.etag)
            self.send_header("Content-Length", str(len(answer.data) - begin))
            self.end_headers()
            self.wfile.write(answer.data[begin : None if answer.cut is None else begin + answer.cut])
            self.wfile.flush()
            time.sleep(answer.stall)
            if answer.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

    with serving(Handler) as address:
        yield f"{address}/a.bin", script, asked


def run(address, out, log, sha256=SHA256):
    out.mkdir(exist_ok=True)
    fetch.run(SourcesRecipe((source("web", address, sha256=sha256),)), {}, out, log)
    return (out / "raw" / "web" / "a.bin").read_bytes()


def test_a_broken_connection_is_resumed_where_it_broke(tmp_path, log, server):
    address, script, asked = server
    script += [Answer(cut=1_000_000)] * 2 + [Answer(code=503), Answer(cut=500_000)]
    assert run(address, tmp_path / "out", log) == DATA
    assert asked == [None, *(f"bytes={begin}-" for begin in (1_000_000, 2_000_000, 2_000_000, 2_500_000))]
    assert sum("trying again in" in line for line in log.lines) == 4
    assert not list((tmp_path / "cache" / "incoming").rglob("a.bin"))


def test_a_reset_connection_is_resumed_too(tmp_path, log, server):
    address, script, asked = server
    script += [Answer(cut=1_000_000, stall=0.5, reset=True)] * 2
    assert run(address, tmp_path / "out", log) == DATA and len(asked) == 3
    assert "reset" in " ".join(log.lines)


def test_a_busy_server_is_asked_again_after_the_time_it_asks_for(tmp_path, log, server, monkeypatch):
    address, script, asked = server
    waits = []
    monkeypatch.setattr(faults, "time", SimpleNamespace(sleep=waits.append))
    script += [Answer(code=503), Answer(code=429, headers={"Retry-After": "7"})]
    script += [Answer(code=503, headers={"Retry-After": formatdate(time.time() + 90, usegmt=True)})]
    assert run(address, tmp_path / "out", log) == DATA
    assert waits[:2] == [2 * faults.FIRST_WAIT_S, 7] and 80 < waits[2] <= 90
    script += [Answer(code=429, headers={"Retry-After": "86400"})]
    with pytest.raises(Unreachable, match="answers 429 Too Many Requests"):
        run(address, tmp_path / "again", log, sha256="")
    assert len(waits) == 3 and len(asked) == 5


def test_a_network_that_stays_broken_ends_with_what_to_do_and_the_next_run_goes_on(tmp_path, log, server):
    address, script, asked = server
    script += [Answer(cut=1_200_000)] + [Answer(code=502)] * 20
    with pytest.raises(
        Unreachable, match=r"web: cannot reach http.*a.bin \(it answers 502 .*run again: what came is kept"
    ):
        run(address, tmp_path / "out", log)
    assert len(asked) == 1 + faults.TRIES
    script.clear()
    assert run(address, tmp_path / "out", log) == DATA
    assert asked == [None, *["bytes=1200000-"] * (faults.TRIES + 1)]


def test_a_silent_server_is_asked_again(tmp_path, log, server, monkeypatch):
    address, script, asked = server
    monkeypatch.setattr(web, "TIMEOUT_S", 0.5)
    script += [Answer(cut=100_000, stall=1.5)]
    assert run(address, tmp_path / "out", log) == DATA and len(asked) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Answer(), Answer(ranges=False)),
        (Answer(data=OTHER), Answer(etag='"two"')),
        (Answer(data=OTHER), Answer(etag='"two"', if_range=False)),
        (Answer(data=OTHER, etag='W/"one"'), Answer(etag='W/"one"')),
        (Answer(data=OTHER, etag=""), Answer(etag="")),
    ],
    ids=["no ranges", "another version", "If-Range is not known", "weak tag", "no tag"],
)
def test_where_the_rest_cannot_be_had_all_of_it_comes_again(tmp_path, log, server, before, after):
    address, script, _ = server
    script += [replace(before, cut=1_000_000), after]
    assert run(address, tmp_path / "out", log) == DATA


def test_what_was_whole_before_a_kill_is_not_fetched_again(tmp_path, log, server, monkeypatch):
    address, _, asked = server
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr("data_cleaning.sources.transport.digest", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        run(address, tmp_path / "out", log)
    (held,) = (tmp_path / "cache" / "incoming").rglob("a.bin")
    assert held.read_bytes() == DATA
    assert run(address, tmp_path / "out", log) == DATA
    assert asked == [None, f"bytes={len(DATA)}-"]


def test_a_damaged_part_of_an_earlier_run_is_thrown_away(tmp_path, log, server):
    address, script, asked = server
    script += [Answer(cut=1_200_000)] + [Answer(code=500)] * faults.TRIES
    with pytest.raises(Unreachable):
        run(address, tmp_path / "out", log)
    (held,) = (tmp_path / "cache" / "incoming").rglob("a.bin")
    held.write_bytes(bytes(held.stat().st_size))
    assert run(address, tmp_path / "out", log) == DATA
    assert asked[-1] is None and asked[-2].startswith("bytes=")


def test_two_who_want_the_same_download_make_one(tmp_path, log, server):
    address, script, asked = server
    script += [Answer(cut=1_000_000, stall=0.3)]
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(run, address, tmp_path / name, log) for name in ("a", "b")]
        assert [done.result() for done in both] == [DATA, DATA]
    assert asked == [None, "bytes=1000000-"]


@pytest.mark.parametrize(("code", "reason"), [(404, "Not Found"), (403, "Forbidden"), (401, "Unauthorized")])
def test_what_a_person_must_mend_is_asked_for_once(tmp_path, log, server, code, reason):
    address, script, asked = server
    script += [Answer(code=code)] * 2
    with pytest.raises(FetchError, match=f"answers {code} {reason}; check the address"):
        run(address, tmp_path / "out", log)
    assert len(asked) == 1
    script.clear()
    with pytest.raises(FetchError, match="is not the one stated"):
        run(address, tmp_path / "out", log, sha256="0" * 64)
    assert len(asked) == 2 and not list((tmp_path / "cache" / "incoming").rglob("a.bin"))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_an_untrusted_certificate_is_told_and_not_tried_again(tmp_path, log):
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as plain, context.wrap_socket(plain, server_side=True) as listening:

        def greet() -> None:
            with pytest.raises(ssl.SSLError):  # the client turns away
                listening.accept()

        threading.Thread(target=greet, daemon=True).start()
        with pytest.raises(FetchError, match="certificate of https:.* is not trusted .*SSL_CERT_FILE"):
            run(f"https://127.0.0.1:{listening.getsockname()[1]}/a.bin", tmp_path / "out", log)
    assert not any("trying again" in line for line in log.lines)
