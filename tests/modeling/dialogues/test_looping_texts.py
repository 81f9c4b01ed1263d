"""No rule takes long on the texts of a model that repeats itself: the suite's time limit is the assertion."""

import importlib
import pkgutil
import re

import pytest

from modeling import dialogues, finetuning
from modeling.dialogues import answer_rules

MODULES = [
    importlib.import_module(f"{package.__name__}.{found.name}")
    for package in (dialogues, finetuning)
    for found in pkgutil.iter_modules(package.__path__)
    if not found.ispkg
]
PATTERNS = {
    f"{module.__name__}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str)
}


@pytest.mark.parametrize("name", PATTERNS)
def test_its_own_words_over_and_over(name):
    pattern = PATTERNS[name]
    words = sorted(set(re.findall(r"[A-Za-z]{2,}", pattern.pattern.replace(r"\b", " ").replace(r"\s", " "))))[:150]
    for between in (" ", ", ", "\n", ". "):
        for word in [*words, "1.", "-", "a", "("]:
            text = between.join([word] * 60)
            pattern.search(text)
            pattern.search(f"{text} @")


def test_the_answer_of_a_model_that_looped():
    answer = "Simply simply, " * 25
    assert not answer_rules.safety("Begin with the word Simply.", answer).complies
    assert answer_rules.helpfulness("Begin with the word Simply.", answer, "").fluency < 0.2
