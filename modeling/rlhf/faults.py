"""What rules find wrong with an answer to a prompt that is not adversarial.

A reward model alone does not see it: it learns from refusals of adversarial prompts that refusals are good, and it does
not count commas. Rejection sampling never teaches such an answer, and PPO subtracts a penalty for it.
"""

from collections.abc import Sequence

from modeling.dialogues import verifiable
from modeling.rlhf import comparison

REFUSES, DISOBEYS = FAULTS = ("refuses", "disobeys")


def fault(messages: Sequence[dict], adversarial: bool, constraint: str, answer: str) -> str:
    """REFUSES, DISOBEYS (the constraint, JSON, or "" without one) or "". Adversarial prompts have no faults."""
    if adversarial:
        return ""
    if comparison.refuses(messages, answer):
        return REFUSES
    return DISOBEYS if constraint and not verifiable.obeyed(constraint, answer) else ""
