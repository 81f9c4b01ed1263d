"""results.jsonl and its Markdown tables. A line is a machine fact, a figure, a test's verdict, or a part's end."""

import json
import textwrap
from pathlib import Path

RESULTS = "results.jsonl"
FINISHED = "finished"


def append(path: Path, **row) -> None:
    """Appends a line, which is on disk when this returns."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def render(rows: list[dict]) -> str:
    """Returns Markdown: card and versions, figures, tests, how each part ended, and the log tails of failed parts."""
    facts = {row["fact"]: row["value"] for row in rows if "fact" in row}
    lines = [f"## Measured on {facts.get('card', 'an unknown device')}", ""]
    others = [f"{name} {value}" for name, value in facts.items() if name != "card"]
    lines += [*textwrap.wrap(f"{', '.join(others)}.", 120), ""] if others else []
    figures = [row for row in rows if "measure" in row]
    if figures:
        lines += ["| Part | Measure | Value | Unit | Remark |", "|---|---|---|---|---|"]
        lines += [
            f"| {row['part']} | {_cell(row['measure'])} | {number(row['value'])} | {row['unit']} | {_cell(row['remark'])} |"
            for row in figures
        ]
        lines.append("")
    tests: dict[str, list[dict]] = {}
    for row in rows:
        if "test" in row:
            tests.setdefault(row["part"], []).append(row)
    if tests:
        lines += ["| Part | Tests passed | Failed |", "|---|---|---|"]
        for part, verdicts in tests.items():
            failed = [f"`{row['test']}`" for row in verdicts if not row["passed"]]
            lines.append(f"| {part} | {len(verdicts) - len(failed)} of {len(verdicts)} | {_cell(', '.join(failed))} |")
        lines.append("")
    ends = [row for row in rows if "ended" in row]
    if ends:
        lines += ["| Part | Ended | Seconds |", "|---|---|---|"]
        lines += [f"| {row['part']} | {row['ended']} | {row['seconds']:.0f} |" for row in ends]
        lines.append("")
    for row in ends:
        if row["ended"] != FINISHED and row["log"]:
            lines += [
                f"End of the log of {row['part']}:",
                "",
                "```text",
                row["log"].replace("```", "'''"),
                "```",
                "",
            ]
    return "\n".join(lines)


def number(value: float | str) -> str:
    """Formats three significant digits or more: 0.4123 → 0.412, 5.27 → 5.27, 512345.6 → 512,346."""
    if isinstance(value, str):
        return _cell(value)
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
