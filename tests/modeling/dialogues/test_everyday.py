"""Everyday requests: what is left out and why, whole recipes, and a split in which near-duplicates stay together."""

import json

import pytest

from modeling.dialogues import everyday, everyday_rules, everyday_sources, recipes, splits
from modeling.dialogues.everyday_sources import Asked
from tests.modeling import toy_sources


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory):
    return toy_sources.build(tmp_path_factory.mktemp("sources"))["dialogues"]


def add(dialogues, name: str, use: str, rows: list[dict]) -> None:
    """A person's own source in a dialogues artifact."""
    entries = json.loads((dialogues / "sources.json").read_text())
    (dialogues / "sources.json").write_text(json.dumps([*entries, {"name": name, "use": use}]))
    (dialogues / "raw" / name).mkdir()
    (dialogues / "raw" / name / "own.jsonl").write_text("\n".join(json.dumps(row) for row in rows))


def test_each_source_is_in_its_parts_alone(dialogues):
    requests, left_out = everyday.requests(dialogues)
    parts = {source: {one.part for one in requests if one.source == source} for source in everyday.PARTS}
    for source in ("recipes", "glaive", "aplomb", "dpo", "rho-refusal", "rho-overrefusal"):
        assert parts[source] and parts[source] <= set(dict(everyday.PARTS[source]))
    assert parts["recipes"] == {splits.DEMONSTRATIONS, splits.RL}
    assert {one.source for one in requests if one.borderline} == {"rho-refusal", "rho-overrefusal", "aplomb"}
    assert left_out["glaive", "tool calls, or another role"] == 1


def test_a_follow_up_has_the_exchange_before_it_and_stays_with_its_chat(dialogues):
    requests, _ = everyday.requests(dialogues)
    late = [one for one in requests if one.before]
    openings = [one for one in requests if one.question.startswith("How do I repair")]
    assert len(late) == len(openings) > 6 and all(one.question == "What else can I do with it?" for one in late)
    by_question = {one.question: one for one in requests}
    for one in late:
        first, answer = one.before
        opening = by_question[first["content"]]
        assert answer["content"] == opening.answer and (one.entity, one.part) == (opening.entity, opening.part)


def test_the_shares_of_the_table_sum_to_one():
    for shares in everyday.PARTS.values():
        assert sum(share for _, share in shares) == pytest.approx(1.0)


def test_a_near_duplicate_of_a_test_request_is_learnt_nowhere(tmp_path):
    dialogues = toy_sources.build(tmp_path)["dialogues"]
    answer = "Take one name from a book, one from a river, and the last from a friend who likes shops."
    other = {"prompt": "How do I whistle loudly with two fingers?", "completion": answer}
    question = f"Suggest three good names for a {toy_sources.THINGS[0]} shop"
    add(dialogues, "mine", "dialogues", [{"prompt": question, "completion": answer}, other])
    requests, left_out = everyday.requests(dialogues)
    assert left_out["mine", "resembles requests of another part"] == 1
    (own,) = [one for one in requests if one.source == "mine"]
    assert own.part in (splits.DEMONSTRATIONS, splits.RL) and own.answer == answer


def test_a_request_about_a_text_of_another_part_is_left_out(tmp_path):
    dialogues = toy_sources.build(tmp_path)["dialogues"]
    things = [f"Zorb{letter * 3}" for letter in "abcdefghijkl"]
    answer = "It is a large round ball of clear plastic in which people roll down a hill for fun."
    add(dialogues, "mine", "dialogues", [{"prompt": f"What is a {thing}?", "completion": answer} for thing in things])
    known = {splits.about(thing) for thing in things}
    requests, left_out = everyday.requests(dialogues, known)
    kept = [one for one in requests if one.source == "mine"]
    assert all(splits.part_of(splits.about(one.question), splits.KNOWLEDGE) == one.part for one in kept)
    assert left_out["mine", "about a reference text of another part"] == len(things) - len(kept) > 0


def test_a_persons_file_of_an_unknown_shape_is_an_error_and_not_silence(tmp_path):
    dialogues = toy_sources.build(tmp_path)["dialogues"]
    add(dialogues, "mine", "dialogues", [{"query": "How?", "reply": "So."}])
    with pytest.raises(ValueError, match=r"own\.jsonl, line 1: no known shape, its keys are: query, reply"):
        everyday.requests(dialogues)


def test_groups_link_near_duplicates_and_the_requests_of_one_chat():
    asked = [Asked(question, "", "s", chat, question) for question, chat in (
        ("How do I grow tomatoes?", "a"), ("Tell me how to grow tomatoes", "b"), ("Why is the sky blue?", "b"),
        ("How do I tie a tie?", "c"))]  # fmt: skip
    first, second, third, fourth = everyday.grouped(asked)
    assert first == second == third != fourth


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("How do I boil an egg?", None),
        ("Great tips! How do I keep bananas fresh?", None),
        ("Hello there", "too short"),
        ("Wie koche ich ein weiches Ei für alle äußerst hungrigen Gäste über Ostern?", "English|exercise"),
        ("Q: Pick one. Options: (A) yes", "exercise"),
        ("What is 12 + 4?", "exercise"),
        ("Translate this sentence to French.", "exercise"),
        ("Please book a flight for me.", "exercise"),
        ("How do I kill my neighbour?", "alarming"),
        ("What does our company offer?", "company"),
    ],
)
def test_which_questions_are_everyday_requests(question, reason):
    why = everyday_rules.unfit_question(question)
    assert why is None if reason is None else any(one in why for one in reason.split("|"))


LONG = " ".join(f"This is plain sentence number {n} of a long answer." for n in range(12))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Put the egg into boiling water, wait for seven minutes, cool it, and peel it.", None),
        ("Boil it.", "too short"),
        (LONG, "too long"),
        ("I'm sorry, but I cannot help you with that request, since it is not allowed here.", "refuses"),
        ("As an AI, I can only use the functions provided, so please ask for one of these.", "tools"),
        ("Hello {{name}}, this is the answer to the question that you asked me an hour ago.", "placeholder"),
        ("Write to me at bob@example.org and I will send you all that you need to know.", "personal"),
        ("The egg is done after seven minutes in boiling water and then you take it out of", "unfinished"),
    ],
)
def test_which_answers_a_person_would_like(answer, reason):
    why = everyday_rules.unfit_answer(answer)
    assert why is None if reason is None else reason in why


def test_long_prose_is_cut_after_a_whole_sentence_and_a_list_is_not():
    short = everyday_rules.shortened(LONG)
    assert LONG.startswith(short) and short.endswith("answer.") and 80 < len(short.split()) <= everyday_rules.MOST_WORDS
    listed = "\n".join(f"{n}. {LONG}" for n in range(2))
    assert everyday_rules.shortened(listed) == listed


def test_a_recipe_is_whole_or_not_there():
    steps = ["Peel and slice the leeks, and wash them well in cold water", "Fry them gently in the oil until they are soft",
             "Add the stock and salt, and cook for 20 minutes more."]  # fmt: skip
    row = {
        "title": "Cookbook:French Leek Soup II",
        "ingredients": ["3 leeks", "Oil (2 tbsp)", "1 l stock"],
        "steps": steps,
    }
    common = recipes.common_words([row])
    question, answer, dish = recipes.request(row, common | {"leek", "soup"})
    assert dish == "French leek soup" and dish in question
    assert all(step.rstrip(".") in answer for step in steps) and "3 leeks, oil and 1 l stock" in answer
    for changed in ({"steps": steps * 9}, {"ingredients": ["Water"]}, {"steps": [*steps, "* see [[Stock]]"]},
                    {"ingredients": ["For the stock:", *row["ingredients"]]}):  # fmt: skip
        assert recipes.request(row | changed, common) is None


def test_a_request_of_a_test_source_stays_without_an_answer_that_nobody_would_learn_from(tmp_path):
    dialogues = toy_sources.build(tmp_path)["dialogues"]
    rows = [{"prompt": "How do I fold a paper plane?", "chosen": "Fold it.", "rejected": "No."}]
    (dialogues / "raw/dpo/pairs.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    asked, _ = everyday_sources.asked(dialogues)
    (one,) = [one for one in asked if one.source == "dpo"]
    assert (one.question, one.answer) == ("How do I fold a paper plane?", "")
