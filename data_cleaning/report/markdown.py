"""The corpus report as Markdown, for the Dagster UI and editors: the tables of the page, and samples of each reason."""

from collections.abc import Iterator

from data_cleaning.markdown import literal
from data_cleaning.report import contents
from data_cleaning.report.contents import Cell, Table
from data_cleaning.report.units import counted, megabytes


def render(report: dict) -> str:
    """Returns the report as Markdown: what each step kept, and every reason with its samples. All text is escaped."""
    steps = report["steps"]
    read, left = contents.total(steps[0]["kept"]), contents.total(steps[-1]["kept"])
    lines = [
        "# Corpus",
        "",
        f"{read['documents']:,} documents ({megabytes(read['bytes'])}) were read; {left['documents']:,} "
        f"({megabytes(left['bytes'])}, {left['bytes'] / max(read['bytes'], 1):.0%}) are left after all steps. "
        f"{report['quarantine']['entries']:,} inputs ({megabytes(report['quarantine']['bytes'])}) are no text or could not "
        "be read; they are in quarantine. The page report.html has the pictures, and samples beside each threshold.",
        "",
        "![flow](plots/flow.png)",
        "",
    ]
    for table in (*contents.flow_tables(report), contents.sources(report), contents.languages(report),
                  contents.pronouns(report), contents.axes(report), *contents.descriptors(report)):  # fmt: skip
        lines += _section(table)
    if report["toxicity"]:
        lines += _section(contents.toxicity(report)) + _section(contents.agreement(report))
    lines += ["## What was dropped, and why", ""]
    for step in steps[1:]:
        lines += [f"### {step['name']}", ""]
        lines += list(_reasons(step)) or ["Nothing was dropped.", ""]
    if report["replaced"]:
        lines += _section(contents.placeholders(report))
    if report["quarantine"]["entries"]:
        lines += ["## Quarantine", ""]
        for kind, samples in report["quarantine"]["samples"].items():
            lines += [f"**{literal(kind)}**: {report['quarantine']['errors'][kind]:,}", ""]
            for sample in samples:
                place = literal(f"{sample['source']}/{sample['file']}")
                lines.append(f"- {place} at byte {sample['offset']:,}: {literal(sample['error'])}")
            lines.append("")
    return "\n".join(lines)


def _reasons(step: dict) -> Iterator[str]:
    for reason, count in step["dropped"].items():
        sources = ", ".join(f"{literal(name)} {c['documents']:,}" for name, c in sorted(count["by_source"].items()))
        amount = f"{counted(count['documents'])}, {megabytes(count['bytes'])}"
        yield f"**{literal(reason.replace('_', ' '))}**: {amount} ({sources})"
        yield ""
        for sample in count["samples"]:
            measured = "" if sample["value"] is None else f" ({contents.value(sample)})"
            detail = f" → {literal(sample['detail'])}" if sample["detail"] else ""
            yield f"- {literal(sample['id'])}{measured}{detail}: {literal(sample['excerpt'])}"
        yield ""


def _section(table: Table) -> list[str]:
    ruler = ["---", *("---:" for _ in table.head[1:])]
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    if table.summed:
        rows[-1][0] = f"**{rows[-1][0]}**"
    return [f"## {table.title}", "", *("| " + " | ".join(row) + " |" for row in [table.head, ruler, *rows]), ""]


def _cell(cell: Cell) -> str:
    return literal(cell) if isinstance(cell, str) else f"{cell:,}" if isinstance(cell, int) else str(cell)
