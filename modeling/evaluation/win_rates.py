"""Win rates against Base, SFT and the version before (paper 3.4.1, Figure 11): x helpfulness, y harmlessness.

Both sides answer the same prompts, each at the temperature that is best for it. Harmlessness compares the violation
alone. The controls stand beside the versions.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from modeling.core import reporting
from modeling.core.recipes import EvaluationRecipe
from modeling.evaluation import pairwise, scored_answers
from modeling.evaluation.pairwise import AXES, RATERS
from modeling.evaluation.versions import BASE, CHAT, SFT, TOLD, baselines

LABELS = {"helpfulness": "Helpfulness", "safety": "Harmlessness"}


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write win_rates.json, report.md, plots/fig11.png. Input: scored_answers.

    Raises ValueError if Base or SFT is missing, or a kind of prompt.
    """
    scored = scored_answers.read(inputs["scored_answers"])
    rows = compare(scored, config)
    agreement = scored_answers.read_agreement(inputs["scored_answers"])
    reporting.write_json(out / "win_rates.json", rows)
    reporting.write_text(out / "report.md", report(rows))
    reporting.save_figure(figure11(rows), out / "plots" / "fig11.png")
    figures = {
        metric_name(entry): entry["win_rate"]
        for entry in rows
        if entry["version"] == CHAT and entry["against"] in (BASE, SFT)
    }
    return figures | {"rows": rows, "beaten": beaten(scored, config), "agreement": agreement}


def compare(scored: dict[str, list[dict]], config: EvaluationRecipe) -> list[dict]:
    """Returns a row per rater, axis, version or control, and baseline, on the prompts that both answered."""
    if missing := {BASE, SFT} - scored.keys():
        raise ValueError(f"The generations hold no answers of {' and '.join(sorted(missing))}")
    versions = [name for name, rows in scored.items() if not rows[0]["control"]]
    found = []
    for axis in AXES:
        of_axis = {name: [row for row in rows if row["kind"] == axis] for name, rows in scored.items()}
        if not of_axis[BASE]:
            raise ValueError(f"The generations hold no {axis} prompts: raise their number in the recipe")
        for rater in RATERS:
            for name, rows in of_axis.items():
                for against in baselines(name, versions):
                    first, second = pairwise.common(rows, of_axis[against])
                    if first:  # reference answers exist for some kinds of prompts only
                        outcome_N = pairwise.outcome(rater, axis, first, second)
                        entry = pairwise.row(rater, axis, name, against, outcome_N, config)
                        found.append(entry | {"control": rows[0]["control"]})
    return found


def beaten(scored: dict[str, list[dict]], config: EvaluationRecipe) -> list[dict]:
    """Returns {judge, axis, control, versions}: each control with the versions that it beats, answer against answer.

    A control beats a version if its win rate against it has a 95 % interval above one half.
    """
    found = []
    for axis in AXES:
        of_axis = {name: [row for row in rows if row["kind"] == axis] for name, rows in scored.items()}
        for rater in RATERS:
            for control in (name for name, rows in scored.items() if rows[0]["control"]):
                worse = []
                for version in (name for name, rows in scored.items() if not rows[0]["control"]):
                    first, second = pairwise.common(of_axis[control], of_axis[version])
                    outcome_N = pairwise.outcome(rater, axis, first, second) if first else np.array([0.5])
                    if pairwise.row(rater, axis, control, version, outcome_N, config)["low"] > 0.5:
                        worse.append(version)
                if worse:
                    found.append({"judge": rater, "axis": axis, "control": control, "versions": worse})
    return found


def metric_name(entry: dict) -> str:
    words = [entry["version"], "against", entry["against"], entry["axis"], entry["judge"]]
    return "_".join(words).lower().replace(" ", "_").replace("-", "_")


def report(rows: Sequence[dict]) -> str:
    lines = [
        "# Win rates",
        "",
        "Helpfulness prompts give the helpfulness axis, adversarial prompts the harmlessness axis, which compares the",
        "violation alone. Both sides answer at their own best temperature. A tie counts half; 95 % bootstrap intervals",
        "over prompts. The policies were optimized for the reward models; the independent judge took no part in",
        "training (its report gives its accuracy).",
        "",
    ]
    for axis, label in LABELS.items():
        of_axis = [entry for entry in rows if entry["axis"] == axis]
        table = []
        for version, against in dict.fromkeys((entry["version"], entry["against"]) for entry in of_axis):
            cells = [version, against]
            for name in RATERS:
                wanted = (name, version, against)
                entry = next(e for e in of_axis if (e["judge"], e["version"], e["against"]) == wanted)
                cells += [pairwise.cell(entry), f"{entry['win']} / {entry['tie']} / {entry['loss']}"]
            table.append(cells)
        header = (
            "version",
            "against",
            *(text for name in RATERS for text in (f"{name}: win rate", "win / tie / loss")),
        )
        lines += [f"## {label}", "", reporting.table(header, table)]
    return "\n".join(lines)


def figure11(rows: Sequence[dict]) -> Figure:
    """Plots a panel per rater: a point per version, joined in training order; crosses are the controls."""
    figure = Figure(figsize=(9.6, 4.7), layout="constrained")
    shown = [entry for entry in rows if entry["against"] == BASE]
    names = list(dict.fromkeys(entry["version"] for entry in shown))
    spread = [value for entry in shown for value in (entry["low"], entry["high"])]
    low, high = 100 * min(*spread, 0.45) - 3, 100 * max(*spread, 0.55) + 3
    for place, rater in enumerate(RATERS, start=1):
        axes = figure.add_subplot(1, len(RATERS), place)
        found = {(e["version"], e["axis"]): e for e in shown if e["judge"] == rater}
        points = {name: [found[name, axis] for axis in AXES] for name in names if (name, AXES[1]) in found}
        path = [pair for name, pair in points.items() if not pair[0]["control"] and name != TOLD]
        axes.axhline(50, color="0.6", linestyle="--", linewidth=0.8, zorder=0)
        axes.axvline(50, color="0.6", linestyle="--", linewidth=0.8, zorder=0)
        axes.plot(*[[50, *(100 * p[i]["win_rate"] for p in path)] for i in (0, 1)], color="0.8", linewidth=1, zorder=1)
        axes.plot(50, 50, "s", color="0.35", markersize=6, label=BASE, zorder=3)
        for number, (name, (x, y)) in enumerate(points.items()):
            axes.errorbar(
                100 * x["win_rate"], 100 * y["win_rate"], xerr=pairwise.bars([x]), yerr=pairwise.bars([y]),
                fmt="x" if x["control"] else "o", color="0.4" if x["control"] else f"C{number}",
                elinewidth=0.9, capsize=2, markersize=5.5, alpha=0.9, label=name, zorder=2,
            )  # fmt: skip
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_aspect("equal")
        axes.set_title(f"judged by the {rater}", fontsize=10)
        axes.set_xlabel(f"helpfulness: win rate against {BASE} (%)")
        axes.set_ylabel(f"harmlessness: win rate against {BASE} (%)")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[-1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
