import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from data_cleaning.sources import faults


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CRIA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CRIA_OPT_IN", raising=False)
    monkeypatch.setattr(faults, "FIRST_WAIT_S", 0.001)


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a web server on this machine."""
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{web.server_port}"
    finally:
        web.shutdown()
        web.server_close()
