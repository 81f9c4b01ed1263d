"""Canonical URLs: two spellings of the address of one page become one string (RFC 3986, section 6)."""

import re
from urllib.parse import quote, unquote, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}
RESERVED = "%:/?#[]@!$&'()*+,;="  # what `quote` leaves as it is, besides letters, digits and _.-~
# Query parameters that tell how a reader came to a page, or the reader's session, but never which page it is.
TRACKING = re.compile(
    r"utm_\w+|gclid|gclsrc|dclid|gbraid|wbraid|fbclid|msclkid|yclid|twclid|ttclid|igshid|igsh|li_fat_id|mc_[ce]id"
    r"|mkt_tok|_hsenc|_hsmi|_ga|_gl|phpsessid|jsessionid",
    re.IGNORECASE,
)
SESSION = re.compile(r";jsessionid=[^/;]*", re.IGNORECASE)  # as servlets write it into the path


def canonical_url(url: str) -> str:
    """Returns the canonical spelling of an absolute URL, "" for a text that has no scheme or no host.

    Scheme and host are in lower case and the host is in ASCII. The default port, the fragment, dot segments and
    parameters of tracking are removed, escapes are normalised, and parameters are in the order of their names (those of
    one name keep theirs). http and https, and hosts with and without www, stay apart. A canonical URL gives itself.
    """
    try:
        parts = urlsplit(url.strip().strip("<>"))  # some crawlers write <URL> in a WARC header
        host, port = _host(parts.hostname or ""), parts.port
    except ValueError:  # a port that is no number, a host that IDNA does not allow
        return ""
    if not parts.scheme or not host:
        return ""
    user = "".join(parts.netloc.rpartition("@")[:2])
    place = "" if port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{port}"
    query = "&".join(_parameters(_escaped(parts.query)))
    path = _without_dots(SESSION.sub("", _escaped(parts.path)))
    return f"{parts.scheme}://{_escaped(user)}{host}{place}{path}{'?' if query else ''}{query}"


def _host(name: str) -> str:
    """Returns a host name in ASCII (IDNA) without the dot of the root, "" for a text that names no host."""
    name = name.encode("idna").decode("ascii").lower().rstrip(".")  # UnicodeError is a ValueError
    if ":" in name:
        return f"[{name}]"
    return name if re.fullmatch(r"[a-z0-9._-]+", name) else ""


def _escaped(text: str) -> str:
    """Returns a part of a URL in ASCII: escapes in capitals, and only where a character needs one."""
    text = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text)
    text = re.sub(r"%[0-9A-Fa-f]{2}", lambda found: _escape(found.group()), text)
    return quote(text, safe=RESERVED, errors="surrogateescape")


def _escape(code: str) -> str:
    character = chr(int(code[1:], 16))
    return character if re.fullmatch(r"[A-Za-z0-9._~-]", character) else code.upper()


def _without_dots(path: str) -> str:
    """Returns the path without "." and ".." segments; it begins with a slash."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _parameters(query: str) -> list[str]:
    """Returns the parameters that choose the page, in the order of their names."""
    pairs = [(unquote(pair.partition("=")[0]), pair) for pair in query.split("&") if pair]
    return [pair for name, pair in sorted(pairs, key=lambda one: one[0]) if not TRACKING.fullmatch(name)]
