"""The identity of a document: its record's own id, else its URL, else a hash of its text.

The file is no part of it, so a source may be delivered in other files, in another order or in another format. The
document's id is `<source>:<identity>`. A later delivery of the identity replaces the document (data_cleaning/deliveries).
"""

import hashlib
import json
import re

from data_cleaning.reading.urls import canonical_url

# How SQL, Python and pandas spell a missing value in formats that have only text.
ABSENT = {"", "null", "none", "nan", "nat", "<na>", "\\n"}
CAPTURE = re.compile(r"<?urn:uuid:[^>]*>?", re.IGNORECASE)  # the id of a WARC record: it is new in every crawl
NUMBERED = re.compile(r"~[0-9]+\Z")


def own_id(value: object) -> str:
    """Returns a record's field "id" as text, "" if it is missing; 7, 7.0 and "7" are one id, as formats differ."""
    if value is None or isinstance(value, bool) or value != value:  # NaN differs from itself
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bytes):
        value = value.hex()
    if isinstance(value, dict | list):  # such as MongoDB's {"$oid": "…"}
        value = json.dumps(value, sort_keys=True, default=str) if value else ""
    text = str(value).strip()
    return "" if text.lower() in ABSENT else text


def stated_identity(key: str, meta: dict) -> str:
    """Returns a record's own id (`key`), else its canonical URL, else "". The URL precedes the id of a WARC record."""
    url = meta.get("url")
    page = canonical_url(url) if isinstance(url, str) else ""
    own = "" if page and CAPTURE.fullmatch(key) else key
    return _printable(own or page)


def content_identity(text: str) -> str:
    """Returns the identity of a document without id and URL: the first half of the SHA-256 of its cleaned text."""
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def numbered(identity: str, number: int) -> str:
    """Returns the name of the document that is the `number`-th of this identity, 1 for the first.

    An identity that itself ends like a number always has one, so `identity_of` is exact.
    """
    return f"{identity}~{number}" if number > 1 or NUMBERED.search(identity) else identity


def identity_of(name: str) -> str:
    """Returns the identity in a name, or in a document's id, that `numbered` made."""
    return NUMBERED.sub("", name, count=1)


def _printable(text: str) -> str:
    """Returns the text in valid UTF-8 without NUL; different texts stay different."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
