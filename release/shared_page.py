"""A dialogue that somebody shared, as a page to read at /shared/ID: for those who may use this server and have the link.

The page runs no script and loads nothing: its own policy allows neither, beside the escaping of all texts.
"""

import html

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from modeling.rlhf.ratings.database import RatingsError
from modeling.rlhf.ratings.shared_dialogues import SharedDialogues
from release import history, theme
from release.answering import view
from release.history import Dialogue

PATH = "/shared/"
GONE = "There is no such dialogue: it was withdrawn, or its time is over."
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "x-robots-tag": "noindex",
}
STYLE = """
:root { color-scheme: light dark; --line: #d6d3d1; --quiet: #57534e; --fur: #a25a33; --own: rgba(162, 90, 51, .10); }
@media (prefers-color-scheme: dark) { :root { --line: #44403c; --quiet: #a8a29e; --fur: #dbb08e; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1.2rem; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; } a { color: var(--fur); } pre { overflow-x: auto; }
section { border: 1px solid var(--line); border-radius: 10px; padding: .5rem 1rem; margin: .8rem 0; }
section.user { background: var(--own); margin-left: 3rem; }
.by, .quiet { font-size: .82rem; color: var(--quiet); }
.onward { display: inline-block; padding: .5rem 1rem; border: 1px solid var(--fur); border-radius: 10px; }
"""


def add_routes(app: FastAPI) -> None:
    """Adds the page of every shared dialogue."""

    def page(request: Request) -> Response:
        identifier = request.path_params["identifier"]
        try:
            row = SharedDialogues.here().get(identifier)
        except RatingsError as error:
            return PlainTextResponse(str(error), 503)
        dialogue = history.read_back(row["dialogue"], None) if row else None
        if dialogue is None:
            return PlainTextResponse(GONE, 404)
        return HTMLResponse(rendered(identifier, dialogue, row["made"], row["expires"]), headers=HEADERS)

    app.router.add_route(f"{PATH}{{identifier}}", page, ["GET"])


def rendered(identifier: str, dialogue: Dialogue, made: str, expires: str) -> str:
    """The page of a dialogue. `made`, `expires`: as the database holds them."""
    parts = [
        f'<p class="quiet">Shared on {made[:10]}, to be read until {expires[:10]} (UTC). Check what a model says.</p>'
    ]
    if dialogue.left_out:
        parts.append(f'<p class="quiet">The oldest {dialogue.left_out} messages are left out.</p>')
    if dialogue.system:
        parts.append(f'<section><div class="by">System prompt</div>{theme.plain(dialogue.system)}</section>')
    parts += [f'<section class="{turn["role"]}">{turn["content"]}</section>' for turn in view(dialogue.turns)]
    parts.append(f'<p><a class="onward" href="/?continue={html.escape(identifier)}">Continue from here</a></p>')
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>A shared dialogue</title><style>{STYLE}</style></head><body><main><h1>A shared dialogue</h1>"
        f"{''.join(parts)}</main></body></html>"
    )
