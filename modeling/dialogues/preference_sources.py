"""Open preference data: pairs of answers of which others have said which is better (paper Table 6).

Pairs come from the sources with use = "preferences", in the shapes of modeling/dialogues/shapes.py. Rated answers make
a pair where one prompt has answers of different ratings. All pairs belong to the RL part of the split: a pair whose
prompt another part owns, or that resembles a prompt of the test, of a demonstration or of the judge, is left out.
"""

import collections
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modeling.dialogues import (
    adversarial_prompts,
    answer_rules,
    everyday,
    judge_labels,
    multi_turn,
    shaped_files,
    shapes,
    splits,
)


@dataclass(frozen=True)
class PreferencePair:
    """Two answers to a dialogue that ends with the user."""

    messages: tuple[dict, ...]  # role and content; earlier answers have weight 0
    chosen: str
    rejected: str
    source: str
    entity: str  # of the last question
    kind: str  # helpfulness | safety: whether the last question holds a word of answer_rules.HARM


def preference_pairs(dialogues: Path, adversarial: Path) -> list[PreferencePair]:
    """All pairs of the RL part, each once, in hash order. Raises ValueError for a row of an unknown shape."""
    owned = adversarial_prompts.owned_prompts(adversarial)
    requests, _ = everyday.requests(dialogues)
    elsewhere = [one.question for one in requests if one.part != splits.RL]
    elsewhere += [one.request.prompt for one in owned if one.part != splits.RL]
    twins = adversarial_prompts.owned_twins(dialogues, owned)
    elsewhere += [one.twin.question for one in twins if one.part != splits.RL]
    near = everyday.Near([*elsewhere, *judge_labels.objectives(dialogues)])
    found: dict[tuple, PreferencePair] = {}
    for source, pair in _pairs(dialogues):
        asked = [message["content"] for message in pair.messages if message["role"] == "user"]
        if any(_of_another_part(question) or near.has(question) for question in asked):
            continue
        harm = set(answer_rules.words(asked[-1])) & answer_rules.HARM
        made = PreferencePair(_context(pair.messages), pair.chosen, pair.rejected, source, splits.about(asked[-1]),
                              "safety" if harm else "helpfulness")  # fmt: skip
        found.setdefault((*asked, pair.chosen, pair.rejected), made)
    return sorted(found.values(), key=lambda one: splits.unit(one.messages[-1]["content"] + one.chosen, "order"))


def _of_another_part(question: str) -> bool:
    """Whether the question asks what a thing is ("What is the Moon?"), and another part owns the thing."""
    about = splits.about(question)
    return about != splits.entity(question) and splits.part_of(about, splits.KNOWLEDGE) != splits.RL


def _context(messages: shapes.Messages) -> tuple[dict, ...]:
    return tuple(multi_turn.as_context(messages))


def _pairs(dialogues: Path) -> Iterator[tuple[str, shapes.Preference]]:
    for path, source in shaped_files.used_as(dialogues, "preferences"):
        rated: dict[tuple, list[shapes.Rated]] = collections.defaultdict(list)
        for place, row in shaped_files.rows(path):
            try:
                record = shaped_files.read(path, place, row)
            except shapes.Unusable:
                continue
            if isinstance(record, shapes.Preference):
                yield source, record
            elif isinstance(record, shapes.Rated):
                rated[tuple(message["content"] for message in record.messages)].append(record)
            else:
                raise ValueError(
                    f"{path}, {place}: one answer without a rating is no preference: set use = 'dialogues'"
                )
        for answers in rated.values():
            best, worst = (choose(answers, key=lambda one: one.rating) for choose in (max, min))
            if best.rating > worst.rating and best.answer != worst.answer:
                yield source, shapes.Preference(best.messages, best.answer, worst.answer)
