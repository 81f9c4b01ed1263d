"""What can go wrong with a source: an entry that a person must mend, or a network that may work the next time."""

import errno

from data_cleaning.recipes import Source
from data_cleaning.sources.addresses import shown

FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


class SourceError(ValueError):
    """An entry of sources.toml that cannot be used as it stands; the message is one line and says what to do."""


class FetchError(SourceError):
    """A source could not be had from where its entry says, and asking again changes nothing."""


class Unreachable(ConnectionError):
    """The network failed, several times in a row. The next run continues the download; nothing in the entry is wrong."""


def wrong_sha256(source: Source, got: str) -> FetchError:
    return FetchError(
        f"{source.name}: sha256 of {shown(source.uri)} is not the one stated; expected {source.sha256}, got {got}. If you "
        f'trust the new content, write sha256 = "{got}" in its entry of the sources file; otherwise find out who changed it'
    )
