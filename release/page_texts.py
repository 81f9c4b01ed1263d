"""What the page says of the versions, the run that makes them, the guard and the lineage."""

import html

from data_cleaning.markdown import literal
from release import guard, theme
from release.bundle import Bundle
from release.loaded_models import Models

PLACEHOLDER = "### Say something\nPick an example or write below. Enter sends, Shift+Enter starts a new line."


def title(bundle: Bundle) -> str:
    return f"{bundle.name} · {bundle.scale}"


def masthead(bundle: Bundle, name: str | None) -> str:
    badge = f"Research model · {bundle.version(name).title}" if name else "Research model"
    return theme.masthead(title(bundle), badge)


def describe(bundle: Bundle, name: str | None) -> str:
    if not name:
        return ""
    version = bundle.version(name)
    return (
        f'<div class="about">{html.escape(version.about)} Context: {version.context} tokens.<br>'
        f"<code>{html.escape(version.artifact)}</code> content <code>{html.escape(version.content[:12])}</code>"
        f"{all_versions(bundle)}</div>"
    )


def all_versions(bundle: Bundle) -> str:
    """Returns one line on each version of the menu, collapsed."""
    lines = (f"<li><b>{html.escape(one.title)}</b>: {html.escape(one.about)}</li>" for one in bundle.offered)
    return f"<details><summary>What each version is</summary><ul>{''.join(lines)}</ul></details>"


def run_line(bundle: Bundle, making: str | None) -> str:
    """Returns the line on the run that fills the store; empty once the release is there and no run is alive."""
    if making is not None:
        now = f": {making}" if making else ""
        return theme.state_line(f"The graph is being made{now}. Versions appear in the menu by themselves; until the end, "
                                "answers are slower.")  # fmt: skip
    if bundle.card:
        return ""
    return theme.state_line("The release is not made yet, and no run is making it now: make demo continues.", "warn")


def guard_line(models: Models) -> str:
    """Returns the line on the guard, with its figures behind a click; empty without a guard."""
    try:
        found = models.guard_now()
    except guard.GuardError as error:
        return theme.state_line(f"No answers now: {error}.", "warn")
    if found is None:
        return ""
    head, text = map(html.escape, guard.explained(found))
    return f'<details class="about" id="guarded"><summary>{head}</summary>{text}</details>'


def placeholder(bundle: Bundle, making: str | None) -> str:
    if bundle.offered:
        return PLACEHOLDER
    now = f"Now: {literal(making)}. " if making else ""
    return f"### The first version is not made yet\n{now}This page fills by itself."


def lineage(bundle: Bundle) -> str:
    missing = [version for version in bundle.versions if version.path is None]
    names = ", ".join(f"{literal(version.title)} ({literal(version.content[:12])})" for version in missing)
    note = f"Too large to bundle, named by content hash: {names}.\n\n" if missing else ""
    return note + (bundle.lineage or "The release is not made yet.")
