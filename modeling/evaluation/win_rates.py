"""Win rates of every version against SFT (paper 3.4.1, Figure 11): x helpfulness, y harmlessness.

There are two judges: the last round's reward models, which the policies were optimized for, and the independent judge,
which took no part in training. A version that improves only under the reward models has overfitted to them.
A win counts 1, a tie ½. Intervals are 95 % bootstrap intervals over prompts.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from modeling.core import reporting, sampling
from modeling.core.recipes import EvaluationRecipe
from modeling.core.statistics import bootstrap_interval
from modeling.evaluation import generations
from modeling.evaluation.judge import model as judge_model
from modeling.rlhf import scoring

BASELINE = "SFT"
JUDGES = ("reward models", "independent judge")
AXES = ("helpfulness", "safety")  # kinds of prompts; safety prompts give the harmlessness axis
REWARD_TIE = 0.05  # a preference between 45 and 55 % (|Δ logit| < 0.2) is a tie, as is 'negligibly better'


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write win_rates.json, report.md, plots/fig11.png.

    Inputs: generations, judge, fitted_judge, helpfulness_reward_model and safety_reward_model of the last round.
    """
    independent = judge_model.load(inputs["judge"], inputs["fitted_judge"])
    background = generations.questions(inputs["generations"])
    rows = []
    for axis in AXES:
        prompts, answers = generations.read(inputs["generations"], axis)
        if not prompts:
            raise ValueError(f"{inputs['generations']} holds no {axis} prompts: raise their number in the recipe")
        if BASELINE not in answers:
            raise ValueError(f"{inputs['generations']} holds no answers of {BASELINE}")
        rows += compare(config, inputs, independent, axis, prompts, answers, background, log)
    versions = list(dict.fromkeys(entry["version"] for entry in rows))
    reporting.write_json(out / "win_rates.json", rows)
    reporting.write_text(out / "report.md", report(rows, versions))
    reporting.save_figure(figure11(rows, versions), out / "plots" / "fig11.png")
    return {metric_name(entry): entry["win_rate"] for entry in rows} | {"rows": rows}


def compare(
    config: EvaluationRecipe,
    inputs: dict[str, Path],
    independent: judge_model.Judge,
    axis: str,
    prompts: Sequence[dict],
    answers: dict[str, list[str]],
    background: Sequence[str],
    log,
) -> list[dict]:
    """Returns a row per judge and version: its `answers` (version → one per prompt) against those of the baseline."""
    outcomes = {
        JUDGES[0]: reward_outcomes(inputs, axis, prompts, answers, log),
        JUDGES[1]: judge_outcomes(independent, axis, prompts, answers, background, log),
    }
    return [
        row(name, axis, version, outcome_N, config)
        for name, by_version in outcomes.items()
        for version, outcome_N in by_version.items()
    ]


def reward_outcomes(
    inputs: dict[str, Path], axis: str, prompts: Sequence[dict], answers: dict[str, list[str]], log
) -> dict[str, np.ndarray]:
    """Returns version → outcome per prompt against the baseline, by the reward model of the axis."""
    role = "helpfulness_reward_model" if axis == "helpfulness" else "safety_reward_model"
    model, tokenizer = scoring.load(inputs[role])
    dialogs = [dialog for given in answers.values() for dialog in generations.dialogs(prompts, given)]
    scores_VN = np.array(scoring.score(model, tokenizer, dialogs, log)).reshape(len(answers), len(prompts))
    del model
    sampling.free_memory()
    of_version = dict(zip(answers, scores_VN, strict=True))
    return {name: reward_preference(scores_N, of_version[BASELINE]) for name, scores_N in others(of_version)}


def reward_preference(first_N: np.ndarray, second_N: np.ndarray) -> np.ndarray:
    """1 or 0; ½ if P(first better) = sigmoid(Δ logit) is within REWARD_TIE of one half."""
    margin_N = 0.5 * np.tanh(0.5 * (first_N - second_N))  # sigmoid − ½
    return np.where(np.abs(margin_N) < REWARD_TIE, 0.5, (margin_N > 0).astype(float))


def judge_outcomes(
    independent: judge_model.Judge,
    axis: str,
    prompts: Sequence[dict],
    answers: dict[str, list[str]],
    background: Sequence[str],
    log,
) -> dict[str, np.ndarray]:
    """Returns version → outcome per prompt against the baseline, by the independent judge."""
    questions = [prompt["question"] for prompt in prompts]
    everything = [answer for given in answers.values() for answer in given]
    verdicts = independent.read(questions * len(answers), everything, background, log)
    figures_N = verdicts.helpfulness_N if axis == "helpfulness" else verdicts.harmlessness_N
    prefer = judge_model.prefer_helpful if axis == "helpfulness" else judge_model.prefer_harmless
    of_version = dict(zip(answers, figures_N.reshape(len(answers), len(prompts)), strict=True))
    return {name: prefer(scores_N, of_version[BASELINE]) for name, scores_N in others(of_version)}


def others(of_version: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    return [(name, scores_N) for name, scores_N in of_version.items() if name != BASELINE]


def row(judge_name: str, axis: str, version: str, outcome_N: np.ndarray, config: EvaluationRecipe) -> dict:
    low, high = bootstrap_interval(outcome_N, config.bootstrap, config.seed)
    return {
        "judge": judge_name,
        "axis": axis,
        "version": version,
        "prompts": len(outcome_N),
        "win": int((outcome_N == 1).sum()),
        "tie": int((outcome_N == 0.5).sum()),
        "loss": int((outcome_N == 0).sum()),
        "win_rate": float(outcome_N.mean()),
        "low": low,
        "high": high,
    }


def metric_name(entry: dict) -> str:
    return "_".join([entry["version"], entry["axis"], entry["judge"]]).lower().replace(" ", "_").replace("-", "_")


def report(rows: Sequence[dict], versions: Sequence[str]) -> str:
    lines = [
        "# Win rates against SFT",
        "",
        "Helpfulness prompts give the helpfulness axis, adversarial prompts the harmlessness axis. A tie counts",
        "half; 95 % bootstrap intervals over prompts. The policies were optimized for the reward models; the",
        "independent judge took no part in training (its report gives its accuracy).",
        "",
    ]
    for axis, label in zip(AXES, ("Helpfulness", "Harmlessness"), strict=True):
        lines += [f"## {label}", ""]
        table = []
        for version in versions:
            cells = [version]
            for name in JUDGES:
                entry = next(e for e in rows if (e["judge"], e["axis"], e["version"]) == (name, axis, version))
                cells += [cell(entry), f"{entry['win']} / {entry['tie']} / {entry['loss']}"]
            table.append(cells)
        header = ["version", *(cell for name in JUDGES for cell in (f"{name}: win rate", "win / tie / loss"))]
        lines += [reporting.table(header, table)]
    return "\n".join(lines)


def cell(entry: dict) -> str:
    """Formats a win rate and its interval in per cent for a table."""
    return f"**{reporting.percent(entry['win_rate'])}** [{100 * entry['low']:.0f}, {100 * entry['high']:.0f}]"


def figure11(rows: Sequence[dict], versions: Sequence[str]) -> Figure:
    """Plots a panel per judge: a point per version, joined in training order, and dashed lines at parity with SFT."""
    figure = Figure(figsize=(9.6, 4.7), layout="constrained")
    colours = [f"C{place}" for place in range(len(versions))]
    spread = [value for entry in rows for value in (entry["low"], entry["high"])]
    low, high = 100 * min(*spread, 0.45) - 3, 100 * max(*spread, 0.55) + 3
    for place, name in enumerate(JUDGES):
        axes = figure.add_subplot(1, len(JUDGES), place + 1)
        found = {(e["version"], e["axis"]): e for e in rows if e["judge"] == name}
        points = [[found[version, axis] for axis in AXES] for version in versions]
        axes.axhline(50, color="0.6", linestyle="--", linewidth=0.8, zorder=0)
        axes.axvline(50, color="0.6", linestyle="--", linewidth=0.8, zorder=0)
        axes.plot(
            *[[50, *(100 * p[i]["win_rate"] for p in points)] for i in (0, 1)], color="0.8", linewidth=1, zorder=1
        )
        axes.plot(50, 50, "s", color="0.35", markersize=6, label=BASELINE, zorder=3)
        for version, colour, (x, y) in zip(versions, colours, points, strict=True):
            axes.errorbar(
                100 * x["win_rate"], 100 * y["win_rate"], xerr=bars([x]), yerr=bars([y]), fmt="o", color=colour,
                elinewidth=0.9, capsize=2, markersize=5.5, alpha=0.9, label=version, zorder=2,
            )  # fmt: skip
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_aspect("equal")
        axes.set_title(f"judged by the {name}", fontsize=10)
        axes.set_xlabel("helpfulness: win rate against SFT (%)")
        axes.set_ylabel("harmlessness: win rate against SFT (%)")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[-1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def bars(entries: Sequence[dict]) -> list[list[float]]:
    """Returns the distances to the lower and upper ends of the intervals, in per cent, as errorbar expects."""
    return [
        [100 * max(entry["win_rate"] - entry["low"], 0) for entry in entries],
        [100 * max(entry["high"] - entry["win_rate"], 0) for entry in entries],
    ]
