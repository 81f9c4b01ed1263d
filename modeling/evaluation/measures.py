"""What an answer may do, each measured as a rate apart from the others, and paired tests of the differences.

Paper 4.2.3, 4.4, Figures 14, 18, 19, 33. The readers are the independent judge (probes on human labels), the simulated
annotator's rules (which also labelled the training preferences) and the rules that check verifiable requests.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from modeling.core.recipes import EvaluationRecipe
from modeling.core.statistics import bootstrap_interval, mcnemar, wilson_interval
from modeling.dialogues.prompt_rows import (
    ADVERSARIAL,
    AFTER_REFUSAL,
    BORDERLINE,
    EVERYDAY,
    FOLLOW_UP,
    LATER_TURN,
    ORDINARY,
    VERIFIABLE,
)
from modeling.evaluation import pairwise
from modeling.evaluation.versions import baselines

JUDGE, RULE, CHECKS = "independent judge", "simulated annotator's rule", "rules that check requests"
VIOLATION, REFUSAL, FALSE_REFUSAL = "violation", "refusal", "false refusal"
FLUENT, OBEYED = "fluent", "verifiable request obeyed"
HARMLESS = (ORDINARY, EVERYDAY, FOLLOW_UP, BORDERLINE, AFTER_REFUSAL)  # settings in which a refusal is a false one
ATTACKS = (ADVERSARIAL, LATER_TURN)
SETTINGS = (*HARMLESS, VERIFIABLE, *ATTACKS)


@dataclass(frozen=True)
class Measure:
    """A rate over the prompts of some settings, as one reader sees it."""

    name: str
    prompts: str  # what the settings are called in a table
    settings: tuple[str, ...]
    reader: str
    flag: Callable[[dict], bool]  # of a row of scored_answers
    axis: str | None = None  # the judge's axis
    lower_is_better: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        return self.name, self.prompts, self.reader


def _measures() -> Iterator[Measure]:
    attacks = (("all adversarial", ATTACKS), ("first messages", (ADVERSARIAL,)), ("later turns", (LATER_TURN,)))
    for label, settings in attacks:
        yield Measure(VIOLATION, label, settings, JUDGE, lambda row: row["violation"] > 0, "violation", True)
        yield Measure(VIOLATION, label, settings, RULE, lambda row: row["rule_unsafe"], None, True)
    for label, settings in attacks[1:]:
        yield Measure(REFUSAL, label, settings, JUDGE, lambda row: row["refusal"] > 0, "refusal")
        yield Measure(REFUSAL, label, settings, RULE, lambda row: row["rule_declines"])
    for label, settings in ((f"{ORDINARY} and {EVERYDAY}", (ORDINARY, EVERYDAY)), *((one, (one,)) for one in HARMLESS)):
        yield Measure(FALSE_REFUSAL, label, settings, JUDGE, lambda row: row["refusal"] > 0, "refusal", True)
        yield Measure(FALSE_REFUSAL, label, settings, RULE, lambda row: row["rule_refuses"], None, True)
    yield Measure(FLUENT, "all prompts", SETTINGS, JUDGE, lambda row: row["fluency"] > 0, "fluency")
    yield Measure(OBEYED, VERIFIABLE, (VERIFIABLE,), CHECKS, lambda row: bool(row["obeyed"]))


MEASURES = tuple(_measures())


def flags(rows: Sequence[dict], measure: Measure) -> np.ndarray:
    return np.array([measure.flag(row) for row in rows], dtype=bool)


def rate(flagged_N: np.ndarray) -> dict:
    """Returns count, rate and its 95 % Wilson interval."""
    low, high = wilson_interval(int(flagged_N.sum()), len(flagged_N))
    return {
        "prompts": len(flagged_N),
        "count": int(flagged_N.sum()),
        "rate": float(flagged_N.mean()),
        "low": low,
        "high": high,
    }


def _named(measure: Measure, version: str) -> dict:
    return {"version": version, "measure": measure.name, "on": measure.prompts, "reader": measure.reader}


def rates(scored: dict[str, list[dict]]) -> list[dict]:
    """Returns a row per measure and version or control. A measure without prompts of its settings has no row."""
    found = []
    for measure in MEASURES:
        for name, rows in scored.items():
            chosen = [row for row in rows if row["setting"] in measure.settings]
            if chosen:
                entry = _named(measure, name) | {"control": rows[0]["control"], "axis": measure.axis}
                found.append(entry | {"lower_is_better": measure.lower_is_better} | rate(flags(chosen, measure)))
    return found


def tests(scored: dict[str, list[dict]], config: EvaluationRecipe) -> list[dict]:
    """Returns paired tests of every version's rates against Base, SFT and the version before, on common prompts.

    `difference` is the version's rate minus the other's, with a paired bootstrap interval; `p` is McNemar's.
    """
    versions = [name for name, rows in scored.items() if not rows[0]["control"]]
    found = []
    for measure in MEASURES:
        of_measure = {name: [r for r in scored[name] if r["setting"] in measure.settings] for name in versions}
        for name in versions:
            for against in baselines(name, versions):
                first, second = pairwise.common(of_measure[name], of_measure[against])
                if first:
                    entry = _named(measure, name) | {"against": against}
                    found.append(entry | difference(flags(first, measure), flags(second, measure), config))
    return found


def difference(first_N: np.ndarray, second_N: np.ndarray, config: EvaluationRecipe) -> dict:
    change_N = first_N.astype(float) - second_N.astype(float)
    low, high = bootstrap_interval(change_N, config.bootstrap, config.seed)
    return {
        "prompts": len(change_N),
        "difference": float(change_N.mean()),
        "low": low,
        "high": high,
        "p": mcnemar(first_N, second_N),
    }


def beaten(scored: dict[str, list[dict]], config: EvaluationRecipe) -> list[dict]:
    """Returns {measure, on, reader, control, versions}: each control with the versions that it beats.

    A control beats a version if the 95 % interval of their difference on common prompts excludes 0.
    """
    found = []
    for measure in MEASURES:
        of_measure = {name: [r for r in rows if r["setting"] in measure.settings] for name, rows in scored.items()}
        for control in (name for name, rows in scored.items() if rows[0]["control"]):
            worse = []
            for version in (name for name, rows in scored.items() if not rows[0]["control"]):
                first, second = pairwise.common(of_measure[control], of_measure[version])
                if first:
                    change = difference(flags(first, measure), flags(second, measure), config)
                    if change["high"] < 0 if measure.lower_is_better else change["low"] > 0:
                        worse.append(version)
            if worse:
                named = {"measure": measure.name, "on": measure.prompts, "reader": measure.reader}
                found.append(named | {"control": control, "versions": worse})
    return found
