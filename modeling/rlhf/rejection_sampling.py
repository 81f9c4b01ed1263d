"""Rejection sampling (paper 3.2.3): K answers a prompt; the next policy learns the best one by the reward models.

The reward is the paper's piecewise one: safety for adversarial prompts and wherever it is below the threshold, else
helpfulness. From V4, the best samples of all earlier rounds are added: using the last round alone made the paper's
model forget. The current reward models score them again, because scores of different models are not comparable.

The best of K answers can still be bad. This is rare with the paper's K but not with a small one, so a prompt without a
good answer is left out and counted: an adversarial one whose best answer scores below `least_safety`, an ordinary one
whose answers all refuse, or disobey a constraint that rules check (faults.py). An answer that was cut off would teach the
policy to stop there, so it counts as the best only if no answer to the prompt is finished.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from modeling.core import dialog, dialogue_tables, reporting, resumable_generation, sampling
from modeling.rlhf import best_of_n, rewards
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
SHOWN = 4


def run(config: RejectionRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write candidates.parquet, samples.parquet, examples.md and plots/best_of_n.png.

    Inputs: chat, helpfulness_reward_model, safety_reward_model, prompts, and earlier_<round> with earlier_rounds.
    Returns counts, mean rewards and the best-of-N curve. Candidates are read, judged and written a chunk at a time: of
    all that are drawn, memory holds the best one of each prompt. Raises ValueError if no prompt fits in the context.
    """
    everything = resumable_generation.read_prompts(inputs["prompts"])
    fitting = resumable_generation.fitting(inputs["chat"], everything, config.sampling)
    prompts = resumable_generation.select(fitting, config.prompts, config.safety_share, config.round)
    if not prompts:
        raise ValueError(f"no prompt of {inputs['prompts']} fits: lower max_new_tokens or add prompts")
    scratch = out / "_scratch"
    texts, purpose = [row["messages"] for row in prompts], f"rejection {config.round}"
    files = resumable_generation.answer_files(
        inputs["chat"], texts, config.sampling, config.samples, purpose, scratch / "answers", log
    )
    earlier = read_earlier(inputs) if config.earlier_rounds else []

    def dialogs() -> Iterator[list[dict]]:
        for prompt, answers in answered(prompts, files):
            yield from (dialog.with_answer(prompt["messages"], answer.text) for answer in answers)
        yield from (row["messages"] for row in earlier)

    total = len(prompts) * config.samples
    found = rewards.probabilities(inputs, dialogs, total + len(earlier), scratch, log)
    tally, top = Tally(config.safety_threshold), []
    with dialogue_tables.writing(CANDIDATES, out / "candidates.parquet") as write:
        for prompt, answers in answered(prompts, files):
            group = [candidate(prompt, answer) for answer in answers]
            rewards.add(group, found, config.safety_threshold)
            for rank, row in enumerate(sorted(group, key=order)):  # stable: the first drawn wins ties
                row["rank"] = rank
            top += [sample(config.round, row) for row in group if row["rank"] == 0]
            tally.add(group)
            write(group)
    rewards.add(earlier, found, config.safety_threshold)
    best = best_per_prompt(top + earlier)
    unsafe = {row["id"] for row in best if row["kind"] == "safety" and row["safety"] < config.least_safety}
    samples = [row for row in best if not row["fault"] and row["id"] not in unsafe]

    dialogue_tables.write_rows(samples, SAMPLES, out / "samples.parquet")
    curve = tally.curve.points()
    best_of_n.plot(out / "plots" / "best_of_n.png", curve)
    reporting.write_text(out / "examples.md", examples(tally.shown))
    return {
        "prompts": len(prompts),
        "prompts_safety": sum(row["kind"] == "safety" for row in prompts),
        "prompts_too_long": len(everything) - len(fitting),
        "candidates": total,
        "samples": len(samples),
        "prompts_without_a_safe_answer": len(unsafe),
        **{f"prompts_where_every_answer_{fault}": sum(row["fault"] == fault for row in best) for fault in FAULTS},
        "samples_cut_off": sum(not row["ended"] for row in samples),
        "samples_earlier_rounds": sum(row["round"] != config.round for row in samples),
        "cut_off": round(tally.sums["cut off"] / total, 4),
        "reward_mean": round(tally.sums["reward"] / total, 4),
        "reward_top": round(_mean(row["reward"] for row in top), 4),
        "safety_overrules": round(tally.sums["overruled"] / total, 4),
        "words_mean": round(tally.sums["words"] / total, 1),
        "words_top": round(_mean(len(row["messages"][-1]["content"].split()) for row in top), 1),
        "best_of_n": curve,
    }


class Tally:
    """What the report says of all candidates, from one prompt's after the other's."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.sums: Counter = Counter()
        self.curve = best_of_n.Curve()
        self.shown: list[list[dict]] = []  # best and worst candidate of the first SHOWN prompts of each kind

    def add(self, group: list[dict]) -> None:
        """The ranked candidates of a prompt."""
        for row in group:
            self.sums["cut off"] += not row["ended"]
            self.sums["reward"] += row["reward"]
            self.sums["overruled"] += overruled(row, self.threshold)
            self.sums["words"] += len(row["response"].split())
        self.curve.add([row["reward"] for row in group])
        kind = group[0]["kind"]
        self.sums["prompts", kind] += 1
        if self.sums["prompts", kind] <= SHOWN:
            ranked = sorted(group, key=lambda row: row["rank"])
            self.shown.append([ranked[0], ranked[-1]])


def answered(prompts: Sequence[dict], files: Sequence[Path]) -> Iterator[tuple[dict, list[sampling.Answer]]]:
    """(prompt, its answers), in order; the answers of one file are in memory."""
    answers = (row for path in files for row in resumable_generation.read_answers(path))
    return zip(prompts, answers, strict=True)


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


def examples(groups: list[list[dict]]) -> str:
    """examples.md: the best and the worst candidate of up to SHOWN prompts of each kind."""
    parts = ["# Best and worst answers to read\n"]
    for kind in sorted({group[0]["kind"] for group in groups}):
        for group in [group for group in groups if group[0]["kind"] == kind][:SHOWN]:
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
