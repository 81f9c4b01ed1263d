"""Gates of context distillation."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_cleaning.verdict import Verdict
from modeling.core.statistics import mean_interval
from modeling.core.verdicts import CONFIDENCE, not_finite
from modeling.finetuning.gates import compared

# A policy that nearly always refuses has a loss of 0.16 nats per token on its own answers, so it can hardly improve.
FORGOTTEN = 0.1


def kept_only_the_safer(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Every kept answer scores higher than the one it replaces and belongs to an adversarial prompt of the parent."""
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
    """The loss on the kept safe answers rose by no more than FORGOTTEN nats per token over that of the PPO policy.

    There may be few of them, so the gate fails only if the whole interval is above FORGOTTEN.
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
