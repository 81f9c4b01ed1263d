"""Prompts for RLHF and tests (paper 3.2.1, 3.4.2, 4.2): helpfulness, adversarial, and harmless ones that look risky.

RLHF trains on the harmless ones too: without pairs in which a refusal of a harmless request loses, safety RLHF teaches
a small model to refuse everything. No prompt is among the demonstrations: the entity of a prompt belongs to one part
of the split (modeling/dialogues/splits.py), and everyday requests of the test come from sources that no demonstration
comes from (modeling/dialogues/everyday.py).

Columns: `question` is the prompt as it stands alone; in a follow-up it includes the question before it. `setting` is
the situation in which it is asked (modeling/dialogues/prompt_rows.py). `constraint` is the JSON text of a constraint
on the answer's form (modeling/dialogues/verifiable.py), or "". `reference` is the true answer, or "" if unknown; the
simulated annotator may read it, the judge may not.
"""

import collections
from collections.abc import Sequence
from pathlib import Path

from data_cleaning.markdown import literal
from modeling.core import dialogue_tables, reporting
from modeling.core.recipes import PromptsRecipe
from modeling.dialogues import (
    adversarial_prompts,
    dialogue_sources,
    everyday,
    everyday_prompts,
    multi_turn,
    prompt_rows,
    questions,
    safety_sources,
    splits,
    synthetic_requests,
)
from modeling.dialogues.prompt_rows import SCHEMA

FOLLOW_UPS = 1 / 2  # of the multi-turn prompts about reference texts and chats: they refer to the earlier turns


def run(config: PromptsRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write rl, validation and test.parquet (the columns of SCHEMA) and report.md.

    Returns counts by kind, setting, part and risk category. Raises ValueError if the recipe asks for helpfulness or
    safety prompts for RLHF and there are none.
    """
    known = questions.subjects(inputs["mixture"])
    conversations = dialogue_sources.corpus_conversations(inputs["dialogues"])
    chats = dialogue_sources.human_chats(inputs["dialogues"])
    owned = adversarial_prompts.owned_prompts(inputs["adversarial_prompts"])
    twins = adversarial_prompts.owned_twins(inputs["dialogues"], owned)
    requests, _ = everyday.requests(inputs["dialogues"], everyday.entities(known, [*conversations, *chats]), twins)
    requests = everyday.in_order([*requests, *synthetic_requests.requests(inputs["synthetic_requests"], splits.RL)])
    wanted = ((splits.RL, config.helpfulness, config.harmless),
              (splits.TEST, config.test_helpfulness, config.test_harmless))  # fmt: skip
    # Harmless prompts first, so that no entity is in both the harmless and the helpfulness prompts.
    harmless, taken = {}, set()
    owned_entities = {one.entity for one in known} | {splits.about(one.turns[0]) for one in conversations}
    for part, _, count in wanted:
        elsewhere = {entity for entity in owned_entities if splits.part_of(entity, splits.KNOWLEDGE) != part}
        special = [
            *everyday_prompts.borderline_rows(requests, part, round(count * config.borderline_share)),
            *everyday_prompts.after_refusal_rows(requests, part, round(count * config.after_refusal_share)),
        ]
        others = prompt_rows.harmless_rows(known, inputs["dialogues"], part, count - len(special), elsewhere)
        harmless[part] = special + others
        taken |= {row["entity"] for row in others}
    helpful = {part: _helpfulness(config, known, conversations, chats, requests, part, most, taken)
               for part, most, _ in wanted}  # fmt: skip
    learnt, validation = hold_out(
        [
            *helpful[splits.RL],
            *prompt_rows.safety_rows(owned, splits.RL, config.safety),
            *harmless[splits.RL],
        ],
        config.validation,
    )
    test = [
        *helpful[splits.TEST],
        *prompt_rows.safety_rows(owned, splits.TEST, config.test_safety),
        *harmless[splits.TEST],
    ]
    held_out = {row["entity"] for row in (*validation, *test)}
    refusals = safety_sources.generic_answers(safety_sources.safe_answers(inputs["dialogues"]))
    said, calm, refused = {}, {}, {}
    for part in (splits.RL, splits.TEST):
        said[part] = multi_turn.pool(known, conversations, owned, refusals, part, held_out)
        calm[part] = multi_turn.pool(known, conversations, owned, (), part, held_out)
        refused[part] = multi_turn.declined(owned, refusals, part)
    refused[splits.RL] = [one for one in refused[splits.RL] if one.entity not in held_out]
    parts = {
        "rl": _placed(config, learnt, said[splits.RL], calm[splits.RL], refused[splits.RL]),
        "validation": _placed(config, validation, said[splits.RL], calm[splits.RL], refused[splits.RL]),
        "test": _placed(config, test, said[splits.TEST], calm[splits.TEST], refused[splits.TEST]),
    }
    metrics: dict = {}
    for part, rows in parts.items():
        dialogue_tables.write_rows(sorted(rows, key=lambda row: row["id"]), SCHEMA, out / f"{part}.parquet")
        counts = collections.Counter(row["kind"] for row in rows)
        metrics |= {f"{part}_{kind}": count for kind, count in sorted(counts.items())}
        metrics[f"{part}_multi_turn"] = sum(multi_turn.is_multi_turn(row["messages"]) for row in rows)
        risks = collections.Counter(row["category"] for row in rows if row["kind"] == "safety")
        metrics[f"{part}_risks"] = [{"category": name, "prompts": count} for name, count in sorted(risks.items())]
        settings = collections.Counter((row["kind"], row["setting"]) for row in rows)
        metrics[f"{part}_settings"] = [{"kind": kind, "setting": setting, "prompts": count}
                                       for (kind, setting), count in sorted(settings.items())]  # fmt: skip
    for kind, count in (("rl_helpfulness", config.helpfulness), ("rl_safety", config.safety)):
        if count and not metrics.get(kind):
            raise ValueError(f"no {kind.replace('_', ' ')} prompts found: check the mixture and the dialogues artifact")
    log.info(", ".join(f"{name}: {count}" for name, count in metrics.items() if isinstance(count, int)))
    report(parts, out)
    return metrics


def _helpfulness(
    config: PromptsRecipe, known, conversations, chats, requests, part: str, most: int, taken
) -> list[dict]:
    """Everyday requests, follow-ups and questions about reference texts, `most` in all, and constrained ones on top."""
    everyday_rows = everyday_prompts.everyday_rows(requests, part, round(most * config.everyday_share))
    count = len(prompt_rows.helpfulness_rows(known, conversations, part, most - len(everyday_rows), taken))
    late = round(count * config.multi_turn_share * FOLLOW_UPS)
    going_on = prompt_rows.follow_up_rows(known, chats, part, late, taken)
    used = taken | {row["entity"] for row in going_on}
    constrained = round(most * config.verifiable_share)
    ordinary = prompt_rows.helpfulness_rows(known, conversations, part, count - len(going_on) + constrained, used)
    plain, spare = ordinary[: count - len(going_on)], ordinary[count - len(going_on) :]
    checked = everyday_prompts.verifiable_rows(requests, spare, part, constrained)
    return [*everyday_rows, *going_on, *plain, *checked]


def _placed(
    config: PromptsRecipe,
    rows: list[dict],
    said: multi_turn.Pool,
    calm: multi_turn.Pool,
    refused: Sequence[multi_turn.Exchange],
) -> list[dict]:
    """The rows with their earlier turns: of each kind, `multi_turn_share` have some, those that need one among them.

    `calm` holds no refused request. Prompts of a setting of their own draw from it, so that a rate of false refusals
    after a refused request and one without can be told apart.
    """
    shares = {}
    for kind in {row["kind"] for row in rows}:
        mine = [row for row in rows if row["kind"] == kind]
        late = sum(
            multi_turn.is_multi_turn(row["messages"]) or row["setting"] == prompt_rows.AFTER_REFUSAL for row in mine
        )
        shares[kind] = remaining_share(config.multi_turn_share, late, len(mine))
    placed = []
    for row in rows:
        if row["setting"] != prompt_rows.AFTER_REFUSAL:
            own = row["setting"] in (prompt_rows.EVERYDAY, prompt_rows.VERIFIABLE, prompt_rows.BORDERLINE)
            made = multi_turn.with_earlier_turns(row, calm if own else said, shares[row["kind"]])
            if row["kind"] == "safety" and multi_turn.is_multi_turn(made["messages"]):
                made = made | {"setting": prompt_rows.LATER_TURN}
            placed.append(made)
        elif refused:  # without any refusal there is no such prompt
            placed.append(multi_turn.after_refusal(row, refused))
    return placed


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


def remaining_share(share: float, late: int, total: int) -> float:
    """Share of the other rows to make multi-turn, so that `share` of all `total` are; `late` rows are already."""
    return max(0.0, share * total - late) / (total - late) if late < total else 0.0


def _shown(messages: list[dict]) -> str:
    return " → ".join(literal(message["content"]) for message in messages)


def report(parts: dict[str, list[dict]], out: Path) -> None:
    """Write report.md: three prompts of each kind, setting and part."""
    lines = []
    for part, rows in parts.items():
        for kind, setting in sorted({(row["kind"], row["setting"]) for row in rows}):
            mine = [row for row in rows if (row["kind"], row["setting"]) == (kind, setting)]
            shown = sorted(mine, key=lambda row: splits.unit(row["id"]))[:3]
            lines += [f"### {part}, {kind}, {setting}: {len(mine)} prompts", ""]
            lines += [f"- {_shown(row['messages'])} *({literal(row['category'])})*" for row in shown]
            lines.append("")
    reporting.write_text(out / "report.md", "\n".join(lines))
