"""E-mail addresses in a text, also as `jane [at] example [dot] com` and right beside a word of a script without blanks."""

import re
from collections.abc import Iterator

from data_cleaning.filters.scripts import JOINED, WORD

HINT = r"[@\x{ff20}][\p{L}\p{N}]|[\[({] ?(?:at|At|AT) ?[\])}]"  # in every address (RE2)
FILES = frozenset(("png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css", "html", "py"))  # icon@2x.png
CALLABLE = frozenset(("com", "org", "net", "edu", "gov", "info"))  # other last parts before a bracket are functions

LONGEST = 68  # characters before the sign

_SIGN = WORD.replace("\\W", "\\W_")  # without _
_LABEL = rf"{_SIGN}(?:{_SIGN}|-){{0,62}}(?<!-)"
_LAST = rf"(?:[^\W\d_{JOINED}]{{2,24}}|xn--[A-Za-z0-9-]{{2,59}})(?!{_SIGN}|_\w|@)"
_DOT = r"(?:\.| ?[\[({] ?(?:dot|Dot|DOT|\.) ?[\])}] ?| dot )"
SIGN = re.compile(rf"[@\uff20](?<=[\w{JOINED}].)(?=\w)|(?<=\w)( ?[\[({{] ?(?:at|At|AT) ?[\])}}] ?)(?=\w)")
# Letters of any script, in the names of hosts too (RFC 6531, RFC 5890). \Z is where the sign stands.
LOCAL = re.compile(rf"(?<!{_SIGN})(?<![.+@-])(?:[oO]')?{_SIGN}(?:{WORD}|[.+-]){{0,63}}(?<![.+-])\Z")
HOST, SPELLED_HOST = (re.compile(rf"(?:{_LABEL}{dot}){{1,8}}{_LAST}") for dot in (r"\.", _DOT))
# Of one script that writes without blanks
JOINED_LOCAL = re.compile(rf"(?<![\w.+@-])[{JOINED}]{{1,64}}\Z")
JOINED_HOST = re.compile(rf"(?:[{JOINED}]{{1,63}}\.){{1,8}}[{JOINED}]{{2,24}}(?![\w@])")
PATH = re.compile(r":(?!\d+/)[\w.~-]*/\w")  # git@example.com:team/repo.git, not app:password@example.com:80/x


def email_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yields (start, end) of every e-mail address."""
    last = 0
    for sign in SIGN.finditer(text):
        at, after = sign.span()
        earliest, last = max(last, at - LONGEST), after
        local = LOCAL.search(text, earliest, at)
        host = local and (SPELLED_HOST if sign[1] else HOST).match(text, after)
        if not host and (local := JOINED_LOCAL.search(text, earliest, at)):
            host = JOINED_HOST.match(text, after)
        if host:
            name = _without_sentence(host[0])
            if name and not _is_code(text, name, after + len(name)):
                last = after + len(name)
                yield local.start(), last


def _without_sentence(host: str) -> str:
    """Returns a host without the word of a next sentence: `example.com.Thanks`; "" if only its first part is left."""
    while re.search(r"(?:^|[.\s\])}])[a-z0-9-]+\.[A-Z][a-z]+$", host):
        host = host[: host.rindex(".")]
    return host if re.search(r"[^\w-]", host) else ""


def _is_code(text: str, host: str, end: int) -> bool:
    """Returns whether a host ends the name of a file, a call (`q@k.transpose(`) or a place (`git@host:path`)."""
    last = re.split(r"\W", host)[-1].lower()
    called = text.startswith("(", end) and len(last) > 2 and last not in CALLABLE
    return last in FILES or called or PATH.match(text, end) is not None
