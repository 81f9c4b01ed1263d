"""The gate of the prompts."""

import itertools
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_cleaning.verdict import Verdict
from modeling.dialogues import everyday
from modeling.dialogues.prompt_rows import AFTER_REFUSAL, EVERYDAY


def prompts_apart(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """RL, validation and test prompts share no id, question or entity, and none of the three parts is empty.

    Everyday requests of the test are no near-duplicates of those of RL and validation.
    """
    parts = {name: pq.read_table(artifact / f"{name}.parquet").to_pylist() for name in ("rl", "validation", "test")}
    figures = {name: len(rows) for name, rows in parts.items()}
    if not all(parts.values()):
        missing = " and ".join(name for name, rows in parts.items() if not rows)
        return False, f"there are no prompts for {missing}", figures
    known = {name: {key for r in rows for key in (r["id"], r["question"], r["entity"])} for name, rows in parts.items()}
    shared = [a & b for a, b in itertools.combinations(known.values(), 2)]
    if any(shared):
        return False, f"{len(set().union(*shared))} ids, questions or entities are in two parts", figures
    asked = {
        name: [r["question"] for r in rows if r["setting"] in (EVERYDAY, AFTER_REFUSAL)] for name, rows in parts.items()
    }
    learnt = everyday.Near(map(everyday.topic_words, asked["rl"] + asked["validation"]), everyday.SIMILARITY)
    figures["near_duplicates"] = sum(learnt.has(everyday.topic_words(question)) for question in asked["test"])
    reason = f"{figures['near_duplicates']} everyday requests of the test resemble one of RL or validation"
    return not figures["near_duplicates"], reason, figures
