"""Downloads from package and model registries by their own clients, each in a process of its own."""

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from data_cleaning.files import sha256_of
from data_cleaning.recipes import Source
from data_cleaning.sources import hub
from data_cleaning.sources.addresses import shown
from data_cleaning.sources.errors import FetchError, wrong_sha256
from data_cleaning.sources.faults import Fault

CHECKOUT = Path(__file__).resolve().parents[2]
# pip's messages for a failure of the network or a temporary one of the registry, as opposed to a missing package. pip
# calls a truncated wheel "invalid".
FAILED = re.compile(
    r"Failed to establish a new connection|name resolution|Name or service not known|Network is unreachable|"
    r"Cannot connect to proxy|Connection refused|Connection reset|ConnectTimeout|Read timed out|"
    r"Max retries exceeded|connection broken|nodename nor servname|IncompleteRead|429 Client Error|5\d\d Server Error|"
    r"Wheel .* is invalid",
    re.IGNORECASE,
)
UNTRUSTED = re.compile(r"problem confirming the ssl certificate|CERTIFICATE_VERIFY_FAILED", re.IGNORECASE)
REFUSED = re.compile(r"Could not fetch URL \S+: (40[13] Client Error: [\w ]+?) for url")


def from_pip(source: Source, requirement: str, folder: Path, log) -> Path:
    """Downloads the archive of a package to `folder`, a wheel if there is one. Raises Fault if a retry may help.

    Accepts a source archive only with its hash stated, because pip runs its code to read its name.
    """
    into = folder / "pip"
    shutil.rmtree(into, ignore_errors=True)
    told = _pip_download(["--only-binary", ":all:", requirement], into / "wheel")
    wheel = next((into / "wheel").iterdir()) if told is None else None
    if wheel and source.sha256 in ("", sha256_of(wheel)):
        return wheel
    if source.sha256 and not FAILED.search(told or ""):
        pinned = folder / "requirement.txt"
        pinned.write_text(f"{requirement} --hash=sha256:{source.sha256}\n")
        # Only this package: what its build needs may come as wheels.
        arguments = ["--no-binary", requirement.partition("==")[0], "--require-hashes", "-r", str(pinned)]
        told = _pip_download(arguments, into / "source")
        if told is None:
            return next((into / "source").iterdir())
    if wheel and not FAILED.search(told):
        return wheel  # the caller states its hash beside the expected one
    if UNTRUSTED.search(told):
        raise FetchError(
            f"{source.name}: pip does not trust the certificate of the package registry; if it is signed by an authority of "
            "your own, name that in PIP_CERT"
        )
    if FAILED.search(told):
        raise Fault("pip could not connect to the package registry")
    if "No space left" in told:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))
    if got := re.search(r"^\s*Got\s+([0-9a-f]{64})", told, re.MULTILINE):
        raise wrong_sha256(source, got.group(1))
    lines = [line.removeprefix("ERROR: ") for line in told.splitlines() if line.startswith("ERROR")] or ["no message"]
    refused = REFUSED.search(told)
    why = f"the registry answers {refused[1]}" if refused else lines[-1]
    hint = "" if source.sha256 else " (as a wheel; a source archive is only taken with its sha256 stated)"
    raise FetchError(f"{source.name}: pip cannot download {requirement}: {why}{hint}")


def _pip_download(arguments: list[str], folder: Path) -> str | None:
    """Returns None on success, else pip's output: only its debug output says why an index could not be read."""
    command = [sys.executable, "-m", "pip", "download", "-vv", "--progress-bar", "off", "--no-input", "--no-deps"]
    command += ["--no-cache-dir", "--retries", "1", "--disable-pip-version-check", "--dest", str(folder), *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    return finished.stdout + finished.stderr if finished.returncode else None


def from_hub(source: Source, address: str, folder: Path, log) -> Path:
    """Downloads one file, a folder (trailing slash) or a glob from a Hugging Face repository at a stated revision."""
    stated = re.fullmatch(r"(datasets|models)/([^/]+/[^/@]+)@([^/]+)/(.+)", address)
    if not stated:
        raise FetchError(f"{source.name}: write hf://datasets/ORG/NAME@REVISION/PATH (or hf://models/…)")
    path, into = stated.groups()[-1], folder.resolve() / "files"
    command = [sys.executable, "-m", "data_cleaning.sources.hub", *stated.groups(), str(into)]
    environment = os.environ | {"HF_HUB_OFFLINE": "0"}
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT, env=environment)
    told = (finished.stderr.splitlines() or ["no message"])[-1]
    if finished.returncode == hub.UNREACHABLE:
        raise Fault(f"the Hugging Face hub: {told}")
    if "No space left" in finished.stderr:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))
    if finished.returncode:
        raise FetchError(f"{source.name}: {shown(source.uri)}: {told}")
    shutil.rmtree(into / ".cache", ignore_errors=True)
    return into if hub.several(path) else into / path
