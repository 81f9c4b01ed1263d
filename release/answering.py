"""One turn of the chat as the page shows it: the dialogue, the state line, and the text that still has no answer."""

import html
import time
from collections.abc import Iterator

import gradio as gr

from modeling.core.continuous_batching import LineFullError
from modeling.core.sampling import PromptTooLongError
from release import chat, theme
from release.fair_share import OwnShareError
from release.loaded_models import Models

SHOW_EVERY = 0.05  # seconds between two updates of the page: a small model generates faster than a page can redraw


def view(turns: list[dict], unread: int = 0) -> list[dict]:
    """Returns the dialogue for the page. A line marks its first `unread` messages, which the model no longer reads."""
    shown = []
    for place, turn in enumerate(turns):
        if unread and place == unread:
            shown.append({"role": "assistant", "content": '<div class="cut">the messages above no longer fit into the '
                          "context and are not read</div>"})  # fmt: skip
        if turn["role"] == "user":
            content = theme.plain(turn["content"])
        else:
            by = f'<div class="by">{html.escape(turn["by"])}</div>'
            content = (theme.rendered(turn["content"]) if turn["content"] else "") + by
        shown.append({"role": turn["role"], "content": content})
    return shown


def progress_line(answer: chat.Answer, seconds: float) -> str:
    """Returns the state line: tokens, speed, context used, turns left out, and why the answer was cut."""
    if answer.ended == chat.WITHHELD:
        return theme.state_line(str(answer.verdict).capitalize(), "warn")
    used = answer.prompt_tokens + answer.tokens
    written = "1 token" if answer.tokens == 1 else f"{answer.tokens} tokens"
    parts = [written, f"{answer.tokens / max(seconds, 1e-6):.0f} tokens/s", f"context {used} of {answer.context}"]
    if answer.held:
        parts.append("the guard reads the whole answer first")
    warnings = []
    if answer.dropped_turns:
        which = "turn was" if answer.dropped_turns == 1 else f"{answer.dropped_turns} turns were"
        warnings.append(f"the oldest {which} left out: the dialogue is longer than the context")
    if answer.ended == "length":
        warnings.append("cut at the longest answer you allow")
    if answer.ended == "context":
        warnings.append("cut: the context is full")
    return theme.state_line(" · ".join(parts + warnings), "warn" if warnings else "", spoken=answer.ended is not None)


def waiting(answer: chat.Answer) -> str:
    """Returns what a person who waits for the next token is told."""
    if answer.tokens:
        return "The next word takes a while …"
    if answer.waits.number == 0:
        return "Reading …"
    when = "" if answer.waits.seconds is None else f", about {max(1, round(answer.waits.seconds))} s"
    return f"Others are being answered. Your place in line: {answer.waits.number}{when}."


def waiting_for_memory(ahead: int) -> str:
    """Returns what a person is told whose version does not fit beside those that answer now."""
    behind = f" Before you in line: {ahead}." if ahead else ""
    return f"Other versions are answering and take the memory.{behind} This one is loaded when they are done."


def respond(models: Models, text: str, turns: list[dict], name: str | None, system: str,
            temperature: float, top_p: float, max_new_tokens: float, user: str = "") -> Iterator[tuple]:  # fmt: skip
    """One turn of the dialogue: yields (messages shown, dialogue kept, text box, state line, text with no answer yet).

    `user`: the name of the login, if there is one.

    The text box is cleared once and then left alone, so that a user can write the next message during the answer. The
    text returns to the box if there is no answer.
    """
    system = system if system and system.strip() else ""

    def refused(told: str, kind: str = "fail") -> tuple:
        return view(turns), turns, text, theme.state_line(told, kind), ""

    def waits(told: str) -> tuple:
        return gr.skip(), gr.skip(), gr.skip(), theme.state_line(told, spoken=False), gr.skip()

    if not text.strip():
        yield refused("Write something first.", "warn")
        return
    if not name:
        yield refused("No version is made yet.", "warn")
        return
    if len(turns) >= chat.MAX_MESSAGES:
        yield refused(f"This dialogue has {len(turns)} messages: save it and begin a new one.", "warn")
        return
    for what, written in (("message", text), ("system prompt", system)):
        if told := chat.refusal(what, written):
            yield refused(told)
            return
    try:
        version = models.gallery.now().version(name)
        asked = [*turns, {"role": "user", "content": text}]
        yield view(asked), turns, "", theme.state_line(f"Reading with {version.title} …"), text
        settings = chat.Settings(temperature, top_p, int(max_new_tokens))
        messages = [{"role": "system", "content": system}] if system else []
        messages += [{"role": turn["role"], "content": turn["content"]} for turn in asked]
        begun = shown = time.monotonic()
        with models.shares.one_more(user), models.lease(name) as lease:
            while not lease.ready(chat.PATIENCE_S):
                yield waits(waiting_for_memory(lease.ahead))
            answers = chat.stream(*lease.loaded, messages, settings)
            for answer in chat.guarded(lease.judge, version, messages, answers):
                now = time.monotonic()
                if answer.waits:
                    begun = begun if answer.tokens else now
                    yield waits(waiting(answer))
                    continue
                if answer.ended is None and answer.tokens > 1 and now - shown < SHOW_EVERY:
                    continue
                shown = now
                if answer.held:
                    yield gr.skip(), gr.skip(), gr.skip(), progress_line(answer, now - begun), gr.skip()
                    continue
                made = {"content": answer.text, "by": version.title, "version_content": version.content,
                        "tokens": answer.tokens, "seconds": round(now - begun, 3)}  # fmt: skip
                if answer.verdict:
                    made["guard"] = str(answer.verdict)
                kept = [*asked, {"role": "assistant", **made}]
                yield view(kept, 2 * answer.dropped_turns), kept, gr.skip(), progress_line(answer, now - begun), ""
    except OwnShareError as error:
        yield refused(f"Not sent: {error}.", "warn")
    except LineFullError as error:
        yield refused(f"Too many people are asking: {error}. Send the message again in a while.", "warn")
    except PromptTooLongError:
        told = f"Too long: {version.title} reads {version.context} tokens, prompt and answer together."
        yield refused(f"{told} Shorten the {'system prompt' if len(system) > len(text) else 'message'}.")
    except (ValueError, RuntimeError, OSError, LookupError) as error:  # loading and running a model raise these
        told = f"No answer: {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
        yield refused(told)
