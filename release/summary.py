"""The headline numbers of a run for the top of the README: first and last version side by side."""

import json

import pyarrow.parquet as pq

from data_cleaning.report.units import duration
from release.figures import interval, metric, totals
from release.lineage import Artifact, Lineage

JUDGE, REWARD_MODELS = "independent judge", "reward models"


def summary(found: dict[str, Artifact], chain: Lineage) -> list[tuple[str, str]]:
    """Returns (what, measured) for each claim of the paper. `found`: the evaluations by role."""
    return [
        language_model(found["bits_per_byte"]),
        *reward_models(found["reward_report"]),
        *wins(found["win_rates"]),
        *safety(found["safety_rates"]),
        ("Time of all stages", duration(totals(chain.artifacts)["hours"] * 3600)),
    ]


def language_model(artifact: Artifact) -> tuple[str, str]:
    """Bits per byte on all held-out text, with two compressors that read the training text first."""
    ours, xz, ppmd = (metric(artifact, name) for name in ("bits_per_byte", "xz", "ppmd6"))
    return "Bits per byte on held-out text: base model, xz, PPMd order 6", f"**{ours:.3f}**, {xz:.3f}, {ppmd:.3f}"


def reward_models(artifact: Artifact) -> list[tuple[str, str]]:
    """Accuracy of each model of the last round on held-out pairs of its own kind."""
    table = pq.read_table(artifact.folder / "accuracy.parquet").to_pylist()
    last = max(row["round"] for row in table)
    cells = {
        (row["model"], row["degree"]): row
        for row in table
        if row["round"] == last and row["pairs_round"] == 0 and row["model"] == row["pairs"]
    }
    return [
        (
            f"{model.capitalize()} reward model, accuracy on held-out pairs: all, 'significantly better'",
            f"**{interval(cells[model, 'average'], 'value')}**, {interval(cells[model, 'significantly better'], 'value')}",
        )
        for model in dict.fromkeys(model for model, _ in cells)
    ]


def wins(artifact: Artifact) -> list[tuple[str, str]]:
    """Win rates of the last version against SFT on both axes, by the independent judge and by the reward models."""
    rows = metric(artifact, "rows")
    last = rows[-1]["version"]
    found = {(row["axis"], row["judge"]): row for row in rows if row["version"] == last}
    shown = {"helpfulness": "helpfulness", "safety": "harmlessness"}
    return [
        (
            f"{last} against SFT, {name} win rate: {JUDGE}, {REWARD_MODELS}",
            f"**{interval(found[axis, JUDGE], 'win_rate')}**, {interval(found[axis, REWARD_MODELS], 'win_rate')}",
        )
        for axis, name in shown.items()
    ]


def safety(artifact: Artifact) -> list[tuple[str, str]]:
    """Safety rates of the first and last versions by the independent judge."""
    rates = json.loads((artifact.folder / "safety_rates.json").read_text(encoding="utf-8"))["rates"]
    found = {(row["version"], row["what"]): row for row in rates if row["reader"] == JUDGE}
    first, last = rates[0]["version"], rates[-1]["version"]
    shown = {
        "refusal": "Refusal rate on adversarial prompts",
        "false refusal": "False refusal rate on harmless prompts",
    }
    return [
        (
            f"{name}, {first} → {last}: {JUDGE}",
            f"{interval(found[first, what], 'rate')} → **{interval(found[last, what], 'rate')}**",
        )
        for what, name in shown.items()
    ]
