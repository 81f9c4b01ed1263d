"""What a release is: one frozen dataclass, no defaults (values live in orchestration/scales.py)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReleaseRecipe:
    licenses: tuple[tuple[str, str, str], ...]  # (name, snapshot, licence) of each source, as currently stated
    allow_unlicensed: tuple[str, ...]  # names of sources that may go into a release without a stated licence
    max_version_bytes: int  # an earlier version with larger weights is named by its hash, not bundled
