"""Digests of local files and folders, and local sources pinned by them."""

import dataclasses
import hashlib
import os
from pathlib import Path

from data_cleaning.recipes import Source
from data_cleaning.sources.errors import FetchError


def pin(source: Source) -> Source:
    """A local source with the digest of what is there now as its sha256, so that changed files make another recipe."""
    if "://" in source.uri or source.sha256:
        return source
    return dataclasses.replace(source, sha256=local_digest(source))


def local_digest(source: Source) -> str:
    """sha256 of the file or folder that a local source names. Raises FetchError where there is none."""
    path = Path(source.uri.partition("#")[0])
    if not (path.is_file() or path.is_dir()):
        raise FetchError(f"{source.name}: {path} does not exist; a local path is relative to the sources file")
    return digest(path)


def digest(path: Path) -> str:
    return folder_sha256(path) if path.is_dir() else sha256_of(path)


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """sha256 of the sorted listing "path sha256" of the files that a folder gives (neither links nor hidden files)."""
    listing = hashlib.sha256()
    for name in folder_files(folder)[0]:
        listing.update(f"{name} {sha256_of(folder / name)}\n".encode())
    return listing.hexdigest()


def folder_files(folder: Path) -> tuple[list[str], list[str]]:
    """Paths in a folder: of the files that it gives, and of the links and hidden files and folders, which it does not give."""
    given, left_out = [], []
    for parent, folders, files in os.walk(folder):
        base = Path(parent).relative_to(folder)
        gone = {name for name in folders + files if name.startswith(".") or Path(parent, name).is_symlink()}
        folders[:] = sorted(set(folders) - gone)
        given += [(base / name).as_posix() for name in sorted(set(files) - gone)]
        left_out += [(base / name).as_posix() for name in sorted(gone)]
    return given, left_out
