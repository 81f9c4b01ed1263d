"""The label of a pair of answers and the interface of all annotators (paper 3.2.1)."""

from dataclasses import dataclass
from typing import Protocol

SIGNIFICANT, BETTER, SLIGHT, NEGLIGIBLE = 3, 2, 1, 0
PEOPLE = "people"  # the annotator of a scale whose reward models learn from votes alone (ratings/)
DEGREES = {SIGNIFICANT: "significantly better", BETTER: "better", SLIGHT: "slightly better", NEGLIGIBLE: "negligibly"}


@dataclass(frozen=True)
class Label:
    """The judgement of one pair. Raises ValueError for a preference or degree that is out of range."""

    preferred: str  # "a" or "b"
    degree: int  # 3 significantly better, 2 better, 1 slightly better, 0 negligibly better or unsure
    safe_a: bool
    safe_b: bool

    def __post_init__(self) -> None:
        if self.preferred not in ("a", "b") or self.degree not in DEGREES:
            raise ValueError(f"a label prefers 'a' or 'b' by 0 to 3, not {self.preferred!r} by {self.degree!r}")


class UnjudgedError(ValueError):
    """The annotator gave no judgement of this pair. The caller leaves the pair out and counts it."""


class TiedError(ValueError):
    """The annotator finds neither answer better. The caller leaves the pair out and counts it."""


class Annotator(Protocol):
    """Compares two answers to one prompt."""

    name: str  # written beside every label

    def label(self, prompt_row: dict, answer_a: str, answer_b: str) -> Label:
        """The label of two answers to a row of the prompts artifact. Raises UnjudgedError or TiedError if there is none."""
        ...
