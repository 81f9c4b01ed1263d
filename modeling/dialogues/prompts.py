"""Prompts for RLHF and tests (paper 3.2.1, 3.4.2, 4.2): helpfulness, adversarial, and harmless ones that look risky.

RLHF trains on the harmless ones too: without pairs in which a refusal of a harmless request loses, safety RLHF teaches
a small model to refuse everything. No prompt is among the demonstrations: the entity of a prompt belongs to one part
of the split (modeling/dialogues/splits.py). `reference` is the true answer, or "" if unknown; the simulated annotator
may read it, the judge may not. `question` is the prompt as it stands alone; in a follow-up it includes the question
before it.
"""

import collections
from pathlib import Path

import pyarrow as pa

from data_cleaning.markdown import literal
from modeling.core import dialogue_tables, reporting
from modeling.core.recipes import PromptsRecipe
from modeling.dialogues import answer_rules, dialogue_sources, multi_turn, questions, safety_sources, splits

SCHEMA = pa.schema(
    [("id", pa.string()), ("messages", dialogue_tables.MESSAGES), ("question", pa.string()), ("kind", pa.string()),
     ("category", pa.string()), ("reference", pa.string()), ("source", pa.string()),
     ("entity", pa.string())]
)  # fmt: skip
REFERENCE_WORDS = 60
CONVERSATION_SHARE = 0.15  # of the helpfulness prompts
EVERYDAY_SHARE = 0.4  # of the harmless prompts; the others name something that sounds dangerous
FOLLOW_UPS = 1 / 2  # of the multi-turn helpfulness prompts: they refer to the earlier turns
EVERYDAY: splits.Shares = ((splits.RL, 0.5), (splits.TEST, 0.5))  # no demonstration uses them


def run(config: PromptsRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write rl, validation and test.parquet (id, messages, question, kind, category, reference, source, entity).

    Returns counts by kind, part and risk category. Raises ValueError if the recipe asks for helpfulness or safety
    prompts for RLHF and there are none.
    """
    known = questions.subjects(inputs["mixture"])
    conversations = dialogue_sources.corpus_conversations(inputs["dialogues"])
    chats = dialogue_sources.human_chats(inputs["dialogues"])
    owned = safety_sources.owned_prompts(inputs["dialogues"])
    # Harmless prompts first, so that no entity is in both the harmless and the helpfulness prompts.
    harmless, taken = {}, set()
    owned_entities = {one.entity for one in known} | {splits.about(one.turns[0]) for one in conversations}
    for part, count in ((splits.RL, config.harmless), (splits.TEST, config.test_harmless)):
        elsewhere = {entity for entity in owned_entities if splits.part_of(entity, splits.KNOWLEDGE) != part}
        harmless[part] = harmless_rows(known, inputs["dialogues"], part, count, elsewhere)
        taken |= {row["entity"] for row in harmless[part]}
    helpful, shares = {}, {}  # shares: share of multi-turn prompts among those that are no follow-ups
    for part, most in ((splits.RL, config.helpfulness), (splits.TEST, config.test_helpfulness)):
        count = len(helpfulness_rows(known, conversations, part, most, taken))
        going_on = follow_up_rows(known, chats, part, round(count * config.multi_turn_share * FOLLOW_UPS), taken)
        used = taken | {row["entity"] for row in going_on}
        helpful[part] = going_on + helpfulness_rows(known, conversations, part, count - len(going_on), used)
        shares[part] = remaining_share(config.multi_turn_share, len(going_on), len(helpful[part]))
    learnt, validation = hold_out(
        [
            *helpful[splits.RL],
            *safety_rows(owned, splits.RL, config.safety),
            *harmless[splits.RL],
        ],
        config.validation,
    )
    test = [
        *helpful[splits.TEST],
        *safety_rows(owned, splits.TEST, config.test_safety),
        *harmless[splits.TEST],
    ]
    held_out = {row["entity"] for row in (*validation, *test)}
    refusals = safety_sources.generic_answers(safety_sources.safe_answers(inputs["dialogues"]))
    said = {
        part: multi_turn.pool(known, conversations, owned, refusals, part, held_out)
        for part in (splits.RL, splits.TEST)
    }
    parts = {
        name: [
            multi_turn.with_earlier_turns(
                row, said[part], shares[part] if row["kind"] == "helpfulness" else config.multi_turn_share
            )
            for row in rows
        ]
        for name, part, rows in (
            ("rl", splits.RL, learnt),
            ("validation", splits.RL, validation),
            ("test", splits.TEST, test),
        )
    }
    metrics: dict = {}
    for part, rows in parts.items():
        dialogue_tables.write_rows(sorted(rows, key=lambda row: row["id"]), SCHEMA, out / f"{part}.parquet")
        counts = collections.Counter(row["kind"] for row in rows)
        metrics |= {f"{part}_{kind}": count for kind, count in sorted(counts.items())}
        metrics[f"{part}_multi_turn"] = sum(multi_turn.is_multi_turn(row["messages"]) for row in rows)
        risks = collections.Counter(row["category"] for row in rows if row["kind"] == "safety")
        metrics[f"{part}_risks"] = [{"category": name, "prompts": count} for name, count in sorted(risks.items())]
    for kind, wanted in (("rl_helpfulness", config.helpfulness), ("rl_safety", config.safety)):
        if wanted and not metrics.get(kind):
            raise ValueError(f"no {kind.replace('_', ' ')} prompts found: check the mixture and the dialogues artifact")
    log.info(", ".join(f"{name}: {count}" for name, count in metrics.items() if isinstance(count, int)))
    report(parts, out)
    return metrics


def hold_out(rows: list[dict], most: int) -> tuple[list[dict], list[dict]]:
    """(training rows, validation rows): validation gets at most `most` and a tenth of all, by smallest entity hash.

    Rows of one entity stay together. The selection stops at the first entity that does not fit the remaining quota.
    """
    by_entity = collections.defaultdict(list)
    for row in rows:
        by_entity[row["entity"]].append(row)
    room, chosen = min(most, len(rows) // 10), set()
    for entity in sorted(by_entity, key=lambda entity: splits.unit(entity, "validation")):
        if len(by_entity[entity]) > room:
            break
        room -= len(by_entity[entity])
        chosen.add(entity)
    return [row for row in rows if row["entity"] not in chosen], [row for row in rows if row["entity"] in chosen]


def helpfulness_rows(known, conversations, part: str, count: int, taken: set[str]) -> list[dict]:
    """Questions about reference texts and opening questions of conversations of `part`, with their true answers."""
    talk: dict[str, dict] = {}
    for conversation in sorted(conversations, key=lambda one: splits.unit(one.turns[0], "order")):
        entity = splits.about(conversation.turns[0])
        if splits.part_of(entity, splits.KNOWLEDGE) == part and entity not in taken:
            talk.setdefault(entity, _row(conversation.turns[0], "helpfulness", conversation.topic, conversation.turns[1],
                                         conversation.source, entity))  # fmt: skip
    asked = list(talk.values())[: round(count * CONVERSATION_SHARE)]
    for subject in known:
        if len(asked) >= count:
            break
        reference, _ = questions.answer(subject, REFERENCE_WORDS)
        if reference and splits.part_of(subject.entity, splits.KNOWLEDGE) == part and subject.entity not in taken:
            asked.append(_about(subject, "helpfulness", subject.topic, reference))
    return asked


def remaining_share(share: float, late: int, total: int) -> float:
    """Share of the other rows to make multi-turn, so that `share` of all `total` are; `late` rows are already."""
    return max(0.0, share * total - late) / (total - late) if late < total else 0.0


def follow_up_rows(known, chats, part: str, count: int, taken: set[str]) -> list[dict]:
    """Follow-up prompts: up to half are second questions of human chats; the rest ask for more of a reference text."""
    rows: dict[str, dict] = {}
    for chat in sorted(chats, key=lambda one: splits.unit(" ".join(one.turns), "order")):
        entity = splits.about(chat.turns[0])
        asks = len(chat.turns) == 4 and chat.turns[2].endswith("?") and entity not in taken
        if len(rows) < count // 2 and asks and splits.part_of(entity, splits.KNOWLEDGE) == part:
            row = _row(chat.turns[2], "helpfulness", "follow-up in a chat", chat.turns[3], chat.source, entity,
                       multi_turn.exchange(*chat.turns[:2]))  # fmt: skip
            rows.setdefault(entity, row)
    for subject in known:
        if len(rows) >= count:
            break
        first = subject.sentences[0]
        reference, _ = questions.answer(subject, REFERENCE_WORDS, start=1)
        mine = splits.part_of(subject.entity, splits.KNOWLEDGE) == part and subject.entity not in taken
        if reference and mine and len(first.split()) <= multi_turn.MOST_WORDS:
            row = _row(questions.follow_up(subject), "helpfulness", subject.topic, reference, subject.source,
                       subject.entity, multi_turn.exchange(questions.question(subject), first))  # fmt: skip
            rows.setdefault(subject.entity, row)
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
        _row(one.request.prompt, "safety", one.request.category, "", one.request.source, one.group)
        for _, one in ranked[:count]
    ]


def harmless_rows(known, dialogues: Path, part: str, count: int, elsewhere: set[str]) -> list[dict]:
    """Harmless prompts of `part` that invite false refusals (paper 4.2.3): everyday requests and alarming subjects.

    A subject is alarming if its name or short description holds a word of answer_rules.HARM. Requests about an entity
    in `elsewhere` (owned by another part) are left out.
    """
    everyday = [
        _row(one.prompt, "harmless", one.category, one.reference, one.source, splits.about(one.prompt))
        for one in safety_sources.everyday_requests(dialogues)
        if splits.part_of(splits.about(one.prompt), EVERYDAY) == part and splits.about(one.prompt) not in elsewhere
    ]
    everyday.sort(key=lambda row: splits.unit(row["entity"], "order"))
    alarming = []
    for subject in known:
        words = set(answer_rules.words(f"{subject.name} {subject.description}"))
        reference, _ = questions.answer(subject, REFERENCE_WORDS)
        if words & answer_rules.HARM and reference and splits.part_of(subject.entity, splits.KNOWLEDGE) == part:
            alarming.append(_about(subject, "harmless", "alarming subject", reference))
    chosen = alarming[: count - min(len(everyday), round(count * EVERYDAY_SHARE))]
    return chosen + everyday[: count - len(chosen)]


def _about(subject: questions.Subject, kind: str, category: str, reference: str) -> dict:
    return _row(questions.question(subject), kind, category, reference, subject.source, subject.entity)


def _row(prompt: str, kind: str, category: str, reference: str, source: str, entity: str, before=()) -> dict:
    messages = [*before, {"role": "user", "content": prompt}]
    return {
        "id": f"{kind}:{splits.unit(' '.join(message['content'] for message in messages)):.12f}",
        "messages": messages,
        "question": " ".join(message["content"] for message in messages if message["role"] == "user"),
        "kind": kind,
        "category": category,
        "reference": reference,
        "source": source,
        "entity": entity,
    }


def _shown(messages: list[dict]) -> str:
    return " → ".join(literal(message["content"]) for message in messages)


def report(parts: dict[str, list[dict]], out: Path) -> None:
    """Write report.md: three prompts of each kind and part."""
    lines = []
    for part, rows in parts.items():
        for kind in sorted({row["kind"] for row in rows}):
            mine = [row for row in rows if row["kind"] == kind]
            shown = sorted(mine, key=lambda row: splits.unit(row["id"]))[:3]
            lines += [f"### {part}, {kind}: {len(mine)} prompts", ""]
            lines += [f"- {_shown(row['messages'])} *({literal(row['category'])})*" for row in shown]
            lines.append("")
    reporting.write_text(out / "report.md", "\n".join(lines))
