"""Demonstrations for supervised fine-tuning (paper 3.1, 4.2): prompts with real answers from sources with a licence.

Definitions come from the mixture's reference texts, conversations from written and human dialogues, everyday requests
from recipes and chats, harmless twins of harmful questions with their answers, and safe answers from those that human
raters judged harmless and from a written set. No model generates text here; question forms, short system prompts and
the written safe answers are templates. All entities belong to the demonstrations' part of the split
(modeling/dialogues/splits.py), so RLHF prompts and test prompts are new to the model.
"""

import collections
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from data_cleaning.markdown import literal
from modeling.core import dialogue_tables, reporting
from modeling.core.recipes import DemonstrationsRecipe
from modeling.dialogues import (
    adversarial_prompts,
    dialogue_sources,
    everyday,
    multi_turn,
    questions,
    safety_demonstrations,
    safety_sources,
    splits,
)
from modeling.dialogues.dialogue_sources import Conversation

SCHEMA = pa.schema(
    [("id", pa.string()), ("messages", dialogue_tables.MESSAGES), ("category", pa.string()), ("source", pa.string()),
     ("entity", pa.string())]
)  # fmt: skip

UNANSWERED = pa.schema([("question", pa.string()), ("source", pa.string()), ("entity", pa.string())])
HELPFUL = "You are a helpful, respectful and honest assistant."  # opening of Table 31
BRIEFLY = "Answer in a few words."
ONE_SENTENCE = "Answer in one sentence."
TEST_SHARE = 0.05
EVERYDAY, AFTER_REFUSAL = "everyday", "everyday-after-refusal"  # categories
DISH_SHARE = 1 / 3  # of the everyday requests at most, unless there are too few others


def run(config: DemonstrationsRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write train.parquet, test.parquet (columns of SCHEMA), unanswered.parquet (of UNANSWERED) and report.md.

    The last holds the part's requests without an answer, which a checkpoint answers itself. Returns row
    counts by category and by part. Raises ValueError if no definition or no conversation was found.
    """
    known = questions.subjects(inputs["mixture"])
    definitions = definition_rows(config, known)
    log.info(f"{len(definitions)} definitions")
    written = dialogue_sources.corpus_conversations(inputs["dialogues"])
    chats = dialogue_sources.human_chats(inputs["dialogues"])
    conversations = conversation_rows(config, written, chats)
    log.info(f"{len(conversations)} conversations")
    owned = adversarial_prompts.owned_prompts(inputs["adversarial_prompts"])
    twins = adversarial_prompts.owned_twins(inputs["dialogues"], owned)
    known_entities = everyday.entities(known, [*written, *chats])
    requests, left_out = everyday.requests(inputs["dialogues"], known_entities, twins)
    asked = everyday_rows(config, [one for one in requests if not one.borderline])
    log.info(f"{len(asked)} everyday requests; {left_out.total()} left out")
    answers = safety_sources.safe_answers(inputs["dialogues"])
    refusals = safety_sources.generic_answers(answers)
    safety, figures = safety_demonstrations.safety_rows(config, owned, answers)
    harmless = safety_demonstrations.twin_rows(config, twins)
    log.info(f"{len(safety)} safety dialogues ({figures['safety_real']} with the answer given to that very prompt)")
    if config.max_definitions and not definitions:
        raise ValueError("no reference text of the mixture defines its title: add a source of encyclopedic texts")
    if config.max_conversations and not conversations:
        raise ValueError("the dialogues artifact holds no conversations: add a source with use = 'dialogues'")
    rows = sorted(definitions + conversations + asked + safety + harmless, key=lambda row: row["id"])
    held_out = {row["entity"] for row in rows if splits.unit(row["entity"], "demonstrations-test") < TEST_SHARE}
    said = multi_turn.pool(known, written, owned, refusals, splits.DEMONSTRATIONS, held_out)
    declined = multi_turn.declined(owned, refusals, splits.DEMONSTRATIONS)
    declined = [one for one in declined if one.entity not in held_out]
    rows = [_with_context(config, row, said, declined) for row in rows]
    test = [row for row in rows if row["entity"] in held_out]
    train = [row for row in rows if row["entity"] not in held_out]
    dialogue_tables.write_rows(train, SCHEMA, out / "train.parquet")
    dialogue_tables.write_rows(test, SCHEMA, out / "test.parquet")
    unanswered = [
        {"question": one.question, "source": one.source, "entity": one.entity}
        for one in requests
        if one.part == splits.DEMONSTRATIONS and not one.answer and one.entity not in held_out
    ]
    dialogue_tables.write_rows(unanswered, UNANSWERED, out / "unanswered.parquet")
    counts = collections.Counter(row["category"] for row in rows)
    dropped = [
        {"source": source, "reason": reason, "requests": count} for (source, reason), count in sorted(left_out.items())
    ]
    report(rows, counts, dropped, out)
    return {
        "train": len(train),
        "test": len(test),
        "unanswered": len(unanswered),
        "multi_turn": sum(multi_turn.is_multi_turn(row["messages"]) for row in rows),
        "with_system": sum(row["messages"][0]["role"] == "system" for row in rows),
        **{category.replace("-", "_"): count for category, count in sorted(counts.items())},
        **figures,
        "everyday_left_out": dropped,
    }


def _with_context(
    config: DemonstrationsRecipe, row: dict, said: multi_turn.Pool, declined: Sequence[multi_turn.Exchange]
) -> dict:
    """The row with earlier turns, if its turn comes: after a refused request, or after what the pool holds."""
    if row["messages"][0]["content"] == BRIEFLY:
        return row  # long earlier answers would contradict its system prompt
    after = row["category"] == EVERYDAY and splits.unit(row["id"], "after a refusal") < config.after_refusal_share
    if after and declined and not multi_turn.is_multi_turn(row["messages"]):
        return multi_turn.after_refusal(row | {"category": AFTER_REFUSAL}, declined)
    return multi_turn.with_earlier_turns(row, said, config.multi_turn_share)


def everyday_rows(config: DemonstrationsRecipe, requests: Sequence[everyday.Request]) -> list[dict]:
    """Everyday requests with their answers, at most DISH_SHARE of them about dishes if there are enough others."""
    mine = [one for one in requests if one.part == splits.DEMONSTRATIONS and one.answer]
    others = [one for one in mine if not one.dish]
    dishes = [one for one in mine if one.dish]
    room = max(round(config.max_everyday * DISH_SHARE), config.max_everyday - len(others))
    chosen = [*dishes[:room], *others][: config.max_everyday]
    rows = []
    for one in chosen:
        identifier = f"everyday:{splits.unit(one.question + one.answer):.12f}"
        system = _system(identifier, config, config.system_share, HELPFUL)
        made = row(identifier, [one.question, one.answer], EVERYDAY, one.source, one.entity, system)
        place = int(bool(system))
        made["messages"][place:place] = multi_turn.as_context(one.before)
        rows.append(made)
    return rows


def definition_rows(config: DemonstrationsRecipe, known: Sequence[questions.Subject]) -> list[dict]:
    """Questions about reference texts: mostly definitions, some with a follow-up, some that ask for a few words."""
    rows: list[dict] = []
    for subject in known:
        if len(rows) >= config.max_definitions:
            break
        if splits.part_of(subject.entity, splits.KNOWLEDGE) != splits.DEMONSTRATIONS:
            continue
        answer, following = questions.answer(subject, config.max_answer_words)
        if not answer:
            continue
        draw = splits.unit(subject.entity, f"shape{config.seed}")
        more, _ = questions.answer(subject, config.max_answer_words, following)
        if draw < 0.15 and subject.description:
            category, system = "description", BRIEFLY
            turns = [f"Describe {subject.name} in a few words.", f"{subject.description.rstrip('.')}."]
        elif draw < 0.30 and more:
            category, system = "definition-multi", HELPFUL
            turns = [questions.question(subject), answer, questions.follow_up(subject), more]
        else:
            category, system = "definition", ONE_SENTENCE if following == 1 else HELPFUL
            turns = [questions.question(subject), answer]
        chosen = _system(subject.entity, config, config.system_share, system)
        rows.append(row(f"definition:{subject.entity}", turns, category, subject.source, subject.entity, chosen))
    return rows


def conversation_rows(
    config: DemonstrationsRecipe, written: Sequence[Conversation], chats: Sequence[Conversation]
) -> list[dict]:
    """Written conversations of all topics first, then human chats from the highest rating down."""
    written = sorted(written, key=lambda one: splits.unit(" ".join(one.turns)))
    chats = sorted(chats, key=lambda chat: (-chat.quality, splits.unit(" ".join(chat.turns))))
    rows: dict[str, dict] = {}
    for conversation in [*written, *chats]:
        if len(rows) >= config.max_conversations:
            break
        entity = splits.about(conversation.turns[0])
        too_long = any(len(turn.split()) > config.max_answer_words for turn in conversation.turns[1::2])
        if too_long or splits.part_of(entity, splits.KNOWLEDGE) != splits.DEMONSTRATIONS:
            continue
        # Keep several answers to one question: conversation needs variety.
        identifier = f"conversation:{splits.unit(' '.join(conversation.turns)):.12f}"
        system = _system(identifier, config, config.system_share, HELPFUL)
        rows.setdefault(identifier, row(identifier, list(conversation.turns), "conversation", conversation.source,
                                        entity, system))  # fmt: skip
    return list(rows.values())


def _system(key: str, config: DemonstrationsRecipe, share: float, text: str) -> str:
    return text if splits.unit(key, f"system{config.seed}") < share else ""


def row(identifier: str, turns: list[str], category: str, source: str, entity: str, system: str = "") -> dict:
    """One row of the artifact; `turns` alternate between user and assistant, user first."""
    messages = [{"role": ("user", "assistant")[place % 2], "content": turn} for place, turn in enumerate(turns)]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return {"id": identifier, "messages": messages, "category": category, "source": source, "entity": entity}


def report(rows: list[dict], counts: collections.Counter, dropped: list[dict], out: Path) -> None:
    """Write report.md: the number of dialogues of each category, two examples of each, and what was left out."""
    lines = [
        "| category | dialogues |",
        "| --- | ---: |",
        *(f"| {literal(name)} | {n} |" for name, n in counts.most_common()),
    ]
    for category in sorted(counts):
        lines += ["", f"### {literal(category)}"]
        shown = sorted((row for row in rows if row["category"] == category), key=lambda row: splits.unit(row["id"]))[:2]
        for one in shown:
            lines += ["", *(f"- **{message['role']}**: {literal(message['content'])}" for message in one["messages"])]
    if dropped:
        lines += ["", "### Everyday requests left out", "", "| source | reason | requests |", "| --- | --- | ---: |"]
        lines += [f"| {literal(one['source'])} | {literal(one['reason'])} | {one['requests']} |" for one in dropped]
    reporting.write_text(out / "report.md", "\n".join(lines) + "\n")
