"""The real server process, as a browser, another page, a stranger's request and a company's proxy settings meet it."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from gradio_client import Client

from release import http_guard
from release.gallery import Gallery
from release.http_guard import Guard
from tests.conftest import ROOT
from tests.release.conftest import free_port, served

STRANGERS = "evil.example"


@dataclass(frozen=True)
class Server:
    port: int
    scratch: Path  # all that it may write to

    def ask(self, method: str, path: str, body=None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; a status of 0 where the server hung up on what was sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {"Host": f"127.0.0.1:{self.port}"} | headers)
        except ConnectionError:
            return 0, {}, b""
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def join(self, **event) -> int:
        return self.ask("POST", "/gradio_api/queue/join", json.dumps(event), **{"Content-Type": "application/json"})[0]


@pytest.fixture(scope="module")
def server(bundle, tmp_path_factory):
    """Started where a proxy is named that does not answer, as `make chat` is in a company's network."""
    scratch, port = tmp_path_factory.mktemp("scratch"), free_port()
    closed = f"http://127.0.0.1:{free_port()}"
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), closed)
    named = {"TMPDIR": str(scratch), "CRIA_CHAT_HOSTS": "chat.example.org, Other.example"}
    command = [sys.executable, "-m", "release.demo", "--bundle", str(bundle), "--port", str(port)]
    with open(scratch / "said", "w") as said:
        process = subprocess.Popen(command, cwd=ROOT, env=kept | proxies | named, stdout=said, stderr=said)
    found, deadline = Server(port, scratch), time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None and not is_up(found):
        time.sleep(0.3)
    yield found
    process.terminate()
    process.wait(timeout=20)


def is_up(server: Server) -> bool:
    try:
        return server.ask("GET", "/")[0] == 200
    except OSError:
        return False


def test_a_proxy_that_is_set_does_not_stop_the_chat(server):
    assert is_up(server), (server.scratch / "said").read_text()
    client = Client(f"http://127.0.0.1:{server.port}", verbose=False)
    job = client.submit("Hi", "chat_model", "", 0, 1, 5, api_name="/chat")
    assert len(job.result(timeout=60)[0]) == 2


def test_an_upload_is_refused_and_nothing_is_written(server):
    boundary = "frontier"
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="big.bin"\r\n\r\n'.encode()
    whole = part + bytes(64 << 20) + f"\r\n--{boundary}--\r\n".encode()
    form = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert server.ask("POST", "/gradio_api/upload", whole, **form)[0] in (404, 0)
    assert server.ask("POST", "/gradio_api/upload", part + f"x\r\n--{boundary}--\r\n".encode(), **form)[0] == 404
    assert sum(path.stat().st_size for path in server.scratch.rglob("*") if path.is_file()) < 1 << 20


def test_large_requests_are_refused_however_their_size_is_stated(server):
    assert server.join(data=["x" * (1 << 20)], fn_index=0, session_hash="a") == 413
    chunks = (b"x" * 65536 for _ in range(32))
    assert server.ask("POST", "/gradio_api/queue/join", chunks, **{"Content-Type": "application/json"})[0] == 413


@pytest.mark.parametrize("host", [
    STRANGERS, "127.0.0.1.nip.io:{port}", "localhost.evil.example", "evil.example@127.0.0.1", "10.0.0.8:{port}", "[fe80::1]", "",
])  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/theme.css"])
def test_a_foreign_name_of_this_machine_learns_nothing(server, host, path):
    host = host.format(port=server.port)
    status, headers, body = server.ask("GET", path, Host=host, Origin=f"http://{host}")
    assert status == 400 and "access-control-allow-origin" not in headers
    assert b"CRIA_CHAT_HOSTS" in body and len(body) < 300


@pytest.mark.parametrize("host", [
    "127.0.0.1:{port}", "localhost:{port}", "LOCALHOST", "[::1]:{port}", "localhost:9000", "chat.example.org", "other.example:81",
])  # fmt: skip
def test_names_of_this_machine_and_those_that_are_configured_are_served(server, host):
    host = host.format(port=server.port)
    assert server.ask("GET", "/config", Host=host)[0] == 200
    assert server.ask("GET", "/config", Host=host, Origin=f"http://{host}")[0] == 200
    assert server.ask("GET", "/config", Host=host, Origin="https://chat.example.org")[0] == 200, "behind a proxy"


@pytest.mark.parametrize("origin", [f"https://{STRANGERS}", "http://localhost:1", "null", "file://"])
def test_a_page_of_another_server_can_neither_read_nor_write(server, origin):
    asked = {"Access-Control-Request-Method": "POST", "Origin": origin}
    for method, path in (("GET", "/config"), ("POST", "/gradio_api/queue/join"), ("OPTIONS", "/gradio_api/queue/join")):
        status, headers, _ = server.ask(method, path, **asked)
        assert status == 403 and "access-control-allow-origin" not in headers


def test_no_input_is_taken_for_a_file(server):
    file = {"path": "http://127.0.0.1:9/x", "meta": {"_type": "gradio.FileData"}}
    for data in ([file], [[file]], {"0": file}):
        assert server.join(data=data, fn_index=0, session_hash="a") == 400
    assert server.ask("POST", "/gradio_api/queue/join", b"[" * 100_000)[0] == 400


def test_the_api_is_open_to_programs_and_to_pages_of_this_server_only(server):
    local, asked = f"http://127.0.0.1:{server.port}", json.dumps({"messages": [{"role": "user", "content": [{}]}]})
    for method, path, body, status in (("GET", "/v1/models", None, 200), ("GET", "/v1/models/chat_model", None, 200),
                                       ("POST", "/v1/chat/completions", asked, 400)):  # fmt: skip
        assert server.ask(method, path, body)[0] == server.ask(method, path, body, Origin=local)[0] == status
        assert server.ask(method, path, body, Origin=f"https://{STRANGERS}")[0] == 403
        status, _, told = server.ask(method, path, body, Host=STRANGERS)
        assert status == 400 and "CRIA_CHAT_HOSTS" in json.loads(told)["error"]["message"]


def test_large_requests_to_the_api_are_refused_in_its_own_form(server):
    status, _, told = server.ask("POST", "/v1/chat/completions", b" " * ((1 << 20) + 1))
    assert status == 413 and json.loads(told)["error"]["type"] == "invalid_request_error"


def test_a_page_of_another_server_cannot_frame_the_chat(server):
    for path in ("/", "/v1/models", "/shared/x"):
        assert "frame-ancestors 'self'" in server.ask("GET", path)[1]["content-security-policy"]


def test_a_request_that_comes_too_slowly_ends(bundle, monkeypatch):
    monkeypatch.setattr(http_guard, "BODY_S", 0.3)
    with served(Gallery(bundle)) as address:
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
            slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            assert slow.recv(100).startswith(b"HTTP/1.1 408 ")


FILES = (
    "/etc/passwd",
    "README.md",
    str(ROOT / "README.md"),
    "http://127.0.0.1:9/x",
    "{bundle}/config.json",
    "{scratch}/said",
)


@pytest.mark.parametrize("file", FILES)
def test_no_file_is_served(server, bundle, file):
    file = file.format(bundle=bundle, scratch=server.scratch)
    for route in ("/gradio_api/file={}", "/gradio_api/file/{}", "/gradio_api/proxy={}", "/file={}"):
        assert server.ask("GET", route.format(file))[0] == 404
    for route in (
        "/assets/../../../../../../..{}",
        "/assets/%2e%2e/%2e%2e/..{}",
        "/static/..%2f..%2f..{}",
        "/assets/{}",
    ):
        status, _, body = server.ask("GET", route.format(file if file.startswith("/") else f"/{file}"))
        assert status in (400, 403, 404) and len(body) < 200


@pytest.mark.parametrize("method, path", [
    ("POST", "/gradio_api/component_server"), ("POST", "/gradio_api/process_recording"), ("POST", "/gradio_api/vibe-edit"),
    ("POST", "/gradio_api/api/chat"), ("POST", "/gradio_api/call/chat"), ("POST", "/login"), ("PUT", "/config"),
    ("GET", "/gradio_api/deep_link?session_hash=a"), ("GET", "/gradio_api/dev/reload"), ("GET", "/monitoring"),
    ("GET", "/gradio_api/upload_progress?upload_id=a"), ("GET", "/docs"), ("GET", "/openapi.json"),
    ("GET", "/v1/chat/completions"), ("POST", "/v1/models"), ("POST", "/v1/completions"), ("POST", "/v1/chat/completions/"),
    ("GET", "/v1/models/a/b"), ("DELETE", "/v1/models/chat_model"),
])  # fmt: skip
def test_what_the_page_does_not_use_is_not_there(server, method, path):
    assert server.ask(method, path)[0] == 404


def test_the_corpus_report_that_the_card_links_is_served_and_nothing_beside_it(server, bundle):
    status, headers, body = server.ask("GET", "/corpus/base.html")
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert body == (bundle / "corpus" / "base.html").read_bytes()
    for name in ("other.html", "base", "..%2FLINEAGE.json", "%2e%2e/MODEL_CARD.md", ".."):
        assert server.ask("GET", f"/corpus/{name}")[0] == 404


def test_there_are_no_websockets(server):
    asked = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "A" * 22 + "==",
    }
    assert server.ask("GET", "/gradio_api/queue/join", **asked)[0] == 404


def test_where_other_machines_are_let_in_the_page_opens_by_address_and_by_the_names_that_are_given():
    everywhere = Guard(None, "0.0.0.0")
    assert all(map(everywhere.serves, ("192.168.1.5", "10.0.0.8", "fe80::1", "127.0.0.1", "localhost")))
    assert not any(map(everywhere.serves, (STRANGERS, "192.168.1.5.nip.io", "")))
    assert Guard(None, "chat.lan").serves("chat.lan") and not Guard(None, "127.0.0.1").serves("192.168.1.5")
