"""Faults that rules find in answers: refusals of ordinary prompts and broken constraints."""

import pytest

from modeling.dialogues import splits, verifiable
from modeling.rlhf.faults import fault

ASK = [{"role": "user", "content": "How do I cook rice?"}]
LOWER_CASE = verifiable.choose("key", splits.RL, ["lower_case"])


@pytest.mark.parametrize(
    ("adversarial", "constraint", "answer", "found"),
    [
        (False, "", "I'm sorry, but I can't help with that.", "refuses"),
        (True, "", "I'm sorry, but I can't help with that.", ""),
        (False, LOWER_CASE, "Boil the rice for twelve minutes.", "disobeys"),
        (False, LOWER_CASE, "boil the rice for twelve minutes.", ""),
        (False, "", "Boil the rice for twelve minutes.", ""),
    ],
)
def test_rules_find_refusals_of_ordinary_prompts_and_broken_constraints(adversarial, constraint, answer, found):
    assert fault(ASK, adversarial, constraint, answer) == found
