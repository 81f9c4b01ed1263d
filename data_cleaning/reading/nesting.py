"""Bounds what a page of HTML may cost: a parser's time grows with the square of its depth and of its attributes."""

import re

MOST_DEPTH = 1000  # of open elements; pages that people write have below a hundred
MOST_ATTRIBUTES = 1000  # of one tag
TAG = re.compile(rb"<(/?)([a-zA-Z][^\s/>]*)")
QUOTED = re.compile(rb"\"[^\"]*\"|'[^']*'")
# Elements that hold nothing, and those that the next of their kind or the end of their parent closes.
UNCOUNTED = frozenset(
    b"area base br col embed hr img input link meta param source track wbr "
    b"body colgroup dd dt head html li optgroup option p rb rp rt rtc tbody td tfoot th thead tr".split()
)
COMMENT_OR_SCRIPT = re.compile(
    rb"<!--.*?(?:-->|\Z)|<(script|style|textarea|title)\b.*?(?:</\1|\Z)", re.DOTALL | re.IGNORECASE
)


class CostlyPage(ValueError):
    """A page that would take a parser long; its text says why."""


def too_costly(page: bytes) -> str | None:
    """Why a page would take a parser long, or None. Takes time in proportion to the page."""
    page = COMMENT_OR_SCRIPT.sub(b"", page)
    depth = 0
    for tag in TAG.finditer(page):
        if tag[2].lower() not in UNCOUNTED:
            depth = max(depth - 1, 0) if tag[1] else depth + 1
            if depth > MOST_DEPTH:
                return f"HTML nested deeper than {MOST_DEPTH:,} elements"
    begin = page.find(b"<")
    while begin >= 0:  # a tag with so many attributes is at least twice as many bytes long
        end = page.find(b">", begin)
        end = len(page) if end < 0 else end
        if end - begin > 2 * MOST_ATTRIBUTES and len(QUOTED.sub(b"", page[begin:end]).split()) > MOST_ATTRIBUTES:
            return f"HTML with a tag of more than {MOST_ATTRIBUTES:,} attributes"
        begin = page.find(b"<", end)
    return None
