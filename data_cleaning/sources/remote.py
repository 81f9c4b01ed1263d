"""Asks remote sources for their present version, which costs one request and no download."""

import os
import re
import subprocess
import sys

from data_cleaning.recipes import Source
from data_cleaning.sources import hub, web
from data_cleaning.sources.addresses import shown
from data_cleaning.sources.errors import FetchError, Unreachable
from data_cleaning.sources.faults import Fault, through_faults
from data_cleaning.sources.local import CHECKOUT
from data_cleaning.sources.variables import Masking, expanded, unset

HUB = re.compile(r"hf://(datasets|models)/([^/]+/[^/@]+)@([^/]+)/(.+)")


def version(source: Source, branch: str, known: str, log) -> str:
    """Returns what the remote calls the present version of a source's file, "" if it does not say.

    It is the ETag or the time of the last change that a web server states, the commit of the `branch` of a hub's
    repository, or what an object store lists for a file. `known` is the last answer. Raises FetchError for what the user
    must correct, Unreachable if the network fails.
    """
    if missing := unset(source.uri):
        raise FetchError(f"{source.name}: set {', '.join(missing)} in the environment: its address needs these secrets")

    def attempt() -> str:
        with Masking(source.uri):
            if source.uri.startswith("hf://"):
                return _of_hub(source, branch)
            address = expanded(source.uri.partition("#")[0])
            if address.startswith(("https://", "http://")):
                return web.version_on_server(address, known)
            return web.version_in_store(address)

    try:
        return through_faults(attempt=attempt, held=lambda: 0, tell=lambda told: log.info(f"{source.name}: {told}"))
    except Fault as fault:
        raise Unreachable(f"{source.name}: cannot reach {shown(source.uri)} ({fault})") from fault


def at(uri: str, version: str) -> str:
    """Returns the address of that version: a hub's names its commit, all others stay as they are."""
    stated = HUB.fullmatch(uri)
    return f"hf://{stated[1]}/{stated[2]}@{version}/{stated[4]}" if stated else uri


def _of_hub(source: Source, branch: str) -> str:
    stated = HUB.fullmatch(source.uri)
    if not stated:
        raise FetchError(f"{source.name}: write hf://datasets/ORG/NAME@REVISION/PATH (or hf://models/…)")
    command = [sys.executable, "-m", "data_cleaning.sources.hub_commit", stated[1], stated[2], branch]
    environment = os.environ | {"HF_HUB_OFFLINE": "0"}
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT, env=environment)
    told = (finished.stderr.splitlines() or ["no message"])[-1]
    if finished.returncode == hub.UNREACHABLE:
        raise Fault(f"the Hugging Face hub: {told}")
    if finished.returncode:
        raise FetchError(f"{source.name}: the branch {branch!r} of {shown(source.uri)}: {told}")
    return finished.stdout.strip()
