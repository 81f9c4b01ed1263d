"""Everyday requests with their answers in the raw files of the `dialogues` artifact, and what is left out of them.

Rows of the shapes in modeling/dialogues/shapes.py and of four collections with formats of their own: recipes, harmless
twins of harmful questions, borderline prompts, and instructions. What a person would not like as an answer is left
out with a reason: tool calls, refusals, placeholders, personal data, exercises that nobody would ask.
"""

import collections
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from modeling.dialogues import everyday_rules, recipes, shaped_files, shapes, splits

PLAIN_PROMPTS = 30  # of a bare list of prompts (aplomb): the others sound alarming
ALSO_ASKED = ("dpo", "kto")  # preferences whose prompts are also everyday requests
# Where nobody would learn from the answer, the request is still one: for tests, or for a checkpoint's own answer.
ANSWERS_OPTIONAL = ("steganography", "dpo", "kto")


@dataclass(frozen=True)
class Asked:
    """A request as a source holds it."""

    question: str
    answer: str  # "" if there is none to learn from
    source: str
    chat: str  # shared by the requests of one chat
    topic: str  # by what near-duplicates are found: the dish of a recipe, else the question
    borderline: bool = False  # sounds alarming, or is the harmless twin of a harmful question
    before: tuple[dict, ...] = ()  # earlier messages that the question refers to


def asked(dialogues: Path) -> tuple[list[Asked], collections.Counter]:
    """All usable requests, and the number of those left out by (source, reason). Equal questions count once."""
    left_out: collections.Counter = collections.Counter()
    found: dict[str, Asked] = {}
    for one in _all(dialogues, left_out):
        key = splits.entity(" ".join([*(message["content"] for message in one.before), one.question]))
        why = everyday_rules.unfit_question(one.question, one.borderline) or everyday_rules.unfit_before(one.before)
        answer = everyday_rules.shortened(one.answer)
        unfit = everyday_rules.unfit_answer(answer) if answer else None
        if unfit and one.source in ANSWERS_OPTIONAL:
            answer, unfit = "", None
        why = why or unfit or ("asked already" if key in found else None)
        if why:
            left_out[one.source, why] += 1
        else:
            found[key] = replace(one, answer=answer)
    return list(found.values()), left_out


def _all(dialogues: Path, left_out: collections.Counter) -> Iterator[Asked]:
    for path, source in shaped_files.used_as(dialogues, "prompts"):
        rows = [row for _, row in shaped_files.rows(path)]
        texts = [row for row in rows if isinstance(row, str)]
        yield from (Asked(text, "", source, text, text, n >= PLAIN_PROMPTS) for n, text in enumerate(texts))
        for row in rows:
            if isinstance(row, dict) and {"text", "expected_topic"} <= set(row):
                yield Asked(row["text"], "", source, row["text"], row["text"], borderline=True)
            elif isinstance(row, dict) and {"question_id", "category", "turns"} <= set(row):
                yield Asked(row["turns"][0], "", source, row["turns"][0], row["turns"][0])
            elif isinstance(row, dict) and {"task_prompt", "task_output", "task_type"} <= set(row):
                yield from _instruction(row, source, left_out)
    for path, source in shaped_files.used_as(dialogues, "dialogues"):
        dishes = []
        for place, row in shaped_files.rows(path):
            if isinstance(row, dict) and {"title", "ingredients", "steps"} <= set(row):
                dishes.append(row)
            elif isinstance(row, dict) and {"text", "harmful_version"} <= set(row):
                question, _, answer = row["text"].partition("\n\n")
                yield Asked(question, answer, source, question, question, borderline=True)
            elif not _is_a_rated_chat(row):  # modeling/dialogues/dialogue_sources.py reads those
                yield from _shaped(path, source, place, row, left_out)
        yield from _recipes(dishes, source, left_out)
    for path, source in shaped_files.used_as(dialogues, "preferences"):
        if source in ALSO_ASKED:
            for place, row in shaped_files.rows(path):
                yield from _shaped(path, source, place, row, left_out)


def _is_a_rated_chat(row) -> bool:
    """Whether the row is a chat between people whose messages come in groups (chitchat)."""
    return isinstance(row, dict) and all(isinstance(turn, list) for turn in row.get("messages", ["none"]))


def _recipes(rows: list[dict], source: str, left_out: collections.Counter) -> Iterator[Asked]:
    common = recipes.common_words(rows)
    for row in rows:
        if made := recipes.request(row, common):
            question, answer, dish = made
            yield Asked(question, answer, source, dish, dish)
        else:
            left_out[source, "a recipe too long or too short for an answer"] += 1


def _instruction(row: dict, source: str, left_out: collections.Counter) -> Iterator[Asked]:
    question = everyday_rules.without_line_number(row["task_prompt"])
    if "mmlu" in row["task_type"]:
        left_out[source, "a benchmark's question"] += 1
    elif "LongForm" in row["task_type"] and not everyday_rules.HOW_TO.search(question):
        left_out[source, "made up from a web page"] += 1
    elif not everyday_rules.REQUEST.match(question) or everyday_rules.ABOUT_ONESELF.search(question):
        left_out[source, "no request"] += 1
    else:
        yield Asked(question, row["task_output"], source, question, question)


def _shaped(path: Path, source: str, place: str, row, left_out: collections.Counter) -> Iterator[Asked]:
    try:
        record = shaped_files.read(path, place, row)
    except shapes.Unusable as error:
        left_out[source, str(error)] += 1
        return
    if everyday_rules.speaks_for_a_company(record.messages[0]["content"]):
        left_out[source, "speaks for a company"] += 1
    elif isinstance(record, shapes.Dialogue):
        yield from _exchanges(record.messages, source)
    else:
        answer = record.answer if isinstance(record, shapes.Rated) else record.chosen
        good = isinstance(record, shapes.Preference) or record.good
        turns = [turn for turn in (*record.messages, _assistant(answer)) if turn["role"] != "system"]
        for one in _exchanges(tuple(turns[:2]), source):  # of a longer dialogue the first question
            if good or source in ANSWERS_OPTIONAL:
                yield one if good and len(turns) == 2 else replace(one, answer="")
            else:
                left_out[source, "not rated good"] += 1


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _exchanges(messages: shapes.Messages, source: str) -> Iterator[Asked]:
    """Each exchange of a dialogue; one that refers to earlier turns has the exchange before it.

    A dialogue with a system prompt counts by its questions alone: they are asked without it.
    """
    turns = [message | {"content": everyday_rules.tidy(message["content"])} for message in messages]
    if turns[0]["role"] == "system":
        turns = turns[1:]
    for place in range(0, len(turns) - 1, 2):
        question, answer = turns[place]["content"], turns[place + 1]["content"]
        before = tuple(turns[place - 2 : place]) if place and everyday_rules.refers_back(question) else ()
        yield Asked(question, answer, source, turns[0]["content"], question, False, before)
