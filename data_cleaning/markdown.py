"""Escapes untrusted text for Markdown, so that it is shown literally in any context."""

import re

# Each character that may begin markup inside a line (CommonMark, tables, strikethrough, formulas). A table is split
# into cells before escapes apply, so a bar becomes an entity. So do HTML characters: some renderers ignore a backslash
# before them.
INSIDE = str.maketrans(
    {sign: f"\\{sign}" for sign in "\\`*[]~$"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
)
UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # between letters it is not markup, and names contain many
AT_THE_START = re.compile(r"[#+\-=:!.]|\d{1,9}(?=[.)])")  # headings, lists, rules, underlines of headings and of tables
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")


def literal(text: str) -> str:
    """Returns one line of Markdown that shows the text in a paragraph, list, quotation, heading, emphasis or cell.

    Runs of white space become one space, control characters the replacement character. Do not use it inside code, where
    escapes are visible.
    """
    line = " ".join(CONTROLS.sub("\ufffd", text).split())
    line = UNDERSCORE.sub(r"\\_", line.translate(INSIDE))
    first = AT_THE_START.match(line)
    if first is None:
        return line
    return f"{first[0]}\\{line[first.end() :]}" if first[0][0].isdigit() else f"\\{line}"


def quotation(text: str) -> str:
    """Returns the text as a Markdown quotation with the same number of lines."""
    return "\n".join(f"> {literal(line)}".rstrip() for line in re.split(r"\r\n|\r|\n", text))
