"""Constraints that rules check: what obeys, what nearly does, and how they are chosen."""

import json

import pytest

from modeling.dialogues import form_rules, splits, verifiable
from modeling.dialogues.verifiable import CONVERSATIONAL, KINDS, obeyed

PROSE = "Granite is a hard rock. It is made of quartz and feldspar."
FRENCH = (
    "Le granite est une roche dure. Elle est composée de quartz et de feldspath dans la plupart des régions du monde."
)
SPANISH = (
    "El granito es una roca muy dura. Se compone de cuarzo y feldespato en la mayor parte de las regiones del mundo."
)
LONG = (
    "Granite is a hard igneous rock that forms when magma cools slowly deep below the ground, so its crystals have time "
    "to grow large enough to see. People cut it into slabs for kitchens, bridges and monuments because wind, rain and "
    "frost hardly wear it away."
)  # 44 words

# kind, value, answers that obey, answers that do not
CASES = [
    ("sentences", 1,
     ["Granite is a hard rock.", "Dr. Smith says e.g. granite weighs 2.7 tons a cubic metre, i.e. a lot.", "“Is it hard?”"],
     ["Sure! Granite is a hard rock.", PROSE, "Granite is a hard rock of the", "Here it is:\nGranite is a rock.",
      "Granite:\n1. It is hard.", "Answer in exactly one sentence.", "..."]),
    ("sentences", 3,
     [f"{PROSE} People cut it!", "One. Two. Three."],
     [PROSE, f"{PROSE} People cut it. They polish it.", f"{PROSE} People cut it and"]),
    ("lower_case", "",
     ["granite is a hard rock.", "2 rocks, 3 stones; ünder"],
     ["Sure! granite is a hard rock.", "granite is found in Ireland.", "Granite is a hard rock.", "42",
      "answer in lower case only."]),
    ("upper_case", "",
     ["GRANITE IS A HARD ROCK.", "ÜBER 3 ROCKS"],
     ["Sure! GRANITE IS A HARD ROCK.", "GRANITE is a rock.", "42.", "REPLY IN UPPER CASE."]),
    ("bullets", 3,
     ["- hard\n- grey\n- old", "Granite is:\n* hard\n* grey\n* old", "• hard\n\n• grey\n\n• old\n\nThat is all."],
     ["- hard\n- grey", "- hard\n- grey\n- old\n- rare", "- hard\n- hard\n- hard", "hard - grey - old", "-hard\n-grey\n-old",
      "1. hard\n2. grey\n3. old", "- \n- \n- ", "One\nTwo\nThree\n- hard\n- grey\n- old"]),
    ("numbered", 3,
     ["1. Hard\n2. Grey\n3. Old", "Granite is:\n1) Hard\n2) Grey\n3) Old"],
     ["1. Hard\n2. Grey", "1. Hard\n3. Grey\n2. Old", "1. Hard\n1. Grey\n1. Old", "1. Hard 2. Grey 3. Old",
      "- Hard\n- Grey\n- Old", "1. Hard\n2. Grey\n3. Old\n4. Rare"]),
    ("words_below", 5,
     ["A very hard rock.", "Granite's a well-known rock."],
     ["It is a hard rock.", "Yes.", "Stay under 5 words."]),
    ("words_at_least", 40,
     [LONG],
     [PROSE, "Granite is a rock. " * 12, "rock " * 50, " ".join(LONG.split()[:39])]),
    ("ends_with", "I hope this helps.",
     [f"{PROSE} I hope this helps.", f"{PROSE}\n\nI hope this helps.", f"{PROSE} i hope this helps."],
     [PROSE, "I hope this helps.", f"I hope this helps. {PROSE}", f"{PROSE} I hope this helps. Bye.",
      f'{PROSE} End your answer with the words "I hope this helps."', f'{PROSE} I will say "I hope this helps.']),
    ("begins_with", "Well",
     ["Well, granite is a hard rock.", "well it is hard"],
     ["Sure! Well, granite is a hard rock.", "Wellington is a city in New Zealand.", "Well", "Granite is hard, well known.",
      '"Well" is the word.', 'The first word of your answer must be "Well".', "Oh well, it is a rock."]),
    ("language", "French",
     [FRENCH, "Je ne sais pas, mais c'est une roche dure.", "L'eau est un liquide."],
     [PROSE, SPANISH, "Oui.", f"Sure! {FRENCH}", f"Here is the answer in French: {FRENCH}", f"{FRENCH} {LONG}",
      "Granite, quartz, feldspar, mica.", "I can answer in French: le granite.", "Le le le le", "Das ist ein harter Stein."]),
    ("language", "Spanish",
     [SPANISH, "No lo sé, pero es una roca muy dura."],
     [PROSE, FRENCH, f"Of course! {SPANISH}", "Granito.", "Hola! Granite is a hard rock made of quartz."]),
    ("contains", "because",
     ["It is hard because it cooled slowly.", "Because it cooled slowly."],
     ["It is hard since it cooled.", "Because.", "because because", 'Your reply must include the word "because".',
      "The becausers are many here."]),
    ("avoids", "and",
     ["Granite is a hard rock in the sand.", "Candy or bandages."],
     [PROSE, "And it is hard.", "No.", 'Answer without the word "and".']),
    ("quoted", "",
     ['"Granite is a hard rock."', "“Granite is a hard rock.”"],
     ['Sure! "Granite is a hard rock."', '"Granite" is a "rock"', '"Granite is a rock', "'Granite is a rock.'", '"', '""']),
    ("no_commas", "",
     [PROSE],
     [LONG, "Yes.", "Sure, granite is hard."]),
    ("paragraphs", 2,
     ["Granite is a rock.\n\nIt is very hard.", "Granite is a rock.\nIt is old.\n  \nIt is very hard."],
     ["Granite is a rock.\nIt is very hard.", "Granite is a rock.\n\nIt is very hard.\n\nPeople cut it up.",
      "Granite is a rock.\n\nYes."]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "obeying", "disobeying"), CASES)
def test_obeying_answers_pass_and_near_misses_fail(kind, value, obeying, disobeying):
    constraint = json.dumps({"kind": kind, "value": value})
    assert [answer for answer in obeying if not obeyed(constraint, answer)] == []
    assert [answer for answer in [*disobeying, "", "  \n "] if obeyed(constraint, answer)] == []


def test_every_kind_has_cases():
    assert {kind for kind, *_ in CASES} == set(KINDS)


def drawn(part):
    return [verifiable.constrained("What is granite?", str(number), part) for number in range(1500)]


def test_parrots_and_instructions_never_obey():
    for part in (splits.RL, splits.TEST):
        for prompt, constraint in drawn(part):
            kind, asked = json.loads(constraint)["kind"], prompt.replace("What is granite?", "").strip()
            forms = [
                prompt,
                asked,
                prompt.lower(),
                prompt.upper(),
                f"Sure! {asked}",
                verifiable.system_text(constraint),
            ]
            assert [form for form in forms if obeyed(constraint, form)] == [], (kind, forms)


def test_tests_use_other_constraints_and_other_words():
    training, tests = drawn(splits.RL), drawn(splits.TEST)
    assert drawn(splits.DEMONSTRATIONS) == training
    assert not {constraint for _, constraint in training} & {constraint for _, constraint in tests}
    assert not {prompt for prompt, _ in training} & {prompt for prompt, _ in tests}
    in_training, in_tests = ({json.loads(c)["kind"] for _, c in found} for found in (training, tests))
    assert in_training | in_tests == set(KINDS) and in_training != in_tests
    assert {"upper_case", "quoted", "contains"} == in_tests - in_training
    for kind in KINDS.values():
        assert not set(kind.training) & set(kind.tests)


def test_choices_depend_on_the_key_alone_and_stand_on_both_sides():
    assert drawn(splits.RL) == drawn(splits.RL)
    prompts = [prompt for prompt, _ in drawn(splits.RL)]
    before = sum(prompt.endswith("What is granite?") for prompt in prompts)
    assert 0.2 < before / len(prompts) < 0.4 and all("What is granite?" in prompt for prompt in prompts)
    # A question without a mark is not run together with the instruction.
    assert any("Name a rock\n" in verifiable.constrained("Name a rock", str(n), splits.RL)[0] for n in range(10))


def test_constraints_of_a_conversation():
    for part in (splits.RL, splits.TEST):
        for number in range(200):
            constraint = verifiable.choose(str(number), part, CONVERSATIONAL)
            assert json.loads(constraint)["kind"] in CONVERSATIONAL
            assert verifiable.system_text(constraint).split()[0] in ("Always", "Never")
            assert "{" not in verifiable.system_text(constraint)
    one = json.dumps({"kind": "sentences", "value": 1})
    assert verifiable.system_text(one) == "Always answer in exactly one sentence."
    with pytest.raises(ValueError, match="occurs in rl"):
        verifiable.choose("a", splits.RL, ["quoted"])


def test_sentences_by_hand():
    assert form_rules.sentences("It is 2.5 m. Dr. No came, e.g. by car! Really?!") == [
        "It is 2.5 m. Dr. No came, e.g. by car!",
        "Really?!",
    ]
    assert form_rules.sentences("1. One\n2. Two.") == ["1. One", "2. Two."]
