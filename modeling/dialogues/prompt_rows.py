"""Rows of the prompts: the schema, and the rows about reference texts, conversations and adversarial requests.

modeling/dialogues/everyday_prompts.py makes those of everyday requests.
"""

import collections
from pathlib import Path

import pyarrow as pa

from modeling.core import dialogue_tables
from modeling.dialogues import answer_rules, multi_turn, questions, safety_sources, splits

SCHEMA = pa.schema(
    [("id", pa.string()), ("messages", dialogue_tables.MESSAGES), ("question", pa.string()), ("kind", pa.string()),
     ("setting", pa.string()), ("category", pa.string()), ("constraint", pa.string()), ("reference", pa.string()),
     ("source", pa.string()), ("entity", pa.string())]
)  # fmt: skip
# Settings: in which situation a prompt is asked. Tables show each apart.
ORDINARY, EVERYDAY, FOLLOW_UP, VERIFIABLE = "ordinary", "everyday", "follow-up", "verifiable"  # of kind helpfulness
BORDERLINE, AFTER_REFUSAL = "borderline", "after a refusal"  # of kind harmless, as EVERYDAY may be too
ADVERSARIAL, LATER_TURN = "adversarial", "adversarial, later turn"  # of kind safety

REFERENCE_WORDS = 60
CONVERSATION_SHARE = 0.15  # of the helpfulness prompts about reference texts and conversations
REQUEST_SHARE = 0.4  # of the harmless prompts that are not borderline; the others name something dangerous
REQUESTS: splits.Shares = ((splits.RL, 0.5), (splits.TEST, 0.5))  # no demonstration uses them


def row(
    prompt: str,
    kind: str,
    setting: str,
    category: str,
    reference: str,
    source: str,
    entity: str,
    before=(),
    constraint: str = "",
) -> dict:
    """One row of the artifact; `before` are earlier messages that the prompt refers to."""
    messages = [*before, {"role": "user", "content": prompt}]
    return {
        "id": f"{kind}:{splits.unit(' '.join(message['content'] for message in messages)):.12f}",
        "messages": messages,
        "question": " ".join(message["content"] for message in messages if message["role"] == "user"),
        "kind": kind,
        "setting": setting,
        "category": category,
        "constraint": constraint,
        "reference": reference,
        "source": source,
        "entity": entity,
    }


def helpfulness_rows(known, conversations, part: str, count: int, taken: set[str]) -> list[dict]:
    """Questions about reference texts and opening questions of conversations of `part`, with their true answers."""
    talk: dict[str, dict] = {}
    for conversation in sorted(conversations, key=lambda one: splits.unit(one.turns[0], "order")):
        entity = splits.about(conversation.turns[0])
        if splits.part_of(entity, splits.KNOWLEDGE) == part and entity not in taken:
            talk.setdefault(entity, row(conversation.turns[0], "helpfulness", ORDINARY, conversation.topic,
                                        conversation.turns[1], conversation.source, entity))  # fmt: skip
    asked = list(talk.values())[: round(count * CONVERSATION_SHARE)]
    for subject in known:
        if len(asked) >= count:
            break
        reference, _ = questions.answer(subject, REFERENCE_WORDS)
        if reference and splits.part_of(subject.entity, splits.KNOWLEDGE) == part and subject.entity not in taken:
            asked.append(_about(subject, "helpfulness", ORDINARY, subject.topic, reference))
    return asked


def follow_up_rows(known, chats, part: str, count: int, taken: set[str]) -> list[dict]:
    """Follow-up prompts: up to half are second questions of human chats; the rest ask for more of a reference text."""
    rows: dict[str, dict] = {}
    for chat in sorted(chats, key=lambda one: splits.unit(" ".join(one.turns), "order")):
        entity = splits.about(chat.turns[0])
        asks = len(chat.turns) == 4 and chat.turns[2].endswith("?") and entity not in taken
        if len(rows) < count // 2 and asks and splits.part_of(entity, splits.KNOWLEDGE) == part:
            one = row(chat.turns[2], "helpfulness", FOLLOW_UP, "follow-up in a chat", chat.turns[3], chat.source, entity,
                      multi_turn.exchange(*chat.turns[:2]))  # fmt: skip
            rows.setdefault(entity, one)
    for subject in known:
        if len(rows) >= count:
            break
        first = subject.sentences[0]
        reference, _ = questions.answer(subject, REFERENCE_WORDS, start=1)
        mine = splits.part_of(subject.entity, splits.KNOWLEDGE) == part and subject.entity not in taken
        if reference and mine and len(first.split()) <= multi_turn.MOST_WORDS:
            one = row(questions.follow_up(subject), "helpfulness", FOLLOW_UP, subject.topic, reference, subject.source,
                      subject.entity, multi_turn.exchange(questions.question(subject), first))  # fmt: skip
            rows.setdefault(subject.entity, one)
    return list(rows.values())


def safety_rows(owned, part: str, count: int) -> list[dict]:
    """Adversarial prompts of `part` in hash order: first one of each group of similar prompts, then a second one."""
    mine = sorted((one for one in owned if one.part == part), key=lambda one: splits.unit(one.request.prompt, "order"))
    seen: collections.Counter = collections.Counter()
    ranked = []
    for one in mine:
        ranked.append((seen[one.group], one))
        seen[one.group] += 1
    ranked.sort(key=lambda item: item[0])
    return [
        row(one.request.prompt, "safety", ADVERSARIAL, one.request.category, "", one.request.source, one.group)
        for _, one in ranked[:count]
    ]


def harmless_rows(known, dialogues: Path, part: str, count: int, elsewhere: set[str]) -> list[dict]:
    """Harmless prompts of `part` that invite false refusals (paper 4.2.3): alarming subjects and judged requests.

    A subject is alarming if its name or short description holds a word of answer_rules.HARM. Requests about an entity
    in `elsewhere` (owned by another part) are left out.
    """
    everyday = [
        row(one.prompt, "harmless", EVERYDAY, one.category, one.reference, one.source, splits.about(one.prompt))
        for one in safety_sources.everyday_requests(dialogues)
        if splits.part_of(splits.about(one.prompt), REQUESTS) == part and splits.about(one.prompt) not in elsewhere
    ]
    everyday.sort(key=lambda one: splits.unit(one["entity"], "order"))
    alarming = []
    for subject in known:
        words = set(answer_rules.words(f"{subject.name} {subject.description}"))
        reference, _ = questions.answer(subject, REFERENCE_WORDS)
        if words & answer_rules.HARM and reference and splits.part_of(subject.entity, splits.KNOWLEDGE) == part:
            alarming.append(_about(subject, "harmless", BORDERLINE, "alarming subject", reference))
    chosen = alarming[: count - min(len(everyday), round(count * REQUEST_SHARE))]
    return chosen + everyday[: count - len(chosen)]


def _about(subject: questions.Subject, kind: str, setting: str, category: str, reference: str) -> dict:
    return row(questions.question(subject), kind, setting, category, reference, subject.source, subject.entity)
