"""The controls of the dialogue on the page: undo, edit, what the browser keeps, and files in Markdown and JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import gradio as gr
from gradio.events import Dependency

from release import history, page_scripts, theme
from release.answering import view
from release.bundle import BundleError, Version
from release.gallery import Gallery
from release.history import Dialogue

KEPT = "This browser keeps the dialogue until “New dialogue”. The server writes it nowhere unless you share it."
FILES = (("md", "text/markdown", history.as_markdown), ("json", "application/json", history.as_json))


@dataclass(frozen=True)
class Talk:
    """The elements that hold the dialogue and the choices it is led with."""

    messages: gr.Chatbot
    turns: gr.State
    left_out: gr.State  # number of the oldest messages that the saved copy had no room for
    box: gr.Textbox
    state: gr.HTML
    pending: gr.State
    send: gr.Button
    stop: gr.Button
    choice: gr.Dropdown
    chosen: gr.State  # whether the page must keep the version as it is
    system: gr.Textbox
    sampling: tuple[gr.Slider, gr.Slider, gr.Slider]  # temperature, top-p, longest answer
    saved: gr.BrowserState
    line: gr.HTML  # says what the browser keeps


def browser_state() -> gr.BrowserState:
    """Returns the store in the browser. Its key is on the page and so protects nothing; fixed, it survives a restart."""
    return gr.BrowserState("", storage_key="cria-dialogue", secret="cria")


def kept_line(left_out: int = 0) -> str:
    told = (
        f" It has room for {history.MAX_BYTES // 1000} kB: the oldest {left_out} messages are left out."
        if left_out
        else ""
    )
    return f'<div class="about">{KEPT}{told}</div>'


def buttons() -> tuple[gr.Button, gr.Button, gr.Button, gr.Button]:
    """Adds the buttons to the page: edit, undo, and one for each of FILES."""
    return (
        gr.Button("Edit question", size="sm", min_width=104, elem_id="edit"),
        gr.Button("Undo", size="sm", min_width=70, elem_id="undo"),
        gr.Button("Save as Markdown", size="sm", min_width=130, elem_id="save-md"),
        gr.Button("Save as JSON", size="sm", min_width=104, elem_id="save-json"),
    )


def connect_buttons(
    gallery: Gallery, placed: tuple[gr.Button, ...], talk: Talk, answers: list[Dependency], at_once: dict
) -> None:
    """`answers`: the events that generate, which edit and undo end; `at_once`: settings of events that do not wait."""

    def taken_back(turns, pending, written, editing):
        kept, text = history.without_last(turns, pending, written or "", keep_both=editing)
        told = theme.state_line("Change the question and send it." if editing else "The last question is taken back.")
        if not turns and not pending:
            told = theme.state_line("There is no question yet.", "warn")
        buttons = gr.Button(visible=True), gr.Button(visible=False)
        stays = True if turns or pending else gr.skip()  # the question is asked of the same version again
        return view(kept), kept, text, told, "", *buttons, stays

    def packed(ending, kind, write, turns, left_out, name, system, temperature, top_p, length):
        if not turns:
            return "", theme.state_line("There is nothing to save yet.", "warn")
        bundle = gallery.now()
        try:
            version = bundle.version(name)
        except BundleError as error:
            return "", theme.state_line(f"Not saved: {error}", "fail")
        exported = history.document(
            Dialogue(name, system or "", turns, left_out), f"{bundle.name} · {bundle.scale}", version,
            {"temperature": temperature, "top_p": top_p, "max_new_tokens": length}, datetime.now(UTC),
        )  # fmt: skip
        file = history.file_name(exported, ending)
        parcel = json.dumps({"name": file, "type": f"{kind};charset=utf-8", "text": write(exported)})
        return parcel, theme.state_line(f"Saved as {file}.")

    edit, undo, *exports = placed
    shown = [talk.messages, talk.turns, talk.box, talk.state, talk.pending, talk.send, talk.stop, talk.chosen]
    for button, editing in ((edit, True), (undo, False)):
        done = button.click(
            lambda turns, pending, written, editing=editing: taken_back(turns, pending, written, editing),
            [talk.turns, talk.pending, talk.box], shown, cancels=answers, api_name=button.elem_id, **at_once,
        )  # fmt: skip
        keep_when(done.then, talk, at_once)
        if editing:
            done.then(None, js=page_scripts.FOCUS)
    parcel = gr.Textbox(visible=False, label="File")
    for button, (ending, kind, write) in zip(exports, FILES, strict=True):
        button.click(
            lambda *now, ending=ending, kind=kind, write=write: packed(ending, kind, write, *now),
            [talk.turns, talk.left_out, talk.choice, talk.system, *talk.sampling], [parcel, talk.state],
            api_name=button.elem_id, **at_once,
        ).success(None, parcel, js=page_scripts.DOWNLOAD)  # fmt: skip


def keep(turns: list[dict], left_out: int, name: str | None, system: str) -> tuple[str, str]:
    """Returns (the copy for the browser, the line on it)."""
    if not name or not (turns or system):
        return history.NOTHING, kept_line()
    text, left_out = history.saved(Dialogue(name, system or "", turns, left_out))
    return text, kept_line(left_out)


def keep_when(trigger: Callable, talk: Talk, at_once: dict) -> None:
    """Lets the browser keep the dialogue at each `trigger`: an event of an element, or the `then` of another event."""
    held = [talk.turns, talk.left_out, talk.choice, talk.system]
    trigger(keep, held, [talk.saved, talk.line], api_visibility="private", **at_once)


def places(talk: Talk) -> list:
    """The elements that show a dialogue from elsewhere."""
    return [talk.messages, talk.turns, talk.left_out, talk.choice, talk.system, talk.state, talk.line]


def shown(found: Dialogue, versions: Sequence[Version], told: str) -> tuple:
    """What `places` show of a dialogue. The menu stays as it is if the dialogue's version is not offered."""
    menu = gr.skip()
    if any(version.name == found.version for version in versions):
        menu = gr.Dropdown(choices=[(version.title, version.name) for version in versions], value=found.version)
    line = kept_line(found.left_out)
    return view(found.turns), found.turns, found.left_out, menu, found.system, theme.state_line(told), line


def unchanged(state: str | None = None) -> tuple:
    """What `places` show where at most the state line changes."""
    return *([gr.skip()] * 5), gr.skip() if state is None else state, gr.skip()


def restore_at_load(page: gr.Blocks, gallery: Gallery, talk: Talk, at_once: dict) -> Dependency:
    """Shows what the browser kept when the page opens. Returns the event."""

    def restore(text):
        versions = gallery.now().offered
        found = history.read_back(text, [version.name for version in versions])
        if found is None:
            return unchanged()
        if not found.turns:  # a system prompt alone: the page chooses the version, as for a new dialogue
            return *([gr.skip()] * 4), found.system, gr.skip(), gr.skip()
        return shown(found, versions, f"Your last dialogue, {len(found.turns)} messages.")

    return page.load(restore, talk.saved, places(talk), js=page_scripts.READ_SAVED, api_name="restore", **at_once)
