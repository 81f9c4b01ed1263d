"""Downloads from web servers and object stores; each try continues where the previous one stopped.

And asks them for the version of a file. Where that fails in a way that a retry does not help, no version is known: the
download that the caller then tries meets the same failure and says what to do.
"""

import base64
import email.utils
import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit, urlunsplit

from data_cleaning.recipes import Source
from data_cleaning.sources.addresses import shown
from data_cleaning.sources.errors import FULL_DISK, FetchError
from data_cleaning.sources.faults import BUSY, Fault

MAX_DOWNLOAD_BYTES = 1 << 38  # limit for a server that never stops sending
TIMEOUT_S = 60
CHUNK_BYTES = 1 << 16  # the most that a broken connection loses
TAG = "ETag: "
STORE_FACTS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "created")


def from_server(source: Source, address: str, folder: Path, log) -> Path:
    """Downloads the file at an http(s) address to `folder` and returns its path.

    A file beside it holds the server's name of its version: the rest is requested only of the same version. Raises
    Fault if a retry may help, else FetchError.
    """
    target, note = folder / _file_name(source), folder / ".version"
    version = note.read_text() if note.exists() else ""
    held = target.stat().st_size if target.exists() and version else 0
    headers = {"Range": f"bytes={held}-", "If-Range": version} if held else {}
    try:
        with urllib.request.urlopen(_request(address, headers), timeout=TIMEOUT_S) as reply:
            begin = held if reply.status == 206 else 0
            part = reply.headers.get("Content-Range", "")
            if begin and not (part.startswith(f"bytes {begin}-") and _version(reply.headers) in ("", version)):
                note.unlink()
                raise Fault("another part came than was asked for")
            if not begin:
                note.write_text(_version(reply.headers))
            stated = reply.headers.get("Content-Length")
            size = begin + int(stated) if stated else None
            got = _write(source, reply, target, begin, size, log)
    except urllib.error.HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{held}":
            return target  # it was complete
        if error.code == 416:
            note.unlink(missing_ok=True)
            raise Fault("it is shorter now than what is here of it") from error
        if error.code in BUSY:
            raise Fault(f"it answers {error.code} {error.reason}", _asked_wait_s(error.headers)) from error
        raise FetchError(
            f"{source.name}: {shown(source.uri)} answers {error.code} {error.reason}; check the address"
        ) from error
    except http.client.InvalidURL:
        # Not chained: the error repeats the invalid part of the address, which may be a password.
        raise FetchError(f"{source.name}: {shown(source.uri)} cannot be asked for; write blanks in it as %20") from None
    except (TimeoutError, urllib.error.URLError, ConnectionError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise FetchError(
                f"{source.name}: the certificate of {shown(source.uri)} is not trusted ({reason.verify_message}); if it is "
                "signed by an authority of your own, name that in SSL_CERT_FILE"
            ) from error
        raise Fault(str(reason) or type(error).__name__) from error
    if size not in (None, got):
        raise Fault(f"it was cut off at {got:,} of {size:,} bytes")
    return target


def from_store(source: Source, address: str, folder: Path, log) -> Path:
    """Downloads the file at an address of another scheme through fsspec. Returns and raises as `from_server` does."""
    target = folder / _file_name(source)
    # Stores name no version, so a partial download continues only if a digest will verify it.
    held = target.stat().st_size if target.exists() and source.sha256 else 0
    try:
        import fsspec

        with fsspec.open(address, "rb") as stream:
            stream.seek(held)
            _write(source, stream, target, held, None, log)
    # Not chained and not repeated: these errors contain the address, and its secrets, in many forms.
    except (ImportError, ValueError) as error:  # unknown scheme, or its package is not installed
        told = str(error).splitlines()[0].replace(address, shown(source.uri))
        raise FetchError(f"{source.name}: {shown(source.uri)} cannot be opened: {told}") from None
    except OSError as error:
        if error.errno in FULL_DISK:
            raise
        told = type(error).__name__
        if isinstance(error, FileNotFoundError | PermissionError):
            raise FetchError(f"{source.name}: {shown(source.uri)} cannot be opened: {told}") from None
        raise Fault(told) from None
    return target


def version_on_server(address: str, known: str) -> str:
    """Returns the ETag of the file at an http(s) address, else its time of change, else "". Raises Fault if a retry may help.

    Sends a GET and reads no further than its headers, as signed addresses and some servers refuse HEAD. `known` is the
    last answer.
    """
    headers = {"If-None-Match": known.removeprefix(TAG)} if known.startswith(TAG) else {}
    try:
        with urllib.request.urlopen(_request(address, headers), timeout=TIMEOUT_S) as reply:
            tag = reply.headers.get("ETag", "")
            return TAG + tag if tag else reply.headers.get("Last-Modified", "")
    except urllib.error.HTTPError as error:
        if error.code == 304:
            return known
        if error.code in BUSY:
            raise Fault(f"it answers {error.code} {error.reason}", _asked_wait_s(error.headers)) from error
    except http.client.InvalidURL:
        pass
    except (TimeoutError, urllib.error.URLError, ConnectionError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if not isinstance(reason, ssl.SSLCertVerificationError):
            raise Fault(str(reason) or type(error).__name__) from error
    return ""


def version_in_store(address: str) -> str:
    """Returns what fsspec says of the file at an address: its size with its ETag or time of change, or "".

    Raises Fault if a retry may help.
    """
    try:
        import fsspec

        # A store's client remembers what it listed, so each question gets a new one.
        system, path = fsspec.core.url_to_fs(address, skip_instance_cache=True)
        facts = system.info(path)
    except (ImportError, ValueError, FileNotFoundError, PermissionError, NotImplementedError):
        return ""
    except OSError as error:
        raise Fault(type(error).__name__) from None  # its text contains the address, and its secrets
    stated = {name: str(facts[name]) for name in STORE_FACTS if facts.get(name)}
    return json.dumps({"size": facts.get("size"), **stated}) if stated else ""


def _version(headers) -> str:
    """Returns the version of a response's file: its strong ETag, else Last-Modified, else ""."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _asked_wait_s(headers) -> float:
    """Returns the seconds that Retry-After states, as a number or a date; 0 without it."""
    asked = headers.get("Retry-After", "")
    if asked.strip().isdigit():
        return float(asked)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(asked).timestamp() - time.time())
    except ValueError:
        return 0.0


def _request(address: str, headers: dict[str, str]) -> urllib.request.Request:
    """Returns the request for an address; redirects do not pass on its user and password."""
    parts = urlsplit(address)
    user, mark, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)), headers=headers)
    if mark:
        given = base64.b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {given}")
    return request


def _file_name(source: Source) -> str:
    """Returns the last part of the decoded path: an encoded slash separates too, so no name leaves its folder."""
    name = PurePosixPath(unquote(urlsplit(source.uri.partition("#")[0]).path)).name
    if name in ("", ".", "..") or "\0" in name:
        raise FetchError(f"{source.name}: {shown(source.uri)} names no file: its path must end in the name of one")
    return name


def _write(source: Source, stream, target: Path, begin: int, size: int | None, log) -> int:
    """Writes the stream to the file from byte `begin` on; returns the end. `size` is for progress reports only."""
    place = begin
    with open(target, "ab" if begin else "wb") as file:
        while chunk := stream.read(CHUNK_BYTES):
            place += len(chunk)
            if place > MAX_DOWNLOAD_BYTES:
                raise FetchError(
                    f"{source.name}: {shown(source.uri)} sends more than {MAX_DOWNLOAD_BYTES:,} bytes, stopped"
                )
            file.write(chunk)
            if size:
                log.progress(place, size, unit="byte")
    return place
