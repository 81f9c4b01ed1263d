"""The final model (paper 4.2.4): the PPO policy fine-tuned on its own distilled answers, without the preprompt.

Helpful answers of the last round's rejection sampling are mixed in, `demonstration_share` of all, so that safety is not
learnt at the price of helpfulness. After the model is saved, policy and chat model answer held-out prompts greedily and
the last round's reward models score both; harmless prompts that sound dangerous show false refusals.
"""

import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from transformers import AutoTokenizer

from modeling import answer_rules, answering, dialog, reporting, scoring, sft
from modeling.recipes import FinetuneRecipe, SamplingRecipe

REPORTED = 100  # held-out prompts of each kind
KINDS = ("helpfulness", "safety", "harmless")
VERSIONS = ("before", "after")
MEASURES = ("helpfulness", "safety", "refusals", "words")
HEADLINES = {("helpfulness", "helpfulness"), ("safety", "safety"), ("harmless", "refusals")}
EXAMPLES = 8


def run(config: FinetuneRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Stage: `ppo_policy`, `distilled_answers`, `rejection_samples` → a Hugging Face directory, heldout.md, examples.md.

    The comparison needs `helpfulness_reward_model`, `safety_reward_model` and `prompts` as well. Raises ValueError
    without a sample to learn from.
    """
    distilled = read_samples(inputs["distilled_answers"])
    helpful = [row for row in read_samples(inputs["rejection_samples"]) if row["kind"] != "safety"]
    mixed = mix(distilled, helpful, config.demonstration_share)
    if not mixed:
        raise ValueError(
            "neither distilled answers nor rejection samples: lower the bar or raise the number of prompts"
        )
    log.info(f"{len(mixed)} samples, {sum(row['kind'] == 'safety' for row in mixed)} of them distilled safety answers")
    dialogues = [row["messages"] for row in mixed]
    figures = sft.finetune(inputs["ppo_policy"], dialogues, config, out, log)
    metrics = {"distilled_samples": len(distilled), "rejection_samples": len(mixed) - len(distilled), **figures}
    main_process = int(os.environ.get("RANK", "0")) == 0
    if main_process and {"helpfulness_reward_model", "safety_reward_model", "prompts"} <= inputs.keys():
        metrics |= compare(inputs, out, longest_answer(inputs["ppo_policy"], dialogues), config.seed, log)
    return metrics


def read_samples(folder: Path) -> list[dict]:
    """Rows of samples.parquet (id, messages with the answer, kind), sorted by id."""
    rows = pq.read_table(folder / "samples.parquet", columns=["id", "messages", "kind"]).to_pylist()
    return sorted((row | {"messages": answering.plain(row["messages"])} for row in rows), key=lambda row: row["id"])


def mix(distilled: list[dict], helpful: list[dict], share: float) -> list[dict]:
    """All distilled samples and as many helpful ones as make up `share` of the whole, chosen by a hash of their ids."""
    if not 0.0 <= share < 1.0:
        raise ValueError(f"demonstration_share {share} must be 0 or more and below 1: the rest are distilled answers")
    wanted = round(len(distilled) * share / (1.0 - share)) if distilled else len(helpful)
    order = sorted(helpful, key=lambda row: answering.unit_hash("chat model", row["id"]))
    return sorted(distilled + order[:wanted], key=lambda row: row["id"])


def longest_answer(model_dir: Path, dialogues: list[list[dict]]) -> int:
    """Tokens of the longest answer to learn from, its closing included: what an answer of the report may take."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    return 2 + max(len(dialog.encode_text(tokenizer, messages[-1]["content"])) for messages in dialogues)


def compare(inputs: dict[str, Path], out: Path, max_new_tokens: int, seed: int, log: Any) -> dict:
    """Held-out answers before and after: metrics, heldout.md, examples.md."""
    recipe = SamplingRecipe(temperature=0.0, top_p=1.0, max_new_tokens=max_new_tokens, seed=seed)
    rows = heldout(answering.fitting(inputs["ppo_policy"], answering.read_prompts(inputs["prompts"], "test"), recipe))
    prompts = [row["messages"] for row in rows]
    reward_models = {name: scoring.load(inputs[f"{name}_reward_model"]) for name in ("helpfulness", "safety")}
    for version, folder in zip(VERSIONS, (inputs["ppo_policy"], out), strict=True):
        scratch = out / "_scratch" / version
        answers = answering.answer_all(folder, prompts, recipe, 1, "chat model", scratch, log)
        for row, (text,) in zip(rows, answers, strict=True):
            row[version] = text
        dialogs = [[*row["messages"], {"role": "assistant", "content": row[version]}] for row in rows]
        for name, loaded in reward_models.items():
            scores = scoring.sigmoid(scoring.score(*loaded, dialogs)).tolist()
            for row, score in zip(rows, scores, strict=True):
                row[f"{name}_{version}"] = score
    table, metrics = measure(rows)
    reporting.write_text(out / "heldout.md", table)
    reporting.write_text(out / "examples.md", examples(rows))
    return metrics


def heldout(rows: list[dict]) -> list[dict]:
    """At most REPORTED test prompts of each kind, by a hash of their ids."""
    order = sorted(rows, key=lambda row: answering.unit_hash("chat model held-out", row["id"]))
    return [row for kind in KINDS for row in [row for row in order if row["kind"] == kind][:REPORTED]]


def measure(rows: list[dict]) -> tuple[str, dict]:
    """Means before and after for each kind of prompt: as Markdown, and as metrics (the main ones by name)."""
    table = []
    for kind in KINDS:
        group = [row for row in rows if row["kind"] == kind]
        for name in MEASURES if group else ():
            before, after = (round(_mean(_measure(row, name, version) for row in group), 4) for version in VERSIONS)
            table.append({"prompts": kind, "number": len(group), "measure": name, "before": before, "after": after})
    metrics: dict = {"heldout": table}
    for row in table:
        if (row["prompts"], row["measure"]) in HEADLINES:
            for version in VERSIONS:
                metrics[f"{row['prompts']}_prompts_{row['measure']}_{version}"] = row[version]
    lines = [[*list(row.values())[:3], f"{row['before']:.3f}", f"{row['after']:.3f}"] for row in table]
    text = reporting.table(("prompts", "number", "measure", "PPO policy", "chat model"), lines)
    note = "Reward models' mean probabilities; refusals by rule on the text. Prompts of the test set, greedy answers."
    return f"# Held-out prompts before and after\n\n{text}\n{note}\n", metrics


def _measure(row: dict, name: str, version: str) -> float:
    if name == "refusals":
        return answer_rules.safety(row["messages"][-1]["content"], row[version]).refuses
    if name == "words":
        return len(row[version].split())
    return row[f"{name}_{version}"]


def examples(rows: list[dict]) -> str:
    """Some held-out prompts of each kind with both answers, to read."""
    parts = ["# Held-out answers before and after\n"]
    for kind in KINDS:
        for row in [row for row in rows if row["kind"] == kind][:EXAMPLES]:
            parts.append(f"## {kind}\n\n{reporting.quoted(row['messages'][-1]['content'])}\n")
            for version in VERSIONS:
                scored = f"helpfulness {row[f'helpfulness_{version}']:.2f}, safety {row[f'safety_{version}']:.2f}"
                parts.append(f"**{version.capitalize()}** ({scored})\n\n{reporting.quoted(row[version])}\n")
    return "\n".join(parts)


def _mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)
