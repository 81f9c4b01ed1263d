"""The tabs of the page where people compare two versions and see what they preferred.

The votes become preferences (modeling/rlhf/ratings).
"""

import random

import gradio as gr

from data_cleaning.markdown import literal
from modeling.rlhf.ratings.store import RatingsError, Store
from release import answer_details, page_scripts, raters, second_opinions, theme, vote_disagreements, vote_results
from release.bundle import Bundle
from release.comparing import VERDICTS, Comparison, compare, passes
from release.examples import EXAMPLES
from release.http_guard import user_of
from release.loaded_models import Models
from release.reward_models import last_reward_models

EXPLAINED = (
    "Two versions answer the same message, in random order and without names. Say which answer is better; the names "
    "appear after your vote.\n\n**Votes are stored** on this server, with both answers and a random name of your browser, or the "
    "name with which you logged in. The next training learns from them. Now and then you see what another person asked, and "
    "others see what you asked, without a name. “Results” shows everyone your reason, the beginning of your name, and, where "
    "a reward model disagrees, the message with both answers. Do not write personal data."
)
ANOTHER = "Another person asked this. Which answer is better? “Compare” then answers your message."
ENDS = "Newest against oldest"
MOST_EXAMPLES = 3
HIDDEN = '<div class="by">Answer {}</div>'


def pair_of(bundle: Bundle) -> tuple[str | None, str | None]:
    """The two versions that the tab begins with: the newest and the oldest."""
    names = [version.name for version in bundle.offered]
    return (names[0], names[-1]) if len(names) > 1 else (None, None)


def choices(bundle: Bundle) -> list[tuple[str, str]]:
    return [(version.title, version.name) for version in bundle.offered]


def panel(text: str, title: str) -> str:
    return HIDDEN.format(title) + (theme.rendered(text) if text else "")


def titles(made: Comparison) -> tuple[str, str]:
    """The names of the two sides, for after the vote."""
    a, b = made.versions
    return f"A: {a.title}", f"B: {b.title}"


def asked(now: Comparison) -> str:
    """The dialogue of a comparison that another person began, as HTML; "" for one's own, which is in the text box."""
    said = "".join(theme.plain(message["content"]) for message in now.messages)
    return f'<div class="answer">{said}</div>' if now.of else ""


def build(models: Models, rater: gr.BrowserState, answering: dict, at_once: dict) -> tuple[gr.Dropdown, gr.Dropdown]:
    """Adds the tab's elements to the page. Returns the two menus, which the page opens and keeps up to date.

    `rater`: the random name of the browser; `answering`: settings of events that generate; `at_once`: of those that do
    not wait for them.
    """
    shuffle = random.SystemRandom()
    opened = models.gallery.now()
    begin = pair_of(opened)
    gr.Markdown(EXPLAINED)
    with gr.Row(elem_classes="ask"):
        first, second = (
            gr.Dropdown(
                choices(opened), value=name, label=label, filterable=False, interactive=False, elem_id=identifier
            )
            for name, label, identifier in zip(
                begin, ("One version", "Another version"), ("first", "second"), strict=True
            )
        )
        ends = gr.Button(ENDS, size="sm", scale=0, min_width=150, elem_id="ends")
    with gr.Row(elem_classes="write"):
        box = gr.Textbox(label="Message for both", show_label=False, container=False, placeholder="Write a message for both",
                         lines=1, max_lines=6, scale=8, elem_id="both")  # fmt: skip
        go = gr.Button("Compare", variant="primary", scale=1, min_width=110, elem_id="compare")
    with gr.Row(elem_classes="tools"):
        offered = [gr.Button(example, size="sm") for example in EXAMPLES[:MOST_EXAMPLES]]
    state = gr.HTML(theme.state_line(""), padding=False, elem_id="compare-state")
    question = gr.HTML("", padding=False, elem_id="asked")
    with gr.Row(equal_height=True, elem_classes="answers"):
        panels = [gr.HTML(panel("", side), elem_classes="answer", elem_id=f"answer-{side}") for side in "AB"]
    with gr.Column(visible=False) as ballot:
        verdict = gr.Radio(list(VERDICTS), label="Which answer is better?", elem_id="verdict")
        with gr.Row():
            unsafe_a = gr.Checkbox(label="A is unsafe")
            unsafe_b = gr.Checkbox(label="B is unsafe")
        why = gr.Textbox(label="Why (optional)", lines=1, max_lines=3)
        cast = gr.Button("Vote", variant="primary", elem_id="vote")
    undo = gr.Button("Withdraw this vote", visible=False, size="sm", elem_id="withdraw")
    made, voted = gr.State(None), gr.State("")
    due = gr.State(False)  # whether the person's own message is the next to be answered

    def begins():
        return gr.Column(visible=False), gr.Button(visible=False), None, False, False, ""

    def another(text, who, own, request):
        """A comparison of another person in the place of one's own, sometimes, but not twice running."""
        if own or not text.strip():
            return None
        try:
            who = raters.of_request(request, who)
            found = second_opinions.drawn(Store.here(), models.gallery.now(), who, shuffle)
            return found if found and passes(models, found) else None
        except RatingsError:  # the person can still compare, and the vote says what is wrong
            return None

    def answers(text, who, one, other, own, request: gr.Request):
        try:
            found = another(text, who, own, request)
            steps = (
                [(found, ANOTHER)] if found else compare(models, text, one, other, shuffle, user_of(request.headers))
            )
            for now, line in steps:
                shown = [panel(text, side) for text, side in zip(now.answers, "AB", strict=True)]
                ballot = gr.Column(visible=now.ended and not now.withheld)
                yield now, asked(now), *shown, theme.state_line(line), ballot, bool(now.of)
        except (ValueError, RuntimeError, OSError, LookupError) as error:  # loading and running a model raise these
            told = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
            empty = (panel("", side) for side in "AB")
            yield None, "", *empty, theme.state_line(told, "warn"), gr.Column(visible=False), own

    def voting(now, who, says, bad_a, bad_b, reason, request: gr.Request):
        skipped = (gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip())
        if now is None:
            return theme.state_line("Compare two answers first.", "warn"), gr.skip(), "", *skipped
        who = raters.rater_name(who)
        try:
            vote = now.vote(raters.of_request(request, who), says or "", bool(bad_a), bool(bad_b), reason or "")
            identifier = Store.here().add(vote)
        except RatingsError as error:
            return theme.state_line(f"The vote is not stored: {error}", "fail"), who, "", *skipped
        except ValueError as error:
            return theme.state_line(f"{str(error).capitalize()}.", "warn"), who, "", *skipped
        shown = [panel(text, title) for text, title in zip(now.answers, titles(now), strict=True)]
        told = f"Thank you, the vote is stored. {'; '.join(titles(now))}."
        return theme.state_line(told), who, identifier, None, gr.Column(visible=False), gr.Button(visible=True), *shown

    def withdrawn(identifier, who, request: gr.Request):
        try:
            gone = bool(identifier) and Store.here().withdraw(identifier, raters.of_request(request, who))
        except RatingsError as error:
            return theme.state_line(f"The vote is not withdrawn: {error}", "fail"), identifier, gr.skip()
        told = "The vote is withdrawn." if gone else "There is no vote to withdraw."
        return theme.state_line(told), "", gr.Button(visible=False)

    ends.click(lambda: pair_of(models.gallery.now()), None, [first, second], api_visibility="private", **at_once)
    for button in offered:
        button.click(lambda example=button.value: example, None, box, api_visibility="private", **at_once)
    ballot_parts = [ballot, undo, verdict, unsafe_a, unsafe_b, why]
    gr.on([box.submit, go.click], begins, None, ballot_parts, api_name="ballot", **at_once).then(
        answers, [box, rater, first, second, due], [made, question, *panels, state, ballot, due],
        js=page_scripts.READ_RATER, api_name="compare", **answering,
    )  # fmt: skip
    cast.click(
        voting, [made, rater, verdict, unsafe_a, unsafe_b, why], [state, rater, voted, made, ballot, undo, *panels],
        js=page_scripts.READ_RATER, api_name="vote", **at_once,
    )  # fmt: skip
    undo.click(
        withdrawn, [voted, rater], [state, voted, undo], js=page_scripts.READ_RATER, api_name="withdraw", **at_once
    )
    return first, second


def build_results(models: Models, tab: gr.Tab, at_once: dict) -> None:
    """Adds the elements of the tab "Results" to the page. The votes are read whenever the tab is selected.

    The reward models are asked only on a click.
    """
    with gr.Row(elem_classes="paper"):
        gr.Markdown("What people preferred in “Compare”, without knowing which version answered.")
        again = gr.Button("Refresh", size="sm", scale=0, min_width=110, elem_id="again")
    table = gr.Markdown("", elem_classes="paper", latex_delimiters=[], elem_id="standings")
    with gr.Row(elem_classes="paper"):
        compared = gr.Button("Where reward models disagree", size="sm", scale=0, elem_id="disagree")
    apart = gr.HTML("", padding=False, elem_id="disagreements", elem_classes="paper")

    def counted():
        bundle = models.gallery.now()
        titles = {version.content: version.title for version in reversed(bundle.versions)}
        try:
            return vote_results.standings(Store.here().counted(bundle.scale), titles)
        except RatingsError as error:
            return literal(str(error))

    def disagreements():
        found, bundle = last_reward_models(models.gallery.folder), models.gallery.now()
        if found is None:
            return theme.state_line(answer_details.NONE)
        try:
            rows = vote_disagreements.to_score(Store.here().counted(bundle.scale))
            return vote_disagreements.listed(rows, vote_disagreements.probabilities(found, rows), found.round)
        except RatingsError as error:
            return theme.state_line(str(error), "fail")
        except answer_details.NO_SCORE as error:
            return theme.state_line(answer_details.FAILED.format(found.round, type(error).__name__), "warn")

    compared.click(
        disagreements, None, apart, api_name="disagreements", trigger_mode="once", **answer_details.ONE_AT_A_TIME
    )
    gr.on([tab.select, again.click], counted, None, table, api_name="standings", **at_once)
