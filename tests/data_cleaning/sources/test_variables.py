"""Addresses with secrets from the environment: the request has them, and nothing that is written or told."""

import base64
import hashlib
import http.server
import traceback

import fsspec
import pytest

from data_cleaning.recipes import SourcesRecipe
from data_cleaning.sources import fetch, table, variables
from data_cleaning.sources.errors import FetchError, SourceError, Unreachable
from tests.data_cleaning.raw import source
from tests.data_cleaning.sources.conftest import serving

DATA = b"Llamas are social animals and live with others as a herd."
SHA256 = hashlib.sha256(DATA).hexdigest()
USER, PASSWORD, SIGNATURE = "reader", "p@ss/%40:#?hunter2", "Zm9v/hunter2+bar=="
NAMED = "://${T_USER}:${T_PASSWORD}@"


@pytest.fixture
def server(monkeypatch):
    """(address, requests so far as (host, path, authorization)): gives the data to who has password and signature."""
    for name, value in {"T_USER": USER, "T_PASSWORD": PASSWORD, "T_SIGNATURE": SIGNATURE}.items():
        monkeypatch.setenv(name, value)
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            asked.append((self.headers["Host"], self.path, self.headers["Authorization"]))
            if self.path.startswith("/away"):
                self.send_response(302)
                self.send_header("Location", f"http://localhost:{self.server.server_port}/given?X-Signature=hunter2")
                self.end_headers()
                return
            known = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            allowed = self.headers["Authorization"] == f"Basic {known}" or SIGNATURE in self.path
            if not allowed and not self.path.startswith("/given"):
                self.send_error(403, f"no {self.path}")  # a server that repeats what it was asked
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA)

    with serving(Handler) as address:
        yield address, asked


def run(uri, out, log, sha256=SHA256):
    out.mkdir(exist_ok=True)
    return fetch.run(SourcesRecipe((source("web", uri, sha256=sha256),)), {}, out, log)


def everything_told(folder, log, error=None) -> str:
    files = "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())
    names = " ".join(map(str, folder.rglob("*")))
    raised = "".join(traceback.format_exception(error)) + repr(error) if error else ""
    return "\n".join([files, names, *log.lines, raised])


def holds_a_secret(told: str) -> bool:
    return any(secret in told for secret in ("hunter2", "p@ss", base64.b64encode(USER.encode()).decode()[:6]))


@pytest.mark.parametrize("path", ["/a.txt?sig=${T_SIGNATURE}", "/deep/a.txt?download=1&${T_SIGNATURE}"])
def test_the_request_has_the_secret_and_nothing_else(server, tmp_path, log, path):
    address, asked = server
    run(address + path, tmp_path / "out", log)
    assert asked == [(address.split("//")[1], path.replace("${T_SIGNATURE}", SIGNATURE), None)]
    assert (tmp_path / "out" / "raw" / "web" / "a.txt").read_bytes() == DATA
    assert not holds_a_secret(everything_told(tmp_path, log))


def test_user_and_password_go_to_their_server_alone(server, tmp_path, log):
    address, asked = server
    run(address.replace("://", NAMED) + "/away/a.txt", tmp_path / "out", log)
    (_, _, first), (host, path, second) = asked
    assert base64.b64decode(first.removeprefix("Basic ")).decode() == f"{USER}:{PASSWORD}"
    assert (host.split(":")[0], path, second) == ("localhost", "/given?X-Signature=hunter2", None)
    assert not holds_a_secret(everything_told(tmp_path, log))


@pytest.mark.parametrize("rest", ["/a.txt?sig=${T_SIGNATURE}", "/${T_SIGNATURE}", "/a.txt?${T_SIGNATURE}#b", "/a.txt"])
def test_an_error_names_the_variable_and_not_its_value(server, tmp_path, log, monkeypatch, rest):
    address, _ = server
    monkeypatch.setenv("T_PASSWORD", "wrong-hunter2")
    monkeypatch.setenv("T_SIGNATURE", "wrong-hunter2")
    for uri in (
        address.replace("://", NAMED) + rest,
        "http://127.0.0.1:9" + rest,
        "ftpx://host" + rest,
        "memory://b" + rest,
    ):
        with pytest.raises((FetchError, Unreachable)) as caught:
            run(uri, tmp_path / "out", log)
        assert not holds_a_secret(everything_told(tmp_path, log, caught.value)), uri
        assert "\n" not in str(caught.value)


def test_an_error_of_a_kind_that_nobody_foresaw_tells_no_secret_either(server, tmp_path, log, monkeypatch):
    class Chatty(fsspec.AbstractFileSystem):
        protocol = "chatty"

        def _open(self, path, *_, **__):
            try:
                raise OSError(f"asked for {path}")
            except OSError as error:
                raise LookupError(f"no {path}") from error

    fsspec.register_implementation("chatty", Chatty, clobber=True)
    with pytest.raises(FetchError, match=r"LookupError.*no b/\$\{T_SIGNATURE\}") as caught:
        run("chatty://b/${T_SIGNATURE}", tmp_path / "out", log)
    assert not holds_a_secret(everything_told(tmp_path, log, caught.value))


def test_a_variable_that_is_not_set_is_told_before_any_request(server, tmp_path, log, monkeypatch):
    address, asked = server
    monkeypatch.delenv("T_PASSWORD")
    monkeypatch.setenv("T_SIGNATURE", "")
    recipe = SourcesRecipe((
        source("first", f"{address}/a.txt", sha256=SHA256),
        source("second", address.replace("://", NAMED) + "/a.txt?${T_SIGNATURE}", sha256="1" * 64),
    ))  # fmt: skip
    with pytest.raises(
        FetchError, match="^set T_PASSWORD, T_SIGNATURE in the environment: the addresses of second need"
    ):
        fetch.run(recipe, {}, tmp_path / "out", log)
    assert asked == [] and not (tmp_path / "out").exists()


def test_what_is_in_the_cache_needs_no_secret(server, tmp_path, log, monkeypatch):
    address, asked = server
    uri = f"{address}/a.txt?sig=${{T_SIGNATURE}}"
    run(uri, tmp_path / "out", log)
    monkeypatch.delenv("T_SIGNATURE")
    run(uri, tmp_path / "again", log)
    assert len(asked) == 1


def test_a_new_signature_makes_no_new_recipe(server, tmp_path, monkeypatch):
    entry = '[[source]]\nname = "web"\nuri = "{}"\nlicense = "MIT"\n'
    (tmp_path / "sources.toml").write_text(entry.format("https://host.org/a.txt?sig=${T_SIGNATURE}"))
    before = table.load_sources(tmp_path / "sources.toml")
    monkeypatch.setenv("T_SIGNATURE", "another")
    assert table.load_sources(tmp_path / "sources.toml") == before
    (tmp_path / "sources.toml").write_text(entry.format("https://host.org/a.txt?sig=hunter2"))
    with pytest.raises(SourceError, match="source 'web': its address holds a value of 'sig'") as caught:
        table.load_sources(tmp_path / "sources.toml")
    assert not holds_a_secret(str(caught.value))


def test_values_are_masked_however_they_are_written(monkeypatch):
    monkeypatch.setenv("T", "a b/c")
    text = "no a b/c, a%20b/c, a%20b%2Fc at https://me:pw@host/a%20b/c?sig=1 or s3://b/k?x=2"
    assert variables.masked(text, "https://${T}") == "no ${T}, ${T}, ${T} at https://host/${T} or s3://b/k"
