"""Fetch the sources, each pinned by the sha256 of what is downloaded, and lay out just the files they name.

Downloads are kept by sha256 in $CRIA_CACHE (default: .cache/downloads of the checkout); what is there and verifies is
never fetched again, so a second run needs no network.
"""

import dataclasses
import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import tomllib
from pathlib import Path

from data_cleaning.files import remembered_sha256, sha256_of, write_json
from data_cleaning.reading import archives
from data_cleaning.reading.raw_records import Bad
from data_cleaning.reading.reader_names import READER_NAMES
from data_cleaning.recipes import FIRST_SNAPSHOT, Source, SourcesRecipe
from data_cleaning.sources import transport
from data_cleaning.sources.addresses import shown
from data_cleaning.sources.transport import Download, FetchError, SourceError

USES = ("corpus", "dialogues", "prompts", "benchmarks", "checkpoint", "judge", "language_model")
READERS = ("auto", "none", *READER_NAMES)
DEFAULTS = {
    "sha256": "",
    "reader": "auto",
    "profile": "web",
    "use": "corpus",
    "snapshot": FIRST_SNAPSHOT,
    "factual": False,
    "limit": 0,
    "opt_in": False,
}
FACTS = ("name", "reader", "profile", "use", "snapshot", "limit")  # of a source, for the stages that read its files
UNPACKED = archives.Bounds(total_bytes=1 << 40, member_bytes=1 << 38)  # archives named here are pinned, hence trusted


def load_sources(path: Path) -> tuple[Source, ...]:
    """The entries of a sources.toml, in its order, without those that are opt-in and not named in CRIA_OPT_IN.

    Local paths come back absolute. Raises SourceError, in one line that says what to write, on unknown or missing
    fields, an unknown reader or use, a missing licence, or a name that is taken. A corpus source may come again under its name in
    another snapshot: its documents then take the place of those with the same ids (see mixture.choose).
    """
    try:
        entries = tomllib.loads(path.read_text()).get("source", [])
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{path}: {error}") from error
    named = {name.strip() for name in os.environ.get("CRIA_OPT_IN", "").split(",") if name.strip()}
    sources = [_source(path, number, entry) for number, entry in enumerate(entries, start=1)]
    for one, other in itertools.combinations(sources, 2):
        delivered_again = one.use == other.use == "corpus" and one.snapshot != other.snapshot
        if one.name == other.name and not delivered_again:
            raise SourceError(
                f"{path}: two sources are named {one.name!r}; a name is a folder, give one of them another (only a corpus "
                "source may come again under its name, in another snapshot)"
            )
    if unknown := named - {source.name for source in sources if source.opt_in}:
        raise SourceError(f"CRIA_OPT_IN names {', '.join(sorted(unknown))}: no opt-in source of that name in {path}")
    return tuple(source for source in sources if not source.opt_in or source.name in named)


def _source(path: Path, number: int, entry: dict) -> Source:
    where = f"{path}: source {entry.get('name', number)!r}"
    fields = {field.name for field in dataclasses.fields(Source)}
    if unknown := sorted(set(entry) - fields):
        raise SourceError(f"{where}: unknown field {unknown[0]!r}; the fields are {', '.join(sorted(fields))}")
    values = DEFAULTS | entry
    for field in dataclasses.fields(Source):
        if field.name == "license" and not values.get("license") and not values["opt_in"]:
            raise SourceError(f"{where}: state its license, or set opt_in = true where none is known")
        if field.name not in values:
            raise SourceError(f"{where}: {field.name!r} is missing")
        if type(values[field.name]) is not field.type:
            raise SourceError(f"{where}: {field.name} must be of type {field.type.__name__}")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", values["name"]):
        raise SourceError(f"{where}: a name is a folder, use a-z 0-9 - _ only")
    if values["reader"] not in READERS:
        raise SourceError(f"{where}: no reader {values['reader']!r}; there are {', '.join(READERS)}")
    if values["use"] not in USES:
        raise SourceError(f"{where}: no use {values['use']!r}; there are {', '.join(USES)}")
    if "://" not in values["uri"]:
        name, mark, member = values["uri"].partition("#")
        slash = "/" if name.endswith("/") else ""
        values["uri"] = str((path.parent / name).resolve()) + slash + mark + member
    return Source(**values)


def pin(source: Source) -> Source:
    """A local source with the digest of what is there now as its sha256, so that changed files make another recipe.

    Only files whose size or time of modification has changed since the last time are read. Raises FetchError.
    """
    if "://" in source.uri or source.sha256:
        return source
    path = _there(source)
    memory = transport.cache_folder() / "local" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()}.json"
    if path.is_file():
        return dataclasses.replace(source, sha256=remembered_sha256(path.parent, [path.name], memory)[path.name])
    hashes = remembered_sha256(path, transport.folder_files(path)[0], memory)
    return dataclasses.replace(source, sha256=transport.listing_sha256(hashes))


def run(config: SourcesRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """`raw/<source name>/<files>` and `sources.json` in `out`: a list of FACTS, sha256, files, bytes and left_out.

    Nothing in them comes from a field that bears no identity (Source), such as address and licence: the record has those.

    Raises FetchError in one line that says what to do: no network, another sha256 than stated, a full disk.
    """
    marks = out / "_scratch" / "fetched"
    marks.mkdir(parents=True, exist_ok=True)
    (out / "raw").mkdir(exist_ok=True)  # also where there are no sources: the next stage says what that means
    entries = []
    for number, source in enumerate(config.sources, start=1):
        mark = marks / f"{source.name}-{number}.json"  # a whole table may hold several deliveries of a name
        if not mark.exists():
            folder = out / "raw" / source.name
            try:
                write_json(mark, _fetch(source, folder, log))
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                free = shutil.disk_usage(out).free
                raise FetchError(
                    f"{source.name}: no space left while writing {error.filename or folder} ({free / 1e6:,.0f} MB free "
                    f"at {out}); make room, or point CRIA_CACHE (downloads) at a larger disk, and run again"
                ) from error
        entries.append(json.loads(mark.read_text()))
        log.progress(number, len(config.sources), unit="source", megabytes=sum(e["bytes"] for e in entries) / 1e6)
    write_json(out / "sources.json", entries)
    return {
        "sources": len(entries),
        "files": sum(len(entry["files"]) for entry in entries),
        "bytes": sum(entry["bytes"] for entry in entries),
    }


def _fetch(source: Source, folder: Path, log) -> dict:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    download = transport.obtain(source, log) if "://" in source.uri else _local(source)
    left_out = _lay_out(source, download.path, download.member, folder)
    if left_out:
        log.info(f"{source.name}: left out {len(left_out)} of {shown(source.uri)}, first {left_out[0]}")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if not files:
        raise FetchError(f"{source.name}: {shown(source.uri)} holds no files")
    return {name: getattr(source, name) for name in FACTS} | {
        "sha256": download.sha256,
        "files": [str(file.relative_to(folder)) for file in files],
        "bytes": sum(file.stat().st_size for file in files),
        "left_out": len(left_out),
    }


def _lay_out(source: Source, path: Path, member: str, folder: Path) -> list[str]:
    """Put what the URI names of a download or of local data into the source's folder; returns what is left out, and why."""
    if path.is_dir():
        return _copy_folder(path, member, folder)
    temporary = folder.with_name(f"{folder.name}.part")  # no name that a source, or a member of an archive, can have
    if not member:
        with open(path, "rb") as stream:
            # Named as its address names it: in the cache it keeps the name under which it came first.
            archives.write_stream(stream, folder / (source.takes.partition("#")[0] or path.name), temporary)
        return []
    left_out: list[tuple[str, Bad]] = []
    try:
        archives.unpack(path, member, folder, UNPACKED, left_out)
    except (archives.UnsafeArchive, FileNotFoundError) as error:
        raise FetchError(f"{source.name}: {error}") from error
    return [f"{name} ({bad.error})" for name, bad in left_out]


def _copy_folder(path: Path, pattern: str, folder: Path) -> list[str]:
    """Copy, of what the digest of a folder covers, the files that the pattern names, by the rules for members of an archive."""
    given, left_out = transport.folder_files(path)
    base = archives.fixed_folder(pattern)
    for name in given:
        if archives.matches(name, pattern):
            target = folder / name[len(base) :]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path / name, target)
    return [f"{name} (a link, or hidden)" for name in left_out]


def _local(source: Source) -> Download:
    """A local file or folder in the place of a download. Raises FetchError where its digest is not the one stated."""
    path = _there(source)
    digest = sha256_of(path) if path.is_file() else transport.folder_sha256(path)
    if source.sha256 and source.sha256 != digest:
        raise FetchError(transport.wrong_sha256(source, digest))
    return Download(path, digest, source.uri.partition("#")[2])


def _there(source: Source) -> Path:
    path = Path(source.uri.partition("#")[0])
    if not path.exists():
        raise FetchError(f"{source.name}: {path} does not exist; a local path is relative to the sources file")
    return path
