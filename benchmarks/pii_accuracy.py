"""Recall and precision of the rules for personal information (data_cleaning/filters), on lines with labels.

    python benchmarks/pii_accuracy.py            # the table of docs/corpus.md, and every miss and false span

The lines of benchmarks/pii_labelled are written by hand in 25 languages: what is to go, and what looks like it and must
stay. They hold far more difficult lines than a corpus does, so the figures are no estimate for one.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from data_cleaning.filters.pii import Kind, kinds_of, replace_all  # noqa: E402
from data_cleaning.recipes import EVERY_PII  # noqa: E402

LABELLED = Path(__file__).parent / "pii_labelled"
MARK = re.compile(r"⟦(\w+)\|([^⟧]*)⟧")
LOOKALIKE = "no"
# Documentation ranges are not public: in spans the addresses of public services take their place.
PUBLIC = {
    "192.0.2.": "172.253.62.",
    "198.51.100.": "104.16.132.",
    "203.0.113.": "142.250.80.",
    "2001:db8:": "2606:4700:",
    "2001:0db8:": "2606:4700:",
}
DOCUMENTATION = re.compile("|".join(map(re.escape, PUBLIC)), re.IGNORECASE)
Span = tuple[str, int, int]  # kind, start, end


@dataclass(frozen=True)
class Line:
    language: str
    text: str
    spans: tuple[Span, ...]  # what is to be replaced
    lookalikes: int


@dataclass(frozen=True)
class Accuracy:
    """Counts of one kind. A found span is exact if it has the bounds of a label, and right if it overlaps one."""

    kind: str
    labelled: int
    found: int
    exact: int
    reached: int  # labels that a found span overlaps
    right: int

    @property
    def recall(self) -> float:
        return self.reached / max(self.labelled, 1)

    @property
    def precision(self) -> float:
        return self.right / max(self.found, 1)


def parse(lines: Iterable[str]) -> Iterator[Line]:
    """Yields the lines of a labelled file: language, tab, text with ⟦kind|span⟧. `#` begins a comment."""
    for line in lines:
        language, tab, marked = line.rstrip("\n").partition("\t")
        if line.startswith("#") or not tab:
            continue
        text, spans, lookalikes, last = "", [], 0, 0
        for mark in MARK.finditer(marked):
            kind, inside = mark.groups()
            text += marked[last : mark.start()]
            if kind == LOOKALIKE:
                lookalikes += 1
            else:
                inside = DOCUMENTATION.sub(lambda found: PUBLIC[found[0].lower()], inside)
                spans.append((kind, len(text), len(text) + len(inside)))
            text, last = text + inside, mark.end()
        yield Line(language, text + marked[last:], tuple(spans), lookalikes)


def labelled() -> list[Line]:
    """Returns the lines of all files."""
    return [line for path in sorted(LABELLED.glob("*.txt")) for line in parse(path.read_text().splitlines())]


def found_in(text: str, kinds: Sequence[Kind]) -> list[Span]:
    """Returns what `replace_all` replaces, by its place in the text as it was."""
    found: list[Span] = []
    for kind in kinds:
        new = []
        for _, start, length in replace_all(text, [kind])[1]:
            for earlier, first, last in sorted(found, key=lambda span: span[1]):
                if first < start:  # a placeholder stands there
                    start -= len(placeholder(kinds, earlier)) - (last - first)
            new.append((kind.name, start, start + length))
        found += new
        text = replace_all(text, [kind])[0]
    return found


def placeholder(kinds: Sequence[Kind], name: str) -> str:
    return next(kind.placeholder for kind in kinds if kind.name == name)


def overlaps(one: Span, others: Iterable[Span]) -> bool:
    return any(one[0] == other[0] and one[1] < other[2] and other[1] < one[2] for other in others)


def measure(lines: Sequence[Line], kinds: Sequence[Kind]) -> list[Accuracy]:
    """Returns the accuracy of each kind."""
    pairs = [(set(line.spans), found_in(line.text, kinds)) for line in lines]
    counts = []
    for kind in kinds:
        mine = [
            ([span for span in labels if span[0] == kind.name], [span for span in found if span[0] == kind.name])
            for labels, found in pairs
        ]
        counts.append(
            Accuracy(
                kind=kind.name,
                labelled=sum(len(labels) for labels, _ in mine),
                found=sum(len(found) for _, found in mine),
                exact=sum(len(set(labels) & set(found)) for labels, found in mine),
                reached=sum(overlaps(label, found) for labels, found in mine for label in labels),
                right=sum(overlaps(span, labels) for labels, found in mine for span in found),
            )
        )
    return counts


def mistakes(lines: Sequence[Line], kinds: Sequence[Kind]) -> Iterator[str]:
    """Yields one text for each label that is missed or has other bounds, and for each false span."""
    for line in lines:
        found = found_in(line.text, kinds)
        for kind, first, last in set(line.spans) - set(found):
            said = "other bounds" if overlaps((kind, first, last), found) else "missed"
            yield f"{said}: {kind} {line.text[first:last]!r} in {line.text!r}"
        for span in found:
            if not overlaps(span, line.spans):
                yield f"false: {span[0]} {line.text[span[1] : span[2]]!r} in {line.text!r}"


def section() -> str:
    """Returns the section of docs/corpus.md, measured now."""
    from modeling.core import reporting  # here: it imports much, and tests of the rules do not need it

    lines = labelled()
    count, languages = sum(line.lookalikes for line in lines), len({line.language for line in lines})
    head = ("Kind", "Labelled", "Found", "Recall", "Precision", "Exact bounds, of labels", "Exact bounds, of found")
    rows = (
        (one.kind, one.labelled, one.found, *(reporting.percent(share) for share in (
            one.recall, one.precision, one.exact / max(one.labelled, 1), one.exact / max(one.found, 1))))
        for one in measure(lines, kinds_of(EVERY_PII))
    )  # fmt: skip
    return "\n".join(
        [
            "## Personal information: recall and precision",
            "",
            f"On hand-written lines in {languages} languages (`benchmarks/pii_labelled/`) with {count} look-alikes.",
            "They are harder than a corpus, and the rules were mended on them.",
            "",
            reporting.table(head, rows),
        ]
    )


if __name__ == "__main__":
    print("\n".join([section(), *mistakes(labelled(), kinds_of(EVERY_PII))]))
