"""Report files and plots, written atomically: a killed run leaves no partial file."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_cleaning import files
from data_cleaning.markdown import quotation
from modeling.core import json_text


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, text)


def write_json(path: Path, content) -> None:
    write_text(path, json_text.dumps(content, indent=1, ensure_ascii=False) + "\n")


def diagram(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """An empty diagram with these labels, in the style of all reports."""
    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save_figure(figure: Figure, path: Path) -> None:
    """PNG without a date inside, so that the same figures give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as part:
        figure.savefig(part, dpi=130, format="png", metadata={"Software": None})


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; pipes and line breaks in cells cannot break it."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def quoted(text: str, limit: int = 1200) -> str:
    """Model text as a literal Markdown quotation of at most `limit` characters."""
    return quotation(text if len(text) <= limit else text[:limit] + " …") if text.strip() else "> *(empty)*"


def quoted_prompt(messages: Sequence[dict]) -> str:
    """The prompt as a Markdown quotation, with its earlier turns if there are any."""
    if len(messages) == 1:
        return quoted(messages[0]["content"])
    return quoted("\n".join(f"{message['role']}: {message['content']}" for message in messages))


def _cell(cell: object) -> str:
    return str(cell).replace("|", "\\|").replace("\n", " ")
