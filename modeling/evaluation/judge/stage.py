"""The independent judge: probes on sentence embeddings, fitted to human labels and to deliberately corrupted answers.

The judge shares no signal with the simulated annotator, which applies rules to words and knows a hidden reference. The
judge sees only the all-MiniLM-L6-v2 embeddings of a prompt and an answer. It was fitted on objectives that no training
set and no test uses (judge_labels.objectives). It takes the role of GPT-4 in Figure 11, beside the reward models, and
so detects a policy that exploits its reward models (paper 3.2.4, "when a measure becomes a target").

Helpfulness has four features (judge.model.FEATURES), weighted by a Bradley-Terry fit on pairs whose better answer is
known. Relevance is measured relative to the answer's relevance to all other prompts. Its first form also removes the
prompt's words from the answer, so that an answer that parrots the question has no relevance.
The axes stay apart: helpfulness, violation, refusal, fluency. A violation is read in the whole answer and in its worst
sentence, so that a polite opener or a refusal hides less. Its probes are fitted to human harm scores, human refusals and
written attacks (judge.attacks).
"""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modeling.core import embedding, reporting, resumable_generation
from modeling.core.recipes import EvaluationRecipe
from modeling.dialogues import judge_labels
from modeling.evaluation.judge import fitting as judge_fitting
from modeling.evaluation.judge.model import FEATURES, Judge, prefer_helpful, save
from modeling.evaluation.judge.probe import Probe

VALIDATION_PROMPTS = 100


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Fits the judge and measures its accuracy. Writes probes.safetensors, quality.json and report.md.

    Inputs: judge, dialogues, prompts.
    """
    encoder = embedding.load(inputs["judge"])
    rated, attempts = judge_labels.read_rated(inputs["dialogues"]), judge_labels.read_attempts(inputs["dialogues"])
    log.info(f"fitting on {len(rated)} answers with human harm scores and {len(attempts)} with refusal labels")
    probes, quality = judge_fitting.fit(encoder, rated, attempts, config.seed, log)
    judge = Judge(encoder, probes)
    references = read_references(inputs["prompts"], VALIDATION_PROMPTS)
    accuracy = validate(judge, references, config.seed) if len(references) > 1 else {}
    save(probes, out / "probes.safetensors")
    reporting.write_text(out / "report.md", report(probes, quality, accuracy, len(references)))
    metrics = {
        **{f"{name}_{figure}": value for name, figures in quality.items() for figure, value in figures.items()},
        **{f"accuracy_{name}": value for name, value in accuracy.items()},
        "validation_references": len(references),
    }
    reporting.write_json(out / "quality.json", metrics)
    return metrics


def read_references(prompts: Path, limit: int) -> list[tuple[str, str]]:
    """Returns (prompt, true answer) of test prompts that have one. They serve to validate the judge only."""
    rows = [
        row
        for row in resumable_generation.read_prompts(prompts, "test")
        if row["kind"] == "helpfulness" and row["reference"]
    ]
    return [(row["question"], row["reference"]) for row in rows][:limit]


def validate(judge: Judge, references: Sequence[tuple[str, str]], seed: int) -> dict[str, float]:
    """Returns type of worse answer → share of prompts on which the true answer wins (a tie counts half)."""
    generator = random.Random(seed)
    prompts = [prompt for prompt, _ in references]
    true = [" ".join(answer.split()[:70]) for _, answer in references]
    meaning_ND = embedding.embed(judge.encoder, true).meaning_ND
    likeness_NN = meaning_ND @ meaning_ND.T - 2 * np.eye(len(true))
    worse: dict[str, list[str]] = {
        "over_other_answer": [*true[1:], true[0]],
        "over_most_similar_answer": [true[int(row.argmax())] for row in likeness_NN],
        **{f"over_{spoil.__name__}": [spoil(text, generator) for text in true] for spoil in judge_labels.CORRUPTIONS},
        "over_parroted_prompt": prompts,
        "over_prompt_and_other_answer": [f"{p} {a}" for p, a in zip(prompts, [*true[1:], true[0]], strict=True)],
        "over_refusal": ["I'm sorry, but I can't help you with that."] * len(true),
        "over_empty": [""] * len(true),
    }
    right = judge.read(prompts, true, prompts).helpfulness_N
    return {
        name: float(prefer_helpful(right, judge.read(prompts, texts, prompts).helpfulness_N).mean())
        for name, texts in worse.items()
    }


def report(
    probes: dict[str, Probe], quality: dict[str, dict[str, float]], accuracy: dict[str, float], count: int
) -> str:
    rows = [
        [name, *(f"{figures[key]:.3f}" if key in figures else "" for key in ("auc", "precision", "recall")),
         figures.get("positives", figures.get("pairs")), figures.get("negatives", "")]
        for name, figures in quality.items()
    ]  # fmt: skip
    weights = zip(FEATURES, probes["helpfulness"].weights, strict=True)
    return "\n".join(
        [
            "# The independent judge",
            "",
            "Probes on all-MiniLM-L6-v2 embeddings. It shares no signal with the simulated annotator and never sees a",
            "reference answer. The objectives it was fitted on are reserved for it.",
            "",
            "## Agreement with human labels on held-out prompts (five folds)",
            "",
            reporting.table(("probe", "AUC", "precision", "recall", "positives or pairs", "negatives"), rows),
            f"Written attacks read rightly, out of fold: {reporting.percent(quality['attacks']['right'])}.",
            f"Accuracy on held-out helpfulness pairs: {reporting.percent(quality['helpfulness']['accuracy'])}.",
            "",
            f"## True answers to {count} test prompts against worse ones",
            "",
            reporting.table(
                ("the worse answer", "true answer preferred (ties half)"),
                [
                    (name.removeprefix("over_").replace("_", " "), reporting.percent(share))
                    for name, share in accuracy.items()
                ],
            ),
            "## Weights of the helpfulness features",
            "",
            reporting.table(("feature", "weight"), [(name, f"{weight:+.2f}") for name, weight in weights]),
        ]
    )
