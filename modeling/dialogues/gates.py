"""Gates of the prompts."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from data_cleaning.verdict import Verdict
from modeling.dialogues import everyday, splits
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


def paraphrases_apart(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """No group is in two parts, no part is empty, and no test prompt's nearest training prompt is a paraphrase.

    Two prompts are paraphrases if the cosine of their embeddings, rounded to two decimals, is `least_cosine` or more.
    """
    rows = pq.read_table(artifact / "prompts.parquet").to_pylist()
    part_P = np.array([row["part"] for row in rows])
    figures = {part: int((part_P == part).sum()) for part in (splits.DEMONSTRATIONS, splits.RL, splits.TEST)}
    if not all(figures.values()):
        return False, f"a part has no prompts: {figures}", figures
    torn = len({(row["group"], row["part"]) for row in rows}) - len({row["group"] for row in rows})
    vectors_PD = np.load(artifact / "vectors.npy")
    test_P = part_P == splits.TEST
    nearest = round(float((vectors_PD[test_P] @ vectors_PD[~test_P].T).max()), 2)
    figures |= {"nearest": nearest, "margin": recipe.least_cosine - nearest}
    why = f"{torn} groups are in two parts; the nearest test and training prompts have a cosine of {nearest:.2f}"
    return not torn and nearest < recipe.least_cosine, why, figures
