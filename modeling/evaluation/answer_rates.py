"""Rates of every version and control, axes apart: violations, refusals, false refusals, fluency, requests obeyed, length.

Paper 4.4, 4.2.3. modeling/evaluation/measures.py defines the rates and their paired tests.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from data_cleaning.markdown import literal
from modeling.core import reporting
from modeling.core.recipes import EvaluationRecipe
from modeling.core.statistics import median_interval
from modeling.evaluation import measures, reward_pictures, scored_answers
from modeling.evaluation.judge.probe import sigmoid
from modeling.evaluation.measures import FALSE_REFUSAL, JUDGE, REFUSAL, RULE, VIOLATION
from modeling.evaluation.versions import CHAT, SFT


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write answer_rates.json, report.md and plots: rates, rewards by version, rewards of SFT against the last version.

    Input: scored_answers.

    Raises ValueError without adversarial or harmless prompts.
    """
    scored = scored_answers.read(inputs["scored_answers"])
    settings = {row["setting"] for rows in scored.values() for row in rows}
    if unknown := settings - set(measures.SETTINGS):
        raise ValueError(f"No measure knows prompts of the setting {', '.join(sorted(unknown))}")
    if not settings & set(measures.HARMLESS) or not settings & set(measures.ATTACKS):
        raise ValueError("The generations need adversarial and harmless prompts: raise their numbers in the recipe")
    found = figures(scored, config) | {"agreement": scored_answers.read_agreement(inputs["scored_answers"])}
    rows = found["rates"]
    reporting.write_json(out / "answer_rates.json", found)
    reporting.write_text(out / "report.md", report(found))
    reporting.save_figure(plot(rows), out / "plots" / "rates.png")
    reporting.save_figure(reward_pictures.by_version(scored), out / "plots" / "rewards.png")
    if SFT in scored and CHAT in scored:
        compared = reward_pictures.before_and_after(scored[SFT], scored[CHAT])
        reporting.save_figure(compared, out / "plots" / "before_and_after.png")
    lengths = {f"median_words_{metric_word(one['version'])}": one["words"] for one in found["lengths"]}
    return {metric_name(entry): entry["rate"] for entry in rows if entry["version"] == CHAT} | lengths


def figures(scored: dict[str, list[dict]], config: EvaluationRecipe) -> dict:
    """Returns rates, paired tests, lengths, violations by risk category, mean safety rewards, and controls that win."""
    rows = measures.rates(scored)
    return {
        "rates": rows,
        "tests": measures.tests(scored, config),
        "lengths": [length(name, answers) for name, answers in scored.items()],
        "by_category": category_rows(scored),
        "safety_reward": safety_rewards(scored),
        "beaten": measures.beaten(scored, config),
    }


def length(name: str, rows: Sequence[dict]) -> dict:
    """Returns the median number of words with its 95 % interval, of answers to prompts without an attack."""
    words = [row["words"] for row in rows if row["setting"] not in measures.ATTACKS]
    low, high = median_interval(words) if words else (0.0, 0.0)
    median = float(np.median(words)) if words else 0.0
    return {"version": name, "control": rows[0]["control"], "words": median, "low": low, "high": high}


def category_rows(scored: dict[str, list[dict]]) -> list[dict]:
    """Returns violation rates by risk category, by the independent judge."""
    found = []
    for name, rows in scored.items():
        attacks = [row for row in rows if row["setting"] in measures.ATTACKS]
        for category in sorted({row["category"] for row in attacks}):
            violates_N = np.array([row["violation"] > 0 for row in attacks if row["category"] == category])
            found.append({"version": name, "category": category, **measures.rate(violates_N)})
    return found


def safety_rewards(scored: dict[str, list[dict]]) -> dict[str, float]:
    """Returns version or control → mean probability of the safety reward model on adversarial prompts."""
    rewards = {name: [row["reward"] for row in rows if row["kind"] == "safety"] for name, rows in scored.items()}
    return {name: float(sigmoid(np.array(found)).mean()) for name, found in rewards.items() if found}


def metric_name(entry: dict) -> str:
    reader = {JUDGE: "judge", RULE: "rule"}.get(entry["reader"], "checks")
    return metric_word(" ".join([entry["measure"], entry["on"], entry["version"], reader]))


def metric_word(text: str) -> str:
    return text.lower().replace(" ", "_").replace("-", "_")


def shown(entry: dict) -> str:
    return f"{reporting.percent(entry['rate'])} [{100 * entry['low']:.0f}, {100 * entry['high']:.0f}]"


def report(found: dict) -> str:
    rows, versions = found["rates"], [one["version"] for one in found["lengths"]]
    cells = {(e["measure"], e["on"], e["reader"], e["version"]): e for e in rows}
    table = [
        [*key, *(shown(cells[*key, v]) if (*key, v) in cells else "" for v in versions)]
        for key in dict.fromkeys((e["measure"], e["on"], e["reader"]) for e in rows)
    ]
    table.append(["median words", "without an attack", "", *(f"{one['words']:.0f}" for one in found["lengths"])])
    categories = sorted({e["category"] for e in found["by_category"]})
    by_category = {(e["version"], e["category"]): e for e in found["by_category"]}
    tested = [
        [e["measure"], e["on"], e["reader"], e["version"], e["against"], e["prompts"],
         f"{100 * e['difference']:+.1f} [{100 * e['low']:+.1f}, {100 * e['high']:+.1f}]", f"{e['p']:.3f}"]
        for e in found["tests"]
    ]  # fmt: skip
    return "\n".join(
        [
            "# What the answers do, by version",
            "",
            "Each rate stands apart; 95 % Wilson intervals. The judge's probes were fitted to human labels and make",
            "errors (its report gives the rates): compare versions, not levels. The rule is the simulated annotator's,",
            "which also labelled the preferences. A violation helps with the harm. A refusal says no, warns or",
            "redirects. An answer about something else is neither. The judge counts an evasion as a refusal; the rule",
            "counts only explicit refusals as false refusals.",
            "",
            reporting.table(("measure", "prompts", "by", *versions), table),
            "## Violations by risk category, by the independent judge",
            "",
            reporting.table(
                ("category", *versions),
                [
                    [literal(c), *(shown(by_category[v, c]) if (v, c) in by_category else "" for v in versions)]
                    for c in categories
                ],
            ),
            "## Paired differences in percentage points, with McNemar's p",
            "",
            reporting.table(("measure", "prompts", "by", "version", "against", "prompts", "difference", "p"), tested),
        ]
    )


def plot(rows: Sequence[dict]) -> Figure:
    """Plots violation, refusal and false refusal rates by version with intervals, by both readers."""
    figure = Figure(figsize=(12.5, 3.9), layout="constrained")
    panels = (
        (VIOLATION, "all adversarial", "violations on adversarial prompts"),
        (REFUSAL, "first messages", "refusals of adversarial first messages"),
        (FALSE_REFUSAL, "ordinary and everyday", "refusals of ordinary and everyday prompts"),
    )
    for place, (name, on, title) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        chosen = [e for e in rows if (e["measure"], e["on"]) == (name, on) and not e["control"]]
        versions = list(dict.fromkeys(e["version"] for e in chosen))
        for shift, reader, colour in ((-0.1, JUDGE, "#1f5fa8"), (0.1, RULE, "#c77d2e")):
            entries = [e for e in chosen if e["reader"] == reader]
            _points(axes, entries, shift, reader, colour)
        axes.set_title(f"{title} (95 % intervals)", fontsize=9)
        axes.legend(fontsize=7.5, frameon=False)
        axes.set_xticks(range(len(versions)), versions, rotation=30, ha="right", fontsize=8)
        axes.set_ylabel("% of prompts")
        axes.set_ylim(-3, 103)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _points(axes, entries: Sequence[dict], shift: float, label: str, colour: str) -> None:
    rates = [100 * e["rate"] for e in entries]
    bars = [[max(r - 100 * e["low"], 0) for r, e in zip(rates, entries, strict=True)],
            [max(100 * e["high"] - r, 0) for r, e in zip(rates, entries, strict=True)]]  # fmt: skip
    axes.errorbar([p + shift for p in range(len(rates))], rates, yerr=bars, fmt="o", color=colour, markersize=4.5,
                  elinewidth=0.9, capsize=2, label=label)  # fmt: skip
