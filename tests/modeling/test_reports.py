"""Prompts, answers and categories of strangers are no markup in any report that a stage writes for people."""

import collections

import pytest

from modeling.core import reporting
from modeling.dialogues import demonstrations, prompts
from modeling.evaluation import answer_rates, generations
from modeling.rlhf import preferences, rejection_sampling
from modeling.rlhf.ppo import report as ppo_report
from modeling.rlhf.ppo.rollout import Prompt
from modeling.rlhf.ppo.state import Progress
from modeling.safety import context_distillation
from tests.data_cleaning.test_markdown import MARKUP, WORD, shown
from tests.modeling.toy_evaluation import RECIPE, prompt, scored


def turns(text: str) -> list[dict]:
    return [
        {"role": "user", "content": text},
        {"role": "assistant", "content": text},
        {"role": "user", "content": text},
    ]


def of_prompts(text, out):
    prompts.report({"test": [prompt("safety", 1, text, text, messages=turns(text))]}, out)
    return (out / "report.md").read_text()


def of_demonstrations(text, out):
    rows = [{"id": "a", "category": text, "messages": turns(text)}]
    dropped = [{"source": text, "reason": text, "requests": 1}]
    demonstrations.report(rows, collections.Counter([text]), dropped, out)
    return (out / "report.md").read_text()


def of_generations(text, out):
    asked = [prompt("safety", 1, text, messages=turns(text))]
    return generations.examples(asked, generations.answer_rows("SFT", asked, [text], 0.7))


def of_preferences(text, out):
    pair = {"kind": "safety", "degree": 1, "annotator": text, "messages": turns(text), "chosen": text, "rejected": text,
            "chosen_safe": True, "rejected_safe": False, "chosen_from": "SFT", "rejected_from": "SFT"}  # fmt: skip
    return preferences.examples([pair])


def of_rejection_sampling(text, out):
    scores = {"reward": 1.0, "helpfulness": 1.0, "safety": 1.0}
    return rejection_sampling.examples(
        [[{"kind": "safety", "rank": 0, "messages": turns(text), "response": text, **scores}]]
    )


def of_ppo(text, out):
    progress = Progress(first_texts=[text], best_texts=[text])
    return ppo_report.examples(progress, [Prompt("a", turns(text), True, "", [])])


def of_distillation(text, out):
    row = {"kept": True, "category": text, "messages": turns(text), "guide": "generic", "preprompt": text,
           "original": text, "distilled": text,
           "original_score": 0.1, "distilled_score": 0.2}  # fmt: skip
    return context_distillation.examples([row])


def of_answer_rates(text, out):
    rows = [scored("SFT", n, setting, category=text) for n, setting in enumerate(("adversarial", "everyday"))]
    return answer_rates.report(answer_rates.figures({"SFT": rows}, RECIPE))


@pytest.mark.parametrize("text", [text for text in MARKUP if "\n" not in text])
@pytest.mark.parametrize("report", [
    of_prompts, of_demonstrations, of_generations, of_preferences, of_rejection_sampling, of_ppo, of_distillation,
    of_answer_rates,
])  # fmt: skip
def test_text_of_strangers_is_no_markup(report, text, tmp_path):
    assert shown(report(text, tmp_path)).tags == shown(report(WORD, tmp_path)).tags


def test_a_quotation_is_bounded_and_says_where_there_is_nothing():
    assert reporting.quoted("word " * 1000, limit=9) == "> word word …"
    assert reporting.quoted(" \n") == "> *(empty)*"
    assert reporting.quoted("a\n\n# b") == "> a\n>\n> \\# b"
