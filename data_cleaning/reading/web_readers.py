"""Readers of single web pages and of crawls. See readers for the contract."""

import gzip
from pathlib import Path

from data_cleaning.reading.encodings import decoded
from data_cleaning.reading.identity import stated_identity
from data_cleaning.reading.nesting import CostlyPage, too_costly
from data_cleaning.reading.raw_records import Bad, Read, Record

PAGE_KINDS = ("text/html", "application/xhtml+xml")
HEADER_BYTES = 64 << 10  # limit for the header of a response
CUT = "page cut short"
BLANKS = b" \t\r\n"


def read_html(path: Path, max_bytes: int) -> Read:
    """Reads the main content of one page; its bytes determine the encoding."""
    size = path.stat().st_size
    if size > max_bytes:
        yield Bad(0, f"document larger than {max_bytes:,} bytes", size)
        return
    try:
        title, text = main_content(path.read_bytes())
    except CostlyPage as error:
        yield Bad(0, str(error), size)
        return
    yield Record("", title, text)


def read_warc(path: Path, max_bytes: int) -> Read:
    """Reads the HTML pages of a crawl (WARC) or the texts that were extracted from them (WET).

    Other responses are Bad and foreign (counted, not read).
    """
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    read = ((WarcRecordType.response, _page), (WarcRecordType.conversion, _extracted))
    others = WarcRecordType.any_type ^ WarcRecordType.response ^ WarcRecordType.conversion ^ WarcRecordType.unknown
    size, last, pages, cut = path.stat().st_size, 0, 0, False
    try:
        for record in ArchiveIterator(str(path), parse_http=False):
            last = record.stream_pos
            reader = next((reader for kind, reader in read if record.record_type == kind), None)
            if reader:
                pages += 1
                item = reader(record, max_bytes)
                cut = isinstance(item, Bad) and item.error.startswith(CUT)
                yield item
            elif not record.record_type & others:
                yield Bad(last, "broken WARC: a record without a type", record.content_length)
    except (OSError, ValueError) as error:
        yield Bad(last, f"broken WARC: {error}", size - last)
        return
    if not pages:
        yield Bad(0, "broken WARC: holds no response or conversion record", size)
    elif not cut and not _ends_with(path, last):
        yield Bad(last, "broken WARC: cut in or behind the last record", size - last)


def _extracted(record, max_bytes: int) -> Record | Bad:
    """Returns the text of a conversion record."""
    place, length, meta = record.stream_pos, record.content_length, _origin(record)
    known = stated_identity("", meta)
    kind = record.headers.get("Content-Type", "text/plain").partition(";")[0]
    if kind != "text/plain":
        return Bad(place, f"no text: {kind}", length, foreign=True)
    if length > max_bytes:
        return Bad(place, f"document larger than {max_bytes:,} bytes", length, identity=known)
    body = record.reader.read(length)
    if len(body) < length:
        return Bad(place, f"{CUT}: {len(body):,} of {length:,} bytes", len(body), identity=known)
    text, found = decoded(body)
    return Record("", "", text, place, meta | found)


def _origin(record) -> dict:
    return {"url": record.headers.get("WARC-Target-URI", ""), "date": record.headers.get("WARC-Date", "")}


def _page(record, max_bytes: int) -> Record | Bad:
    """Returns the page of a response, parsed on a copy: a broken response would shift the position in the crawl."""
    from fastwarc.warc import WarcRecord

    place, length, meta = record.stream_pos, record.content_length, _origin(record)
    known = stated_identity("", meta)  # a WARC record's own id is new in every crawl
    sent = record.reader.read(max_bytes + HEADER_BYTES)
    reply = WarcRecord()
    reply.set_bytes_content(sent)
    reply.is_http = True
    try:
        reply.parse_http(auto_decode="all")
        status, kind = reply.http_headers.status_code if reply.http_headers else 0, reply.http_content_type or ""
        if status != 200 or kind not in PAGE_KINDS:
            return Bad(place, f"no page: status {status}, {kind or 'no type'}", length, foreign=True)
        body = reply.reader.read(max_bytes + 1)
        if len(body) > max_bytes or len(sent) == max_bytes + HEADER_BYTES:
            return Bad(place, f"document larger than {max_bytes:,} bytes", length, identity=known)
        if len(sent) < length:
            return Bad(place, f"{CUT}: {len(sent):,} of {length:,} bytes", len(sent), identity=known)
        title, text = main_content(body, reply.http_charset)
    except CostlyPage as error:
        return Bad(place, str(error), length, identity=known)
    except (OSError, ValueError) as error:
        return Bad(place, f"broken page: {error}", length, identity=known)
    return Record("", title, text, place, meta)


def _ends_with(path: Path, offset: int) -> bool:
    """Returns whether the WARC record at `offset` is complete and last: fastwarc ends silently in a cut header."""
    with open(path, "rb") as raw:
        raw.seek(offset)
        file = gzip.GzipFile(fileobj=raw) if raw.peek(2).startswith(b"\x1f\x8b") else raw
        try:
            length = None
            while line := file.readline(HEADER_BYTES).strip(BLANKS):
                name, _, value = line.partition(b":")
                length = max(int(value), 0) if name.lower() == b"content-length" else length
            while length and (skipped := len(file.read(min(length, HEADER_BYTES)))):
                length -= skipped
            while rest := file.read(HEADER_BYTES):
                if rest.strip(BLANKS):
                    return False
        except (EOFError, OSError, ValueError):
            return False
    return length == 0


def main_content(page: bytes, charset: str | None = None) -> tuple[str, str]:
    """Returns (title, main text) of an HTML page, without navigation, boilerplate and scripts (resiliparse).

    charset: as the server states it; ignored if browsers do not know it. Raises CostlyPage, before any parser reads it.
    """
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5
    from resiliparse.parse.html import HTMLTree

    if costly := too_costly(page):
        raise CostlyPage(costly)
    known = map_encoding_to_html5(charset, fallback_utf8=False) if charset else None
    tree = HTMLTree.parse(bytes_to_str(page, known or detect_encoding(page)))
    text = extract_plain_text(tree, main_content=True, alt_texts=False, list_bullets=True)
    return (tree.title or "").strip(), text
