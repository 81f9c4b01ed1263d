"""The chat for people: `python -m release.demo --bundle store/laptop/bundle --port 7860`.

Serves any version of a release. Needs no network and sends no data to other hosts.
"""

import argparse
import contextlib
import html
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported: it reads this once
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
import uvicorn
from fastapi import FastAPI

from data_cleaning.markdown import literal
from modeling.core.sampling import PromptTooLongError
from release import bundle as bundles
from release import chat, theme
from release.http_guard import Guard

SHOW_EVERY = 0.05  # seconds between two updates of the page: a small model generates faster than a page can redraw
WAITING = 16  # requests in the queue before the page reports that it is busy
PLACEHOLDER = "### Say something\nPick an example or write below. Enter sends, Shift+Enter starts a new line."
CAUTION = (
    "A research model: it makes things up, and its safety was measured only as the model card says. Check answers."
)


def view(bundle: bundles.Bundle, turns: list[dict], unread: int) -> list[dict]:
    """Returns the dialogue for the page. A line marks its first `unread` messages, which the model no longer reads."""
    shown = []
    for place, turn in enumerate(turns):
        if unread and place == unread:
            shown.append({"role": "assistant", "content": '<div class="cut">the messages above no longer fit into the '
                          "context and are not read</div>"})  # fmt: skip
        if turn["role"] == "user":
            content = theme.plain(turn["content"])
        else:
            by = f'<div class="by">{html.escape(bundle.version(turn["version"]).title)}</div>'
            content = (theme.rendered(turn["content"]) if turn["content"] else "") + by
        shown.append({"role": turn["role"], "content": content})
    return shown


def progress_line(answer: chat.Answer, seconds: float) -> str:
    """Returns the state line: tokens, speed, context used, turns left out, and why the answer was cut."""
    used = answer.prompt_tokens + answer.tokens
    parts = [f"{answer.tokens} tokens", f"{answer.tokens / max(seconds, 1e-6):.0f} tokens/s",
             f"context {used} of {answer.context}"]  # fmt: skip
    warnings = []
    if answer.dropped_turns:
        which = "turn was" if answer.dropped_turns == 1 else f"{answer.dropped_turns} turns were"
        warnings.append(f"the oldest {which} left out: the dialogue is longer than the context")
    if answer.ended == "length":
        warnings.append("cut at the longest answer you allow")
    if answer.ended == "context":
        warnings.append("cut: the context is full")
    return theme.state_line(" · ".join(parts + warnings), "warn" if warnings else "")


def respond(versions: chat.Versions, text: str, turns: list[dict], name: str, system: str,
            temperature: float, top_p: float, max_new_tokens: float) -> Iterator[tuple]:  # fmt: skip
    """One turn of the dialogue: yields (messages shown, dialogue kept, text box, state line, text with no answer yet).

    The text box is cleared once and then left alone, so that a user can write the next message during the answer. The
    text returns to the box if there is no answer.
    """
    bundle, system = versions.bundle, system if system and system.strip() else ""

    def refused(told: str, kind: str = "fail") -> tuple:
        return view(bundle, turns, 0), turns, text, theme.state_line(told, kind), ""

    if not text.strip():
        yield refused("Write something first.", "warn")
        return
    for what, written in (("message", text), ("system prompt", system)):
        if len(written) > chat.MAX_CHARACTERS:
            yield refused(f"That {what} has {len(written):,} characters; the limit is {chat.MAX_CHARACTERS:,}.")
            return
    asked = [*turns, {"role": "user", "content": text}]
    yield view(bundle, asked, 0), turns, "", theme.state_line(f"Reading with {bundle.version(name).title} …"), text
    try:
        settings = chat.Settings(temperature, top_p, int(max_new_tokens))
        loaded = versions.get(name)
        messages = [{"role": "system", "content": system}] if system else []
        messages += [{"role": turn["role"], "content": turn["content"]} for turn in asked]
        begun = shown = time.monotonic()
        for answer in chat.stream(loaded, messages, settings):
            now = time.monotonic()
            if answer.ended is None and answer.tokens > 1 and now - shown < SHOW_EVERY:
                continue
            shown = now
            kept = [*asked, {"role": "assistant", "content": answer.text, "version": name}]
            shown_now = view(bundle, kept, 2 * answer.dropped_turns)
            yield shown_now, kept, gr.skip(), progress_line(answer, now - begun), ""
    except PromptTooLongError:
        told = f"Too long: {bundle.version(name).title} reads {bundle.version(name).context} tokens, prompt and answer together."
        yield refused(f"{told} Shorten the {'system prompt' if len(system) > len(text) else 'message'}.")
    except (ValueError, RuntimeError, OSError, LookupError) as error:  # loading and running a model raise these
        told = f"No answer: {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
        yield refused(told)


def describe(bundle: bundles.Bundle, name: str) -> str:
    version = bundle.version(name)
    return (
        f'<div class="about">{html.escape(version.about)} Context: {version.context} tokens.<br>'
        f"<code>{html.escape(version.artifact)}</code> content <code>{html.escape(version.content[:12])}</code></div>"
    )


def badge(bundle: bundles.Bundle, name: str) -> str:
    return f"Research model · {bundle.version(name).title}"


def build(bundle: bundles.Bundle) -> gr.Blocks:
    """Returns the page. It generates one answer at a time: two would only slow each other down."""
    versions = chat.Versions(bundle)
    title = f"{bundle.name} · {bundle.scale}"
    first = bundle.offered[0]
    missing = [version for version in bundle.versions if version.path is None]

    def wait():
        return theme.state_line("Waiting for its turn …"), gr.Button(visible=False), gr.Button(visible=True)

    def answer(text, turns, name, system, temperature, top_p, max_new_tokens):
        yield from respond(versions, text, turns, name, system, temperature, top_p, max_new_tokens)

    def again(turns, name, system, temperature, top_p, max_new_tokens):
        last = max((place for place, turn in enumerate(turns) if turn["role"] == "user"), default=None)
        if last is not None:
            question = turns[last]["content"]
            yield from respond(versions, question, turns[:last], name, system, temperature, top_p, max_new_tokens)

    def ready(pending, written):
        """Returns a message without an answer to the text box, before any text written there since."""
        back = "\n".join(filter(None, (pending, written))) if pending else gr.skip()
        return back, "", gr.Button(visible=True), gr.Button(visible=False)

    def stopped(turns, pending, written):
        return view(bundle, turns, 0), theme.state_line("Stopped."), *ready(pending, written)

    def cleared():
        return [], [], "", theme.state_line(""), "", gr.Button(visible=True), gr.Button(visible=False)

    def default_system_prompt(name, length):
        version = bundle.version(name)
        if chat.has_room_for(version, chat.DEFAULT_SYSTEM_PROMPT, int(length)):
            return chat.DEFAULT_SYSTEM_PROMPT, gr.skip()
        told = (
            f"Llama 2's default system prompt is too long for the {version.context} tokens that {version.title} reads."
        )
        return gr.skip(), theme.state_line(told, "warn")

    def picked(event: gr.SelectData):
        return event.value["text"]

    with gr.Blocks(title=title, analytics_enabled=False, fill_height=True) as page:
        top = gr.HTML(theme.masthead(title, badge(bundle, first.name)), padding=False)
        with gr.Tab("Chat"), gr.Row(equal_height=False):
            with gr.Column(scale=7, min_width=320, elem_classes="talk"):
                messages = gr.Chatbot(
                    show_label=False, height=None, placeholder=PLACEHOLDER, layout="bubble", elem_id="dialogue",
                    buttons=[], latex_delimiters=[], allow_tags=False, group_consecutive_messages=False,
                    examples=[{"text": example} for example in bundle.examples],
                )  # fmt: skip
                state = gr.HTML(theme.state_line(""), padding=False)
                with gr.Row(elem_classes="write"):
                    box = gr.Textbox(show_label=False, container=False, placeholder="Write a message", lines=1,
                                     max_lines=6, autofocus=True, scale=8, elem_id="message")  # fmt: skip
                    send = gr.Button("Send", variant="primary", scale=1, min_width=84, elem_id="send")
                    stop = gr.Button("Stop", variant="stop", scale=1, min_width=84, visible=False, elem_id="stop")
                gr.HTML(f'<div class="caution">{CAUTION}</div>', padding=False)
            with gr.Column(scale=3, min_width=250, elem_classes="side"):
                choice = gr.Dropdown(
                    [(version.title, version.name) for version in bundle.offered], value=first.name, label="Version",
                    filterable=False, interactive=True, elem_id="version",
                )  # fmt: skip
                about = gr.HTML(describe(bundle, first.name), padding=False)
                clear = gr.Button("New dialogue", size="md", elem_id="clear")
                with gr.Accordion("System prompt", open=False, elem_id="system-part"):
                    system = gr.Textbox("", show_label=False, container=False, lines=3, max_lines=10, placeholder="None",
                                        elem_id="system")  # fmt: skip
                    preset = gr.Button("Use Llama 2's default", size="sm", elem_id="preset")
                with gr.Accordion("Sampling", open=False):
                    temperature = gr.Slider(0, chat.MAX_TEMPERATURE, bundle.sampling.temperature, step=0.05,
                                            label="Temperature", info="0: always the likeliest token")  # fmt: skip
                    top_p = gr.Slider(0.05, 1, bundle.sampling.top_p, step=0.05, label="Top-p")
                    longest = max(version.context for version in bundle.offered) // 2
                    length = gr.Slider(1, longest, min(bundle.sampling.max_new_tokens, longest), step=1,
                                       label="Longest answer", info="in tokens")  # fmt: skip
        with gr.Tab("Model card"):
            gr.Markdown(bundle.card, elem_classes="paper", latex_delimiters=[])
        with gr.Tab("Lineage"):
            if missing:
                names = ", ".join(f"{literal(version.title)} ({literal(version.content[:12])})" for version in missing)
                gr.Markdown(f"Too large to bundle, named by content hash: {names}.", elem_classes="paper")
            gr.Markdown(bundle.lineage, elem_classes="paper", latex_delimiters=[])

        turns, pending = gr.State([]), gr.State("")
        shown, idle = [messages, turns, box, state, pending], [box, pending, send, stop]
        settings = [choice, system, temperature, top_p, length]
        alone = {"concurrency_limit": 1, "concurrency_id": "answer", "trigger_mode": "once", "show_progress": "hidden"}
        at_once = {"queue": False, "show_progress": "hidden"}
        waits = {"fn": wait, "outputs": [state, send, stop], "api_name": "wait", **at_once}
        asked = gr.on([box.submit, send.click], **waits).then(
            answer, [box, turns, *settings], shown, api_name="chat", **alone
        )
        retried = messages.retry(**waits).then(again, [turns, *settings], shown, api_name="again", **alone)
        end = {"inputs": [turns, pending, box], "outputs": [messages, state, *idle]}
        for writing in (asked, retried):  # `then` would not run after a failure; gradio shows the failure itself
            writing.success(ready, [pending, box], idle, api_name="ready", **at_once)
            writing.failure(stopped, **end, api_name="failed", **at_once)
        stop.click(stopped, **end, cancels=[asked, retried], api_name="stop")
        emptied = [*shown, send, stop]
        gr.on([clear.click, messages.clear], cleared, None, emptied, cancels=[asked, retried], api_name="clear")
        messages.example_select(picked, None, box, api_visibility="private")
        preset.click(default_system_prompt, [choice, length], [system, state], api_name="preset", **at_once)
        choice.change(
            lambda name: (theme.masthead(title, badge(bundle, name)), describe(bundle, name)), choice, [top, about],
            api_visibility="private", show_progress="hidden",
        )  # fmt: skip
    page.queue(max_size=WAITING, default_concurrency_limit=4)
    return page


def server(bundle: bundles.Bundle, host: str, port: int) -> uvicorn.Server:
    """Returns the server of the page.

    `Blocks.launch` is not used: it may check through a proxy whether it is up, and it accepts no ASGI wrapper.
    """
    app = gr.mount_gradio_app(
        FastAPI(openapi_url=None), build(bundle), "/", server_name=host, server_port=port, footer_links=[], run_history=False,
        theme=theme.theme(), css=theme.CSS, head=theme.head(), ssr_mode=False, show_error=True,
    )  # fmt: skip
    return uvicorn.Server(
        uvicorn.Config(Guard(app, host), host=host, port=port, log_level="warning", timeout_graceful_shutdown=1)
    )


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m release.demo", description="Chat with a release.")
    parser.add_argument("--bundle", type=Path, required=True, help="for example store/laptop/bundle")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="0.0.0.0 lets other machines in, by address or a name in CRIA_CHAT_HOSTS; there is no password",
    )
    given = parser.parse_args(arguments)
    try:
        opened = bundles.read(given.bundle)
    except bundles.BundleError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not is_free(given.host, given.port):
        print(f"error: port {given.port} of {given.host} is taken: end the program that holds it, or choose another "
              f"with --port {given.port + 1}", file=sys.stderr)  # fmt: skip
        return 1
    print(f"{opened.name} · {opened.scale}: http://{given.host}:{given.port}  (Ctrl+C ends it)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server(opened, given.host, given.port).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
