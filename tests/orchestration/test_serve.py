"""The servers come up, are announced, and all end when told to, even those that would not."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from assets import STAGES
from orchestration import serve
from orchestration.processes import identity
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


# A server, and work that waits for it to be up, leaves a mark and then fails or goes on.
DEMO = """
import sys
from orchestration import serve

serve.GRACE = 5.0
server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", sys.argv[1]]
work = "import socket, sys, time; socket.create_connection(('127.0.0.1', int(sys.argv[1]))); print('working', flush=True); "
serve.serve({"one": (f"http://127.0.0.1:{sys.argv[1]}", server)},
            [sys.executable, "-c", work + sys.argv[2], sys.argv[1]])
"""


def demo(number: int, work: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", DEMO, str(number), work], cwd=CHECKOUT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, preexec_fn=in_the_background, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def read_until(served: subprocess.Popen, words: str) -> str:
    said = ""
    while words not in said:
        line = served.stdout.readline()
        assert line, said
        said += line
    return said


@pytest.mark.parametrize("code, told", [(0, "The graph is complete"), (3, "The graph is NOT complete")])
def test_the_servers_outlive_the_work_and_the_exit_code_is_its_own(code, told):
    number = free_port()
    with demo(number, f"sys.exit({code})") as served:
        said = read_until(served, told)
        assert said.index("Ctrl-C stops") < said.index("working") < said.index(told)
        assert listens(number)
        served.send_signal(signal.SIGINT)
        served.communicate(timeout=30)
    assert served.returncode == code and not listens(number)


def test_work_that_is_stopped_is_not_called_complete():
    number = free_port()
    with demo(number, "import os; print('pid', os.getpid(), flush=True); time.sleep(600)") as served:
        worker = int(read_until(served, "pid").split()[-1])
        served.send_signal(signal.SIGINT)
        rest, _ = served.communicate(timeout=30)
    assert served.returncode == 130 and "complete" not in rest and "the same command continues" in rest
    assert identity(worker) is None


def test_a_taken_port_is_named_before_any_work(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "orchestration.serve", "tiny"], cwd=CHECKOUT, text=True, capture_output=True,
            env={**os.environ, "CRIA_UI_PORT": str(free_port()), "CRIA_CHAT_PORT": number,
                 "DAGSTER_HOME": str(tmp_path / "home")},
        )  # fmt: skip
    assert done.returncode == 1 and f"port {number} is taken" in done.stderr and "CRIA_CHAT_PORT" in done.stderr
    assert not (tmp_path / "home").exists()


def test_an_unknown_scale_is_named_before_anything_is_served(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.serve", "huge"], cwd=CHECKOUT, text=True, capture_output=True,
        env={**os.environ, "CRIA_UI_PORT": str(free_port()), "CRIA_CHAT_PORT": str(free_port()),
             "DAGSTER_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert done.returncode == 1 and "huge" in done.stderr and "tiny" in done.stderr
    assert "Traceback" not in done.stderr and "http://" not in done.stdout


def test_the_chat_lists_every_version_of_the_graph_in_training_order():
    command = serve.chat_command("tiny", 7860)
    listed = [entry.split("=") for entry in command[command.index("--versions") + 1 :]]
    assert ["base_model", "Base"] in listed
    names = list(dict.fromkeys(name for _, name in listed))
    assert names == ["Base", "SFT", *(f"RLHF-v{number}" for number in range(1, 6)), "PPO", "Chat"]
    assert {asset for asset, _ in listed} <= set(STAGES)


def test_a_port_that_is_none(monkeypatch):
    monkeypatch.setenv("CRIA_UI_PORT", "eighty")
    with pytest.raises(SystemExit, match="no port number"):
        serve.port("CRIA_UI_PORT", 3000)
