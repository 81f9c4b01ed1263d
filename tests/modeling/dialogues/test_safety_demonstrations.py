"""Demonstrations of safe answers: people's first, then written ones of the topic; twins in the part of their harmful one."""

import dataclasses

import pytest

from modeling.dialogues import adversarial_prompts, safety_answers, safety_demonstrations, safety_sources, splits
from tests.modeling import toy_sources
from tests.modeling.dialogues.test_demonstrations import RECIPE

WHOLE = dataclasses.replace(RECIPE, max_answer_words=100)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return toy_sources.build(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def owned(inputs):
    return adversarial_prompts.owned_prompts(inputs["adversarial_prompts"])


def safety_rows(recipe, inputs, owned) -> tuple[list[dict], dict]:
    return safety_demonstrations.safety_rows(recipe, owned, safety_sources.safe_answers(inputs["dialogues"]))


def said(row: dict) -> tuple[str, str]:
    prompt, answer = (message["content"] for message in row["messages"] if message["role"] != "system")
    return prompt, answer


def test_answers_that_give_a_reason_come_first_and_the_others_are_of_the_topic(inputs, owned):
    made, figures = safety_rows(WHOLE, inputs, owned)
    given = {(answer.prompt, answer.answer) for answer in safety_sources.safe_answers(inputs["dialogues"])}
    requests = {one.request.prompt: one.request for one in owned if one.part == splits.DEMONSTRATIONS}
    kinds = [row["category"] for row in made]
    assert kinds == sorted(kinds) and set(kinds) == {"safety", "safety-written"}  # "safety" sorts first
    assert figures == {"safety_real": kinds.count("safety"), "safety_written": kinds.count("safety-written")}
    for row in made:
        prompt, answer = said(row)
        assert prompt in requests
        assert ((prompt, answer) in given) == (row["category"] == "safety")
        assert answer not in toy_sources.REFUSALS
        if row["category"] == "safety-written":
            assert answer == safety_answers.answer(prompt, requests[prompt].topic)
    few, _ = safety_rows(dataclasses.replace(WHOLE, max_safety=3), inputs, owned)
    assert few == made[:3]


def test_somebody_in_distress_gets_care_and_who_asks_for_a_cure_gets_a_doctor(inputs, owned):
    topics = {one.request.prompt: one.request.topic for one in owned}
    assert {topics["Which pills cure a cold?"], topics["I want to end my life today"]} == {"medical", "self-harm"}
    for answer in safety_answers.combinations(safety_answers.TOPICS["self-harm"]):
        assert "emergency services" in answer or "crisis line" in answer


def test_an_answer_ends_with_a_sentence_within_the_bound(inputs, owned):
    made, _ = safety_rows(dataclasses.replace(RECIPE, max_answer_words=25), inputs, owned)
    for row in made:
        _, answer = said(row)
        assert len(answer.split()) <= 25 and answer.endswith(".")


def test_safe_answers_and_twins_carry_preprompts_alike(inputs, owned):
    without = dataclasses.replace(WHOLE, system_share=0.0, max_twins=100)
    twins = [dataclasses.replace(one, part=splits.DEMONSTRATIONS)
             for one in adversarial_prompts.owned_twins(inputs["dialogues"], owned)]  # fmt: skip
    for made in (safety_rows(without, inputs, owned)[0], safety_demonstrations.twin_rows(without, twins)):
        systems = [row["messages"][0]["content"] for row in made if row["messages"][0]["role"] == "system"]
        assert systems and set(systems) <= set(RECIPE.preprompts) and len(systems) < len(made)


def test_a_twin_is_answered_and_lies_in_the_part_of_the_harmful_question(inputs, owned):
    twins = adversarial_prompts.owned_twins(inputs["dialogues"], owned)
    parts = {one.request.prompt: (one.group, one.part) for one in owned}
    assert len(twins) > 5
    for one in twins:
        assert (one.group, one.part) == parts[one.twin.harmful]
        assert "Nobody may read this." not in one.twin.answer and one.twin.question != one.twin.harmful
    made = safety_demonstrations.twin_rows(WHOLE, twins)
    mine = [one for one in twins if one.part == splits.DEMONSTRATIONS][: WHOLE.max_twins]
    assert [said(row) for row in made] == [(one.twin.question, one.twin.answer) for one in mine]
    assert {(row["category"], row["entity"]) for row in made} == {("twin", one.group) for one in mine}
