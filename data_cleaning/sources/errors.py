"""Errors of sources: an entry that the user must correct, or a network failure that may pass."""

import errno

from data_cleaning.recipes import Source
from data_cleaning.sources.addresses import shown

FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


class SourceError(ValueError):
    """An entry of sources.toml is unusable; the message is one line and says what to do."""


class FetchError(SourceError):
    """A source cannot be fetched from its address, and a retry would not help."""


class Unreachable(ConnectionError):
    """The network failed several times in a row. The entry is correct, and the next run continues the download."""


def wrong_sha256(source: Source, got: str) -> FetchError:
    return FetchError(
        f"{source.name}: sha256 of {shown(source.uri)} is not the one stated; expected {source.sha256}, got {got}. If you "
        f'trust the new content, write sha256 = "{got}" in its entry of the sources file; otherwise find out who changed it'
    )
