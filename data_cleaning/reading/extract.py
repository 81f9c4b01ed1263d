"""Extraction: turns the records of all readers into documents, and puts unreadable input into quarantine.

A unit of work is a few files of one source; it writes shards of at most `shard_documents` documents and about
SHARD_BYTES. No content of a file stops the run: bad input is counted and written to quarantine.jsonl with its file,
offset, error, size and the id that its record states. So is input that is intact but not text (an image among pages);
it is marked foreign, so that the gate does not count it as damage.
"""

import functools
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from data_cleaning.documents import DOCUMENT_SCHEMA, write_shard
from data_cleaning.files import replacing
from data_cleaning.reading import archives
from data_cleaning.reading.archive_bounds import Bounds, BrokenArchive, UnsafeArchive
from data_cleaning.reading.identity import content_identity, numbered, stated_identity
from data_cleaning.reading.normalise import clean
from data_cleaning.reading.raw_records import Bad, Record, machine_failed
from data_cleaning.reading.readers import profile_for, reader_for, reader_name
from data_cleaning.recipes import ExtractRecipe
from data_cleaning.shards import map_shards

UNIT_BYTES = 64 << 20  # raw bytes per unit of work, unless a single file has more
UNIT_FILES = 2000
SHARD_BYTES = 256 << 20  # of text at which a shard is closed: arrow's string arrays are limited to 2 GiB
MAX_TITLE = 300  # characters; real titles of articles and pages are well below
LIMITED_BYTES = 2000  # assumed size of a document of a source with a limit, to estimate the work
FIGURES = (
    *("documents_out", "bytes_out", "titles_cut", "invisible_removed"),
    *("quarantined", "quarantined_bytes", "foreign", "foreign_bytes"),
)
# Tags that open and close turns in this project's chat formats: a text that contains them would forge turns.
CONTROL_TAGS = re.compile(r"\[/?INST\]|<</?SYS>>|<\|(?:im_start|im_end|endoftext|begin_of_text|eot_id)\|>")


def run(config: ExtractRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Writes `documents/*.parquet` of all corpus sources and `quarantine.jsonl`.

    Metrics: documents_out, bytes_out (UTF-8 bytes of text), titles_cut, invisible_removed (characters, see normalise),
    quarantined, quarantined_bytes, foreign and foreign_bytes (included in the quarantined), in total and by source;
    quarantined by error.
    """
    units, sizes = _plan(inputs["sources"], out)
    (out / "documents").mkdir(exist_ok=True)
    extract = functools.partial(extract_unit, config, inputs["sources"])
    results = map_shards(extract, units, out, log, step="extract", sizes=sizes)
    with replacing(out / "quarantine.jsonl") as part, part.open("wb") as file:
        for unit in units:
            file.write((out / "_scratch" / "quarantine" / f"{unit.stem}.jsonl").read_bytes())
    by_source: dict[str, Counter] = {}
    by_error: Counter = Counter()
    for result in results:
        by_error.update(result["errors"])
        by_source.setdefault(result["source"], Counter()).update({name: result[name] for name in FIGURES})
    total = sum(by_source.values(), Counter())
    log.info(f"{total['documents_out']:,} documents, {total['quarantined']:,} quarantined: {dict(by_error)}")
    return {
        **{name: total[name] for name in FIGURES},
        "by_source": {name: dict(counts) for name, counts in by_source.items()},
        "quarantine_errors": dict(by_error),
    }


def _plan(sources: Path, out: Path) -> tuple[list[Path], list[int]]:
    """Writes the plan of each unit of work to `_scratch/units/<source>-<number>.json`; every run makes the same plan.

    Returns these files and the estimated bytes that each unit reads. A source with a limit is one unit, because its
    first documents are those of its first files.
    """
    folder = out / "_scratch" / "units"
    folder.mkdir(parents=True, exist_ok=True)
    units, sizes = [], []
    for source in json.loads((sources / "sources.json").read_text()):
        if source["use"] != "corpus" or source["reader"] == "none":
            continue
        groups: list[list[str]] = [[]]
        size = 0
        for name in sorted(source["files"]):
            length = (sources / "raw" / source["name"] / name).stat().st_size
            full = size + length > UNIT_BYTES or len(groups[-1]) >= UNIT_FILES
            if groups[-1] and full and not source["limit"]:
                groups.append([])
                size = 0
            groups[-1].append(name)
            size += length
        for number, files in enumerate(groups):
            unit = folder / f"{source['name']}-{number:05d}.json"
            unit.write_text(json.dumps(source | {"files": files}))
            units.append(unit)
            raw = sum((sources / "raw" / source["name"] / name).stat().st_size for name in files)
            sizes.append(min(raw, source["limit"] * LIMITED_BYTES) if source["limit"] else raw)
    return units, sizes


def extract_unit(config: ExtractRecipe, sources: Path, unit: Path, out: Path) -> dict:
    """Reads the files of one unit; writes `documents/<unit>-<number>.parquet` and the unit's part of the quarantine."""
    plan = json.loads(unit.read_text())
    folder = out / "_scratch" / "quarantine"
    folder.mkdir(parents=True, exist_ok=True)
    errors: Counter = Counter()
    figures = dict.fromkeys(FIGURES, 0)

    def good(quarantine) -> Iterator[tuple[int, dict]]:
        taken: Counter = Counter()
        items = _read_unit(plan, config, sources / "raw" / plan["name"], out / "_scratch" / "unpacked" / unit.stem)
        for file, item in items:
            if isinstance(item, Record):
                stated = stated_identity(item.key, item.meta)
                text, invisible = clean(item.text)
                title, in_title = clean(item.title)
                title = " ".join(title.split())
                fault = problem(text, config.max_document_bytes) or forged_turn(title)
                if fault is None:
                    size = len(text.encode())
                    figures["documents_out"] += 1
                    figures["bytes_out"] += size
                    figures["titles_cut"] += len(title) > MAX_TITLE
                    figures["invisible_removed"] += invisible + in_title
                    profile = profile_for(plan["profile"], reader_name(plan["reader"], Path(file)))
                    yield size, _row(plan, profile, stated or content_identity(text), item, text, title, taken)
                    if figures["documents_out"] == plan["limit"]:
                        return
                    continue
                size = len(text.encode("utf-8", "surrogatepass"))
                item = Bad(item.offset, fault, size, identity=stated)
            errors[_kind(item.error)] += 1
            figures["quarantined"] += 1
            figures["quarantined_bytes"] += item.bytes
            figures["foreign"] += item.foreign
            figures["foreign_bytes"] += item.bytes * item.foreign
            line = {"source": plan["name"], "file": file, "offset": item.offset, "error": item.error}
            line |= {"bytes": item.bytes, "foreign": item.foreign}
            line["id"] = f"{plan['name']}:{item.identity}" if item.identity else None
            quarantine.write(json.dumps(line) + "\n")

    with replacing(folder / f"{unit.stem}.jsonl") as part, part.open("w", encoding="ascii") as quarantine:
        rows = good(quarantine)
        for number, shard in enumerate(_shards(rows, config.shard_documents)):
            table = pa.Table.from_pylist(shard, schema=DOCUMENT_SCHEMA)
            write_shard(table, out / "documents" / f"{unit.stem}-{number:05d}.parquet")
    documents = figures["documents_out"] + figures["quarantined"]
    return {"source": plan["name"], "errors": dict(errors), "documents_in": documents, **figures}


def _shards(rows: Iterator[tuple[int, dict]], documents: int) -> Iterator[list[dict]]:
    """Groups (text bytes, row) pairs into lists of rows, each closed at `documents` rows or at SHARD_BYTES."""
    shard, size = [], 0
    for length, row in rows:
        shard.append(row)
        size += length
        if len(shard) == documents or size >= SHARD_BYTES:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def _read_unit(plan: dict, config: ExtractRecipe, raw: Path, scratch: Path) -> Iterator[tuple[str, Record | Bad]]:
    """Yields (file, record or bad) of all files of a unit; unpacks archives into scratch, one at a time."""
    for name in plan["files"]:
        if archives.is_archive(raw / name):
            yield from _read_archive(raw / name, name, plan["reader"], config, scratch)
        else:
            for item in _read_file(raw / name, plan["reader"], config):
                yield name, item


def _read_archive(
    path: Path, name: str, reader: str, config: ExtractRecipe, scratch: Path
) -> Iterator[tuple[str, Record | Bad]]:
    """Yields the contents of an archive's members; reads a truncated or damaged archive up to that place."""
    shutil.rmtree(scratch, ignore_errors=True)
    bounds = Bounds(config.max_archive_bytes, config.max_archive_bytes, config.max_archive_members)
    broken, left_out = None, []
    try:
        archives.unpack(path, "", scratch, bounds, left_out)
    except BrokenArchive as error:
        broken = error
    except Exception as error:  # noqa: BLE001 (see _read_file)
        shutil.rmtree(scratch, ignore_errors=True)
        yield name, Bad(0, _fault(error, "unsafe archive"), path.stat().st_size)
        return
    for member, bad in left_out:
        yield f"{name}/{member}", bad
    files = sorted(file for file in scratch.rglob("*") if file.is_file())
    if broken:
        whole = sum(file.stat().st_size for file in files)  # unpacked: the rest is a lower bound of the loss
        yield name, Bad(0, f"unsafe archive: {broken}", max(path.stat().st_size - whole, 0))
    for file in files:
        member = f"{name}/{file.relative_to(scratch)}"
        if archives.is_archive(file):
            yield member, Bad(0, "archive in an archive, not opened", file.stat().st_size)
            continue
        for item in _read_file(file, reader, config):
            yield member, item
    shutil.rmtree(scratch, ignore_errors=True)


def _read_file(path: Path, reader: str, config: ExtractRecipe) -> Iterator[Record | Bad]:
    size, place = path.stat().st_size, 0
    read = reader_for(reader, path)
    if read is None:
        yield Bad(0, f"no reader for {path.suffix or 'a file without suffix'}", size, foreign=True)
        return
    if size == 0:
        yield Bad(0, "empty file", 0)
        return
    try:
        for item in read(path, config.max_document_bytes):
            place = item.offset
            yield item
    except Exception as error:  # noqa: BLE001 (untrusted input can make a parser raise anything)
        yield Bad(place, _fault(error, "unreadable from here on"), max(size - place, 0))


def _fault(error: Exception, kind: str) -> str:
    """Returns the quarantine error of a parser's exception; raises it again if this machine failed, to end the run."""
    if machine_failed(error):
        raise error
    told = str(error) if isinstance(error, UnsafeArchive) else f"{type(error).__name__}: {error}"
    return f"{kind}: {told}"


def problem(text: str, max_bytes: int) -> str | None:
    """Returns why a document cannot be used, or None. The part before the first colon names the kind of error."""
    if not text:
        return "empty document"
    if "\0" in text:
        return "NUL bytes: not text, or text in UTF-16"
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        return (
            f"broken UTF-8: at character {error.start}; convert the file to UTF-8 (iconv) if it is in another encoding"
        )
    if size > max_bytes:
        return f"document larger than {max_bytes:,} bytes"
    return forged_turn(text)


def forged_turn(text: str) -> str | None:
    """Returns the fault of a text or title that contains a tag of a turn, or None."""
    tag = CONTROL_TAGS.search(text)
    return f"control tags: {tag.group()}" if tag else None


def _kind(error: str) -> str:
    """Returns the part of an error that all errors of its kind share."""
    return re.sub(r" [\d,]+ bytes.*", " the limit", error.partition(":")[0])


def _row(plan: dict, profile: str, identity: str, record: Record, text: str, title: str, taken: Counter) -> dict:
    """Returns a document; its id has a number if the unit holds another document of this identity before it."""
    taken[identity] += 1
    return {
        "id": f"{plan['name']}:{numbered(identity, taken[identity])}",
        "source": plan["name"],
        "text": text,
        "title": _printable(title[:MAX_TITLE].rstrip()),
        "profile": profile,
        "meta": json.dumps(record.meta, ensure_ascii=True, sort_keys=True),
    }


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "")
