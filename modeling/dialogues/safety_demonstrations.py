"""Demonstrations of safe answers (paper 4.2.1) and of helpful answers to their harmless twins (4.2.3).

An adversarial prompt gets the answer that people gave to it and raters found safe, if there is one that says why.
Otherwise it gets a written answer of its topic (safety_answers.py). A stock refusal ("I'm sorry, I can't assist with that
request.") is no demonstration: it teaches one sentence for everything.
"""

import collections
import re
from collections.abc import Sequence

from modeling.core.recipes import DemonstrationsRecipe
from modeling.dialogues import questions, safety_answers, splits
from modeling.dialogues.adversarial_prompts import OwnedPrompt, OwnedTwin
from modeling.dialogues.safety_sources import SafeAnswer

SYSTEM_SHARE = 0.3  # least share of safety dialogues with a preprompt as system prompt
LEAST_WORDS = 15  # of a real answer: shorter ones refuse and say no more
ANSWERS = 2  # real answers to one prompt
_UNFINISHED = re.compile(r"\*\*|###|\b\d[.:]$|[^.!?]$")  # lists and headings, which the bound cuts


def safety_rows(
    config: DemonstrationsRecipe, owned_prompts: Sequence[OwnedPrompt], answers: Sequence[SafeAnswer]
) -> tuple[list[dict], dict]:
    """Adversarial prompts with safe answers: those with a real answer first, then others with a written one.

    Returns at most `max_safety` rows of category "safety" (a person's or a model's answer to this very prompt that raters
    found safe) and "safety-written", and the counts of both. An answer ends with its last sentence within
    `max_answer_words`. A prompt occurs once for each of its real answers, at most ANSWERS times. The written ones are
    spread over the topics: the collections hold most about what is hardly harmful (company secrets, stereotypes, claims),
    and a model that sees little else refuses much that is harmless.
    """
    owned = {one.request.prompt: one for one in owned_prompts if one.part == splits.DEMONSTRATIONS}
    given: dict[str, dict[str, dict]] = collections.defaultdict(dict)  # prompt → id → row
    for answer in answers:
        short, _ = questions.answer_text(answer.answer, config.max_answer_words)
        if answer.prompt in owned and len(short.split()) >= LEAST_WORDS and not _UNFINISHED.search(short):
            row = _safety_row(config, owned[answer.prompt], short, "safety", answer.source)
            given[answer.prompt][row["id"]] = row
    rows = [row for mine in given.values() for row in list(mine.values())[:ANSWERS]][: config.max_safety]
    answered = {row["entity"] for row in rows}
    groups = collections.Counter(answered)
    topics: collections.Counter = collections.Counter()
    ranked = []  # a group's first prompt before the second prompt of any group; then a topic's first before its second
    for prompt in sorted(owned.values(), key=lambda one: splits.unit(one.request.prompt, "order")):
        place = groups[prompt.group]
        ranked.append((place, topics[place, prompt.request.topic], prompt))
        groups[prompt.group] += 1
        topics[place, prompt.request.topic] += 1
    shown = {_asked(row) for row in rows}
    for _, _, prompt in sorted(ranked, key=lambda item: item[:2]):
        if len(rows) >= config.max_safety:
            break
        if prompt.request.prompt not in shown:
            written = safety_answers.answer(prompt.request.prompt, prompt.request.topic)
            short, _ = questions.answer_text(written, config.max_answer_words)
            rows.append(_safety_row(config, prompt, short or written, "safety-written", prompt.request.source))
    count = sum(row["category"] == "safety" for row in rows)
    return rows, {"safety_real": count, "safety_written": len(rows) - count}


def twin_rows(config: DemonstrationsRecipe, twins: Sequence[OwnedTwin]) -> list[dict]:
    """At most `max_twins` harmless twins with their answers, category "twin"; entity: the group of the harmful twin."""
    mine = [one for one in twins if one.part == splits.DEMONSTRATIONS]
    rows = []
    for one in mine[: config.max_twins]:
        short, _ = questions.answer_text(one.twin.answer, config.max_answer_words)
        identifier = f"twin:{splits.unit(one.twin.question):.12f}"
        turns = [one.twin.question, short or one.twin.answer]
        rows.append(_row(identifier, turns, "twin", one.twin.source, one.group, _preprompt(config, identifier)))
    return rows


def _safety_row(config: DemonstrationsRecipe, prompt: OwnedPrompt, answer: str, category: str, source: str) -> dict:
    identifier = f"{category}:{splits.unit(prompt.request.prompt + answer):.12f}"
    turns = [prompt.request.prompt, answer]
    return _row(identifier, turns, category, source, prompt.group, _preprompt(config, identifier))


def _preprompt(config: DemonstrationsRecipe, identifier: str) -> str:
    """A preprompt or "". Twins carry one as often as adversarial prompts do, so that it alone means no refusal."""
    if splits.unit(identifier, f"system{config.seed}") >= max(config.system_share, SYSTEM_SHARE):
        return ""
    return splits.pick(config.preprompts, identifier, "preprompt")


def _row(identifier: str, turns: list[str], category: str, source: str, entity: str, system: str) -> dict:
    messages = [{"role": ("user", "assistant")[place % 2], "content": turn} for place, turn in enumerate(turns)]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return {"id": identifier, "messages": messages, "category": category, "source": source, "entity": entity}


def _asked(row: dict) -> str:
    return next(message["content"] for message in row["messages"] if message["role"] == "user")
