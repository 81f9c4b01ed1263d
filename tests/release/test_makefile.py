"""What `make` starts reads the store and the port that the environment names."""

import os
import subprocess
import sys

from tests.conftest import ROOT


def make(target: str, **environment: str) -> subprocess.CompletedProcess:
    """`make target SCALE=tiny` in the environment of the tests, which is not set up again."""
    command = ["make", "-s", "-o", f"{sys.prefix}/.ready", f"VENV={sys.prefix}", target, "SCALE=tiny"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, text=True, capture_output=True)


def test_results_are_of_the_store_that_is_named(store):
    done = make("results", CRIA_STORE=str(store.root))
    assert done.returncode == 0 and "**Bits per byte" in done.stdout, done.stderr


def test_the_chat_opens_the_store_and_the_port_that_are_named(tmp_path):
    done = make("chat", CRIA_STORE=str(tmp_path))
    assert done.returncode and str(tmp_path / "tiny" / "bundle") in done.stderr
    for stated in ("~/store", "$HOME/store"):  # as an env file passes them: through no shell
        done = make("chat", CRIA_STORE=stated, HOME=str(tmp_path))
        assert done.returncode and str(tmp_path / "store" / "tiny" / "bundle") in done.stderr
    done = make("chat", CRIA_STORE=str(tmp_path), CRIA_CHAT_PORT="eighty")
    assert done.returncode and "--port: invalid int value: 'eighty'" in done.stderr
