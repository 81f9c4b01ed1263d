"""Reward model accuracy on held-out pairs by degree of preference, kind and round (paper 3.2.2).

Tables 7 and 8: each model on pairs of its own kind and of the other. Figure 6: accuracy over rounds, all pairs and
"significantly better" ones. The models of all rounds score the same held-out pairs, so their accuracies are comparable.
"""

import math
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from data_cleaning.files import replacing
from modeling.core import reporting
from modeling.core.recipes import EvaluationRecipe
from modeling.rlhf import pairs as preference_pairs
from modeling.rlhf import reward_accuracy, scoring
from modeling.rlhf.labels import DEGREES
from modeling.rlhf.pairs import KINDS
from modeling.rlhf.reward_accuracy import ScoredPair

COLOURS = {"helpfulness": "#1f4e79", "safety": "#d9822b"}


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write accuracy.parquet, report.md and plots/accuracy_by_round.png.

    Inputs: preferences_1 … N, ratings, helpfulness_reward_model_1 … N, safety_reward_model_1 … N. The pairs are those of
    the rounds; people's votes if no round has any.
    """
    held_out = [pair for pair in preference_pairs.read_pairs(inputs) if pair["split"] == "test"]
    test = [pair for pair in held_out if pair["round"]] or held_out
    if not test:
        raise ValueError("no held-out pairs: raise test_share in the preferences recipe")
    models = reward_models(inputs)
    rows = []
    for done, (kind, number, folder) in enumerate(models, start=1):
        scored = preference_pairs.score_pairs(*scoring.load(folder), test)
        rows += table_rows(kind, number, scored)
        log.progress(done, len(models), unit="reward model")
    table = pa.Table.from_pylist(rows)
    with replacing(out / "accuracy.parquet") as part:
        pq.write_table(table, part, compression="zstd")
    reporting.write_text(out / "report.md", report(rows, test))
    plot(out / "plots" / "accuracy_by_round.png", rows)
    return {"pairs_test": len(test), **headline(rows)}


def reward_models(inputs: dict[str, Path]) -> list[tuple[str, int, Path]]:
    """Returns (kind, round, folder) of every reward model, helpfulness first. Raises ValueError if there is none."""
    found = []
    for kind in KINDS:
        prefix = f"{kind}_reward_model_"
        numbers = sorted(int(role.removeprefix(prefix)) for role in inputs if role.startswith(prefix))
        found += [(kind, number, inputs[f"{prefix}{number}"]) for number in numbers]
    if not found:
        raise ValueError("no reward model: name parents helpfulness_reward_model_<round>, safety_reward_model_<round>")
    return found


def table_rows(model: str, number: int, scored: list[ScoredPair]) -> list[dict]:
    """Returns a row per kind of pair, round of the pairs (0: all) and degree of preference ("average": all)."""
    rows = []
    for kind in KINDS:
        of_kind = [pair for pair in scored if pair.kind == kind]
        for source in sorted({0, *(pair.round for pair in of_kind)}):
            chosen = [pair for pair in of_kind if source in (0, pair.round)]
            for degree, share in reward_accuracy.by_degree(chosen).items():
                known = {name: None if value != value else value for name, value in asdict(share).items()}
                rows.append(
                    {"model": model, "round": number, "pairs": kind, "pairs_round": source, "degree": degree} | known
                )
    return rows


def pick(rows: list[dict], **wanted) -> list[dict]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def report(rows: list[dict], test: list[dict]) -> str:
    """Returns the Markdown report: the last round by degree of preference, then every round on the same pairs."""
    last = max(row["round"] for row in rows)
    annotators = ", ".join(sorted({pair["annotator"] for pair in test}))
    degrees = [*DEGREES.values(), "average"]
    parts = [
        "# Reward models on held-out pairs\n",
        f"{len(test)} held-out pairs of {len({pair['round'] for pair in test})} rounds, labelled by: {annotators}. "
        "Accuracy is the share of pairs whose chosen answer scores higher, with a 95 % interval over prompts; 50 % is chance.\n",
        f"## Round {last} by degree (paper Tables 7 and 8)\n",
        reporting.table(
            ["model", "pairs", *degrees],
            [
                [
                    model,
                    kind,
                    *(_cell(pick(rows, model=model, round=last, pairs=kind, pairs_round=0, degree=d)) for d in degrees),
                ]
                for model in KINDS
                for kind in KINDS
            ],
        ),
        "## By round, all held-out pairs (paper Figure 6)\n",
        reporting.table(
            ["round", *(f"{model} model on {kind}" for model in KINDS for kind in KINDS)],
            [
                [
                    f"v{number}",
                    *(
                        _cell(pick(rows, model=model, round=number, pairs=kind, pairs_round=0, degree="average"))
                        for model in KINDS
                        for kind in KINDS
                    ),
                ]
                for number in sorted({row["round"] for row in rows})
            ],
        ),
    ]
    return "\n".join(parts)


def headline(rows: list[dict]) -> dict:
    """Returns the accuracy of the last round's models on pairs of their own kind and of the other."""
    last = max(row["round"] for row in rows)
    figures = {}
    for row in pick(rows, round=last, pairs_round=0, degree="average"):
        if row["value"] is not None:
            figures[f"{row['model']}_model_on_{row['pairs']}"] = round(row["value"], 4)
    return figures


def plot(path: Path, rows: list[dict]) -> None:
    """Plots each model's accuracy on its own kind over rounds, with intervals: all pairs and "significantly better"."""
    figure = Figure(figsize=(8.4, 3.8), layout="constrained")
    for axes, degree in zip(figure.subplots(1, 2, sharey=True), ("average", DEGREES[3]), strict=True):
        for offset, kind in zip((-0.05, 0.05), KINDS, strict=True):
            points = [
                row
                for row in pick(rows, model=kind, pairs=kind, pairs_round=0, degree=degree)
                if row["value"] is not None
            ]
            if points:
                values = [row["value"] for row in points]
                below = [row["value"] - row["low"] for row in points]
                above = [row["high"] - row["value"] for row in points]
                axes.errorbar(
                    [row["round"] + offset for row in points],
                    values,
                    [below, above],
                    color=COLOURS[kind],
                    marker="o",
                    capsize=3,
                    label=f"{kind} ({points[-1]['trials']} pairs)",
                )
        axes.axhline(0.5, color="#999999", linewidth=0.8, linestyle="--")
        axes.set_title("all pairs" if degree == "average" else degree, loc="left", fontsize=11)
        axes.set_xlabel("round")
        axes.set_xticks(sorted({row["round"] for row in rows}))
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    figure.axes[0].set_ylabel("accuracy on held-out pairs")
    reporting.save_figure(figure, path)


def _cell(found: list[dict]) -> str:
    row = found[0] if found else None
    if row is None or row["value"] is None or math.isnan(row["value"]):
        return "no pairs"
    return f"{100 * row['value']:.1f} ({100 * row['low']:.0f}-{100 * row['high']:.0f}, n={row['trials']})"
