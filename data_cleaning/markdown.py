"""Text of strangers in Markdown: shown as it is written, whatever it holds and whatever surrounds it."""

import re

# Each sign that may begin markup inside a line (CommonMark, tables, strikethrough, formulas). A table splits its cells before it
# reads what is in them, so a bar is an entity, and what begins HTML is one for renderers that know no backslash there.
INSIDE = str.maketrans(
    {sign: f"\\{sign}" for sign in "\\`*[]~$"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
)
UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # between letters it is no markup, and names hold many
AT_THE_START = re.compile(r"[#+\-=:!.]|\d{1,9}(?=[.)])")  # headings, lists, rules, underlines of headings and of tables
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")


def literal(text: str) -> str:
    """The text in one line, as Markdown that shows it: in a paragraph, list, quotation, heading, emphasis or table cell.

    Runs of white space become one space, control characters the replacement character. Not for inside of code, where
    escapes are shown too.
    """
    line = " ".join(CONTROLS.sub("\ufffd", text).split())
    line = UNDERSCORE.sub(r"\\_", line.translate(INSIDE))
    first = AT_THE_START.match(line)
    if first is None:
        return line
    return f"{first[0]}\\{line[first.end() :]}" if first[0][0].isdigit() else f"\\{line}"


def quotation(text: str) -> str:
    """The text as a quotation of as many lines."""
    return "\n".join(f"> {literal(line)}".rstrip() for line in re.split(r"\r\n|\r|\n", text))
