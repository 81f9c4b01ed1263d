"""Who says which of two answers is better: the annotator of a recipe, and the embedded default, a simulated one.

The paper's annotators pick one answer, say how much better it is, and label both for safety (3.2.1). Whatever stands in
for them is named in the `annotator` column of every pair.
"""

import os
from dataclasses import dataclass
from statistics import NormalDist

from modeling.core import hashing
from modeling.dialogues import answer_rules
from modeling.dialogues.answer_rules import Helpfulness, Safety
from modeling.rlhf.labels import BETTER, NEGLIGIBLE, SIGNIFICANT, SLIGHT, Annotator, Label
from modeling.rlhf.model_annotator import JudgeAnnotator

# Smallest quality gap of each degree. Set so that helpfulness pairs of a small model fall into shares like Figure 25's
# (negligibly 39 %, slightly 24 %, better 25 %, significantly 12 %).
GAPS = {SIGNIFICANT: 0.25, BETTER: 0.14, SLIGHT: 0.06}

# Standard deviation of the rater's own taste, in the units of quality (0 to 1). On answers of a small model two raters
# with it prefer the same one in 78 % of pairs: 57 % of "negligibly", 86 % of "slightly", all of "better" ones.
TASTE = 0.03

# Weights of the parts of a helpful answer, summing to 1. Where no reference is known, overlap's goes to the rest.
# What is said counts for more than how: else reward models learn form alone, and policies that please them stray.
HELPFUL_WEIGHTS = {"overlap": 0.50, "subject": 0.25, "ended": 0.125, "length": 0.125}
# Words shared with the reference (F1) that earn all of overlap: true answers in other words share about so much. What is
# earned goes with the root: the first shared words, the right kind of thing, tell two weak answers apart.
PARAPHRASE = 0.4
# A refusal of a harmless question is a false refusal (4.2.3): it keeps this part of its quality.
FALSE_REFUSAL = 0.1


def create(name: str) -> Annotator:
    """The annotator a recipe names. Raises ValueError for a name that is not there."""
    if name == "simulated":
        return SimulatedAnnotator()
    if name.startswith("judge:"):
        return JudgeAnnotator.from_environment(name.removeprefix("judge:"), os.environ)
    raise ValueError(f"no annotator {name!r}: set preferences.annotator to 'simulated' or 'judge:MODEL'")


@dataclass(frozen=True)
class SimulatedAnnotator:
    """Judges by the written rules below alone, and reads the hidden true answer. It is no person.

    Helpfulness: overlap with the reference, names the subject, no loops, finished, sensible length.
    Safety: refuses, warns and redirects rather than engages (the good answer of 4.2.1), then the same form.
    """

    name: str = "simulated"
    taste: float = TASTE

    def label(self, prompt_row: dict, answer_a: str, answer_b: str) -> Label:
        question = prompt_row["question"]
        adversarial = prompt_row["kind"] == "safety"
        safety_a, safety_b = (answer_rules.safety(question, answer) for answer in (answer_a, answer_b))
        # An adversarial question is answered safely by declining, warning or pointing elsewhere; whatever else sets out
        # to answer it. Harmless questions have safe answers: the rules know topics, not intent.
        safe_a, safe_b = (not adversarial or read.declines for read in (safety_a, safety_b))
        quality_a, quality_b = (
            quality(answer_rules.helpfulness(question, answer, prompt_row.get("reference") or ""), read, adversarial)
            + self.taste * rater_noise(prompt_row["id"], answer)
            for answer, read in ((answer_a, safety_a), (answer_b, safety_b))
        )
        gap = quality_a - quality_b
        return Label("a" if gap >= 0 else "b", degree_of(abs(gap)), safe_a, safe_b)


def quality(form: Helpfulness, read: Safety, adversarial: bool) -> float:
    """Quality of one answer, 0 to 1."""
    return safety_quality(form, read) if adversarial else helpful_quality(form)


def helpful_quality(form: Helpfulness) -> float:
    """Weighted mean of the parts, times the share of it that says something new. A false refusal keeps FALSE_REFUSAL."""
    parts = {name: weight for name, weight in HELPFUL_WEIGHTS.items() if name != "overlap" or form.referenced}
    earned = {name: getattr(form, name) for name in parts} | {"overlap": min(1.0, form.overlap / PARAPHRASE) ** 0.5}
    mean = sum(weight * earned[name] for name, weight in parts.items()) / sum(parts.values())
    return mean * form.fluency * (FALSE_REFUSAL if form.refuses else 1.0)


def safety_quality(form: Helpfulness, read: Safety) -> float:
    """Half of it is whether the answer stays out of harm, the rest is what makes a safe answer good (4.2.1), and form.

    0.45 declines, warns or points elsewhere; 0.1 leaves the topic alone; 0.15 refuses; 0.1 explains the risk; 0.1 points
    to something better; 0.1 well formed. All of it times the share that says something new: "I'm sorry, I'm sorry, …"
    is no better for being long.
    """
    stance = 0.45 * read.declines + 0.1 * (not read.engages)
    merits = 0.15 * read.refuses + 0.1 * read.warns + 0.1 * read.redirects + 0.1 * form.ended * form.length
    return (stance + merits) * form.fluency


def degree_of(gap: float) -> int:
    """Degree of a quality gap of 0 or more."""
    return next((degree for degree, least in GAPS.items() if gap >= least), NEGLIGIBLE)


def rater_noise(prompt_id: str, answer: str) -> float:
    """A standard normal figure that belongs to this answer to this prompt, in whatever order it is shown."""
    return NormalDist().inv_cdf((hashing.number(f"{prompt_id}\n{answer}") + 0.5) / 2**64)
