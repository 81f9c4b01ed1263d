"""Turn raw files into records, one reader a kind of file. Readers stream: memory follows the largest document, not the file.

Every reader is `read(path, max_bytes) -> Iterator[Record | Bad]`: what cannot be read is yielded as Bad with its place,
and reading goes on behind it where the format allows. Bytes that are no UTF-8 come through as surrogate escapes, so that
the caller can tell which document holds them.
"""

import csv
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from data_cleaning.json_stream import bounded_lines, json_items, json_lines
from data_cleaning.packaged_readers import read_bible, read_chats, read_wikipedia_intros
from data_cleaning.raw_records import Bad, Read, Record

DRAIN_BODIES = 64  # how many times the largest document a page may unpack to before its crawl is given up


def read_text(path: Path, max_bytes: int) -> Read:
    """The file as one document."""
    size = path.stat().st_size
    if size > max_bytes:
        yield Bad(0, f"document larger than {max_bytes:,} bytes", size)
        return
    yield Record("", "", path.read_bytes().decode("utf-8-sig", "surrogateescape"))


def read_markdown(path: Path, max_bytes: int) -> Read:
    """As text; a front matter block is left out, and the first heading is the title."""
    for item in read_text(path, max_bytes):
        if isinstance(item, Record):
            text = re.sub(r"\A---\r?\n.*?\r?\n---\r?\n", "", item.text, flags=re.DOTALL)
            heading = re.search(r"^#{1,6}\s+(.+?)\s*#*\s*$", text, re.MULTILINE)
            item = Record("", heading.group(1) if heading else "", text)
        yield item


def read_html(path: Path, max_bytes: int) -> Read:
    """The main content of one page, in the encoding that its bytes show."""
    size = path.stat().st_size
    if size > max_bytes:
        yield Bad(0, f"document larger than {max_bytes:,} bytes", size)
        return
    title, text = main_content(path.read_bytes())
    yield Record("", title, text)


def read_warc(path: Path, max_bytes: int) -> Read:
    """The HTML pages of a crawl; other responses are Bad (they are counted, not read)."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    size = path.stat().st_size
    seen = -1
    try:
        for record in ArchiveIterator(str(path), record_types=WarcRecordType.response, auto_decode="all"):
            seen, address = record.stream_pos, record.headers.get("WARC-Target-URI", "")
            status, kind = record.http_headers.status_code if record.http_headers else 0, record.http_content_type or ""
            if status != 200 or kind not in ("text/html", "application/xhtml+xml"):
                yield Bad(seen, f"no page: status {status}, {kind or 'no type'}", record.content_length)
                continue
            body = record.reader.read(max_bytes + 1)
            if len(body) > max_bytes:
                for _ in range(
                    DRAIN_BODIES
                ):  # fastwarc loses its place behind a packed body that was not read to its end
                    if not record.reader.read(max_bytes):
                        break
                yield Bad(seen, f"document larger than {max_bytes:,} bytes", record.content_length)
                continue
            encoded = {"content-encoding", "transfer-encoding"} & {name.lower() for name, _ in record.http_headers}
            if len(body) < record.content_length and not encoded:
                yield Bad(seen, f"page cut short: {len(body):,} of {record.content_length:,} bytes", len(body))
                continue
            title, text = main_content(body, record.http_charset)
            meta = {"url": address, "date": record.headers.get("WARC-Date", "")}
            yield Record(record.record_id or str(seen), title, text, seen, meta)
    except (OSError, ValueError) as error:
        yield Bad(max(seen, 0), f"broken WARC: {error}", size - max(seen, 0))
        return
    if seen < 0:
        yield Bad(0, "broken WARC: holds no response record", size)


def main_content(page: bytes, charset: str | None = None) -> tuple[str, str]:
    """(title, main text) of an HTML page: navigation, boilerplate and scripts are left out (resiliparse)."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(bytes_to_str(page, charset or detect_encoding(page)))
    text = extract_plain_text(tree, main_content=True, alt_texts=False, list_bullets=True)
    return (tree.title or "").strip(), text


def read_jsonl(path: Path, max_bytes: int) -> Read:
    """One object a line with its text under "text" (or "content"), "id" and "title" where it has them."""
    for offset, length, value in json_lines(path, max_bytes):
        yield value if isinstance(value, Bad) else _from_object(str(offset), value, offset, length)


def read_json(path: Path, max_bytes: int) -> Read:
    """A list or an object of such objects, or a single one."""
    with open(path, "rb") as file:
        items = json_items(file, max_bytes)
        first = next(items, None)
        if first is None:
            return
        if not isinstance(first, Bad) and isinstance(first[1], str) and not isinstance(first[2], dict | list):
            rest = list(items)  # the scalar members of one object: bounded by what one document may hold
            bad = [item for item in rest if isinstance(item, Bad)]
            whole = {item[1]: item[2] for item in [first, *rest] if not isinstance(item, Bad)}
            yield bad[0] if bad else _from_object("", whole, 0, path.stat().st_size)
            return
        for item in itertools.chain([first], items):
            yield item if isinstance(item, Bad) else _from_object(str(item[1]), item[2], item[0], 0)


def _from_object(key: str, value: object, offset: int, length: int) -> Record | Bad:
    if isinstance(value, str):
        return Record(key, "", value, offset)
    text = (value.get("text") or value.get("content")) if isinstance(value, dict) else None
    if not isinstance(text, str):
        found = f"; it has {', '.join(map(str, value))[:80]}" if isinstance(value, dict) else ""
        return Bad(offset, f'no string under "text"{found}', length)
    others = {name: item for name, item in value.items() if name not in ("text", "content", "id", "title")}
    meta = {name: item for name, item in others.items() if isinstance(item, str | int | float | bool)}
    return Record(str(value.get("id", key)), str(value.get("title") or ""), text, offset, meta)


def read_csv(path: Path, max_bytes: int) -> Read:
    """One document a row, from the column "text" (or "content"); tab-separated where the suffix is .tsv."""
    csv.field_size_limit(max_bytes)
    place, long_lines = [0], []

    def lines() -> Iterator[str]:
        with open(path, "rb") as file:
            for offset, length, line in bounded_lines(file, max_bytes):
                place[0] = offset
                if line is None:
                    long_lines.append(Bad(offset, f"line longer than {max_bytes:,} bytes", length))
                else:
                    yield line.decode("utf-8-sig" if offset == 0 else "utf-8", "surrogateescape") + "\n"

    rows = csv.reader(lines(), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if "text" not in header and "content" not in header:
            yield Bad(0, f'no column "text"; it has {", ".join(header)[:80]}', path.stat().st_size)
            return
        for number, row in enumerate(rows, start=1):
            if len(row) == len(header):
                yield _from_object(str(number), dict(zip(header, row, strict=True)), place[0], 0)
            elif row:
                yield Bad(place[0], f"row of {len(row)} fields under a header of {len(header)}", sum(map(len, row)))
    except csv.Error as error:
        yield Bad(place[0], f"broken CSV: {error}", path.stat().st_size - place[0])
    yield from long_lines


def read_parquet(path: Path, max_bytes: int) -> Read:
    """One document a row, from the column "text" (or "content")."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = [name for name in file.schema_arrow.names if name in ("text", "content", "id", "title", "url")]
            number = 0
            for batch in file.iter_batches(batch_size=256, columns=columns):
                for value in batch.to_pylist():
                    yield _from_object(str(number), value, number, 0)
                    number += 1
    except (pa.ArrowException, OSError) as error:
        yield Bad(0, f"broken parquet: {str(error).splitlines()[0]}", path.stat().st_size)


def reader_for(name: str, path: Path) -> Callable[[Path, int], Read] | None:
    """The reader of that name; "auto" picks by suffix. None where no reader fits the suffix."""
    if name != "auto":
        return READERS[name]
    lower = path.name.lower().removesuffix(".gz") if path.name.lower().endswith(".warc.gz") else path.name.lower()
    return next((READERS[kind] for suffixes, kind in SUFFIXES if lower.endswith(suffixes)), None)


READERS = {
    "bible": read_bible,
    "chats": read_chats,
    "csv": read_csv,
    "html": read_html,
    "json": read_json,
    "jsonl": read_jsonl,
    "markdown": read_markdown,
    "parquet": read_parquet,
    "text": read_text,
    "warc": read_warc,
    "wikipedia_intros": read_wikipedia_intros,
}
SUFFIXES = (
    ((".txt", ".text"), "text"),
    ((".md", ".markdown"), "markdown"),
    ((".jsonl", ".ndjson"), "jsonl"),
    ((".json",), "json"),
    ((".csv", ".tsv"), "csv"),
    ((".html", ".htm", ".xhtml"), "html"),
    ((".warc",), "warc"),
    ((".parquet",), "parquet"),
)
