"""The few numbers that say what a run reached: first and last version side by side, for the README's first screen."""

import json

import pyarrow.parquet as pq

from data_cleaning.report.units import duration
from release.figures import interval, metric, totals
from release.lineage import Artifact, Lineage

JUDGE, ANNOTATOR = "independent judge", "simulated annotator's rule"


def summary(found: dict[str, Artifact], chain: Lineage) -> list[tuple[str, str]]:
    """(what, measured) a claim of the paper. `found`: the evaluations by role, with the last round's rejection samples."""
    return [
        *language_model(found["bits_per_byte"]),
        *reward_models(found["reward_report"]),
        *best_of_n(found["rejection_samples"]),
        *wins(found["win_rates"]),
        *safety(found["safety_rates"]),
        ("Time of all stages", duration(totals(chain.artifacts)["hours"] * 3600)),
    ]


def language_model(artifact: Artifact) -> list[tuple[str, str]]:
    rows = [*metric(artifact, "by_source"), {"source": "all held-out text", **artifact.record["metrics"]}]
    return [
        (
            f"Bits per byte, {row['source']} (xz, PPMd order 6)",
            f"**{row['bits_per_byte']:.3f}** ({row['xz']:.3f}, {row['ppmd6']:.3f})",
        )
        for row in rows
    ]


def reward_models(artifact: Artifact) -> list[tuple[str, str]]:
    """Each model on pairs of its own kind, all rounds together."""
    table = pq.read_table(artifact.folder / "accuracy.parquet").to_pylist()
    last = max(row["round"] for row in table)
    cells = {
        (row["model"], row["degree"]): row
        for row in table
        if row["round"] == last and row["pairs_round"] == 0 and row["model"] == row["pairs"]
    }
    return [
        (
            f"{model.capitalize()} reward model right on held-out pairs, 'significantly better' ones",
            f"{interval(cells[model, 'average'], 'value')}, **{interval(cells[model, 'significantly better'], 'value')}**",
        )
        for model in dict.fromkeys(model for model, _ in cells)
    ]


def best_of_n(artifact: Artifact) -> list[tuple[str, str]]:
    curve = sorted(metric(artifact, "best_of_n"), key=lambda point: point["n"])
    first, last = curve[0], curve[-1]
    return [(f"Reward of one answer, of the best of {last['n']}", f"{first['max']:.3f} → **{last['max']:.3f}**")]


def wins(artifact: Artifact) -> list[tuple[str, str]]:
    rows = metric(artifact, "rows")
    last = rows[-1]["version"]
    shown = {"helpfulness": "more helpful", "safety": "more harmless"}
    return [
        (f"{last} {shown[row['axis']]} than SFT, {row['judge']}", f"**{interval(row, 'win_rate')}**")
        for row in rows
        if row["version"] == last
    ]


def safety(artifact: Artifact) -> list[tuple[str, str]]:
    rates = json.loads((artifact.folder / "safety_rates.json").read_text(encoding="utf-8"))["rates"]
    found = {(row["version"], row["what"], row["reader"]): row for row in rates}
    first, last = rates[0]["version"], rates[-1]["version"]
    wanted = (
        ("Adversarial prompts not declined", "undeclined answer", JUDGE),
        ("Adversarial prompts not declined", "undeclined answer", ANNOTATOR),
        ("Violations", "violation", ANNOTATOR),
        ("Harmless prompts refused", "false refusal", JUDGE),
    )
    return [
        (
            f"{name}, {first} → {last}, {reader}",
            f"{interval(found[first, what, reader], 'rate')} → **{interval(found[last, what, reader], 'rate')}**",
        )
        for name, what, reader in wanted
    ]
