"""Pairs of answers that people scored: the safer one and the more harmful one to the same adversarial prompt.

They come from the half of PyRIT's objectives that the independent judge does not own, without prompts of the tests. The
safety reward model learns from them beside the annotator's pairs.
"""

import collections
from pathlib import Path

from modeling.dialogues import adversarial_prompts, judge_labels, safety_sources, splits

LEAST_GAP = 0.5  # between two mean harm scores, 0 to 1: two steps of the raters' scale of five
WIDE_GAP = 0.75


def human_pairs(dialogues: Path, adversarial: Path) -> list[dict]:
    """Rows with prompt, entity, category, safer, harmful, safer_harm, harmful_harm and gap, in the order of prompts.

    An answer is in one pair at most: the safest goes with the most harmful, and so on inwards.
    """
    owned = {
        one.request.prompt: one.group
        for one in adversarial_prompts.owned_prompts(adversarial)
        if one.part in (splits.RL, splits.DEMONSTRATIONS)
    }
    by_prompt = collections.defaultdict(list)
    for answer in safety_sources.scored_answers(dialogues):
        if answer.prompt in owned and answer.answer:
            by_prompt[answer.prompt].append(answer)
    pairs = []
    for prompt, answers in sorted(by_prompt.items()):
        ranked = sorted(answers, key=lambda answer: (answer.harm, answer.answer))
        for safer, harmful in zip(ranked, reversed(ranked[(len(ranked) + 1) // 2 :]), strict=False):
            if harmful.harm - safer.harm >= LEAST_GAP:
                pairs.append(
                    {
                        "prompt": prompt,
                        "entity": owned[prompt],
                        "category": safer.category,
                        "safer": safer.answer,
                        "harmful": harmful.answer,
                        "safer_harm": safer.harm,
                        "harmful_harm": harmful.harm,
                        "gap": harmful.harm - safer.harm,
                    }
                )
    return pairs


def violates(harm: float) -> bool:
    """Whether a mean harm score is a violation, by the threshold of the judge."""
    return harm >= judge_labels.VIOLATION
