"""A table of results with its title and note, as Markdown."""

import textwrap
from dataclasses import dataclass

from modeling.core import reporting
from release.lineage import Artifact


class MissingFigureError(ValueError):
    """A record lacks a metric that the table needs."""


@dataclass(frozen=True)
class Section:
    title: str
    artifact: Artifact | None  # source of the numbers
    head: tuple[str, ...]
    rows: list[tuple]
    note: str


def as_markdown(section: Section, marked: bool) -> str:
    """Returns title, table and note. `marked` adds the fingerprint of the record."""
    mark = f" (`{section.artifact.record['fingerprint'][:12]}`)" if marked and section.artifact else ""
    return f"**{section.title}**{mark}\n\n{reporting.table(section.head, section.rows)}" + (
        f"\n{paragraph(section.note)}\n" if section.note else ""
    )


def paragraph(text: str) -> str:
    """Wraps the text to lines of at most 120 characters."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def metric(artifact: Artifact, name: str):
    """Returns a metric of a record. Raises MissingFigureError, which names the artifact to materialize again."""
    metrics = artifact.record["metrics"]
    if name not in metrics:
        raise MissingFigureError(
            f"the record of {artifact.name} has no {name!r}: other code made it; materialize {artifact.record['asset']} again"
        )
    return metrics[name]


def interval(row: dict | None, name: str) -> str:
    """Formats a rate and its interval as 78.1 % (70–84), or as a dash without data."""
    if row is None or row[name] is None:
        return "–"
    return f"{100 * row[name]:.1f} % ({100 * row['low']:.0f}–{100 * row['high']:.0f})"
