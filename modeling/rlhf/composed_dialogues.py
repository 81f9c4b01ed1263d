"""Dialogues for Ghost Attention put together from single answers: every answer is rewritten by rule to obey.

A small model obeys an instruction so rarely that its own dialogues are few. A checkpoint's own answers to everyday
requests (finetuning/sft_dialogues.py) are many, and a rule can give most of them the form that an instruction asks for.
So some dialogues join such answers, each to a question of its own. They need no generation. The paper has none.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from modeling.core import hashing
from modeling.dialogues import form_rewriting, instructions, splits
from modeling.finetuning.sft_dialogues import is_plain
from modeling.rlhf.ghost_dialogue import Ghost
from modeling.rlhf.recipes import GhostRecipe

MOST_WORDS = 60  # of an answer, so that all turns of a dialogue fit in the context
TRIES = 8  # answers tried for each turn


def read_answers(path: Path) -> list[tuple[str, str]]:
    """The (question, answer) of every own answer to a plain request, in hash order, each question once."""
    rows = pq.read_table(path, columns=["id", "messages", "category", "source"]).to_pylist()
    found = {row["messages"][0]["content"]: row["messages"][1]["content"] for row in rows if is_plain(row)}
    return sorted(found.items(), key=lambda item: hashing.unit_hash("composed", item[0]))


def compose(answered: Sequence[tuple[str, str]], config: GhostRecipe) -> list[Ghost]:
    """At most `composed` dialogues of two to `turns` answers, which all obey the instruction of their dialogue.

    Answers are used in turn, and again when there are too few. A dialogue that finds too few answers that a rule can
    rewrite is left out.
    """
    shares, found, place = instructions.Shares(config.kinds, 0.0, config.combined_share), [], 0
    for number in range(config.composed if answered else 0):
        key = f"composed {config.seed} {number}"
        wanted = 2 + int(hashing.unit_hash("turns", key) * (config.turns - 1))
        constraints = instructions.draw(key, shares, splits.RL)
        said: dict[str, str] = {}
        for _ in range(wanted * TRIES):
            question, answer = answered[place % len(answered)]
            place += 1
            changed = form_rewriting.rewritten(constraints, answer, ended=True)
            if changed and len(changed.split()) <= MOST_WORDS and instructions.obeyed(constraints, changed):
                said.setdefault(question, changed)
            if len(said) == wanted:
                found.append(Ghost(f"composed:{config.seed}:{number:05d}", constraints, tuple(said), tuple(said.values()),
                                   (True,) * wanted))  # fmt: skip
                break
    return found
