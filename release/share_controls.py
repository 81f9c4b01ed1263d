"""The part of the page in which a person shares the dialogue by a link, withdraws links, and takes up a shared dialogue.

Nothing is stored before the click on "Share this dialogue". CRIA_SHARE_DAYS is how long a link opens.
"""

import math
import os
from dataclasses import dataclass

import gradio as gr
from gradio.events import Dependency

from modeling.rlhf.ratings.database import RatingsError
from modeling.rlhf.ratings.shared_dialogues import SharedDialogues
from release import history, history_controls, page_scripts, raters, shared_page, theme
from release.gallery import Gallery
from release.history import Dialogue
from release.history_controls import Talk

DAYS, DEFAULT_DAYS, MOST_DAYS = "CRIA_SHARE_DAYS", 30.0, 3650.0
EXPLAINED = (
    "A click stores a copy of this dialogue and its system prompt on the server. Everyone who may use this server and has "
    "the link can read it for {days:g} days, or until you withdraw it. Your name is stored with it and not shown."
)
BEGINNING = 40  # characters of the first question, in the menu of links


@dataclass(frozen=True)
class Sharing:
    """The elements of the part."""

    part: gr.Accordion
    share: gr.Button
    address: gr.Textbox
    links: gr.Dropdown
    withdraw: gr.Button


def days() -> float:
    """How long a link opens, by the environment. Raises ValueError if it is no number above 0 and up to MOST_DAYS."""
    text = os.environ.get(DAYS, "")
    try:
        stated = float(text) if text else DEFAULT_DAYS
    except ValueError:
        stated = math.nan
    if not 0 < stated <= MOST_DAYS:
        raise ValueError(f"{DAYS} is {text!r}: give the days for which a shared link opens, at most {MOST_DAYS:g}")
    return stated


def build() -> Sharing:
    """Adds the part to the page."""
    with gr.Accordion("Share", open=False, elem_id="share-part") as part:
        gr.HTML(f'<div class="about">{EXPLAINED.format(days=days())}</div>', padding=False)
        share = gr.Button("Share this dialogue", size="sm", elem_id="share")
        address = gr.Textbox("", label="Link", interactive=False, buttons=["copy"], elem_id="share-address")
        links = gr.Dropdown([], label="Your links", interactive=True, filterable=False, elem_id="links")
        withdraw = gr.Button("Withdraw this link", size="sm", elem_id="withdraw-link")
    return Sharing(part, share, address, links, withdraw)


def menu(owner: str) -> gr.Dropdown:
    """The links of an owner, the newest first and chosen."""
    rows = SharedDialogues.here().of(owner) if owner else []
    choices = [(described(row), row["id"]) for row in rows]
    return gr.Dropdown(choices=choices, value=choices[0][1] if choices else None)


def described(row: dict) -> str:
    found = history.read_back(row["dialogue"], None)
    first = " ".join(found.turns[0]["content"].split())[:BEGINNING] if found and found.turns else ""
    return f"{row['made'][:10]}: {first} (until {row['expires'][:10]})"


def connect(placed: Sharing, talk: Talk, rater: gr.BrowserState, at_once: dict) -> None:
    """`rater`: the random name of the browser; `at_once`: settings of events that do not wait."""

    def shared(turns, who, left_out, name, system, request: gr.Request):
        if not turns:
            return "", gr.skip(), gr.skip(), theme.state_line("There is nothing to share yet.", "warn")
        who = raters.rater_name(who)
        owner = raters.of_request(request, who)
        copy, _ = history.saved(Dialogue(name or "", system or "", turns, left_out))
        try:
            identifier = SharedDialogues.here().add(owner, copy, days())
            links = menu(owner)
        except RatingsError as error:
            return "", who, gr.skip(), theme.state_line(f"Not shared: {error}", "fail")
        told = theme.state_line("The dialogue is shared: the link is in “Share”.")
        return shared_page.PATH + identifier, who, links, told

    def withdrawn(identifier, who, request: gr.Request):
        owner = raters.of_request(request, who)
        try:
            gone = bool(identifier) and SharedDialogues.here().withdraw(identifier, owner)
            links = menu(owner)
        except RatingsError as error:
            return gr.skip(), gr.skip(), theme.state_line(f"Not withdrawn: {error}", "fail")
        told = "The link is withdrawn, and the copy is deleted." if gone else "There is no link to withdraw."
        return "", links, theme.state_line(told)

    def opened(_, who, request: gr.Request):
        try:
            return menu(raters.of_request(request, who)), gr.skip()
        except RatingsError as error:
            return gr.skip(), theme.state_line(str(error), "fail")

    named = {"js": page_scripts.READ_RATER, **at_once}
    placed.share.click(
        shared, [talk.turns, rater, talk.left_out, talk.choice, talk.system],
        [placed.address, rater, placed.links, talk.state], api_name="share", **named,
    ).success(None, placed.address, placed.address, js=page_scripts.WHOLE_ADDRESS)  # fmt: skip
    placed.withdraw.click(
        withdrawn, [placed.links, rater], [placed.address, placed.links, talk.state], api_name="withdraw_link", **named
    )
    placed.part.expand(opened, [placed.address, rater], [placed.links, talk.state], api_name="links", **named)


def take_up(after: Dependency, gallery: Gallery, talk: Talk, at_once: dict) -> Dependency:
    """Shows the shared dialogue that the page's address names, after what the browser kept. Returns the event.

    The browser keeps its own dialogue until the person goes on: a link alone replaces nothing.
    """
    link = gr.Textbox(visible=False, label="Link")

    def copied(identifier):
        if not identifier:
            return history_controls.unchanged()
        try:
            row = SharedDialogues.here().get(identifier)
        except RatingsError as error:
            return history_controls.unchanged(theme.state_line(str(error), "fail"))
        found = history.read_back(row["dialogue"], None) if row else None
        if found is None:
            return history_controls.unchanged(theme.state_line(shared_page.GONE, "warn"))
        told = f"A copy of a shared dialogue, {len(found.turns)} messages. Your browser keeps it once you go on."
        return history_controls.shown(found, gallery.now().offered, told)

    return after.then(
        copied, link, history_controls.places(talk), js=page_scripts.READ_LINK, api_name="continue", **at_once
    )
