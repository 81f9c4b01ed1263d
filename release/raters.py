"""Who a person is to the database of votes: the name of the login, else a random one that the browser keeps."""

import re
import uuid

import gradio as gr

from release import page_scripts
from release.http_guard import user_of

NAME = re.compile(page_scripts.RATER)


def browser_state() -> gr.BrowserState:
    """Adds the store in the browser to the page. Its key is on the page and so protects nothing."""
    return gr.BrowserState("", storage_key="cria-rater", secret="cria")


def rater_name(kept: object) -> str:
    """Returns the random name that a browser keeps; a new one if it keeps none, or anything but such a name."""
    return kept if isinstance(kept, str) and NAME.fullmatch(kept) else uuid.uuid4().hex


def of_request(request: gr.Request, kept: str) -> str:
    """Returns the name of the login, else the one that the browser keeps."""
    return user_of(request.headers) or kept
