"""Gates of context distillation."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_cleaning.verdict import Verdict
from modeling.core.statistics import mean_interval
from modeling.core.verdicts import CONFIDENCE, not_finite
from modeling.finetuning.gates import compared

# A policy that refuses nearly always gives its own answers 0.16 nats a token: what is that likely can hardly gain.
FORGOTTEN = 0.1


def kept_only_the_safer(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Every kept answer scores higher than the one it replaces, and stands for an adversarial prompt of the parent."""
    rows = pq.read_table(artifact / "answers.parquet").to_pylist()
    known = pq.read_table(inputs["prompts"] / "rl.parquet", columns=["id", "kind"]).to_pylist()
    adversarial = {row["id"] for row in known if row["kind"] == "safety"}
    kept = [row for row in rows if row["kept"]]
    worse = sum(row["distilled_score"] <= row["original_score"] for row in kept)
    strangers = sum(row["prompt_id"] not in adversarial for row in rows)
    written = pq.read_metadata(artifact / "samples.parquet").num_rows
    gains = [row["distilled_score"] - row["original_score"] for row in kept]
    figures = {"answers": len(rows), "kept": len(kept)} | ({"margin": min(gains)} if gains else {})
    if worse or strangers or written != len(kept):
        bad = f"{worse} kept answers score no higher, {strangers} prompts are not adversarial, {written} written"
        return False, bad, figures
    return True, f"{len(kept)} of {len(rows)} answers kept", figures


def learned_the_distilled(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The kept safe answers did not become less likely than under the policy that gave them, to FORGOTTEN nats a token.

    They are a small part of what was learnt and may be few: it fails where the whole interval of their loss is above that.
    """
    if broken := not_finite(artifact):
        return False, broken, {}
    path = inputs["distilled_answers"] / "samples.parquet"
    lost_N, why, figures = compared(artifact, inputs["ppo_policy"], path, recipe.context, "distilled answers")
    if len(lost_N) < 2:
        return True, "fewer than two distilled answers were kept: too few to compare on", {}
    low, high = mean_interval(lost_N, CONFIDENCE)
    figures |= {"low": low, "high": high, "margin": FORGOTTEN - low}
    return low < FORGOTTEN, f"{why} ({low:+.3f} to {high:+.3f})", figures
