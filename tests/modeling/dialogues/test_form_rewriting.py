"""Answers rewritten by rule obey, and say nothing that the answer did not say."""

import json

import pytest

from modeling.dialogues import form_rewriting, verifiable
from modeling.dialogues.form_rules import NUMBERED, WORD

ANSWER = (
    "The sea is wide and deep. It covers most of the Earth, and it holds salt.\nShips cross it every day. Dr. Smith "
    "studies it from a small boat that"
)


def constraint(kind, value=""):
    return json.dumps({"kind": kind, "value": value})


ONE = [
    constraint("sentences", 1), constraint("sentences", 3), constraint("lower_case"), constraint("words_below", 20),
    constraint("ends_with", "That is all."), constraint("begins_with", "Indeed"), constraint("bullets", 3),
    constraint("numbered", 3), constraint("paragraphs", 2), constraint("avoids", "and"), constraint("no_commas"),
]  # fmt: skip


@pytest.mark.parametrize("asked", [*([one] for one in ONE), [ONE[2], ONE[0]], [ONE[5], ONE[4]], [ONE[3], ONE[5]]])
def test_the_rewritten_answer_obeys_and_adds_only_words_that_the_constraint_names(asked):
    assert not all(verifiable.obeyed(one, ANSWER) for one in asked)
    text = form_rewriting.rewritten(asked, ANSWER, ended=False)
    assert all(verifiable.obeyed(one, text) for one in asked)
    named = " ".join(str(json.loads(one)["value"]) for one in asked)
    known = {word.lower() for word in WORD.findall(f"{ANSWER} {named}")}
    said = "\n".join(NUMBERED.sub("", line) for line in text.splitlines())
    assert {word.lower() for word in WORD.findall(said)} <= known


def test_the_unfinished_sentence_of_a_cut_answer_goes():
    assert form_rewriting.rewritten([], ANSWER, ended=False).endswith("Ships cross it every day.")
    assert form_rewriting.rewritten([], ANSWER, ended=True).endswith("boat that")
    assert form_rewriting.rewritten([], "One sentence that has no", ended=False) is None
    assert form_rewriting.rewritten([], "", ended=True) is None


def test_a_name_keeps_its_capital_letter_within_a_sentence():
    begin = [constraint("begins_with", "Well")]
    assert form_rewriting.rewritten(begin, "The sea is wide.", True) == "Well, the sea is wide."
    assert form_rewriting.rewritten(begin, "Napoleon was an emperor.", True) == "Well, Napoleon was an emperor."


def test_list_marks_are_no_part_of_a_sentence():
    listed = "1. Water\n2. Salt\n3. Fish"
    assert form_rewriting.rewritten([constraint("bullets", 3)], listed, True) == "- Water\n- Salt\n- Fish"
    assert form_rewriting.rewritten([constraint("lower_case")], listed, True) == "water salt fish"


def test_no_rule_translates_or_makes_items_of_nothing():
    french = constraint("language", "French")
    assert not verifiable.obeyed(french, form_rewriting.rewritten([french], ANSWER, True))
    assert form_rewriting.rewritten([constraint("words_below", 3)], ANSWER, True) is None
