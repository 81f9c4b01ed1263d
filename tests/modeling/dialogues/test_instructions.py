"""Instructions for a conversation: drawn by hash, put into words in two lengths, checked by rules."""

import json
from collections import Counter

from modeling.dialogues import instructions, splits, verifiable
from orchestration import scales

KINDS = ("sentences", "lower_case", "words_below", "ends_with", "begins_with", "bullets", "language")
FIGURES = ("Marie Curie", "Napoleon")


def drawn(count=400, unchecked=0.0, combined=0.0, part=splits.RL, figures=FIGURES):
    shares = instructions.Shares(KINDS, unchecked, combined)
    return [instructions.draw(f"talk {number}", shares, part, figures) for number in range(count)]


def kinds(constraints):
    return [instructions.kind_and_value(one)[0] for one in constraints]


def test_every_kind_of_every_scale_has_a_short_form_that_is_shorter():
    trained = {kind for name in scales.SCALES for kind in scales.scale(name).ghost.kinds}
    for kind in trained | set(verifiable.CONVERSATIONAL):
        one = verifiable.choose("any", splits.RL, [kind])
        full, short = instructions.text([one]), instructions.text([one], short=True)
        assert len(short) < len(full) and full != short
        value = str(instructions.kind_and_value(one)[1])
        assert value in short
    figure = json.dumps({"kind": "figure", "value": "Napoleon"})
    assert instructions.text([figure], short=True) == "Figure: Napoleon."
    assert instructions.text([figure]) == "Act as Napoleon."


def test_shares_are_those_asked_for_and_a_key_draws_the_same_again():
    found = drawn(unchecked=0.3, combined=0.25)
    assert found == drawn(unchecked=0.3, combined=0.25)
    assert 0.22 < sum(not instructions.checked(each[:1]) for each in found) / len(found) < 0.38
    assert 0.18 < sum(len(each) == 2 for each in found) / len(found) < 0.32
    seen = Counter(kind for each in found for kind in kinds(each))
    assert set(seen) == {*KINDS, "figure", "hobby"}
    assert {
        value for each in found for kind, value in map(instructions.kind_and_value, each) if kind == "figure"
    } == set(FIGURES)
    assert all(len(each) == 1 for each in drawn())


def test_two_constraints_of_one_instruction_do_not_contradict_each_other():
    for each in drawn(combined=1.0):
        first, *second = kinds(each)
        assert second and first != second[0]
        assert {first, second[0]} not in (
            {"language", "ends_with"},
            {"sentences", "ends_with"},
            {"bullets", "sentences"},
        )


def test_tests_ask_for_values_that_training_does_not():
    shared = {kind for kind in KINDS if verifiable.KINDS[kind].test_values}
    trained = {one for each in drawn() for one in each}
    tested = {
        one for number in range(400)
        for one in instructions.draw(f"talk {number}", instructions.Shares(tuple(shared), 0.0, 0.0), splits.TEST)
    }  # fmt: skip
    assert tested and not trained & tested


def test_without_people_a_role_is_a_hobby():
    assert {kind for each in drawn(unchecked=1.0, figures=()) for kind in kinds(each)} == {"hobby"}


def test_rules_judge_only_what_they_can_check():
    hobby = json.dumps({"kind": "hobby", "value": "chess"})
    lower = json.dumps({"kind": "lower_case", "value": ""})
    assert instructions.obeyed([hobby], "Anything at all.")
    assert instructions.obeyed([hobby, lower], "all small.") and not instructions.obeyed([hobby, lower], "Not small.")
