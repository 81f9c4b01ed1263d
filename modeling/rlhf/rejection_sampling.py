"""Rejection sampling (paper 3.2.3): K answers a prompt; the next policy learns the best one by the reward models.

The reward is the paper's piecewise one: safety for adversarial prompts and wherever it is below the threshold, else
helpfulness. From V4, the best samples of all earlier rounds are added: using the last round alone made the paper's
model forget. The current reward models score them again, because scores of different models are not comparable.

The best of K answers can still be bad. This is rare with the paper's K but not with a small one, so a prompt without a
good answer is left out and counted: an adversarial one whose best answer scores below `least_safety`, an ordinary one
whose answers all refuse, or disobey a constraint that rules check (faults.py). An answer that was cut off would teach the
policy to stop there, so it counts as the best only if no answer to the prompt is finished.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from modeling.core import dialog, dialogue_tables, reporting, resumable_generation, sampling
from modeling.rlhf import best_of_n, scoring
from modeling.rlhf.faults import FAULTS, fault
from modeling.rlhf.recipes import RejectionRecipe

CANDIDATES = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("kind", pa.string()),
        ("messages", dialogue_tables.MESSAGES),
        ("response", pa.string()),
        ("ended", pa.bool_()),
        ("fault", pa.string()),
        ("helpfulness", pa.float64()),
        ("safety", pa.float64()),
        ("reward", pa.float64()),
        ("rank", pa.int64()),
    ]
)
SAMPLES = pa.schema(
    [
        ("id", pa.string()),
        ("prompt_id", pa.string()),
        ("messages", dialogue_tables.MESSAGES),
        ("ended", pa.bool_()),
        ("fault", pa.string()),
        ("reward", pa.float64()),
        ("round", pa.int64()),
        ("kind", pa.string()),
        ("category", pa.string()),
    ]
)
SCORE_CHUNK = 2048  # answers between two saves


def run(config: RejectionRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write candidates.parquet, samples.parquet, examples.md and plots/best_of_n.png.

    Inputs: chat, helpfulness_reward_model, safety_reward_model, prompts, and earlier_<round> with earlier_rounds.
    Returns counts, mean rewards and the best-of-N curve. Raises ValueError if no prompt fits in the context.
    """
    everything = resumable_generation.read_prompts(inputs["prompts"])
    fitting = resumable_generation.fitting(inputs["chat"], everything, config.sampling)
    prompts = resumable_generation.select(fitting, config.prompts, config.safety_share, config.round)
    if not prompts:
        raise ValueError(f"no prompt of {inputs['prompts']} fits: lower max_new_tokens or add prompts")
    scratch = out / "_scratch"
    texts = [row["messages"] for row in prompts]
    answers = resumable_generation.answer_all(
        inputs["chat"], texts, config.sampling, config.samples, f"rejection {config.round}", scratch / "answers", log
    )
    earlier = read_earlier(inputs) if config.earlier_rounds else []
    rows = [candidate(prompt, answer) for prompt, drawn in zip(prompts, answers, strict=True) for answer in drawn]
    add_rewards(rows + earlier, inputs, config.safety_threshold, scratch, log)

    groups = [rows[index : index + config.samples] for index in range(0, len(rows), config.samples)]
    for group in groups:
        for rank, row in enumerate(sorted(group, key=order)):  # stable: the first drawn wins ties
            row["rank"] = rank
    top = [sample(config.round, row) for row in rows if row["rank"] == 0]
    best = best_per_prompt(top + earlier)
    unsafe = {row["id"] for row in best if row["kind"] == "safety" and row["safety"] < config.least_safety}
    samples = [row for row in best if not row["fault"] and row["id"] not in unsafe]

    dialogue_tables.write_rows(rows, CANDIDATES, out / "candidates.parquet")
    dialogue_tables.write_rows(samples, SAMPLES, out / "samples.parquet")
    curve = best_of_n.curve([[row["reward"] for row in group] for group in groups])
    best_of_n.plot(out / "plots" / "best_of_n.png", curve)
    reporting.write_text(out / "examples.md", examples(groups))
    return {
        "prompts": len(prompts),
        "prompts_safety": sum(row["kind"] == "safety" for row in prompts),
        "prompts_too_long": len(everything) - len(fitting),
        "candidates": len(rows),
        "samples": len(samples),
        "prompts_without_a_safe_answer": len(unsafe),
        **{f"prompts_where_every_answer_{fault}": sum(row["fault"] == fault for row in best) for fault in FAULTS},
        "samples_cut_off": sum(not row["ended"] for row in samples),
        "samples_earlier_rounds": sum(row["round"] != config.round for row in samples),
        "cut_off": round(_mean(not row["ended"] for row in rows), 4),
        "reward_mean": round(_mean(row["reward"] for row in rows), 4),
        "reward_top": round(_mean(row["reward"] for row in top), 4),
        "safety_overrules": round(_mean(overruled(row, config.safety_threshold) for row in rows), 4),
        "words_mean": round(_mean(len(row["response"].split()) for row in rows), 1),
        "words_top": round(_mean(len(row["messages"][-1]["content"].split()) for row in top), 1),
        "best_of_n": curve,
    }


def order(row: dict) -> tuple[bool, bool, float]:
    """Sort key that puts the best answer first: without a fault, finished before cut off, then by reward."""
    return bool(row["fault"]), not row["ended"], -row["reward"]


def candidate(prompt: dict, answer: sampling.Answer) -> dict:
    return {
        "prompt_id": prompt["id"],
        "kind": prompt["kind"],
        "category": prompt["category"],
        "messages": prompt["messages"],
        "response": answer.text,
        "ended": answer.ended,
        "fault": fault(prompt["messages"], prompt["kind"] == "safety", prompt["constraint"], answer.text),
    }


def sample(round_number: int, row: dict) -> dict:
    """A candidate as a training dialogue."""
    dialogue = dialog.with_answer(row["messages"], row["response"])
    return row | {"id": f"v{round_number}:{row['prompt_id']}", "round": round_number, "messages": dialogue}


def read_earlier(inputs: dict[str, Path]) -> list[dict]:
    """Samples of earlier rounds, each once (a round's file may hold those of earlier ones), with their response."""
    roles = sorted((role for role in inputs if role.startswith("earlier_")), key=lambda role: int(role[8:]))
    rows = {}
    for role in roles:
        for row in pq.read_table(inputs[role] / "samples.parquet").to_pylist():
            messages = resumable_generation.plain(row["messages"])
            rows[row["id"]] = row | {"messages": messages, "response": messages[-1]["content"]}
    return list(rows.values())


def add_rewards(rows: list[dict], inputs: dict[str, Path], threshold: float, scratch: Path, log) -> None:
    """Add helpfulness and safety (probabilities: sigmoid of the raw scores) and the piecewise reward to the rows."""
    dialogs = [
        row["messages"] if row["messages"][-1]["role"] == "assistant" else sample(0, row)["messages"] for row in rows
    ]
    probabilities = {
        kind: scoring.sigmoid(_scores(inputs[f"{kind}_reward_model"], dialogs, scratch / kind, log)).tolist()
        for kind in ("helpfulness", "safety")
    }
    adversarial = [row["kind"] == "safety" for row in rows]
    rewards = scoring.piecewise(probabilities["safety"], probabilities["helpfulness"], adversarial, threshold).tolist()
    for index, row in enumerate(rows):
        row["helpfulness"], row["safety"] = probabilities["helpfulness"][index], probabilities["safety"][index]
        row["reward"] = rewards[index]


def _scores(model_dir: Path, dialogs: list[list[dict]], scratch: Path, log) -> list[float]:
    loaded = None
    scores: list[float] = []
    for number, part in enumerate(resumable_generation.chunks(len(dialogs), SCORE_CHUNK)):

        def make(part: range = part) -> list[float]:
            nonlocal loaded
            loaded = loaded or scoring.load(model_dir)
            return scoring.score(*loaded, [dialogs[index] for index in part])

        scores += resumable_generation.kept(scratch / f"{number:05d}.json", make)
        log.progress(len(scores), len(dialogs), unit="answer")
    return scores


def overruled(row: dict, threshold: float) -> bool:
    """Whether the safety score replaces helpfulness as the reward on a prompt that is not adversarial."""
    return row["kind"] != "safety" and row["safety"] < threshold


def best_per_prompt(samples: list[dict]) -> list[dict]:
    """The best sample of each prompt; the first given wins ties."""
    best: dict[str, dict] = {}
    for row in samples:
        if row["prompt_id"] not in best or order(row) < order(best[row["prompt_id"]]):
            best[row["prompt_id"]] = row
    return sorted(best.values(), key=lambda row: row["prompt_id"])


def examples(groups: list[list[dict]], count: int = 4) -> str:
    """examples.md: the best and the worst candidate of up to `count` prompts of each kind."""
    parts = ["# Best and worst answers to read\n"]
    for kind in sorted({group[0]["kind"] for group in groups}):
        for group in [group for group in groups if group[0]["kind"] == kind][:count]:
            ranked = sorted(group, key=lambda row: row["rank"])
            parts.append(f"## {kind}\n\n**Prompt**\n{reporting.quoted_prompt(ranked[0]['messages'])}\n")
            for name, row in (("Best", ranked[0]), ("Worst", ranked[-1])):
                figures = (
                    f"reward {row['reward']:.3f}, helpfulness {row['helpfulness']:.3f}, safety {row['safety']:.3f}"
                )
                parts.append(f"**{name}** ({figures})\n{reporting.quoted(row['response'])}\n")
    return "\n".join(parts)


def _mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)
