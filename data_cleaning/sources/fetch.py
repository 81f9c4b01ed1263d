"""Fetch the sources, each pinned by the sha256 of what is downloaded, and lay out just the files they name.

Downloads are kept by sha256 in $CRIA_CACHE (default: .cache/downloads of the checkout); what is there and verifies is
never fetched again, so a second run needs no network.
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

FACTS = ("name", "reader", "profile", "use", "snapshot", "limit")  # of a source, for the stages that read its files
UNPACKED = Bounds(total_bytes=1 << 40, member_bytes=1 << 38, members=10_000_000)  # pinned in the table, hence trusted


def check_variables(config: SourcesRecipe) -> None:
    """Raises FetchError where the address of a source that is not in the cache names a variable that is not set."""
    missing = {
        source.name: names
        for source in config.sources
        if (names := variables.unset(source.uri)) and not transport.is_held(source.sha256)
    }
    if missing:
        named = ", ".join(sorted({name for names in missing.values() for name in names}))
        raise FetchError(
            f"set {named} in the environment: the addresses of {', '.join(missing)} need what is secret in them"
        )


def run(config: SourcesRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """`raw/<source name>/<files>` and `sources.json` in `out`: a list of FACTS, sha256, files, bytes and left_out.

    Nothing in them comes from a field that bears no identity (Source), such as address and licence: the record has those.

    Raises FetchError in one line that says what to do (another sha256 than stated, a full disk), and Unreachable where the
    network fails: run again, it continues where it stopped.
    """
    check_variables(config)
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
    except (UnsafeArchive, FileNotFoundError) as error:
        raise FetchError(f"{source.name}: {error}") from error
    return [f"{name} ({bad.error})" for name, bad in left_out]


def _copy_folder(path: Path, pattern: str, folder: Path) -> list[str]:
    """Copy, of what the digest of a folder covers, the files that the pattern names, by the rules for members of an archive."""
    given, left_out = local.folder_files(path)
    base = archives.fixed_folder(pattern)
    for name in given:
        if archives.matches(name, pattern):
            target = folder / name[len(base) :]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path / name, target)
    return [f"{name} (a link, or hidden)" for name in left_out]


def _local(source: Source) -> transport.Download:
    """A local file or folder in the place of a download. Raises FetchError where its digest is not the one stated."""
    name, _, member = source.uri.partition("#")
    digest = local.local_digest(source)
    if source.sha256 not in ("", digest):
        raise wrong_sha256(source, digest)
    return transport.Download(Path(name), digest, member)
