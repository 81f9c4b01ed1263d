"""Who may use the chat's server: the users of a file, or whom a proxy names after a login of its own.

CRIA_USERS names a file with a line NAME:HASH for each user, which `python -m release.users NAME` writes. Browsers then ask
for name and password (HTTP Basic, RFC 7617); programs send the same, or `Bearer NAME:PASSWORD` as an API key. Put a proxy
with TLS before a server that other machines reach: passwords are not encrypted on the way.

CRIA_USER_HEADER names the header in which a proxy names the user, after an OIDC login for example. The proxy has to be the
only way to the server, and has to overwrite the header. With neither, everybody who reaches the server may use it.
"""

import argparse
import base64
import binascii
import fcntl
import getpass
import hashlib
import hmac
import os
import re
import secrets
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from data_cleaning.files import write_text
from data_cleaning.paths import CHECKOUT, path_from

FILE, HEADER = "CRIA_USERS", "CRIA_USER_HEADER"
NAME = re.compile(r"[\w.@+-]{1,64}")
LEAST_PASSWORD = 8
MOST_TRIES = 8
SCRYPT = {"n": 1 << 14, "r": 8, "p": 1}  # 16 MB and about 50 ms a try


class TooManyTriesError(Exception):
    """As many passwords are being tried as may be at a time."""


class UsersError(ValueError):
    """The users cannot be read or written; the message is one line and says what to do."""


@dataclass
class Users:
    """The users of a file and of a header; the file is read again when it changes."""

    file: Path | None
    header: str  # "" for none
    _hashes: dict[str, str] = field(default_factory=dict)
    _read_at: int = -1  # modification time of the file, ns
    _tries: int = 0  # that wait or are made
    _known: dict[bytes, tuple[str, str]] = field(default_factory=dict)  # digest of credentials → (name, hash)
    _lock: threading.Lock = field(
        default_factory=threading.Lock
    )  # one try at a time, so that guesses take no more memory

    @classmethod
    def from_environment(cls) -> "Users | None":
        """Returns the users that the environment names, None if it names none. Raises UsersError."""
        header = os.environ.get(HEADER, "").strip()
        file = path_from(FILE, CHECKOUT) if os.environ.get(FILE) else None
        if header and not re.fullmatch(r"[A-Za-z0-9-]+", header):
            raise UsersError(f"{HEADER} is no name of a header: {header!r}")
        users = cls(file, header)
        users._refresh()
        return users if file or header else None

    async def named(self, headers: Headers) -> str | None:
        """Returns the name of the user who sends a request, None for a stranger.

        Credentials that were right before cost nothing. Others take 50 ms each, one after another: raises
        TooManyTriesError if MOST_TRIES wait, so that whoever guesses passwords keeps nobody out who is in.
        """
        given = None if self.header else credentials(headers)
        if given is None:
            return self.name(headers)
        self._refresh()
        if (known := self._seen(given)) is not None:
            return known
        if self._tries >= MOST_TRIES:
            raise TooManyTriesError
        self._tries += 1
        try:
            return await run_in_threadpool(self.name, headers)
        finally:
            self._tries -= 1

    def name(self, headers: Headers) -> str | None:
        """Returns the name of the user who sends a request, None for a stranger. Takes 50 ms for new credentials."""
        if self.header:
            named = headers.getlist(self.header)
            return named[0] if len(named) == 1 and NAME.fullmatch(named[0]) else None
        given = credentials(headers)
        if given is None:
            return None
        with self._lock:
            self._refresh()
            return self._seen(given) or self._verified(given)

    def _seen(self, given: str) -> str | None:
        """Returns the name in NAME:PASSWORD if it was right before and its user is still the same."""
        name, stored = self._known.get(hashlib.sha256(given.encode()).digest(), (None, None))
        return name if name is not None and self._hashes.get(name) == stored else None

    def _verified(self, given: str) -> str | None:
        """Returns the name in NAME:PASSWORD if the password is right."""
        name, _, password = given.partition(":")
        stored, digest = self._hashes.get(name), hashlib.sha256(given.encode()).digest()
        right = matches(password, stored or UNKNOWN)  # as slow for an unknown name
        if stored is None or not right:
            return None
        self._known[digest] = (name, stored)
        return name

    def _refresh(self) -> None:
        if self.file is None:
            return
        try:
            changed = self.file.stat().st_mtime_ns
            if changed != self._read_at:
                self._hashes, self._read_at = read(self.file), changed
                self._known.clear()
        except OSError as error:
            raise UsersError(f"{FILE} names {self.file}, which cannot be read: {error}") from error


def credentials(headers: Headers) -> str | None:
    """Returns the NAME:PASSWORD that a request brings, None if it brings none."""
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return given
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(given, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def hashed(password: str, salt: bytes | None = None) -> str:
    """Returns scrypt$SALT$KEY in hexadecimal digits."""
    salt = secrets.token_bytes(16) if salt is None else salt
    return f"scrypt${salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, dklen=32, **SCRYPT).hex()}"


def matches(password: str, stored: str) -> bool:
    return hmac.compare_digest(hashed(password, bytes.fromhex(stored.split("$")[1])), stored)


UNKNOWN = hashed(secrets.token_hex(16))  # nobody's


def read(file: Path) -> dict[str, str]:
    """Returns name → hash. Raises UsersError for a line of another form."""
    found = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, stored = line.strip().partition(":")
        if not NAME.fullmatch(name) or not re.fullmatch(r"scrypt\$[0-9a-f]{32}\$[0-9a-f]{64}", stored):
            raise UsersError(f"{file}, line {number} is no user: write it with python -m release.users NAME")
        found[name] = stored
    return found


def put(file: Path, name: str, password: str | None) -> None:
    """Writes a user to the file, in the place of one of the same name; with None removes that. Raises UsersError."""
    if not NAME.fullmatch(name):
        raise UsersError(f"{name!r} is no name: up to 64 letters, digits and _ . @ + -")
    if password is not None and len(password) < LEAST_PASSWORD:
        raise UsersError(f"the password has fewer than {LEAST_PASSWORD} characters")
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f".{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        users = read(file) if file.exists() else {}
        if password is None and name not in users:
            raise UsersError(f"{file} has no user {name}")
        kept = {known: stored for known, stored in users.items() if known != name}
        kept |= {} if password is None else {name: hashed(password)}
        write_text(file, "".join(f"{known}:{stored}\n" for known, stored in sorted(kept.items())))
        file.chmod(0o600)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m release.users", description="Users of the chat, in CRIA_USERS.")
    parser.add_argument("name")
    parser.add_argument("--remove", action="store_true", help="the user may no longer log in")
    given = parser.parse_args(arguments)
    try:
        if not os.environ.get(FILE):
            raise UsersError(f"set {FILE} to the file of the users, for example store/users")
        ask = getpass.getpass if sys.stdin.isatty() else lambda _: sys.stdin.readline().rstrip("\n")
        password = None if given.remove else ask(f"Password for {given.name}: ")
        put(path_from(FILE, CHECKOUT), given.name, password)
    except (UsersError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{given.name} {'is removed' if given.remove else 'may log in'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
