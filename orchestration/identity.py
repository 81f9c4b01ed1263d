"""The identity of an artifact before it exists: a fingerprint of recipe, code and the contents of its parents.

- **Contents of parents, not their fingerprints.** If a rebuilt parent has the same bytes, its children stay valid.
- **Only recipe fields that affect bytes.** If a dataclass marks a field as recorded only (data_cleaning/recipes.py:
  RECORDED), the field is in the record but not in the identity: the license of a source, the address of a file that its
  sha256 pins. Such a field must not reach the artifact's files. A stage that needs its current value reads the table:
  the release's recipe contains the licenses (assets/release.py), so a corrected license changes the model card and
  nothing else.
- **No library versions.** They are in the record, and `make why` shows what changed. If the identity included them, a
bug fix in one of twenty packages would discard days of training. The fingerprint would still not determine the bytes:
the same packages round differently on another processor. Artifacts made after an upgrade use the new versions; to
rebuild an artifact with them, remove its folder.
"""

import dataclasses
import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """Returns the SHA-256 of a JSON value, 64 hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def bearing(value: Any) -> Any:
    """Returns a recipe as JSON values, without the fields that are not part of the identity."""
    if dataclasses.is_dataclass(value):
        names = {field.name: field.metadata.get("identity", field.name) for field in dataclasses.fields(value)}
        return {name: bearing(getattr(value, read)) for name, read in names.items() if read}
    if isinstance(value, tuple | list):
        return [bearing(item) for item in value]
    return value


def of(recipe: Any, code: str, parents: dict[str, dict]) -> dict[str, str]:
    """Returns the three parts of an identity, each as a hash. `parents`: role → record."""
    contents = {role: record["content"] for role, record in parents.items()}
    return {"recipe": digest(bearing(recipe)), "code": code, "parents": digest(contents)}


def fingerprint(key: str, partition: str | None, identity: dict[str, str]) -> str:
    """Returns the identity of an artifact as one hash, 64 hex digits."""
    return digest([key, partition, identity])
