"""Digests of local files and folders, and local sources pinned by them."""

import dataclasses
import hashlib
import os
from pathlib import Path

from data_cleaning.files import remembered_sha256, sha256_of, sha256_of_all
from data_cleaning.paths import path_from
from data_cleaning.recipes import Source
from data_cleaning.sources.errors import FetchError

CHECKOUT = Path(__file__).resolve().parents[2]


def cache_folder() -> Path:
    """Returns $CRIA_CACHE, or .cache/downloads of the checkout."""
    return path_from("CRIA_CACHE", CHECKOUT / ".cache" / "downloads")


def pin(source: Source) -> Source:
    """Returns a local source with the digest of its current content as sha256, so that changed files change the recipe.

    Reads only files whose size or modification time has changed since the last call. Raises FetchError if it is
    missing.
    """
    if "://" in source.uri or source.sha256:
        return source
    path = _there(source)
    memory = cache_folder() / "local" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()}.json"
    if path.is_file():
        return dataclasses.replace(source, sha256=remembered_sha256(path.parent, [path.name], memory)[path.name])
    return dataclasses.replace(source, sha256=listing(remembered_sha256(path, folder_files(path)[0], memory)))


def local_digest(source: Source) -> str:
    """Returns the sha256 of the file or folder of a local source. Raises FetchError if it does not exist."""
    return digest(_there(source))


def _there(source: Source) -> Path:
    path = Path(source.uri.partition("#")[0])
    if not (path.is_file() or path.is_dir()):
        raise FetchError(f"{source.name}: {path} does not exist; a local path is relative to the sources file")
    return path


def digest(path: Path) -> str:
    """Returns the sha256 of a file, or of the listing of a folder."""
    return listing(sha256_of_all(path, folder_files(path)[0])) if path.is_dir() else sha256_of(path)


def listing(hashes: dict[str, str]) -> str:
    """Returns the sha256 of the sorted lines "path sha256" of a folder's files, without links and hidden files."""
    return hashlib.sha256("".join(f"{name} {hashes[name]}\n" for name in hashes).encode()).hexdigest()


def folder_files(folder: Path) -> tuple[list[str], list[str]]:
    """Returns the paths of a folder's files, and the paths left out: links and hidden files and folders."""
    given, left_out = [], []
    for parent, folders, files in os.walk(folder):
        base = Path(parent).relative_to(folder)
        gone = {name for name in folders + files if name.startswith(".") or Path(parent, name).is_symlink()}
        folders[:] = sorted(set(folders) - gone)
        given += [(base / name).as_posix() for name in sorted(set(files) - gone)]
        left_out += [(base / name).as_posix() for name in sorted(gone)]
    return given, left_out
