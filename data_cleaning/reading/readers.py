"""Turns raw files into records, with one reader per kind of file. Readers stream: the largest document bounds memory.

Every reader is `read(path, max_bytes) -> Iterator[Record | Bad]`. It yields unreadable input as Bad with its place and
continues after it if the format allows. Text, Markdown, HTML and mail may have any encoding (encodings.py); the formats of
records are UTF-8. Bytes that fit no encoding become surrogate escapes, so the caller knows which document contains them.
"""

import csv
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from data_cleaning.reading.archive_bounds import SMALL_BYTES, Bounds
from data_cleaning.reading.encodings import decoded
from data_cleaning.reading.identity import own_id, stated_identity
from data_cleaning.reading.json_stream import CHUNK_BYTES, MORE, bounded_lines, json_items, json_lines
from data_cleaning.reading.mail_reader import read_mbox
from data_cleaning.reading.packaged_readers import read_bible, read_chats, read_wikipedia_intros
from data_cleaning.reading.raw_records import Bad, Read, Record
from data_cleaning.reading.web_readers import read_html, read_warc

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PARQUET_ROWS = 32  # per read: a compressed page can repeat its largest document in every row at no cost


def read_text(path: Path, max_bytes: int) -> Read:
    """Reads the file as one document."""
    size = path.stat().st_size
    if size > max_bytes:
        yield Bad(0, f"document larger than {max_bytes:,} bytes", size)
        return
    text, found = decoded(path.read_bytes())
    yield Record("", "", text, meta=found)


def read_markdown(path: Path, max_bytes: int) -> Read:
    """Reads the file as one document without its front matter; the first heading is the title."""
    for item in read_text(path, max_bytes):
        if isinstance(item, Record):
            text = re.sub(r"\A---\r?\n.*?\r?\n---\r?\n", "", item.text, flags=re.DOTALL)
            heading = re.search(r"^#{1,6}[ \t]+(\S.*)", text, re.MULTILINE)
            item = Record("", heading.group(1).rstrip("# \t\r") if heading else "", text, meta=item.meta)
        yield item


def read_jsonl(path: Path, max_bytes: int) -> Read:
    """Reads one object per line: its text under "text" (or "content"), optional "id" and "title"."""
    for offset, length, value in json_lines(path, max_bytes):
        yield value if isinstance(value, Bad) else _from_object("", value, offset, length)


def read_json(path: Path, max_bytes: int) -> Read:
    """Reads a list or object of such objects, or a single one. Also reads JSON lines: C4 gives them this suffix."""
    if _is_lines(path, max_bytes):
        yield from read_jsonl(path, max_bytes)
        return
    with open(path, "rb") as file:
        items = json_items(file, max_bytes)
        first = next(items, None)
        if isinstance(first, tuple) and isinstance(first[1], str) and not isinstance(first[2], dict | list):
            yield from _single(itertools.chain([first], items), path.stat().st_size, max_bytes)
        elif first is not None:
            for number, item in enumerate(itertools.chain([first], items)):
                if isinstance(item, Bad):
                    yield item
                else:  # a member's name is its id, unless it is a place: in a list, or in {"0": …, "1": …} by pandas
                    key = "" if str(item[1]) == str(number) else str(item[1])
                    yield _from_object(key, item[2], item[0], 0)


def _is_lines(path: Path, max_bytes: int) -> bool:
    """Returns whether the first non-blank line is a complete JSON value and something follows it."""
    with open(path, "rb") as file:
        for line in iter(lambda: file.readline(max_bytes), b""):
            if line.strip():
                try:
                    json.loads(line.decode("utf-8-sig", "surrogateescape"), strict=False)
                except (ValueError, RecursionError):
                    return False
                return any(chunk.strip() for chunk in iter(lambda: file.read(CHUNK_BYTES), b""))
    return False


def _single(items: Iterator[tuple[int, str, object] | Bad], size: int, max_bytes: int) -> Read:
    """Yields the one document that the members of an object form; holds at most max_bytes of them."""
    whole, behind = {}, None
    for item in items:
        if isinstance(item, Bad) and item.error == MORE:
            behind = item
        elif isinstance(item, Bad) or item[0] > max_bytes:
            error = item.error if isinstance(item, Bad) else f"document larger than {max_bytes:,} bytes"
            yield Bad(0, error, size)
            return
        else:
            whole[item[1]] = item[2]
    yield _from_object("", whole, 0, size)
    if behind:
        yield behind


def _from_object(key: str, value: object, offset: int, length: int) -> Record | Bad:
    if isinstance(value, str):
        return Record(key, "", value, offset)
    if not isinstance(value, dict):
        return Bad(offset, 'no string under "text"', length)
    text = value.get("text") or value.get("content")
    others = {name: item for name, item in value.items() if name not in ("text", "content", "id", "title")}
    meta = {name: item for name, item in others.items() if isinstance(item, str | int | float | bool)}
    key = own_id(value.get("id")) or key
    if not isinstance(text, str):
        error = f'no string under "text"; it has {", ".join(map(str, value))[:80]}'
        return Bad(offset, error, length, identity=stated_identity(key, meta))
    return Record(key, str(value.get("title") or ""), text, offset, meta)


def read_csv(path: Path, max_bytes: int) -> Read:
    """Reads one document per row, from the column "text" (or "content"); a .tsv file is tab-separated."""
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
        for row in rows:
            if len(row) == len(header):
                yield _from_object("", dict(zip(header, row, strict=True)), place[0], 0)
            elif row:
                yield Bad(place[0], f"row of {len(row)} fields under a header of {len(header)}", sum(map(len, row)))
    except csv.Error as error:
        yield Bad(place[0], f"broken CSV: {error}", path.stat().st_size - place[0])
    yield from long_lines


def read_parquet(path: Path, max_bytes: int) -> Read:
    """Reads one document per row, from the column "text" (or "content"); skips row groups that are broken or bombs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        yield Bad(0, f"broken parquet: {str(error).splitlines()[0]}", path.stat().st_size)
        return
    with file:
        columns = [name for name in file.schema_arrow.names if name in ("text", "content", "id", "title", "url")]
        first = 0
        for group in range(file.num_row_groups):
            about = file.metadata.row_group(group)
            chunks = [about.column(number) for number in range(about.num_columns)]
            chunks = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns]
            packed = sum(chunk.total_compressed_size for chunk in chunks)
            unpacked = sum(chunk.total_uncompressed_size for chunk in chunks)
            try:
                if unpacked > max(SMALL_BYTES, Bounds.ratio * packed):
                    yield Bad(first, f"rows that unpack like a bomb: {packed:,} to {unpacked:,} bytes", packed)
                else:
                    yield from _rows(file, group, columns, first)
            except (pa.ArrowException, OSError) as error:
                yield Bad(first, f"broken parquet: {str(error).splitlines()[0]}", packed)
            first += about.num_rows


def _rows(file: "pq.ParquetFile", group: int, columns: list[str], first: int) -> Read:
    """Yields the documents of a row group; `first` is the number of its first row in the file."""
    numbers = itertools.count(first)
    for batch in file.iter_batches(PARQUET_ROWS, [group], columns):
        for values in zip(*map(_values, batch.columns), strict=True):
            number = next(numbers)
            yield _from_object("", dict(zip(columns, values, strict=True)), number, 0)


def _values(column: "pa.Array") -> list:
    """Returns Python objects; decodes strings itself, as arrow refuses a whole column for one that is not UTF-8."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.to_pylist()
    values = column.cast(pa.large_binary()).to_pylist()
    return [value if value is None else value.decode("utf-8", "surrogateescape") for value in values]


def reader_for(name: str, path: Path) -> Callable[[Path, int], Read] | None:
    """Returns the reader of that name; "auto" picks by suffix, and gives None if no reader fits it."""
    return READERS.get(reader_name(name, path))


def reader_name(name: str, path: Path) -> str:
    """Returns the name of the reader of a file; "auto" picks by suffix, and gives "" if no reader fits it."""
    if name != "auto":
        return name
    lower = path.name.lower()
    if lower.endswith((".warc.gz", ".wet.gz")):  # their reader unpacks them record by record
        lower = lower.removesuffix(".gz")
    return next((kind for suffixes, kind in SUFFIXES if lower.endswith(suffixes)), "")


def profile_for(profile: str, reader: str) -> str:
    """Returns the quality profile of what a reader reads; "auto" picks by the name of the reader.

    Files that are one document each are somebody's own, chosen one by one. Crawls and records are of any quality.
    """
    if profile != "auto":
        return profile
    return "curated" if reader in ("text", "markdown", "html", "mbox") else "web"


READERS = {
    "bible": read_bible,
    "chats": read_chats,
    "csv": read_csv,
    "html": read_html,
    "json": read_json,
    "jsonl": read_jsonl,
    "markdown": read_markdown,
    "mbox": read_mbox,
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
    ((".warc", ".wet"), "warc"),
    ((".mbox",), "mbox"),
    ((".parquet",), "parquet"),
)
