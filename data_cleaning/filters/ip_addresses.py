"""Public IP addresses in a text, told from versions and section numbers."""

import ipaddress
import re
from collections.abc import Iterator

from data_cleaning.filters.scripts import WORD

HINT = r"\d\.\d{1,3}\.\d{1,3}\.\d|[0-9A-Fa-f]::|(?:[0-9A-Fa-f]{1,4}:){7}"  # in every address (RE2)
SMALL = 32  # an IPv4 address whose four parts are below this looks like a section or version number
NEAR = 40  # characters of context around an address
ADDRESSED = re.compile(
    r"\b(?:ip(?:v4)?s?|add?resse?s?|hosts?|hostname|dns|nameservers?|resolvers?|ping|traceroute|whois)\b|://$"
)
_V4 = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_QUAD, _LINK = rf"((?:{_V4}\.){{3}}{_V4})", r"\W{1,3}(?:(?:and|or|then|to|via)\s)?"
_LISTED_BEFORE, _LISTED_AFTER = re.compile(rf"(?<![\w.]){_QUAD}{_LINK}$"), re.compile(rf"{_LINK}{_QUAD}(?!\w|\.\d)")
# Before a number, or a list of them: `AssemblyVersion("5.131.0.38")`, `<version>17.10.43.6`, "EC 3.4.21.36" (an enzyme)
VERSION = re.compile(
    r"(?:\bv|versions?|release|sections?|chapters?|clauses?|abschnitt|\barticles?|\bart|\bfig|\beq|software|\brev(?:ision)?|build|firmware"
    r"|driver|\bjava|\bj[rd][ek]|\bphp|\bec|§|верси[яи]|版本|バージョン)[ .:=\"'(>]*"
    rf"(?:{_QUAD}{_LINK})*$"
)
ADDRESS = re.compile(
    rf"(?<![\d.:-])(?<!{WORD})(?:{_V4}\.){{3}}{_V4}(?!{WORD}|[\d-]|\.\d)"
    r"|(?<![\w.:])(?:(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}"
    r"|(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6}|(?:[0-9A-Fa-f]{1,4}:){1,7}:)(?![\w:])"
)


def ip_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yields (start, end) of every public IP address."""
    return (match.span() for match in ADDRESS.finditer(text) if is_public(match))


def is_public(match: re.Match) -> bool:
    """Returns whether a match is a global IP address and not a version or section number.

    Four small numbers count only after a word that announces an address, or in a list next to an address with larger
    ones.
    """
    text = match[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.version == 6:
        return address.is_global and address in ipaddress.ip_network("2000::/3")  # "::" alone also occurs in code
    before = match.string[max(match.start() - NEAR, 0) : match.start()].lower()
    if not address.is_global or address.is_multicast or VERSION.search(before):
        return False
    beside = _LISTED_BEFORE.search(before), _LISTED_AFTER.match(match.string, match.end())
    listed = any(other and not _small(other[1]) for other in beside)
    return not _small(text) or listed or ADDRESSED.search(before) is not None


def _small(quad: str) -> bool:
    return all(int(part) < SMALL for part in quad.split("."))
