"""HTML of the report's page from its tables and samples. Everything quoted is shown as text, whatever it holds."""

import base64
import html
import re
from collections.abc import Iterable
from pathlib import Path

from data_cleaning.report import contents
from data_cleaning.report.contents import NONE, Bar, Cell, Table

# Characters that are invisible or change the direction of what follows: controls, marks and isolates (UAX 9), tags.
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\U000e0000-\U000e007f]"
)


def shown(text: str) -> str:
    """Returns untrusted text as HTML that shows it literally; an invisible character becomes its code point in brackets."""
    return html.escape(INVISIBLE.sub(lambda match: f"[U+{ord(match[0]):04X}]", text))


def quoted(text: str) -> str:
    """Returns untrusted text for a sentence around it: its script cannot turn the direction of that sentence."""
    return f"<bdi>{shown(text)}</bdi>"


def table(content: Table, caption: bool = True) -> str:
    """Returns a table that scrolls sideways by itself. A Bar is drawn beside its number."""
    text = {
        place for row in content.rows for place, value in enumerate(row) if isinstance(value, str) and value != NONE
    }
    aligned = [' class="text"' if place in text else "" for place in range(len(content.head))]
    head = "".join(
        f'<th scope="col"{kind}>{shown(name)}</th>' for name, kind in zip(content.head, aligned, strict=True)
    )
    rows = []
    for number, (first, *cells) in enumerate(content.rows):
        last = content.summed and number == len(content.rows) - 1
        named = f'<th scope="row">{quoted(str(first))}</th>'
        opening = '<tr class="sum">' if last else "<tr>"
        rows.append(f"{opening}{named}{''.join(map(cell, cells))}</tr>")
    titled = f"<caption>{shown(content.title)}</caption>" if caption else ""
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="wide" tabindex="0"><table>{titled}{body}</table></div>'


def cell(content: Cell) -> str:
    if isinstance(content, Bar):
        width = f"{100 * min(max(content.value, 0.0), 1.0):.1f}"
        return f'<td><span class="bar"><i style="width:{width}%"></i></span><b>{content}</b></td>'
    if isinstance(content, str):
        return f"<td>{NONE}</td>" if content == NONE else f'<td class="text">{quoted(content)}</td>'
    return f"<td>{content:,}</td>" if isinstance(content, int) else f"<td>{content}</td>"


def samples(listed: Iterable[dict]) -> str:
    """Returns documents as a list: id, measured value and the beginning of the text."""
    items = []
    for sample in listed:
        measured = f" · value {contents.value(sample)}" if sample["value"] is not None else ""
        detail = f" · {quoted(sample['detail'])}" if sample["detail"] else ""
        meta = f'<span class="meta">{quoted(sample["id"])}{measured}{detail}</span>'
        items.append(f"<li>{meta}{quoted(sample['excerpt'])}</li>")
    return f'<ul class="samples">{"".join(items)}</ul>'


def picture(path: Path, kind: str, text: str) -> str:
    """Returns a picture as data in the page; `text` says what it shows to those who do not see it."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<figure class="{kind}"><img alt="{shown(text)}" src="data:image/png;base64,{data}"></figure>'


def paragraph(text: str, kind: str = "") -> str:
    """Returns a paragraph of the report's own words, escaped."""
    opening = f'<p class="{kind}">' if kind else "<p>"
    return f"{opening}{html.escape(text)}</p>"
