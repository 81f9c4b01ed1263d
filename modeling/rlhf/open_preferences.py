"""Open preference pairs beside one's own, for both reward models (paper 3.2.1, Table 6).

Others have said which answer is better (modeling/dialogues/preference_sources.py says which pairs may be used). They say
neither by how much nor whether an answer is safe. So a pair counts as "better", the middle degree, and its answers have
no safety label. Only pairs whose question names no harm are used. All are for training; held-out pairs are one's own.
"""

import collections
from collections.abc import Sequence
from pathlib import Path

from data_cleaning.markdown import literal
from modeling.core import dialogue_tables, hashing, reporting
from modeling.dialogues import preference_sources
from modeling.dialogues.preference_sources import PreferencePair
from modeling.rlhf.labels import BETTER
from modeling.rlhf.pairs import OPEN, asked
from modeling.rlhf.preferences import SCHEMA
from modeling.rlhf.recipes import OpenPreferencesRecipe

SHOWN = 6


def run(config: OpenPreferencesRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write pairs.parquet (the columns of a round's pairs; round 0) and examples.md.

    Inputs: dialogues, adversarial_prompts. Returns counts by source, and of the pairs left out by reason. There may be no
    pair at all. Raises ValueError for a row of an unknown shape.
    """
    found = (
        preference_sources.preference_pairs(inputs["dialogues"], inputs["adversarial_prompts"]) if config.pairs else []
    )
    kept, left_out = usable(found, config)
    rows = [row(pair) for pair in kept]
    dialogue_tables.write_rows(rows, SCHEMA, out / "pairs.parquet")
    reporting.write_text(out / "examples.md", examples(kept))
    log.info(f"{len(rows)} open preference pairs")
    sources = collections.Counter(pair.source for pair in kept)
    return {
        "pairs": len(rows),
        "by_source": [{"source": source, "pairs": count} for source, count in sorted(sources.items())],
        **{f"left_out_{reason.replace(' ', '_')}": count for reason, count in sorted(left_out.items())},
    }


def usable(
    pairs: Sequence[PreferencePair], config: OpenPreferencesRecipe
) -> tuple[list[PreferencePair], collections.Counter]:
    """(at most config.pairs of the pairs in their order, reason → number of those left out)."""
    kept: list[PreferencePair] = []
    left_out: collections.Counter = collections.Counter()
    for pair in pairs:
        if pair.kind == "safety":
            left_out["names a harm"] += 1
        elif max(len(answer.split()) for answer in (pair.chosen, pair.rejected)) > config.max_answer_words:
            left_out["long answer"] += 1
        elif len(kept) == config.pairs:
            left_out["more than wanted"] += 1
        else:
            kept.append(pair)
    return kept, left_out


def row(pair: PreferencePair) -> dict:
    """The pair as a row of pairs.parquet."""
    text = asked(pair.messages)
    return {
        "id": f"open:{hashing.digest(text + pair.chosen + pair.rejected).hex()}",
        "prompt_id": f"open:{hashing.digest(text).hex()}",
        "entity": pair.entity,
        "kind": "helpfulness",
        "category": pair.source,
        "messages": list(pair.messages),
        "chosen": pair.chosen,
        "rejected": pair.rejected,
        "degree": BETTER,
        "chosen_safe": None,
        "rejected_safe": None,
        "annotator": OPEN,
        "chosen_from": OPEN,
        "rejected_from": OPEN,
        "round": 0,
        "split": "train",
    }


def examples(pairs: Sequence[PreferencePair]) -> str:
    """Markdown with some of the pairs."""
    parts = ["# Open preference pairs\n"]
    for pair in pairs[:SHOWN]:
        parts += [
            f"{reporting.quoted_prompt(list(pair.messages))}\n",
            f"**Chosen** ({literal(pair.source)})\n{reporting.quoted(pair.chosen)}\n",
            f"**Rejected**\n{reporting.quoted(pair.rejected)}\n",
        ]
    return "\n".join(parts)
