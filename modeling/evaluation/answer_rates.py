"""Violation and refusal rates on adversarial prompts and false refusal rates on harmless ones, by version.

Paper 4.4, 4.2.3, Figures 14, 18, 19, 33.

There are two readers: the independent judge's probes, fitted to human harm scores and refusal labels, and the rule of
the simulated annotator, which also labelled the training preferences. Intervals are 95 % Wilson.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from data_cleaning.markdown import literal
from modeling.core import reporting
from modeling.core.recipes import EvaluationRecipe
from modeling.core.statistics import wilson_interval
from modeling.dialogues import answer_rules, multi_turn
from modeling.evaluation import generations
from modeling.evaluation.judge import model as judge_model
from modeling.rlhf import scoring

READERS = ("independent judge", "simulated annotator's rule")
SINGLE_TURN, MULTI_TURN = "single-turn", "multi-turn"
VIOLATION, REFUSAL, FALSE_REFUSAL = "violation", "refusal", "false refusal"
KINDS = (VIOLATION, REFUSAL, FALSE_REFUSAL)
Flags = dict[str, dict[str, np.ndarray]]  # version → reader → a bool per prompt


@dataclass(frozen=True)
class Reading:
    """What each version's answers did, by each reader."""

    flags: dict[str, Flags]  # kind → flags: the first two of KINDS on adversarial prompts, the last on harmless ones
    safety: dict[str, float]  # version → mean probability of the safety reward model on adversarial prompts


def run(config: EvaluationRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write safety_rates.json, report.md and plots/safety.png.

    Inputs: generations, judge, fitted_judge, safety_reward_model.
    """
    adversarial, attacked = generations.read(inputs["generations"], "safety")
    harmless, asked = generations.read(inputs["generations"], "harmless")
    if not adversarial or not harmless:
        raise ValueError(
            f"{inputs['generations']} needs safety and harmless prompts: raise their numbers in the recipe"
        )
    independent = judge_model.load(inputs["judge"], inputs["fitted_judge"])
    model, tokenizer = scoring.load(inputs["safety_reward_model"])
    background = generations.questions(inputs["generations"])
    reading = Reading(
        on_adversarial(independent, adversarial, attacked, background, log)
        | {FALSE_REFUSAL: on_harmless(independent, harmless, asked, background, log)},
        {},
    )
    for number, (version, answers) in enumerate(attacked.items(), start=1):
        scores = scoring.score(model, tokenizer, generations.dialogs(adversarial, answers))
        reading.safety[version] = float(scoring.sigmoid(scores).mean())
        log.progress(number, len(attacked), unit="version", safety_reward=reading.safety[version])
    categories = [prompt["category"] for prompt in adversarial]
    rows = [entry for version in attacked for entry in version_rows(version, reading)]
    by_category = category_rows(reading, categories)
    by_turns = turn_rows(reading, adversarial, harmless)
    reporting.write_json(
        out / "safety_rates.json",
        {"rates": rows, "by_category": by_category, "by_turns": by_turns, "safety_reward": reading.safety},
    )
    reporting.write_text(
        out / "report.md", report(rows, by_category, by_turns, reading, len(adversarial), len(harmless))
    )
    reporting.save_figure(plot(rows, by_category, list(attacked)), out / "plots" / "safety.png")
    figures = {metric_name(entry): entry["rate"] for entry in rows}
    return {
        **figures,
        **{f"safety_reward_{slug(v)}": mean for v, mean in reading.safety.items()},
        "by_category": by_category,
        "by_turns": by_turns,
    }


def on_adversarial(
    independent: judge_model.Judge,
    prompts: Sequence[dict],
    answers: dict[str, list[str]],
    background: Sequence[str],
    log,
) -> dict[str, Flags]:
    """Flags violations and refusals, by reader. The rule also counts warnings and redirections as refusals."""
    questions = [prompt["question"] for prompt in prompts]
    found: dict[str, Flags] = {VIOLATION: {}, REFUSAL: {}}
    for version, given in answers.items():
        verdict = independent.read(questions, given, background, log)
        rules = [answer_rules.safety(asked, answer) for asked, answer in zip(questions, given, strict=True)]
        found[VIOLATION][version] = _by_reader(verdict.violation_N > 0, [not rule.safe for rule in rules])
        found[REFUSAL][version] = _by_reader(verdict.refusal_N > 0, [rule.declines for rule in rules])
    return found


def on_harmless(
    independent: judge_model.Judge,
    prompts: Sequence[dict],
    answers: dict[str, list[str]],
    background: Sequence[str],
    log,
) -> Flags:
    """Flags answers to harmless prompts that refuse, by reader."""
    questions = [prompt["question"] for prompt in prompts]
    return {
        version: _by_reader(
            independent.read(questions, given, background, log).refusal_N > 0,
            [answer_rules.safety(asked, answer).refuses for asked, answer in zip(questions, given, strict=True)],
        )
        for version, given in answers.items()
    }


def _by_reader(judge_N: np.ndarray, rule_N: Sequence[bool]) -> dict[str, np.ndarray]:
    return {READERS[0]: judge_N, READERS[1]: np.array(rule_N, dtype=bool)}


def rate(flagged_N: np.ndarray) -> dict:
    low, high = wilson_interval(int(flagged_N.sum()), len(flagged_N))
    return {
        "prompts": len(flagged_N),
        "count": int(flagged_N.sum()),
        "rate": float(flagged_N.mean()),
        "low": low,
        "high": high,
    }


def version_rows(version: str, reading: Reading) -> list[dict]:
    return [
        {"version": version, "what": what, "reader": reader, **rate(reading.flags[what][version][reader])}
        for what in KINDS
        for reader in READERS
    ]


def category_rows(reading: Reading, categories: Sequence[str]) -> list[dict]:
    """Violation rates by risk category, by the independent judge."""
    labels_N = np.array(categories)
    return [
        {"version": version, "category": category, **rate(by_reader[READERS[0]][labels_N == category])}
        for category in sorted(set(categories))
        for version, by_reader in reading.flags[VIOLATION].items()
    ]


def turn_rows(reading: Reading, adversarial: Sequence[dict], harmless: Sequence[dict]) -> list[dict]:
    """Refusal and false refusal rates on single-turn and on multi-turn prompts (Figure 18). No prompts, no row."""
    rows = []
    for what, prompts in ((REFUSAL, adversarial), (FALSE_REFUSAL, harmless)):
        multi_N = np.array([multi_turn.is_multi_turn(prompt["messages"]) for prompt in prompts])
        rows += [
            {"version": version, "what": what, "turns": turns, "reader": reader, **rate(flagged_N[chosen_N])}
            for turns, chosen_N in ((SINGLE_TURN, ~multi_N), (MULTI_TURN, multi_N))
            if chosen_N.any()
            for version, by_reader in reading.flags[what].items()
            for reader, flagged_N in by_reader.items()
        ]
    return rows


def slug(text: str) -> str:
    return text.lower().replace("'", "").replace(" ", "_").replace("-", "_")


def metric_name(entry: dict) -> str:
    return slug(f"{entry['what']}_{entry['version']}_{'judge' if entry['reader'] == READERS[0] else 'rule'}")


def shown(entry: dict) -> str:
    return f"{reporting.percent(entry['rate'])} [{100 * entry['low']:.0f}, {100 * entry['high']:.0f}]"


def report(
    rows: Sequence[dict],
    by_category: Sequence[dict],
    by_turns: Sequence[dict],
    reading: Reading,
    adversarial: int,
    harmless: int,
) -> str:
    found = {(e["version"], e["what"], e["reader"]): e for e in rows}
    versions = list(reading.safety)
    table = [
        [v, *(shown(found[v, what, reader]) for what in KINDS for reader in READERS),
         f"{reading.safety[v]:.3f}"]
        for v in versions
    ]  # fmt: skip
    header = (
        "version",
        *(f"{what} rate, by the {reader}" for what in KINDS for reader in READERS),
        "safety reward model, mean",
    )
    categories = sorted({e["category"] for e in by_category})
    cells = {(e["version"], e["category"]): e for e in by_category}
    turned = {(e["version"], e["what"], e["turns"]): e for e in by_turns if e["reader"] == READERS[0]}
    places = list(dict.fromkeys((what, turns) for _, what, turns in turned))
    middle = [
        "## Single-turn and multi-turn prompts, by the independent judge",
        "",
        reporting.table(
            (
                "version",
                *(f"{what} rate, {turns} ({turned[versions[0], what, turns]['prompts']})" for what, turns in places),
            ),
            [[v, *(shown(turned[v, what, turns]) for what, turns in places)] for v in versions],
        ),
    ]
    return "\n".join(
        [
            "# Safety by version",
            "",
            f"Violations and refusals on {adversarial} adversarial prompts, false refusals on {harmless} harmless",
            "ones. Intervals are 95 % Wilson intervals. The judge's probes were fitted to human labels and make",
            "errors (its report gives the rates): compare versions, not levels. The rule is the simulated",
            "annotator's, which also labelled the preferences. A violation helps with the harm. A refusal says no,",
            "warns or redirects. An answer about something else is neither; the preferences label it unsafe. The",
            'judge counts an evasion ("I\'m not sure") as a refusal; the rule counts only explicit refusals as false',
            "refusals.",
            "",
            reporting.table(header, table),
            "## Violations by risk category, by the independent judge",
            "",
            reporting.table(
                ("version", *(f"{literal(c)} ({cells[versions[0], c]['prompts']})" for c in categories)),
                [[v, *(shown(cells[v, c]) for c in categories)] for v in versions],
            ),
            *(middle if MULTI_TURN in {turns for _, turns in places} else []),
        ]
    )


def plot(rows: Sequence[dict], by_category: Sequence[dict], versions: Sequence[str]) -> Figure:
    """Plots refusal and false refusal rates by version with intervals, and violation rates by risk category."""
    figure = Figure(figsize=(12.5, 3.9), layout="constrained")
    panels = ((REFUSAL, "refusals on adversarial prompts"), (FALSE_REFUSAL, "false refusals"))
    for place, (what, title) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, 3, place)
        for shift, reader, colour in ((-0.1, READERS[0], "#1f5fa8"), (0.1, READERS[1], "#c77d2e")):
            entries = [
                next(e for e in rows if (e["version"], e["what"], e["reader"]) == (v, what, reader)) for v in versions
            ]
            _points(axes, entries, shift, reader, colour)
        axes.set_title(f"{title} (95 % intervals)", fontsize=10)
        axes.legend(fontsize=7.5, frameon=False)
        _dress(axes, versions)
    axes = figure.add_subplot(1, 3, 3)
    categories = sorted({entry["category"] for entry in by_category})
    for number, category in enumerate(categories):
        entries = [next(e for e in by_category if (e["version"], e["category"]) == (v, category)) for v in versions]
        label = f"{category} ({entries[0]['prompts']})"
        axes.plot(range(len(versions)), [100 * e["rate"] for e in entries], "o-", color=f"C{number}", markersize=3.5,
                  linewidth=1, label=label)  # fmt: skip
    axes.set_title("violations by risk category, independent judge", fontsize=10)
    axes.legend(fontsize=6.5, frameon=False)
    _dress(axes, versions)
    return figure


def _points(axes, entries: Sequence[dict], shift: float, label: str, colour: str) -> None:
    rates = [100 * e["rate"] for e in entries]
    bars = [[max(r - 100 * e["low"], 0) for r, e in zip(rates, entries, strict=True)],
            [max(100 * e["high"] - r, 0) for r, e in zip(rates, entries, strict=True)]]  # fmt: skip
    axes.errorbar([p + shift for p in range(len(rates))], rates, yerr=bars, fmt="o", color=colour, markersize=4.5,
                  elinewidth=0.9, capsize=2, label=label)  # fmt: skip


def _dress(axes, versions: Sequence[str]) -> None:
    axes.set_xticks(range(len(versions)), versions, rotation=30, ha="right", fontsize=8)
    axes.set_ylabel("% of prompts")
    axes.set_ylim(-3, 103)
    axes.spines[["top", "right"]].set_visible(False)
