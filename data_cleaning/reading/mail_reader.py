"""Reader of mailboxes in the mbox format (RFC 4155). See readers for the contract."""

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

from data_cleaning.reading.encodings import decoded
from data_cleaning.reading.json_stream import bounded_lines
from data_cleaning.reading.nesting import CostlyPage
from data_cleaning.reading.raw_records import Bad, Read, Record
from data_cleaning.reading.web_readers import main_content

SEPARATOR = b"From "  # begins a message if it is the first line or follows a blank one


def read_mbox(path: Path, max_bytes: int) -> Read:
    """Reads the text of each message; its subject is the title, its Message-ID the id. Addresses are left out.

    The plain text of a message is preferred to its HTML. Attachments are not read.
    """
    for place, message, length in _messages(path, max_bytes):
        yield (
            _record(place, message, length)
            if length <= max_bytes
            else Bad(place, f"document larger than {max_bytes:,} bytes", length)
        )


def _messages(path: Path, max_bytes: int) -> Iterator[tuple[int, bytes, int]]:
    """(offset, bytes, length) of each message without its separator; the bytes of a message over max_bytes are cut."""
    place, lines, length, blank = 0, [], 0, True
    with open(path, "rb") as file:
        for offset, size, line in bounded_lines(file, max_bytes):
            if line is not None and blank and line.startswith(SEPARATOR):
                if length:
                    yield place, b"\n".join(lines), length
                place, lines, length = offset, [], 0
            else:
                length += size
                if line is not None and length <= max_bytes:
                    lines.append(line.removeprefix(b">") if line.lstrip(b">").startswith(SEPARATOR) else line)
            blank = line is not None and not line.strip()
    if length:
        yield place, b"\n".join(lines), length


def _record(place: int, message: bytes, length: int) -> Record | Bad:
    try:
        mail = email.message_from_bytes(message, policy=email.policy.default)
        body = mail.get_body(("plain", "html"))
        key = str(mail["message-id"] or "").strip().strip("<>")
        meta = {"date": str(mail["date"])} if mail["date"] else {}
        if body is None:
            return Bad(place, "a message without text", length, foreign=True, identity=key)
        text, found = _text(body)
        return Record(key, str(mail["subject"] or ""), text, place, meta | found)
    except CostlyPage as error:
        return Bad(place, str(error), length, identity=key)
    # what the parser raises on broken headers
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        return Bad(place, f"broken mail: {type(error).__name__}: {error}", length)


def _text(body: EmailMessage) -> tuple[str, dict]:
    data = body.get_payload(decode=True) or b""
    if body.get_content_type() == "text/html":
        return main_content(data, body.get_content_charset())[1], {}
    charset = body.get_content_charset()
    if charset:
        try:
            return data.decode(charset), {}
        except (UnicodeDecodeError, LookupError):
            pass  # the header is wrong: the bytes decide
    return decoded(data)
