"""The tables of the report, each built once for Markdown and for HTML."""

from collections.abc import Iterable
from dataclasses import dataclass

from data_cleaning.report.counts import UNKNOWN
from data_cleaning.report.terms import (
    DESCRIPTORS,
    GENDER_PRONOUNS,
    PAPER_AXES,
    PAPER_LANGUAGES,
    PAPER_PRONOUNS,
    PAPER_TERMS,
    PERSONS,
)
from data_cleaning.report.units import megabytes

NONE = "–"  # a cell without a value
PAGE = "report.html"  # in the artifact
LANGUAGES_SHOWN, TERMS_SHOWN, MARKING_TERMS_SHOWN = 30, 5, 8
LEAST_SHARE = 0.00005  # Table 10 lists languages from 0.005 % on


@dataclass(frozen=True)
class Percent:
    """A share of 1 as a cell."""

    value: float

    def __str__(self) -> str:
        digits = 1 if self.value >= 0.01 or not self.value else 2 if self.value >= 0.001 else 3
        return f"{100 * self.value:.{digits}f} %"


class Bar(Percent):
    """A share that the page draws too."""


@dataclass(frozen=True)
class Ratio:
    value: float

    def __str__(self) -> str:
        return f"{self.value:.2f}"


@dataclass(frozen=True)
class Bytes:
    value: int

    def __str__(self) -> str:
        return megabytes(self.value)


Cell = str | int | Percent | Ratio | Bytes  # a str is untrusted and is escaped where it is written


@dataclass(frozen=True)
class Table:
    title: str
    head: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    summed: bool = False  # the last row is the sum of the others


def total(counts: dict[str, dict]) -> dict:
    return {unit: sum(count[unit] for count in counts.values()) for unit in ("documents", "bytes")}


def share(part: float, whole: float) -> Percent:
    return Percent(part / whole if whole else 0.0)


def bar(part: float, whole: float) -> Bar:
    return Bar(share(part, whole).value)


def flow_tables(report: dict) -> list[Table]:
    """Documents and text after each step by source."""
    head = ("source", *(step["name"] for step in report["steps"]), "kept")
    return [
        Table("Documents after each step", head, _kept_rows(report["steps"], "documents"), summed=True),
        Table("Text after each step", head, _kept_rows(report["steps"], "bytes"), summed=True),
    ]


def _kept_rows(steps: list[dict], unit: str) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for source in [*sorted(steps[0]["kept"]), None]:
        counts = [
            total(step["kept"])[unit] if source is None else step["kept"].get(source, {unit: 0})[unit] for step in steps
        ]
        cells = [count if unit == "documents" else Bytes(count) for count in counts]
        rows.append((source or "all", *cells, share(counts[-1], counts[0])))
    return rows


def sources(report: dict) -> Table:
    """Licence and size of each source: documents read and kept, characters and words kept."""
    rows, nothing = [], {"documents": 0, "characters": 0, "words": 0}
    for source, read in sorted(report["steps"][0]["kept"].items()):
        left = report["size"].get(source, nothing)
        licence = report["licenses"].get(source) or "none stated"
        rows.append((source, licence, read["documents"], left["documents"], left["characters"], left["words"]))
    rows.append(("all", "", *(sum(row[place] for row in rows) for place in range(2, 6))))
    head = ("source", "licence", "documents read", "kept", "characters kept", "words kept")
    return Table("Sources and licences", head, rows, summed=True)


def languages(report: dict) -> Table:
    """Table 10: the share of each language among the documents that were read."""
    read = sum(count["documents"] for count in report["languages"].values())
    rows = [
        (code if code != UNKNOWN else "unknown (below the threshold)", bar(count["documents"], read), paper(code),
         count["documents"], Bytes(count["bytes"]), count["kept"])
        for code, count in list(report["languages"].items())[:LANGUAGES_SHOWN]
        if count["documents"] >= LEAST_SHARE * read
    ]  # fmt: skip
    return Table("Languages of the documents read", ("language", "share", "paper", "documents", "text", "kept"), rows)


def paper(name: str) -> Cell:
    """Returns the paper's share of a language, kind of pronoun, axis or term; NONE if it gives none."""
    for listed in (PAPER_LANGUAGES, PAPER_PRONOUNS, PAPER_AXES, PAPER_TERMS):
        if name in listed:
            return Percent(listed[name] / 100)
    return NONE


def pronouns(report: dict) -> Table:
    """Table 9a: documents with any pronoun of a group, and of these, those with each kind."""
    found, documents = report["demographics"]["pronouns"], _documents(report)
    rows: list[tuple[Cell, ...]] = []
    for key, title, group in (
        ("gender", "Gender pronouns", GENDER_PRONOUNS),
        ("person", "Grammatical person", PERSONS),
    ):
        of = found.get(key, 0)
        rows.append((f"{title}, of all documents", bar(of, documents), paper(key), of))
        for kind in group:
            named = f"{kind} ({', '.join(group[kind][:3])} …), of these"
            rows.append((named, bar(found.get(kind, 0), of), paper(kind), found.get(kind, 0)))
    return Table("Pronouns", ("pronouns", "share", "paper", "documents"), rows)


def axes(report: dict) -> Table:
    """Table 9b, first line: documents with any descriptor of an axis."""
    found, documents = report["demographics"]["axes"], _documents(report)
    rows = [(axis, bar(found.get(axis, 0), documents), paper(axis), found.get(axis, 0)) for axis in DESCRIPTORS]
    return Table("Identity descriptors by axis, of all documents", ("axis", "share", "paper", "documents"), rows)


def descriptors(report: dict) -> list[Table]:
    """Table 9b: the most frequent descriptors of each axis, as shares of the documents with any of the axis."""
    found, tables = report["demographics"], []
    for axis, listed in DESCRIPTORS.items():
        counts = sorted(
            ((found["descriptors"].get(term, 0), term) for term in listed), key=lambda item: (-item[0], item[1])
        )
        of = found["axes"].get(axis, 0)
        rows = [(term, bar(number, of), paper(term), number) for number, term in counts[:TERMS_SHOWN] if number]
        if rows:
            tables.append(
                Table(f"{axis}: most frequent descriptors", ("descriptor", "share", "paper", "documents"), rows)
            )
    return tables


def _documents(report: dict) -> int:
    return total(report["steps"][-1]["kept"])["documents"]


def toxicity(report: dict) -> Table:
    """Figure 13's headline by source: documents whose mean line score is half or more."""
    measured = report["toxicity"]
    rows = [
        (name, found["documents"], found["toxic"], share(found["toxic"], found["documents"]), found["lines"],
         share(found["lines_marked"], found["lines"]))
        for name, found in (*measured["by_source"].items(), ("all", measured["all"]))
    ]  # fmt: skip
    head = ("source", "documents", "toxic documents", "share", "lines", "lines with a rated term")
    return Table("Toxicity by source", head, rows, summed=True)


def agreement(report: dict) -> Table:
    """How far the scores agree with labelled lines."""
    rows = [
        (row["set"], row["lines"], Percent(row["above_0"]), Percent(row["toxic"]),
         NONE if row["auc"] is None else Ratio(row["auc"]))
        for row in report["toxicity"]["agreement"]
    ]  # fmt: skip
    head = ("labelled lines", "lines", "with a rated term", "score 0.5 or more", "AUC")
    return Table("Agreement with labels", head, rows)


def reasons(step: dict) -> Table:
    """What a step dropped by reason."""
    rows = [
        (reason.replace("_", " "), count["documents"], Bytes(count["bytes"]), _by_source(count["by_source"]))
        for reason, count in step["dropped"].items()
    ]
    return Table(f"{step['name']}: reasons", ("reason", "documents", "text", "sources"), rows)


def placeholders(report: dict) -> Table:
    """How often each kind of personal information was replaced."""
    rows = list(report["replaced"].items())
    return Table("Personal information replaced in kept documents", ("kind", "places"), rows)


def _by_source(counts: dict[str, dict]) -> str:
    return ", ".join(f"{name} {count['documents']:,}" for name, count in sorted(counts.items()))


def shown_without_threshold(step: dict) -> Iterable[tuple[str, dict]]:
    """Yields (reason, count) of the reasons whose samples do not stand beside a threshold."""
    beside = {threshold["reason"] for threshold in step["thresholds"]}
    return ((reason, count) for reason, count in step["dropped"].items() if reason not in beside)


def threshold_title(threshold: dict) -> str:
    """Returns what a threshold asks, for example: too few words: at least 20 (profile dialogue)."""
    bound = {"least": "at least", "most": "at most", "below": "below"}[threshold["bound"]]
    of = f" (profile {threshold['profile']})" if threshold["profile"] else ""
    return f"{threshold['reason'].replace('_', ' ')}: {bound} {threshold['limit']:g}{of}"


def value(sample: dict) -> str:
    return "" if sample["value"] is None else f"{sample['value']:.4g}"
