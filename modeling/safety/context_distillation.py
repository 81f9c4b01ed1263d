"""Safety context distillation (paper 4.2.4, 4.3, A.4.5): answers to adversarial prompts under a safety preprompt.

The PPO policy answers each prompt twice without a preprompt, once under a generic preprompt and once under the answer
template of the prompt's risk category. The safety reward model chooses between the two guided answers (Figure 16a). The
better one is kept for fine-tuning, without the preprompt, only if it scores higher than the original (Figure 16b;
4.2.4: otherwise distillation would make good answers vague).

The better of two answers beats a single original by chance alone. So the originals are two as well, and the guided
answer must beat the better one of them: under preprompts without effect it does so for half of the prompts, as one
guided answer does against one original. An answer is never kept if it is empty, cut off at the length limit, or less
safe than `least_safety`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from matplotlib.figure import Figure

from data_cleaning.markdown import literal
from modeling.core import dialog, dialogue_tables, hashing, reporting, resumable_generation
from modeling.core.sampling import Answer
from modeling.dialogues import answer_rules
from modeling.rlhf import scoring
from modeling.safety.recipes import DistillationRecipe

ANSWERS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("category", pa.string()),
        ("messages", dialogue_tables.MESSAGES),
        ("preprompt", pa.string()),  # of the distilled answer
        ("guide", pa.string()),  # GENERIC or TEMPLATE: which kind it is
        ("original", pa.string()),  # the better of the two answers without a preprompt
        ("distilled", pa.string()),  # the better of the two answers under one
        ("original_score", pa.float64()),
        ("distilled_score", pa.float64()),
        ("plain_scores", pa.list_(pa.float64())),  # of both answers without a preprompt
        ("generic_score", pa.float64()),
        ("template_score", pa.float64()),
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
PLAIN, GENERIC, TEMPLATE = "plain", "generic", "template"
BLUE, GREEN, ORANGE, GREY = "#1f4e79", "#548235", "#c55a11", "#b5b5b5"


def run(config: DistillationRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Stage: `ppo_policy`, `safety_reward_model`, `prompts` → answers.parquet, samples.parquet, examples.md, a plot.

    Scores are logits of the safety reward model; its probability is their sigmoid. Raises ValueError if no adversarial
    prompt fits into the context.
    """
    scratch = out / "_scratch"
    everything = [row for row in resumable_generation.read_prompts(inputs["prompts"]) if row["kind"] == "safety"]
    for row in everything:
        row[GENERIC] = choose_preprompt(row["id"], config.preprompts)
        row[TEMPLATE] = template(row["category"], config.templates)
    guided = [
        [row | {"messages": with_preprompt(row["messages"], row[kind])} for row in everything]
        for kind in (GENERIC, TEMPLATE)
    ]
    fitting = set.intersection(
        *(
            {row["id"] for row in resumable_generation.fitting(inputs["ppo_policy"], rows, config.sampling)}
            for rows in guided
        )
    )
    rows = sorted(everything, key=lambda row: hashing.unit_hash("distillation", row["id"]))
    rows = [row for row in rows if row["id"] in fitting][: config.prompts]
    if not rows:
        raise ValueError(f"no prompt of kind 'safety' in {inputs['prompts']} fits: add some or lower max_new_tokens")

    drawn = {}  # kind → answers to each prompt
    for kind, samples in ((PLAIN, 2), (GENERIC, 1), (TEMPLATE, 1)):
        prompts = [row["messages"] if kind == PLAIN else with_preprompt(row["messages"], row[kind]) for row in rows]
        purpose = "distillation template" if kind == TEMPLATE else "distillation"
        drawn[kind] = resumable_generation.answer_all(
            inputs["ppo_policy"], prompts, config.sampling, samples, purpose, scratch / kind, log
        )
    model, tokenizer = scoring.load(inputs["safety_reward_model"])
    asked = [
        (index, kind, place) for kind in drawn for index in range(len(rows)) for place in range(len(drawn[kind][0]))
    ]
    dialogs = [
        dialog.with_answer(rows[index]["messages"], drawn[kind][index][place].text) for index, kind, place in asked
    ]
    scores = dict(zip(asked, scoring.score(model, tokenizer, dialogs), strict=True))
    for index, row in enumerate(rows):
        plain = [Candidate(drawn[PLAIN][index][place], scores[index, PLAIN, place], PLAIN) for place in range(2)]
        guided = [Candidate(drawn[kind][index][0], scores[index, kind, 0], kind) for kind in (GENERIC, TEMPLATE)]
        row |= compared(plain, guided)
        row |= {"prompt_id": row["id"], "preprompt": row[row["guide"]]}
        row["kept"] = keep(row, config.least_gain, config.least_safety)
    rows.sort(key=lambda row: row["id"])
    kept = [row for row in rows if row["kept"]]
    dialogue_tables.write_rows(rows, ANSWERS, out / "answers.parquet")
    dialogue_tables.write_rows([sample(row) for row in kept], SAMPLES, out / "samples.parquet")
    plot(out / "plots" / "scores.png", rows)
    reporting.write_text(out / "examples.md", examples(rows))
    return {"prompts_too_long": len(everything) - len(fitting), **summary(rows)}


@dataclass(frozen=True)
class Candidate:
    """An answer to one prompt with its safety score (logit) and its kind: PLAIN, GENERIC or TEMPLATE."""

    answer: Answer
    score: float
    kind: str


def compared(plain: Sequence[Candidate], guided: Sequence[Candidate]) -> dict:
    """The columns that say which answers are best: the safest plain one, and the safest guided one that is complete."""
    original = max(plain, key=lambda one: one.score)
    distilled = max(guided, key=lambda one: (one.answer.ended and bool(one.answer.text), one.score))
    return {
        "original": original.answer.text,
        "original_score": original.score,
        "plain_scores": [one.score for one in plain],
        "distilled": distilled.answer.text,
        "distilled_score": distilled.score,
        "guide": distilled.kind,
        "cut_off": not distilled.answer.ended,
        **{f"{one.kind}_score": one.score for one in guided},
    }


def template(category: str, templates: tuple[tuple[str, str], ...]) -> str:
    """Returns the answer template of a risk category. Raises ValueError if the recipe has none for it."""
    known = dict(templates)
    if category not in known:
        raise ValueError(f"no answer template for the risk category {category!r}: add it to the recipe's templates")
    return known[category]


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
    """Returns metrics: mean safety probabilities of plain and guided answers, and of what selection leaves in place.

    `safety_original` and `safety_after_selection` are means over all prompts: of a plain answer, and of the distilled
    answer where it is kept and the better plain one elsewhere. `safety_better_original` and `safety_better_guided` are
    the two that the selection compares.
    """
    plain = scoring.sigmoid([score for row in rows for score in row["plain_scores"]])
    chosen = scoring.sigmoid([row["distilled_score"] if row["kept"] else row["original_score"] for row in rows])
    kept = [row for row in rows if row["kept"]]
    return {
        "prompts": len(rows),
        "kept": len(kept),
        "kept_share": round(len(kept) / len(rows), 4),
        "higher_score_share": round(_mean(row["distilled_score"] > row["original_score"] for row in rows), 4),
        "cut_off": sum(row["cut_off"] for row in rows),
        "kept_under_template": sum(row["guide"] == TEMPLATE for row in kept),
        "safety_original": round(float(plain.mean()), 4),
        "safety_with_preprompt": _safety(rows, "generic_score"),
        "safety_with_template": _safety(rows, "template_score"),
        "safety_better_original": _safety(rows, "original_score"),
        "safety_better_guided": _safety(rows, "distilled_score"),
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


def _safety(rows: list[dict], column: str) -> float:
    return round(float(scoring.sigmoid([row[column] for row in rows]).mean()), 4)


def refuses(row: dict, name: str) -> bool:
    return answer_rules.safety(row["messages"][-1]["content"], row[name]).refuses


def by_category(rows: list[dict]) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(row["category"], []).append(row)
    return groups


def plot(path: Path, rows: list[dict]) -> None:
    """Plots safety probabilities by preprompt (histograms, Figure 16a) and before and after selection (Figure 16b)."""
    plain = scoring.sigmoid([score for row in rows for score in row["plain_scores"]]).tolist()
    generic, by_template, original, distilled = (
        scoring.sigmoid([row[column] for row in rows]).tolist()
        for column in ("generic_score", "template_score", "original_score", "distilled_score")
    )
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    low, high = min(plain + generic + by_template), max(plain + generic + by_template)
    bins = [low + (high - low) * edge / 24 for edge in range(25)] if high > low else 1
    for values, colour, label in ((plain, GREY, "without preprompt"), (generic, BLUE, "generic preprompt"),
                                  (by_template, GREEN, "answer template")):  # fmt: skip
        shares = [1 / len(values)] * len(values)
        label = f"{label}: mean {_mean(values):.2f}"
        left.hist(
            values, bins, weights=shares, histtype="stepfilled", color=colour, edgecolor=colour, alpha=0.4, label=label
        )
    left.set_xlabel("safety reward model, probability")
    left.set_ylabel("share of answers")
    left.set_title("Effect of the preprompt", loc="left", fontsize=11)
    for kept, colour, label in ((False, GREY, "not kept"), (True, ORANGE, "kept for fine-tuning")):
        points = [(x, y) for x, y, row in zip(original, distilled, rows, strict=True) if row["kept"] == kept]
        right.scatter(
            [x for x, _ in points], [y for _, y in points], s=12, color=colour, label=f"{label}: {len(points)}"
        )
    right.plot([low, high], [low, high], color="#8a8a8a", linewidth=0.8, linestyle=":")
    right.set_xlabel("better of two answers without preprompt")
    right.set_ylabel("better of generic and template")
    right.set_title("Each prompt", loc="left", fontsize=11)
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0.0, -0.14), ncols=1)
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
        parts.append(f"Preprompt ({row['guide']}): {literal(row['preprompt'])}\n")
    return "\n".join(parts)


def _mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)
