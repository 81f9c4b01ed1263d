"""Secrets of addresses: environment variables ${NAME}. Only requests contain their values, no messages or records."""

import os
import re
from collections.abc import Iterator
from urllib.parse import quote

from data_cleaning.sources.addresses import USER, VARIABLE, shown
from data_cleaning.sources.errors import FetchError
from data_cleaning.sources.faults import Fault

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")


def unset(uri: str) -> list[str]:
    """Returns the variables that an address names and the environment lacks."""
    return [name for name in VARIABLE.findall(uri) if not os.environ.get(name)]


def expanded(uri: str) -> str:
    """Returns the address with the values of its variables. Raises KeyError if one is not set.

    Percent-encodes user and password, which may contain any character; inserts other values unchanged.
    """
    named = USER.sub(lambda user: VARIABLE.sub(lambda variable: quote(os.environ[variable[1]], safe=""), user[0]), uri)
    return VARIABLE.sub(lambda variable: os.environ[variable[1]], named)


def masked(text: str, uri: str) -> str:
    """Returns a message with the values of variables in `uri` replaced by their names, and all addresses `shown`."""
    for name in VARIABLE.findall(uri):
        value = os.environ.get(name, "")
        for written in {value, quote(value), quote(value, safe="")} - {""}:
            text = text.replace(written, f"${{{name}}}")
    return ADDRESS.sub(lambda address: shown(address[0]), text)


class Masking:
    """Removes the secrets of `uri` from exceptions raised inside, and from their causes, which tracebacks show too."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or all(masked(told, self.uri) == told for told in _told_by(error)):
            return
        if not isinstance(error, Fault | FetchError):
            raise FetchError(masked(f"{type(error).__name__}: {error}", self.uri)) from None
        error.args = (masked(str(error), self.uri),)
        error.__cause__ = error.__context__ = None


def _told_by(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield f"{error} {error!r}"
        error = error.__cause__ or error.__context__
