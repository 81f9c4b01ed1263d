"""Every answer of the generations as each rater reads it, once: win rates and rates are computed from this table.

The raters are the last round's reward models, the independent judge, the simulated annotator's rules, and the rules
that check verifiable requests.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from modeling.core import dialogue_tables, reporting, sampling
from modeling.core.recipes import EvaluationRecipe
from modeling.dialogues import answer_rules, verifiable
from modeling.evaluation import generations
from modeling.evaluation.judge import model as judge_model
from modeling.rlhf import scoring

TABLE, AGREEMENT = "scored.parquet", "agreement.json"
LOGITS = ("helpfulness", "violation", "refusal", "fluency")  # the judge's
BY_PEOPLE = ("violation", "refusal")  # axes with human labels; the others were fitted on constructed pairs
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("version", "prompt_id", "kind", "setting", "category")),
        ("control", pa.bool_()),
        ("temperature", pa.float64()),
        ("reward", pa.float64()),  # logit of the reward model of the prompt's kind; null: harmless prompts
        *((name, pa.float64()) for name in LOGITS),
        *((f"rule_{name}", pa.bool_()) for name in ("unsafe", "refuses", "declines")),
        ("obeyed", pa.bool_()),  # null: the prompt holds no verifiable request
        ("words", pa.int32()),
    ]
)


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write scored.parquet, and agreement.json: the judge's AUC on held-out human labels by axis.

    Inputs: generations, judge, fitted_judge, helpfulness_reward_model and safety_reward_model of the last round.
    """
    rows = generations.read(inputs["generations"])
    for kind in ("helpfulness", "safety"):
        add_rewards([row for row in rows if row["kind"] == kind], inputs[f"{kind}_reward_model"], log)
    add_verdicts(rows, judge_model.load(inputs["judge"], inputs["fitted_judge"]), log)
    for row in rows:
        row |= read_by_rules(row)
    agreement = judge_agreement(inputs["fitted_judge"])
    dialogue_tables.write_rows([{"reward": None} | row for row in rows], SCHEMA, out / TABLE)
    reporting.write_json(out / AGREEMENT, agreement)
    return {"answers": len(rows), **{f"judge_{axis}_auc": auc for axis, auc in agreement.items() if auc is not None}}


def add_rewards(rows: Sequence[dict], reward_model: Path, log) -> None:
    model, tokenizer = scoring.load(reward_model)
    for row, score in zip(rows, scoring.score(model, tokenizer, generations.dialogs(rows), log), strict=True):
        row["reward"] = score
    del model
    sampling.free_memory()


def add_verdicts(rows: Sequence[dict], judge: judge_model.Judge, log) -> None:
    """Adds the judge's logits; relevance is measured relative to all prompts."""
    questions = [row["question"] for row in rows]
    verdicts = judge.read(questions, [row["answer"] for row in rows], questions, log)
    for name in LOGITS:
        for row, logit in zip(rows, getattr(verdicts, f"{name}_N"), strict=True):
            row[name] = float(logit)


def read_by_rules(row: dict) -> dict:
    rule = answer_rules.safety(row["question"], row["answer"])
    return {
        "rule_unsafe": not rule.safe,
        "rule_refuses": rule.refuses,
        "rule_declines": rule.declines,
        "obeyed": verifiable.obeyed(row["constraint"], row["answer"]) if row["constraint"] else None,
        "words": len(row["answer"].split()),
    }


def judge_agreement(fitted_judge: Path) -> dict[str, float | None]:
    """Returns axis → AUC on held-out human labels; None for an axis without such labels."""
    quality = json.loads((fitted_judge / "quality.json").read_text(encoding="utf-8"))
    return {axis: quality.get(f"{axis}_auc") if axis in BY_PEOPLE else None for axis in LOGITS}


def read(folder: Path) -> dict[str, list[dict]]:
    """Returns version or control → its rows of a `scored_answers` artifact, in training order, controls last."""
    found: dict[str, list[dict]] = {}
    for row in pq.read_table(folder / TABLE).to_pylist():
        found.setdefault(row["version"], []).append(row)
    return found


def read_agreement(folder: Path) -> dict[str, float | None]:
    return json.loads((folder / AGREEMENT).read_text(encoding="utf-8"))
