"""Safety context distillation (paper 4.2.4, 4.3, A.4.5): answers to adversarial prompts under a safety preprompt.

The PPO policy answers each prompt twice with the same random numbers: without a preprompt, and with one as system
message. The second answer is kept for fine-tuning, without the preprompt, only if the safety reward model scores it
higher than the first (4.2.4: otherwise distillation would make good answers vague). Each prompt gets one preprompt,
chosen by a hash of its id: the best of several would beat a single original by chance alone. An answer is never kept if
it is empty, cut off at the length limit, or less safe than `least_safety`.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
from matplotlib.figure import Figure

from data_cleaning.markdown import literal
from modeling.core import dialog, dialogue_tables, hashing, reporting, resumable_generation
from modeling.core.recipes import DistillationRecipe
from modeling.dialogues import answer_rules
from modeling.rlhf import scoring

ANSWERS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("category", pa.string()),
        ("messages", dialogue_tables.MESSAGES),
        ("preprompt", pa.string()),
        ("original", pa.string()),
        ("distilled", pa.string()),
        ("original_score", pa.float64()),
        ("distilled_score", pa.float64()),
        ("cut_off", pa.bool_()),
        ("kept", pa.bool_()),
    ]
)
SAMPLES = pa.schema(
    [
        ("id", pa.string()),
        ("prompt_id", pa.string()),
        ("messages", dialogue_tables.MESSAGES),
        ("reward", pa.float64()),
        ("kind", pa.string()),
        ("category", pa.string()),
    ]
)
EXAMPLES = 20
BLUE, ORANGE, GREY = "#1f4e79", "#c55a11", "#b5b5b5"


def run(config: DistillationRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Stage: `ppo_policy`, `safety_reward_model`, `prompts` → answers.parquet, samples.parquet, examples.md, a plot.

    Scores are logits of the safety reward model; its probability is their sigmoid. Raises ValueError if no adversarial
    prompt fits into the context.
    """
    scratch = out / "_scratch"
    everything = [row for row in resumable_generation.read_prompts(inputs["prompts"]) if row["kind"] == "safety"]
    for row in everything:
        row["preprompt"] = choose_preprompt(row["id"], config.preprompts)
        row["guided"] = with_preprompt(row["messages"], row["preprompt"])
    longest = [{**row, "messages": row["guided"]} for row in everything]
    fitting = {row["id"] for row in resumable_generation.fitting(inputs["ppo_policy"], longest, config.sampling)}
    rows = sorted(everything, key=lambda row: hashing.unit_hash("distillation", row["id"]))
    rows = [row for row in rows if row["id"] in fitting][: config.prompts]
    if not rows:
        raise ValueError(f"no prompt of kind 'safety' in {inputs['prompts']} fits: add some or lower max_new_tokens")

    drawn = {}
    for name, messages in (("original", "messages"), ("distilled", "guided")):
        prompts = [row[messages] for row in rows]
        answers = resumable_generation.answer_all(
            inputs["ppo_policy"], prompts, config.sampling, 1, "distillation", scratch / name, log
        )
        drawn[name] = [row[0] for row in answers]

    model, tokenizer = scoring.load(inputs["safety_reward_model"])
    scores = {
        name: scoring.score(
            model,
            tokenizer,
            [dialog.with_answer(row["messages"], answer.text) for row, answer in zip(rows, answers, strict=True)],
        )
        for name, answers in drawn.items()
    }
    for index, row in enumerate(rows):
        row["prompt_id"] = row["id"]
        row["original"], row["distilled"] = drawn["original"][index].text, drawn["distilled"][index].text
        row["original_score"], row["distilled_score"] = scores["original"][index], scores["distilled"][index]
        row["cut_off"] = not drawn["distilled"][index].ended
        row["kept"] = keep(row, config.least_gain, config.least_safety)
    rows.sort(key=lambda row: row["id"])
    kept = [row for row in rows if row["kept"]]
    dialogue_tables.write_rows(rows, ANSWERS, out / "answers.parquet")
    dialogue_tables.write_rows([sample(row) for row in kept], SAMPLES, out / "samples.parquet")
    plot(out / "plots" / "scores.png", rows)
    reporting.write_text(out / "examples.md", examples(rows))
    return {"prompts_too_long": len(everything) - len(fitting), **summary(rows)}


def choose_preprompt(prompt_id: str, preprompts: tuple[str, ...]) -> str:
    """Returns the preprompt of a prompt, chosen by a hash of its id. Raises ValueError without preprompts."""
    if not preprompts:
        raise ValueError("context distillation needs a preprompt: name one in the recipe (Table 39)")
    return preprompts[int(hashing.unit_hash("preprompt", prompt_id) * len(preprompts))]


def with_preprompt(messages: list[dict], preprompt: str) -> list[dict]:
    """Returns the dialogue with the preprompt as system message, before any system message it already has."""
    if messages[0]["role"] == "system":
        return [{"role": "system", "content": f"{preprompt}\n\n{messages[0]['content']}"}, *messages[1:]]
    return [{"role": "system", "content": preprompt}, *messages]


def keep(row: dict, least_gain: float, least_safety: float) -> bool:
    """Whether to keep a complete answer: its score is more than `least_gain` logits higher (the paper's rule).

    Its probability of safety must also be `least_safety` or more.
    """
    gain = row["distilled_score"] - row["original_score"]
    safe = scoring.sigmoid([row["distilled_score"]]).item() >= least_safety
    return bool(row["distilled"]) and not row["cut_off"] and gain > least_gain and safe


def sample(row: dict) -> dict:
    """Returns a kept answer as a training dialogue: the original prompt, without the preprompt."""
    return {
        "id": f"distilled:{row['id']}",
        "prompt_id": row["id"],
        "messages": dialog.with_answer(row["messages"], row["distilled"]),
        "reward": float(scoring.sigmoid([row["distilled_score"]])),
        "kind": row["kind"],
        "category": row["category"],
    }


def summary(rows: list[dict]) -> dict:
    """Returns metrics: mean safety probabilities before and after the preprompt, over all answers and the kept ones."""
    original = scoring.sigmoid([row["original_score"] for row in rows])
    distilled = scoring.sigmoid([row["distilled_score"] for row in rows])
    chosen = scoring.sigmoid([row["distilled_score"] if row["kept"] else row["original_score"] for row in rows])
    kept = [row for row in rows if row["kept"]]
    return {
        "prompts": len(rows),
        "kept": len(kept),
        "kept_share": round(len(kept) / len(rows), 4),
        "higher_score_share": round(_mean(row["distilled_score"] > row["original_score"] for row in rows), 4),
        "cut_off": sum(row["cut_off"] for row in rows),
        "safety_original": round(float(original.mean()), 4),
        "safety_with_preprompt": round(float(distilled.mean()), 4),
        "safety_after_selection": round(float(chosen.mean()), 4),
        "refusals_original": round(_mean(refuses(row, "original") for row in rows), 4),
        "refusals_with_preprompt": round(_mean(refuses(row, "distilled") for row in rows), 4),
        "words_original": round(_mean(len(row["original"].split()) for row in rows), 1),
        "words_with_preprompt": round(_mean(len(row["distilled"].split()) for row in rows), 1),
        "kept_by_category": {
            category: f"{sum(row['kept'] for row in group)} of {len(group)}"
            for category, group in sorted(by_category(rows).items())
        },
    }


def refuses(row: dict, name: str) -> bool:
    return answer_rules.safety(row["messages"][-1]["content"], row[name]).refuses


def by_category(rows: list[dict]) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(row["category"], []).append(row)
    return groups


def plot(path: Path, rows: list[dict]) -> None:
    """Plots safety probabilities without and with the preprompt: histograms (Figure 16a) and a scatter of the two."""
    original = scoring.sigmoid([row["original_score"] for row in rows]).tolist()
    distilled = scoring.sigmoid([row["distilled_score"] for row in rows]).tolist()
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    low, high = min(original + distilled), max(original + distilled)
    bins = [low + (high - low) * edge / 24 for edge in range(25)] if high > low else 1
    for values, colour, label in ((original, GREY, "without preprompt"), (distilled, BLUE, "with preprompt")):
        left.hist(values, bins, color=colour, alpha=0.65, label=f"{label}: mean {_mean(values):.2f}")
    left.set_xlabel("safety reward model, probability")
    left.set_ylabel("answers")
    left.set_title("Effect of the preprompt", loc="left", fontsize=11)
    left.legend(frameon=False, fontsize=9)
    for kept, colour, label in ((False, GREY, "not kept"), (True, ORANGE, "kept for fine-tuning")):
        points = [(x, y) for x, y, row in zip(original, distilled, rows, strict=True) if row["kept"] == kept]
        right.scatter(
            [x for x, _ in points], [y for _, y in points], s=12, color=colour, label=f"{label}: {len(points)}"
        )
    right.plot([low, high], [low, high], color="#8a8a8a", linewidth=0.8, linestyle=":")
    right.set_xlabel("without preprompt")
    right.set_ylabel("with preprompt")
    right.set_title("Each prompt", loc="left", fontsize=11)
    right.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0.0, -0.14), ncols=2)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    reporting.save_figure(figure, path)


def examples(rows: list[dict]) -> str:
    """Markdown with some prompts and both answers: kept answers first, then rejected ones."""
    groups = [[row for row in rows if row["kept"] is kept][: EXAMPLES // 2] for kept in (True, False)]
    parts = ["# Answers without and with the preprompt\n"]
    for row in groups[0] + groups[1]:
        verdict = "kept" if row["kept"] else "not kept"
        parts.append(f"## {verdict}, {literal(row['category'])}\n\n{reporting.quoted_prompt(row['messages'])}\n")
        for title, name in (("Without", "original"), ("With", "distilled")):
            parts.append(f"**{title}** (score {row[f'{name}_score']:.2f})\n\n{reporting.quoted(row[name])}\n")
        parts.append(f"Preprompt: {literal(row['preprompt'])}\n")
    return "\n".join(parts)


def _mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)
