"""The numbers that people are shown, read from the evaluations' records: once for the model card and the README."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    title: str
    fingerprint: str
    head: tuple[str, ...]
    rows: list[tuple]
    note: str


def sections(records):
    return []
