"""Win rates against SFT by sampling temperature (paper 3.2.3, Figure 8: RLHF shifts a model's best temperature).

Rejection sampling and PPO narrow a policy's distribution. Temperature 1 samples from the distribution that training
improves (equation 3); near-greedy sampling shows only its mode. Two models may compare differently at the two, so one
temperature does not decide which model is better. Both models of a comparison answer at the same temperature.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from modeling.core import reporting, resumable_generation
from modeling.core.recipes import EvaluationRecipe
from modeling.dialogues import answer_rules
from modeling.evaluation import generations, win_rates
from modeling.evaluation.judge import model as judge_model

AXIS = "helpfulness"


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write temperature.json, report.md and plots/temperature.png.

    Inputs: prompts, sft_model and later versions, judge, fitted_judge, helpfulness_reward_model. `rows` holds a win
    rate with its 95 % interval per judge, version and temperature. `distinct` holds the share of distinct word trigrams
    among all of a version's answers, 0 to 1.
    """
    versions = generations.version_folders(inputs)
    chosen = generations.select(
        resumable_generation.read_prompts(inputs["prompts"], "test"), {AXIS: config.temperature_prompts}
    )
    prompts = generations.fitting_all(versions, chosen, config.sampling)
    independent = judge_model.load(inputs["judge"], inputs["fitted_judge"])
    background = sorted({prompt["question"] for prompt in prompts})
    rows, distinct = [], []
    for number, temperature in enumerate(config.temperatures, start=1):
        log.info(f"temperature {number} of {len(config.temperatures)}: {temperature}")
        sampling = replace(config.sampling, temperature=temperature)
        answers = generations.answer(
            versions, prompts, sampling, "temperature", out / "_scratch" / str(temperature), log
        )
        distinct += [
            {"version": version, "temperature": temperature, "distinct": distinct_trigrams(given)}
            for version, given in answers.items()
        ]
        judged = win_rates.compare(config, inputs, independent, AXIS, prompts, answers, background, log)
        rows += [entry | {"temperature": temperature} for entry in judged]
    reporting.write_json(out / "temperature.json", {"win_rates": rows, "distinct": distinct})
    reporting.write_text(out / "report.md", report(rows, distinct))
    reporting.save_figure(plot(rows, distinct), out / "plots" / "temperature.png")
    return {"prompts": len(prompts), "rows": rows, "distinct": distinct}


def distinct_trigrams(answers: Sequence[str]) -> float:
    """Share of distinct word trigrams among all word trigrams of the answers; 1 if there are none."""
    trigrams = [
        trigram
        for answer in answers
        for said in [answer_rules.words(answer)]
        for trigram in zip(said, said[1:], said[2:], strict=False)
    ]
    return len(set(trigrams)) / len(trigrams) if trigrams else 1.0


def report(rows: Sequence[dict], distinct: Sequence[dict]) -> str:
    head = ("temperature", "version", *(f"{name}: win rate" for name in win_rates.JUDGES), "distinct trigrams")
    found = {(row["judge"], row["version"], row["temperature"]): row for row in rows}
    table = []
    for one in distinct:
        judged = [found.get((name, one["version"], one["temperature"])) for name in win_rates.JUDGES]
        cells = [win_rates.cell(row) if row else "" for row in judged]
        table.append((one["temperature"], one["version"], *cells, f"{one['distinct']:.2f}"))
    return "\n".join(
        [
            "# Win rates against SFT by sampling temperature",
            "",
            f"{rows[0]['prompts']} helpfulness prompts; both sides of a comparison answer at the same temperature. A",
            "tie counts half; 95 % bootstrap intervals. Distinct trigrams: share of distinct word trigrams in a",
            "version's answers.",
            "",
            reporting.table(head, table),
        ]
    )


def plot(rows: Sequence[dict], distinct: Sequence[dict]) -> Figure:
    """Plots a panel per judge with a line per version, and a panel with the variety of the answers."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    panels = figure.subplots(1, len(win_rates.JUDGES) + 1)
    versions = list(dict.fromkeys(row["version"] for row in distinct))
    colours = dict(zip(versions, ["0.35", *(f"C{place}" for place in range(len(versions) - 1))], strict=True))
    for axes, name in zip(panels, win_rates.JUDGES, strict=False):
        axes.axhline(50, color="0.6", linestyle="--", linewidth=0.8)
        for version in versions[1:]:
            line = [row for row in rows if (row["judge"], row["version"]) == (name, version)]
            axes.errorbar([row["temperature"] for row in line], [100 * row["win_rate"] for row in line],
                          yerr=win_rates.bars(line), fmt="o-", color=colours[version],
                          capsize=2, markersize=4, elinewidth=0.9, label=version)  # fmt: skip
        axes.set_title(f"judged by the {name}", fontsize=10)
        axes.set_ylabel("helpfulness: win rate against SFT (%)")
    for version in versions:
        line = [row for row in distinct if row["version"] == version]
        panels[-1].plot([row["temperature"] for row in line], [100 * row["distinct"] for row in line], "o-",
                        color=colours[version], markersize=4, label=version)  # fmt: skip
    panels[-1].set_title("variety of the answers", fontsize=10)
    panels[-1].set_ylabel("different word trigrams (%)")
    for axes in panels:
        axes.set_xlabel("sampling temperature")
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].legend(fontsize=8, frameon=False)
    return figure
