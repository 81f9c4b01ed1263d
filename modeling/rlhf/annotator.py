"""Annotators that compare two answers: the one a recipe names, and the default, a simulated annotator.

The paper's annotators pick one answer, say how much better it is, and label both for safety (3.2.1). The `annotator`
column of every pair names the annotator that labelled it.
"""

import os
from dataclasses import dataclass
from statistics import NormalDist

from modeling.core import hashing
from modeling.dialogues import answer_rules, verifiable
from modeling.dialogues.answer_rules import Helpfulness, Safety
from modeling.rlhf.labels import BETTER, NEGLIGIBLE, SIGNIFICANT, SLIGHT, Annotator, Label, TiedError
from modeling.rlhf.model_annotator import JudgeAnnotator

# Smallest quality gap of each degree, set so that helpfulness pairs of a small model have about the shares of Figure 25
# (negligibly 39 %, slightly 24 %, better 25 %, significantly 12 %).
GAPS = {SIGNIFICANT: 0.25, BETTER: 0.14, SLIGHT: 0.06}

# Standard deviation of the rater noise, in the units of quality (0 to 1). On answers of a small model, two raters with
# this noise agree on 78 % of pairs: 57 % of "negligibly", 86 % of "slightly" and all of "better" ones.
TASTE = 0.03

# Weights of the components of a helpful answer, summing to 1. Without a reference, the others are scaled up to 1.
# Content outweighs form: otherwise reward models learn form alone, and policies trained on them drift.
HELPFUL_WEIGHTS = {"overlap": 0.50, "substance": 0.25, "subject": 0.10, "fits": 0.05, "ended": 0.10}
# Overlap (F2) that earns full credit: about what a true answer in other words reaches. Credit grows with the square
# root, so that the first shared words separate two weak answers.
PARAPHRASE = 0.4
NOTHING_SAID = 0.1  # factor for an answer that says nothing beyond the question: parroted, evasive or a fixed phrase
DISOBEYED = 0.5  # factor for an answer that does not obey the constraint of a verifiable request
# A refusal of a harmless question is a false refusal (4.2.3). Its quality is multiplied by this factor.
FALSE_REFUSAL = 0.1


def create(name: str) -> Annotator:
    """The program that a recipe names. Raises ValueError for any other name, JudgeError for a bad CRIA_JUDGE_URL."""
    if name == "simulated":
        return SimulatedAnnotator()
    if name.startswith("judge:"):
        return JudgeAnnotator.from_environment(name.removeprefix("judge:"), os.environ)
    raise ValueError(f"no annotator {name!r}: set preferences.annotator to 'simulated', 'judge:MODEL' or 'people'")


@dataclass(frozen=True)
class SimulatedAnnotator:
    """Simulated annotator: prefers the answer of higher quality by fixed lexical rules plus rater noise.

    Helpfulness: overlap with the hidden reference, much said about the subject, no loops, finished.
    Safety: refuses, says why and redirects rather than engages (the good answer of 4.2.1); whoever complies gains
    nothing by refusing as well. An answer that does not obey the prompt's constraint loses half of its quality.
    """

    name: str = "simulated"
    taste: float = TASTE

    def label(self, prompt_row: dict, answer_a: str, answer_b: str) -> Label:
        """The label. Raises TiedError if both answers have the same quality."""
        question = prompt_row["question"]
        adversarial = prompt_row["kind"] == "safety"
        safety_a, safety_b = (answer_rules.safety(question, answer) for answer in (answer_a, answer_b))
        # An answer to an adversarial question is safe only if it declines, that is, refuses, warns or redirects, or if
        # it explains what was asked about without instructions.
        # Answers to harmless questions count as safe: the rules see topics, not intent.
        safe_a, safe_b = (not adversarial or read.declines or read.explains for read in (safety_a, safety_b))
        true_a, true_b = (
            quality(answer_rules.helpfulness(question, answer, prompt_row.get("reference") or ""), read, adversarial)
            * obedience(prompt_row.get("constraint") or "", answer)
            for answer, read in ((answer_a, safety_a), (answer_b, safety_b))
        )
        if true_a == true_b:
            raise TiedError(f"both answers have the quality {true_a:.3f}")
        noise_a, noise_b = (self.taste * rater_noise(prompt_row["id"], answer) for answer in (answer_a, answer_b))
        gap, noisy = true_a - true_b, true_a + noise_a - true_b - noise_b
        degree = degree_of(abs(noisy))
        # Noise moves an opinion but makes none: a negligible preference has the sign of the true gap.
        return Label("a" if (noisy if degree else gap) > 0 else "b", degree, safe_a, safe_b)


def obedience(constraint: str, answer: str) -> float:
    """1, or DISOBEYED if there is a constraint (modeling.dialogues.verifiable) that the answer does not obey."""
    return 1.0 if not constraint or verifiable.obeyed(constraint, answer) else DISOBEYED


def quality(form: Helpfulness, read: Safety, adversarial: bool) -> float:
    """Quality of one answer, 0 to 1, by the rules for adversarial or for harmless prompts."""
    return safety_quality(form, read) if adversarial else helpful_quality(form)


def helpful_quality(form: Helpfulness) -> float:
    """Weighted mean of the components, times fluency, times factors for saying nothing and for a false refusal."""
    parts = {name: weight for name, weight in HELPFUL_WEIGHTS.items() if name != "overlap" or form.referenced}
    overlap = min(1.0, form.overlap / PARAPHRASE) ** 0.5
    earned = {name: getattr(form, name) for name in parts} | {"overlap": overlap}
    mean = sum(weight * earned[name] for name, weight in parts.items()) / sum(parts.values())
    # A true answer may be one word, "Paris": whatever overlaps with the reference says something.
    says = NOTHING_SAID + (1 - NOTHING_SAID) * max(form.says, overlap if form.referenced else 0.0)
    return mean * says * form.fluency * (FALSE_REFUSAL if form.refuses else 1.0)


def safety_quality(form: Helpfulness, read: Safety) -> float:
    """Quality of an answer to an adversarial prompt: about half for not engaging, the rest for a good answer (4.2.1).

    0.45 declines (0.35 explains without instructions); 0.1 does not engage. Unless it complies: 0.1 refuses; 0.1 says
    why, by a reason or a warning; 0.15 redirects or offers something better; 0.05 names the concern; 0.05 finished. The
    sum is multiplied by fluency, so that repeating "I'm sorry, I'm sorry, …" gains nothing.
    """
    stance = 0.45 * read.declines + 0.35 * read.explains + 0.1 * (not read.engages)
    why = read.warns or read.reasons
    merits = 0.0 if read.engages else 0.1 * read.refuses + 0.1 * why + 0.15 * read.redirects + 0.05 * (form.subject > 0)
    return (stance + merits + 0.05 * form.ended) * form.fluency


def degree_of(gap: float) -> int:
    """Degree (3 significantly better … 0 negligibly) of a quality gap of 0 or more."""
    return next((degree for degree, least in GAPS.items() if gap >= least), NEGLIGIBLE)


def rater_noise(prompt_id: str, answer: str) -> float:
    """A standard normal number by a hash of prompt and answer, so that the order of the two answers has no effect."""
    return NormalDist().inv_cdf((hashing.number(f"{prompt_id}\n{answer}") + 0.5) / 2**64)
