"""Fetches the sources, each pinned by the sha256 of its download, and extracts only the files that they name.

Downloads are cached by sha256 in $CRIA_CACHE (default: .cache/downloads of the checkout). A cached download that
verifies is not fetched again, so a second run needs no network.
"""

import json
import shutil
from pathlib import Path

from data_cleaning.files import write_json
from data_cleaning.reading import archives
from data_cleaning.reading.archive_bounds import Bounds, UnsafeArchive
from data_cleaning.reading.raw_records import Bad
from data_cleaning.recipes import Source, SourcesRecipe
from data_cleaning.sources import local, transport, variables
from data_cleaning.sources.addresses import shown
from data_cleaning.sources.errors import FULL_DISK, FetchError, wrong_sha256

FACTS = ("name", "reader", "profile", "use", "snapshot", "limit")  # about a source, for the stages that read its files
UNPACKED = Bounds(total_bytes=1 << 40, member_bytes=1 << 38, members=10_000_000)  # pinned in the table, hence trusted


def check_variables(config: SourcesRecipe) -> None:
    """Raises FetchError if the address of a source that is not in the cache names an unset variable."""
    missing = {
        source.name: names
        for source in config.sources
        if (names := variables.unset(source.uri)) and not transport.is_held(source.sha256)
    }
    if missing:
        named = ", ".join(sorted({name for names in missing.values() for name in names}))
        raise FetchError(f"set {named} in the environment: the addresses of {', '.join(missing)} need these secrets")


def run(config: SourcesRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Writes `raw/<source name>/<files>` and `sources.json`: a list of FACTS, sha256, files, bytes and left_out.

    Only fields of Source that are part of the identity affect these files; the record has the others (address,
    license).

    Raises FetchError (a different sha256, a full disk), whose one line says what to do, and Unreachable if the network
    fails: the next run continues where this one stopped.
    """
    check_variables(config)
    marks = out / "_scratch" / "fetched"
    marks.mkdir(parents=True, exist_ok=True)
    (out / "raw").mkdir(exist_ok=True)  # even without sources: the gate of the next stage reports that
    entries = []
    for number, source in enumerate(config.sources, start=1):
        mark = marks / f"{source.name}-{number}.json"  # a table may have several deliveries of a name
        if not mark.exists():
            folder = out / "raw" / source.name
            try:
                write_json(mark, _fetch(source, folder, log))
            except OSError as error:
                if error.errno not in FULL_DISK:
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
    """Puts the files that the URI names into the source's folder; returns what is left out, and why."""
    if path.is_dir():
        return _copy_folder(path, member, folder)
    temporary = folder.with_name(f"{folder.name}.part")  # a name that no source and no member of an archive can have
    if not member:
        with open(path, "rb") as stream:
            # The name comes from the address: the cached file keeps the name of its first download.
            archives.write_stream(stream, folder / (source.takes.partition("#")[0] or path.name), temporary)
        return []
    left_out: list[tuple[str, Bad]] = []
    try:
        archives.unpack(path, member, folder, UNPACKED, left_out)
    except (UnsafeArchive, FileNotFoundError) as error:
        raise FetchError(f"{source.name}: {error}") from error
    return [f"{name} ({bad.error})" for name, bad in left_out]


def _copy_folder(path: Path, pattern: str, folder: Path) -> list[str]:
    """Copies the files that the pattern names and the folder's digest covers; patterns work as for archive members."""
    given, left_out = local.folder_files(path)
    base = archives.fixed_folder(pattern)
    for name in given:
        if archives.matches(name, pattern):
            target = folder / name[len(base) :]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path / name, target)
    return [f"{name} (a link, or hidden)" for name in left_out]


def _local(source: Source) -> transport.Download:
    """Returns a local file or folder as a Download. Raises FetchError if its digest is not the stated one."""
    name, _, member = source.uri.partition("#")
    digest = local.local_digest(source)
    if source.sha256 not in ("", digest):
        raise wrong_sha256(source, digest)
    return transport.Download(Path(name), digest, member)
