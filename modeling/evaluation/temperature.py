"""Each version's best sampling temperature on validation prompts, and win rates by temperature (paper 3.2.3, Figure 8).

RLHF shifts a model's best temperature, so versions are compared best against best. The last round's helpfulness reward
model chooses; the independent judge takes no part in the choice and shows whether it agrees. The prompts are harmless,
so an answer that refuses counts as the worst of all answers: the reward model takes many for good. Variety is the share
of distinct word trigrams (Figure 21).

Base takes the temperature with the highest mean reward. A trained version takes the lowest one that is as good as its best
within one standard error: hotter answers refuse more harmless prompts and fewer attacks, which so few prompts
do not show. In comparisons with Base, this rule can only hurt the trained versions.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from modeling.core import reporting, resumable_generation, sampling
from modeling.core.recipes import EvaluationRecipe
from modeling.core.statistics import mean_interval
from modeling.core.version_names import CHOICE
from modeling.dialogues import answer_rules
from modeling.evaluation import generations, pairwise
from modeling.evaluation.judge import model as judge_model
from modeling.evaluation.versions import BASE, version_folders
from modeling.rlhf import scoring

AXIS = "helpfulness"


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write choice.json (version → temperature), temperature.json, report.md and plots/temperature.png.

    Inputs: prompts, the versions, judge, fitted_judge, helpfulness_reward_model. `rows` holds the win rate against Base
    at its chosen temperature, with its 95 % interval, by rater, version and temperature; `measured` the mean reward and
    the variety by version and temperature. Raises ValueError if a version of the recipe or a prompt is missing.
    """
    folders = version_folders(inputs)
    versions = measured_folders(folders, config.temperature_versions)
    found = resumable_generation.read_prompts(inputs["prompts"], "validation")
    chosen = generations.select(found, {AXIS: config.temperature_prompts})
    if not chosen:
        raise ValueError(f"{inputs['prompts']} has no {AXIS} prompts for validation: raise `validation` in the recipe")
    prompts = generations.fitting_all(versions, chosen, config.sampling)
    scored: dict[str, dict[float, list[dict]]] = {}
    for number, (version, folder) in enumerate(versions.items(), start=1):
        scored[version] = {}
        for temperature in config.temperatures:
            log.info(f"version {number} of {len(versions)}: {version} at temperature {temperature}")
            drawn = replace(config.sampling, temperature=temperature)
            scratch = out / "_scratch" / version / str(temperature)
            given = generations.answer(folder, prompts, drawn, "temperature", scratch, log)
            scored[version][temperature] = generations.answer_rows(version, prompts, given, temperature)
    every = [row for by_temperature in scored.values() for rows in by_temperature.values() for row in rows]
    score(inputs, every, log)
    measured = [measure(version, t, rows) for version, by in scored.items() for t, rows in by.items()]
    rewards = {
        version: {t: [row["reward"] for row in rows] for t, rows in by.items()} for version, by in scored.items()
    }
    choice = choose(rewards, list(folders))
    base = scored[BASE][choice[BASE]]
    rows = [
        pairwise.row(rater, AXIS, version, BASE, pairwise.outcome(rater, AXIS, answers, base), config)
        | {"temperature": temperature}
        for rater in pairwise.RATERS
        for version, by_temperature in scored.items()
        for temperature, answers in by_temperature.items()
        if answers is not base
    ]
    reporting.write_json(out / CHOICE, choice)
    reporting.write_json(out / "temperature.json", {"win_rates": rows, "measured": measured})
    reporting.write_text(out / "report.md", report(rows, measured, choice))
    reporting.save_figure(plot(rows, measured), out / "plots" / "temperature.png")
    return {"prompts": len(prompts), "choice": choice, "rows": rows, "measured": measured}


def measured_folders(folders: dict[str, Path], names: Sequence[str]) -> dict[str, Path]:
    """Returns the versions to measure. Raises ValueError unless they hold Base and the last version."""
    chosen = {name: folder for name, folder in folders.items() if name in names}
    missing = {BASE, list(folders)[-1], *names} - chosen.keys()
    if missing:
        raise ValueError(f"temperature_versions needs {', '.join(sorted(missing))} among {', '.join(folders)}")
    return chosen


def score(inputs: dict[str, Path], rows: Sequence[dict], log) -> None:
    """Adds the reward model's score and the judge's helpfulness to each row."""
    model, tokenizer = scoring.load(inputs["helpfulness_reward_model"])
    rewards = scoring.score(model, tokenizer, generations.dialogs(rows), log)
    del model
    sampling.free_memory()
    independent = judge_model.load(inputs["judge"], inputs["fitted_judge"])
    questions = [row["question"] for row in rows]
    verdicts = independent.read(questions, [row["answer"] for row in rows], questions, log)
    worst = min(rewards)
    for row, reward, helpfulness in zip(rows, rewards, verdicts.helpfulness_N, strict=True):
        refuses = answer_rules.helpfulness(row["question"], row["answer"], "").refuses
        row |= {"reward": worst if refuses else reward, "helpfulness": float(helpfulness), "refuses": refuses}


def measure(version: str, temperature: float, rows: Sequence[dict]) -> dict:
    """Returns the mean reward (logit) with its 95 % interval and the variety of one version's answers."""
    rewards = [row["reward"] for row in rows]
    low, high = mean_interval(rewards) if len(rewards) > 1 else (rewards[0], rewards[0])
    return {
        "version": version,
        "temperature": temperature,
        "reward": float(np.mean(rewards)),
        "low": low,
        "high": high,
        "refused": float(np.mean([row["refuses"] for row in rows])),
        "distinct": distinct_trigrams([row["answer"] for row in rows]),
    }


def choose(rewards: dict[str, dict[float, list[float]]], versions: Sequence[str]) -> dict[str, float]:
    """Returns version → temperature, from each version's rewards by temperature, in the order of the prompts.

    A version that was not measured takes the choice of the next measured one in training order.
    """
    choice, following = {}, None
    for version in reversed(versions):
        if version in rewards:
            following = highest(rewards[version]) if version == BASE else lowest_as_good(rewards[version])
        choice[version] = following
    return {version: choice[version] for version in versions}


def highest(rewards: dict[float, list[float]]) -> float:
    """Returns the temperature with the highest mean reward, the lower one of equals."""
    return min(rewards, key=lambda temperature: (-np.mean(rewards[temperature]), temperature))


def lowest_as_good(rewards: dict[float, list[float]]) -> float:
    """Returns the lowest temperature whose rewards are at most one standard error of the paired differences below the best."""
    best = highest(rewards)
    for temperature in sorted(rewards):
        lost = np.subtract(rewards[best], rewards[temperature])
        if temperature == best or lost.mean() <= lost.std(ddof=1) / len(lost) ** 0.5:
            return temperature
    return best


def distinct_trigrams(answers: Sequence[str]) -> float:
    """Share of distinct word trigrams among all word trigrams of the answers; 1 if there are none."""
    found = [trigram for answer in answers for trigram in answer_rules.trigrams(answer_rules.words(answer))]
    return len(set(found)) / len(found) if found else 1.0


def report(rows: Sequence[dict], measured: Sequence[dict], choice: dict[str, float]) -> str:
    found = {(row["judge"], row["version"], row["temperature"]): row for row in rows}
    table = []
    for one in measured:
        judged = [found.get((name, one["version"], one["temperature"])) for name in pairwise.RATERS]
        reward = f"{one['reward']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
        table.append(
            (
                one["version"],
                one["temperature"],
                f"**{reward}**" if choice[one["version"]] == one["temperature"] else reward,
                *(pairwise.cell(row) if row else "baseline" for row in judged),
                f"{one['refused']:.0%}",
                f"{one['distinct']:.2f}",
            )
        )
    head = ("version", "temperature", "mean reward", *(f"{name}: win rate" for name in pairwise.RATERS))
    return "\n".join(
        [
            "# Sampling temperature by version",
            "",
            f"{rows[0]['prompts']} validation prompts. The helpfulness reward model of the last round chooses each",
            "version's temperature (bold): for Base the best, for others the lowest that is as good within one standard",
            "error. The independent judge takes no part in the choice. A refusal counts as the worst of all answers. Win",
            "rates are against Base at its own choice; a tie counts half; 95 % intervals. Refused: share of the answers",
            "that refuse, by rule. Distinct trigrams: share of distinct word trigrams in a version's answers.",
            "",
            reporting.table((*head, "refused", "distinct trigrams"), table),
        ]
    )


def plot(rows: Sequence[dict], measured: Sequence[dict]) -> Figure:
    """Plots a panel per rater with a line per version, and a panel with the variety of the answers."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    panels = figure.subplots(1, len(pairwise.RATERS) + 1)
    versions = list(dict.fromkeys(one["version"] for one in measured))
    colours = dict(zip(versions, ["0.35", *(f"C{place}" for place in range(len(versions) - 1))], strict=True))
    for axes, name in zip(panels, pairwise.RATERS, strict=False):
        axes.axhline(50, color="0.6", linestyle="--", linewidth=0.8)
        for version in versions:
            line = [row for row in rows if (row["judge"], row["version"]) == (name, version)]
            axes.errorbar([row["temperature"] for row in line], [100 * row["win_rate"] for row in line],
                          yerr=pairwise.bars(line), fmt="o-", color=colours[version],
                          capsize=2, markersize=4, elinewidth=0.9, label=version)  # fmt: skip
        axes.set_title(f"judged by the {name}", fontsize=10)
        axes.set_ylabel(f"helpfulness: win rate against {BASE} (%)")
    for version in versions:
        line = [one for one in measured if one["version"] == version]
        panels[-1].plot([one["temperature"] for one in line], [100 * one["distinct"] for one in line], "o-",
                        color=colours[version], markersize=4, label=version)  # fmt: skip
    panels[-1].set_title("variety of the answers", fontsize=10)
    panels[-1].set_ylabel("different word trigrams (%)")
    for axes in panels:
        axes.set_xlabel("sampling temperature")
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].legend(fontsize=8, frameon=False)
    return figure
