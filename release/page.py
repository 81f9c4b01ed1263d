"""The page of the chat. It follows the gallery: versions appear in its menu as they are made, without a reload."""

import gradio as gr

from modeling.core import system_prompts
from modeling.core.continuous_batching import LINE, MOST_ROWS
from release import (
    answer_details,
    chat,
    compare_tab,
    history,
    history_controls,
    page_scripts,
    page_texts,
    raters,
    share_controls,
    theme,
)
from release.answering import respond, view
from release.bundle import Bundle
from release.examples import FOLLOW_UP, SYSTEM_PROMPTS
from release.history_controls import Talk, keep_when
from release.http_guard import user_of
from release.loaded_models import Models

LOOK_AGAIN_S = 3.0
ANSWERS = MOST_ROWS + LINE  # each holds a thread, in line too; all may be asked for at one moment
MOST_SESSIONS = 1000  # pages whose dialogues the server holds; the browser keeps that of a page that is dropped
SPARE_THREADS = 16  # for what is quick
CAUTION = (
    "A research model: it makes things up, and its safety was measured only as the model card says. Check answers."
)


def length_slider(bundle: Bundle) -> dict:
    """Returns maximum and value of the longest answer, which takes half of the largest context at most."""
    longest = max((version.context for version in bundle.offered), default=2 * bundle.sampling.max_new_tokens) // 2
    return {"maximum": longest, "value": min(max(bundle.sampling.max_new_tokens, chat.ANSWER_TOKENS), longest)}


def system_prompt(bundle: Bundle, name: str | None, length: float, label: str, text: str) -> tuple:
    """Returns (system prompt, state line): the text if the version has room for it, else why not."""
    if not name:
        return gr.skip(), theme.state_line("No version is made yet.", "warn")
    version = bundle.version(name)
    if not text or chat.has_room_for(version, text, int(length)):
        return text, gr.skip()
    told = f"{label} is too long for the {version.context} tokens that {version.title} reads."
    return gr.skip(), theme.state_line(told, "warn")


def build(models: Models) -> gr.Blocks:
    """Returns the page. People are answered together; the line in which they may have to wait is that of the models."""
    gallery = models.gallery
    answering = {"concurrency_limit": None, "trigger_mode": "once", "show_progress": "hidden"}
    at_once = {"queue": False, "show_progress": "hidden"}
    opened = gallery.now()
    first = opened.offered[0].name if opened.offered else None

    def wait():
        return theme.state_line("Waiting for its turn …"), gr.Button(visible=False), gr.Button(visible=True)

    def answer(text, turns, name, system, temperature, top_p, max_new_tokens, request: gr.Request):
        user = user_of(request.headers)
        yield from respond(models, text, turns, name, system, temperature, top_p, max_new_tokens, user)

    def again(turns, name, system, temperature, top_p, max_new_tokens, request: gr.Request):
        last = max((place for place, turn in enumerate(turns) if turn["role"] == "user"), default=None)
        if last is not None:
            question = turns[last]["content"]
            user = user_of(request.headers)
            yield from respond(models, question, turns[:last], name, system, temperature, top_p, max_new_tokens, user)

    def ready(pending, written):
        """Returns a message without an answer to the text box, before any text written there since."""
        back = "\n".join(filter(None, (pending, written))) if pending else gr.skip()
        return back, "", gr.Button(visible=True), gr.Button(visible=False)

    def stopped(turns, pending, written):
        return view(turns), theme.state_line("Stopped."), *ready(pending, written)

    def cleared():
        buttons = gr.Button(visible=True), gr.Button(visible=False)
        return [], [], "", theme.state_line(""), "", *buttons, history.NOTHING, 0, history_controls.kept_line()

    def default_prompt(name, length):
        return system_prompt(gallery.now(), name, length, "Llama 2's default system prompt", system_prompts.DEFAULT)

    def picked(event: gr.SelectData):
        return event.value["text"]

    def switched(name, tuned):
        bundle = gallery.now()
        begin = gr.skip() if tuned or not name else bundle.temperature(name)
        return page_texts.masthead(bundle, name), page_texts.describe(bundle, name), begin

    def refresh(seen, name, turns, chosen, tuned):
        """Returns what changed since the page last looked. The newest version is chosen until a user chose or asked.

        Menus open with the first look: it would take back what a user chose before it.
        """
        bundle, making, protected = gallery.now(), gallery.making(), page_texts.guard_line(models)
        names = [version.name for version in bundle.offered]
        kept = name in names and (chosen or turns)
        now = name if kept else next(iter(names), None)
        look = (bundle, making, now, bool(turns), protected)
        changed = {}
        if look == seen:
            return changed | {held: gr.skip()}
        if seen is None or seen[:2] != look[:2]:
            changed[messages] = gr.Chatbot(
                placeholder=page_texts.placeholder(bundle, making),
                examples=[{"text": example} for example in bundle.examples] if names else [],
            )
            changed[run] = page_texts.run_line(bundle, making)
        if seen is None or seen[4] != protected:
            changed[guarded] = protected
        if seen is None or seen[0] != bundle or now != name:
            slider = length_slider(bundle)
            changed |= {
                choice: gr.Dropdown(choices=[(v.title, v.name) for v in bundle.offered], value=now, interactive=True),
                top: page_texts.masthead(bundle, now),
                about: page_texts.describe(bundle, now),
                send: gr.Button(interactive=bool(names)),
                length: gr.Slider(maximum=slider["maximum"]) if tuned else gr.Slider(**slider),
                card: bundle.card or "The release is not made yet.",
                ancestry: page_texts.lineage(bundle),
            }
            begun = seen is not None and None not in compare_tab.pair_of(seen[0])
            for menu, name in zip((first_menu, second_menu), compare_tab.pair_of(bundle), strict=True):
                value = {} if begun else {"value": name}
                changed[menu] = gr.Dropdown(choices=compare_tab.choices(bundle), interactive=True, **value)
            if now and not tuned:
                changed[temperature] = bundle.temperature(now)
        if seen is None or seen[3] != bool(turns):
            changed[box] = gr.Textbox(placeholder=f"Follow up: “{FOLLOW_UP}”" if turns else "Write a message")
        return changed | {held: look}

    with gr.Blocks(title=page_texts.title(opened), analytics_enabled=False, fill_height=True) as page:
        rater = raters.browser_state()
        top = gr.HTML(page_texts.masthead(opened, first), padding=False)
        run = gr.HTML("", padding=False, elem_id="run")
        guarded = gr.HTML(page_texts.guard_line(models), padding=False, elem_id="guard")
        with gr.Tab("Chat"), gr.Row(equal_height=False):
            with gr.Column(scale=7, min_width=320, elem_classes="talk"):
                messages = gr.Chatbot(
                    label="Dialogue", show_label=False, height=None, placeholder=page_texts.PLACEHOLDER, layout="bubble",
                    elem_id="dialogue", buttons=[], latex_delimiters=[], allow_tags=False, group_consecutive_messages=False,
                    examples=[{"text": example} for example in opened.examples] if first else [],
                )  # fmt: skip
                state = gr.HTML(theme.state_line(""), padding=False, elem_id="state")
                with gr.Row(elem_classes="write"):
                    box = gr.Textbox(label="Message", show_label=False, container=False, placeholder="Write a message",
                                     lines=1, max_lines=6, autofocus=True, scale=8, elem_id="message")  # fmt: skip
                    send = gr.Button("Send", variant="primary", scale=1, min_width=84, elem_id="send")
                    stop = gr.Button("Stop", variant="stop", scale=1, min_width=84, visible=False, elem_id="stop")
                with gr.Row(elem_classes="tools"):
                    tools, asking = history_controls.buttons(), answer_details.buttons()
                details = gr.HTML("", padding=False, elem_id="details")
                gr.HTML(f'<div class="caution">{CAUTION}</div>', padding=False)
            with gr.Column(scale=3, min_width=250, elem_classes="side"):
                choice = gr.Dropdown(
                    [(version.title, version.name) for version in opened.offered], value=first, label="Version",
                    filterable=False, interactive=False, elem_id="version",
                )  # fmt: skip
                about = gr.HTML(page_texts.describe(opened, first), padding=False)
                clear = gr.Button("New dialogue", size="md", elem_id="clear")
                line = gr.HTML(history_controls.kept_line(), padding=False, elem_id="kept")
                with gr.Accordion("System prompt", open=False, elem_id="system-part"):
                    system = gr.Textbox("", label="System prompt", show_label=False, container=False, lines=3, max_lines=10,
                                        placeholder="None", elem_id="system")  # fmt: skip
                    with gr.Row(elem_classes="tools"):
                        preset = gr.Button("Llama 2's default", size="sm", min_width=112, elem_id="preset")
                        presets = {
                            gr.Button(label, size="sm", min_width=84): text for label, text in SYSTEM_PROMPTS.items()
                        }
                with gr.Accordion("Sampling", open=False):
                    begin = opened.temperature(first) if first else opened.sampling.temperature
                    temperature = gr.Slider(0, chat.MAX_TEMPERATURE, begin, step=0.05, label="Temperature",
                                            info="0: always the likeliest token", elem_id="temperature")  # fmt: skip
                    top_p = gr.Slider(0.05, 1, opened.sampling.top_p, step=0.05, label="Top-p")
                    length = gr.Slider(1, step=1, label="Longest answer", info="in tokens", **length_slider(opened))
                sharing = share_controls.build()
        with gr.Tab("Compare"):
            first_menu, second_menu = compare_tab.build(models, rater, answering, at_once)
        with gr.Tab("Results") as results:
            compare_tab.build_results(models, results, at_once)
        with gr.Tab("Model card"):
            card = gr.Markdown(opened.card, elem_classes="paper", latex_delimiters=[], elem_id="card")
        with gr.Tab("Lineage", elem_id="lineage"):
            ancestry = gr.Markdown(page_texts.lineage(opened), elem_classes="paper", latex_delimiters=[])

        turns, pending, held = gr.State([]), gr.State(""), gr.State(None)
        chosen, tuned, saved, left_out = gr.State(False), gr.State(False), history_controls.browser_state(), gr.State(0)
        shown, idle = [messages, turns, box, state, pending], [box, pending, send, stop]
        sampling = (temperature, top_p, length)
        settings = [choice, system, *sampling]
        talk = Talk(
            messages, turns, left_out, box, state, pending, send, stop, choice, chosen, system, sampling, saved, line
        )
        waits = {"fn": wait, "outputs": [state, send, stop], "api_name": "wait", **at_once}
        asked = gr.on([box.submit, send.click], **waits).then(
            answer, [box, turns, *settings], shown, api_name="chat", **answering
        )
        retried = messages.retry(**waits).then(again, [turns, *settings], shown, api_name="again", **answering)
        end = {"inputs": [turns, pending, box], "outputs": [messages, state, *idle]}
        for writing in (asked, retried):  # `then` would not run after a failure; gradio shows the failure itself
            done = writing.success(ready, [pending, box], idle, api_name="ready", **at_once)
            writing.failure(stopped, **end, api_name="failed", **at_once)
            keep_when(done.then, talk, at_once)
            done.then(None, js=page_scripts.FOCUS_IF_LOST)
        halted = stop.click(stopped, **end, cancels=[asked, retried], api_name="stop")
        keep_when(halted.then, talk, at_once)
        halted.then(None, js=page_scripts.FOCUS_IF_LOST)
        share_controls.connect(sharing, talk, rater, at_once)
        history_controls.connect_buttons(gallery, tools, talk, [asked, retried], at_once)
        begins = [box.submit, send.click, messages.retry, clear.click, *(button.click for button in tools[:2])]
        answer_details.connect(asking, details, gallery, turns, begins)
        emptied = [*shown, send, stop, saved, left_out, line]
        clear.click(cleared, None, emptied, cancels=[asked, retried], api_name="clear")
        messages.example_select(picked, None, box, api_visibility="private")
        filled = [preset.click(default_prompt, [choice, length], [system, state], api_name="preset", **at_once)]
        for button, text in presets.items():

            def fill(name, length, text=text):
                return system_prompt(gallery.now(), name, length, "That system prompt", text)

            filled.append(button.click(fill, [choice, length], [system, state], api_visibility="private", **at_once))
        chose = choice.input(lambda: True, None, chosen, api_name="choose", **at_once)
        for trigger in (system.blur, *(event.then for event in (*filled, chose))):
            keep_when(trigger, talk, at_once)
        choice.change(switched, [choice, tuned], [top, about, temperature], api_visibility="private", **at_once)
        gr.on([temperature.input, length.input], lambda: True, None, tuned, api_name="tune", **at_once)
        looks = {
            "fn": refresh, "inputs": [held, choice, turns, chosen, tuned],
            "outputs": [held, messages, run, guarded, choice, top, about, send, length, temperature, card, ancestry, box,
                        first_menu, second_menu],
            **at_once,
        }  # fmt: skip
        gr.Timer(LOOK_AGAIN_S).tick(**looks, api_name="refresh")  # first: the other would take this name from it
        restored = history_controls.restore_at_load(page, gallery, talk, at_once)
        taken_up = share_controls.take_up(restored, gallery, talk, at_once)
        taken_up.then(**looks, api_visibility="private")  # after it: the first look keeps the version of a dialogue
        page.load(None, js=page_scripts.ANNOUNCE)
    page.state_session_capacity = MOST_SESSIONS
    page.max_threads = ANSWERS + SPARE_THREADS
    page.queue(max_size=ANSWERS, default_concurrency_limit=4)
    return page
