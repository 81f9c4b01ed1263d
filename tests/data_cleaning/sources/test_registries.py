"""Archives of package registries, through pip: a registry of files, and one that fails as registries do."""

import dataclasses
import http.server
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from data_cleaning.sources import faults
from data_cleaning.sources.errors import FetchError, Unreachable
from tests.data_cleaning.raw import source
from tests.data_cleaning.sources.conftest import serving
from tests.data_cleaning.sources.test_fetch import run, sha256


def wheel(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "criatoy-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("criatoy/data.txt", "from a wheel")
        archive.writestr("criatoy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: criatoy\nVersion: 1.0\n")
        archive.writestr(
            "criatoy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("criatoy-1.0.dist-info/RECORD", "")
    return (folder / "criatoy-1.0-py3-none-any.whl").read_bytes()


def test_pip_downloads_a_wheel_and_the_second_run_needs_no_registry(tmp_path, log, monkeypatch):
    (tmp_path / "registry").mkdir()
    digest = sha256(wheel(tmp_path / "registry"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "registry"))
    toy = source("toy", "pip://criatoy==1.0/criatoy/data.txt", sha256=digest)
    run([toy], tmp_path / "out", log)
    assert (tmp_path / "out" / "raw" / "toy" / "data.txt").read_text() == "from a wheel"
    (entry,) = json.loads((tmp_path / "out" / "sources.json").read_text())
    assert (entry["sha256"], entry["bytes"]) == (digest, 12)
    with pytest.raises(FetchError, match=f"expected {'0' * 64}, got {digest}"):
        run([dataclasses.replace(toy, sha256="0" * 64)], tmp_path / "wrong", log)
    with pytest.raises(FetchError, match="pip cannot download criatoy==2.0: No matching distribution"):
        run([dataclasses.replace(toy, uri="pip://criatoy==2.0/x", sha256="1" * 64)], tmp_path / "wrong", log)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    run([toy], tmp_path / "second", log)
    assert (tmp_path / "second" / "raw" / "toy" / "data.txt").read_text() == "from a wheel"


def test_a_source_archive_is_only_taken_by_its_hash(tmp_path, log, monkeypatch):
    """pip runs a source archive's build backend to learn its name: this one leaves a trace when it is run."""
    (tmp_path / "registry").mkdir()
    trace = tmp_path / "it-ran"
    backend = f"""
import os
def prepare_metadata_for_build_wheel(folder, settings=None):
    open({str(trace)!r}, "w").close()
    os.makedirs(folder + "/criatoy-1.0.dist-info")
    open(folder + "/criatoy-1.0.dist-info/METADATA", "w").write("Metadata-Version: 2.1\\nName: criatoy\\nVersion: 1.0\\n")
    return "criatoy-1.0.dist-info"
def build_wheel(*arguments):
    raise SystemExit(1)
"""
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {"pyproject.toml": project + '[project]\nname = "criatoy"\nversion = "1.0"\n', "backend.py": backend}
    files |= {"data.txt": "from source", "PKG-INFO": "Metadata-Version: 2.1\nName: criatoy\nVersion: 1.0\n"}
    with tarfile.open(tmp_path / "registry" / "criatoy-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"criatoy-1.0/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    digest = sha256((tmp_path / "registry" / "criatoy-1.0.tar.gz").read_bytes())
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "registry"))
    toy = source("toy", "pip://criatoy==1.0/criatoy-1.0/data.txt")
    with pytest.raises(FetchError, match="a source archive is only taken with its sha256 stated"):
        run([toy], tmp_path / "out", log)
    with pytest.raises(FetchError, match=f"expected {'0' * 64}, got {digest}"):
        run([dataclasses.replace(toy, sha256="0" * 64)], tmp_path / "out", log)
    assert not trace.exists(), "code of an archive that nobody vouched for was run"
    run([dataclasses.replace(toy, sha256=digest)], tmp_path / "out", log)
    assert (tmp_path / "out" / "raw" / "toy" / "data.txt").read_text() == "from source"
    # Beside a wheel, the stated hash decides which of the two is taken.
    content = wheel(tmp_path / "registry")
    monkeypatch.setenv("CRIA_CACHE", str(tmp_path / "fresh cache"))
    run([dataclasses.replace(toy, sha256=digest)], tmp_path / "again", log)
    assert (tmp_path / "again" / "raw" / "toy" / "data.txt").read_text() == "from source"
    with pytest.raises(FetchError, match=f"expected {'1' * 64}, got {sha256(content)}"):
        run([dataclasses.replace(toy, sha256="1" * 64)], tmp_path / "third", log)


def answering(code: int, *, cut: bool = False) -> type[http.server.BaseHTTPRequestHandler]:
    """A package index that answers so; 200 lists a wheel, which is cut off if told so."""

    class Index(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

        def do_GET(self) -> None:
            name = "criatoy-1.0-py3-none-any.whl"
            body = (
                f'<!DOCTYPE html><html><body><a href="/{name}">{name}</a></body></html>'.encode()
                if code == 200
                else b""
            )
            self.send_response(code)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(1000 if cut and self.path.endswith(name) else len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Index


@pytest.fixture
def two_tries(monkeypatch):
    """pip takes a second or two to start: two tries show that it is tried again."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(faults, "TRIES", 2)


TOY = source("toy", "pip://criatoy==1.0/x", sha256="0" * 64)


def test_no_network_for_pip_says_so(tmp_path, log, monkeypatch, two_tries):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(Unreachable, match=r"cannot reach pip://criatoy==1.0/x \(pip could not connect"):
        run([TOY], tmp_path / "out", log)
    assert sum("trying again" in line for line in log.lines) == 1


@pytest.mark.parametrize("index", [answering(503), answering(429), answering(200, cut=True)], ids=["503", "429", "cut"])
def test_a_registry_that_fails_is_no_missing_version(tmp_path, log, monkeypatch, two_tries, index):
    with serving(index) as address:
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
        with pytest.raises(Unreachable, match="pip could not connect to the package registry"):
            run([TOY], tmp_path / "out", log)
    assert sum("trying again" in line for line in log.lines) == 1


@pytest.mark.parametrize(
    ("code", "why"), [(404, "No matching distribution"), (401, "the registry answers 401 Client Error: Unauthorized")]
)
def test_a_registry_that_refuses_is_asked_once(tmp_path, log, monkeypatch, two_tries, code, why):
    with serving(answering(code)) as address:
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
        with pytest.raises(FetchError, match=f"pip cannot download criatoy==1.0: {why}"):
            run([TOY], tmp_path / "out", log)
    assert not any("trying again" in line for line in log.lines)
