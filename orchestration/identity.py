"""What an artifact is before it exists: its fingerprint, made of recipe, code and the contents of its parents.

- **Contents of parents, not their fingerprints.** A parent that is made again and comes out with the same bytes leaves
  what was made from it as it is.
- **Of a recipe what changes bytes.** Where a dataclass marks a field as recorded only (data_cleaning/recipes.py: RECORDED),
  the record holds it and the identity does not: the licence of a source, the address of a file that its sha256 pins. Such
  a field must not reach the artifact's files. Who needs it as it is now reads the table: the release's recipe holds the
  licences (assets/release.py), so that a mended one makes a new model card and nothing else.
- **Versions of libraries are no part of it.** They are in the record, and `make why` shows what changed. With them a fixed
  bug in one of twenty packages would throw away days of training, and the fingerprint would still not stand for bytes:
  the same packages round otherwise on another processor. What is made after an upgrade is made with it; to make an
  artifact again with new versions, remove its folder.
"""

import dataclasses
import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, 64 hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def bearing(value: Any) -> Any:
    """A recipe as JSON values, without what bears no identity."""
    if dataclasses.is_dataclass(value):
        names = {field.name: field.metadata.get("identity", field.name) for field in dataclasses.fields(value)}
        return {name: bearing(getattr(value, read)) for name, read in names.items() if read}
    if isinstance(value, tuple | list):
        return [bearing(item) for item in value]
    return value


def of(recipe: Any, code: str, parents: dict[str, dict]) -> dict[str, str]:
    """The three parts of an identity, each as a hash. `parents`: role → record."""
    contents = {role: record["content"] for role, record in parents.items()}
    return {"recipe": digest(bearing(recipe)), "code": code, "parents": digest(contents)}


def fingerprint(key: str, partition: str | None, identity: dict[str, str]) -> str:
    """Identity of an artifact as one hash, 64 hex digits."""
    return digest([key, partition, identity])
