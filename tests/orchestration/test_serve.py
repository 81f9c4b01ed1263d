"""The servers come up, are announced, and all end when told to, even those that would not."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from orchestration import serve
from orchestration.store import CHECKOUT

# One server that ends when asked, one that refuses, started as a background job: with SIGINT ignored.
PROGRAM = """
import sys
from orchestration import serve

serve.GRACE = 1.0
server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1"]
stubborn = [sys.executable, "-c", "import signal, runpy, sys; signal.signal(15, signal.SIG_IGN); sys.argv = ['x', '--bind', "
            "'127.0.0.1', %r]; runpy.run_module('http.server', run_name='__main__')" % sys.argv[2]]
serve.serve({"one": (f"http://127.0.0.1:{sys.argv[1]}", [*server, sys.argv[1]]),
             "two": (f"http://127.0.0.1:{sys.argv[2]}", stubborn)})
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def in_the_background() -> None:
    """SIGINT ignored as a shell does; the others as from a terminal, whatever these tests run under (nohup, say)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_servers_are_announced_and_all_end(number):
    ports = [free_port(), free_port()]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, ports)], cwd=CHECKOUT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, preexec_fn=in_the_background,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as served:  # fmt: skip
        said = ""
        while "Ctrl-C stops" not in said:
            line = served.stdout.readline()
            assert line, said
            said += line
        assert all(f"http://127.0.0.1:{port}" in said and listens(port) for port in ports)
        served.send_signal(number)
        served.communicate(timeout=30)
    deadline = time.monotonic() + 5
    while any(map(listens, ports)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(listens, ports))


def test_a_server_is_seen_where_a_proxy_is_set_that_does_not_reach_it(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    number = free_port()
    with subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(number)]) as server:
        seen = serve.wait_until_up(f"http://127.0.0.1:{number}", server, seconds=20)
        server.kill()  # it may have inherited that SIGTERM is ignored
    assert seen


def test_a_taken_port_is_named_before_any_work():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "orchestration.serve", "--check"], cwd=CHECKOUT, text=True, capture_output=True,
            env={**os.environ, "CRIA_UI_PORT": str(free_port()), "CRIA_CHAT_PORT": number},
        )  # fmt: skip
    assert done.returncode == 1 and f"port {number} is taken" in done.stderr and "CRIA_CHAT_PORT" in done.stderr


def test_a_port_that_is_none(monkeypatch):
    monkeypatch.setenv("CRIA_UI_PORT", "eighty")
    with pytest.raises(SystemExit, match="no port number"):
        serve.port("CRIA_UI_PORT", 3000)
