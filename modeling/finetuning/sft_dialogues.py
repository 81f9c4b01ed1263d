"""The dialogues of supervised fine-tuning: the written demonstrations, and beside them a checkpoint's own best answers.

A checkpoint that already answers well would lose that on short written answers alone. So it answers some of the
demonstrations' harmless prompts itself, `samples` times each, and the answer that agrees best with the written one is
a demonstration too (rejection sampling, paper 3.2.3, before there is a reward model). An answer that refuses, is cut
off or repeats itself is never kept. A model from random weights has no answers of its own: it learns the written ones.
"""

import collections
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_cleaning.files import replacing
from modeling.core import dialogue_tables, hashing, reporting, resumable_generation
from modeling.core.recipes import OwnAnswersRecipe
from modeling.core.sampling import Answer
from modeling.core.verdicts import has_weights
from modeling.dialogues import answer_rules
from modeling.dialogues.demonstrations import SCHEMA

OWN = "own answer"
REPEATED = 0.2  # most share of repeated word trigrams
SHOWN = 12


def run(config: OwnAnswersRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Write train.parquet, test.parquet (as the demonstrations) and examples.md.

    Inputs: initial_model, demonstrations. Returns counts, with the reasons for which prompts have no own answer.
    """
    with replacing(out / "test.parquet") as part:
        shutil.copyfile(inputs["demonstrations"] / "test.parquet", part)
    written = pq.read_table(inputs["demonstrations"] / "train.parquet").to_pylist()
    chosen = choose(written, config.prompts) if has_weights(inputs["initial_model"]) else []
    own, reasons = own_rows(chosen, config, inputs["initial_model"], out / "_scratch", log)
    dialogue_tables.write_rows(sorted([*written, *own], key=lambda row: row["id"]), SCHEMA, out / "train.parquet")
    reporting.write_text(out / "examples.md", examples(own))
    words = [len(row["messages"][-1]["content"].split()) for row in own]
    return {
        "written": len(written),
        "own": len(own),
        "own_words": round(sum(words) / max(len(words), 1), 1),
        **{f"without_{reason.replace(' ', '_')}": count for reason, count in sorted(reasons.items())},
    }


def choose(rows: list[dict], count: int) -> list[dict]:
    """The demonstrations whose prompts are answered again: harmless ones without a system prompt, in hash order."""
    fit = [row for row in rows if not row["category"].startswith("safety") and row["messages"][0]["role"] != "system"]
    return sorted(fit, key=lambda row: hashing.unit_hash("own answers", row["id"]))[:count]


def own_rows(
    rows: list[dict], config: OwnAnswersRecipe, model: Path, scratch: Path, log: Any
) -> tuple[list[dict], collections.Counter]:
    """(a demonstration for each prompt with a good own answer, reason → number of prompts without one)."""
    reasons: collections.Counter = collections.Counter()
    if not rows:
        return [], reasons
    prompts = [resumable_generation.plain(row["messages"][:-1]) for row in rows]
    drawn = resumable_generation.answer_all(
        model, prompts, config.sampling, config.samples, "own answers", scratch, log
    )
    own = []
    for row, prompt, answers in zip(rows, prompts, drawn, strict=True):
        best, reason = best_answer(prompt[-1]["content"], row["messages"][-1]["content"], answers)
        if best is None:
            reasons[reason] += 1
            continue
        said = [*({**one, "weight": 0} if one["role"] == "assistant" else one for one in prompt)]
        messages = [*said, {"role": "assistant", "content": best.text}]
        own.append(row | {"id": f"own:{row['id']}", "messages": messages, "category": OWN})
    return own, reasons


def best_answer(question: str, written: str, answers: list[Answer]) -> tuple[Answer | None, str]:
    """(the good answer with the highest word overlap with the written one, ""), or (None, why the last one is not good)."""
    good, reason = [], ""
    reference = answer_rules.content_words(written)
    for answer in answers:
        said = answer_rules.words(answer.text)
        if not answer.ended:
            reason = "cut off"
        elif answer_rules.helpfulness(question, answer.text, "").refuses:
            reason = "refuses"
        elif not said or answer_rules.repetition(said) > REPEATED:
            reason = "repeats itself"
        else:
            good.append((answer_rules.overlap(answer_rules.content_words(answer.text), reference), answer))
    return (max(good, key=lambda item: item[0])[1], "") if good else (None, reason)


def examples(rows: list[dict]) -> str:
    """Markdown with some prompts and the answers of the checkpoint."""
    parts = ["# The checkpoint's own answers\n"]
    for row in sorted(rows, key=lambda row: hashing.unit_hash("shown", row["id"]))[:SHOWN]:
        parts.append(
            f"{reporting.quoted_prompt(row['messages'][:-1])}\n\n{reporting.quoted(row['messages'][-1]['content'])}\n"
        )
    return "\n".join(parts)
