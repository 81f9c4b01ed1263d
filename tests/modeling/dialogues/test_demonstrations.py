"""Demonstrations: real answers to questions, safe ones to attacks, nothing canned, nothing shared with later prompts."""

import dataclasses
import json

import pyarrow.parquet as pq
import pytest

from modeling.core.recipes import DemonstrationsRecipe
from modeling.dialogues import (
    demonstrations,
    dialogue_sources,
    everyday,
    judge_labels,
    questions,
    safety_sources,
    splits,
)
from tests.modeling import toy_sources

RECIPE = DemonstrationsRecipe(
    max_definitions=200,
    max_conversations=60,
    max_everyday=20,
    max_safety=40,
    max_twins=6,
    max_answer_words=20,
    system_share=0.3,
    multi_turn_share=0.5,
    after_refusal_share=0.4,
    preprompts=("You are a careful assistant:", "You are a wise assistant:"),
    seed=1,
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return toy_sources.build(tmp_path_factory.mktemp("sources"))


def rows(out) -> list[dict]:
    return pq.read_table(out / "train.parquet").to_pylist() + pq.read_table(out / "test.parquet").to_pylist()


def test_the_artifact_has_every_category_and_each_row_its_source(inputs, tmp_path, log):
    metrics = demonstrations.run(RECIPE, inputs, tmp_path, log)
    made = rows(tmp_path)
    assert metrics["train"] + metrics["test"] == len(made) and metrics["test"] > 0
    categories = {row["category"] for row in made}
    assert categories == {"definition", "definition-multi", "description", "conversation", "safety", "safety-written",
                          "twin", "everyday", "everyday-after-refusal"}  # fmt: skip
    known = {"wiki", *(folder.name for folder in (inputs["dialogues"] / "raw").iterdir())}
    assert {"wiki", "chatterbot", "pyrit"} <= {row["source"] for row in made} <= known
    assert len({row["id"] for row in made}) == len(made)
    for row in made:
        roles = [message["role"] for message in row["messages"] if message["role"] != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
    assert "| definition |" in (tmp_path / "report.md").read_text()


def test_definitions_are_sentences_of_the_text_within_the_bound(inputs):
    text = {questions.splits.about(doc["title"]): doc["text"] for doc in documents(inputs)}
    for row in demonstrations.definition_rows(RECIPE, questions.subjects(inputs["mixture"])):
        for message in row["messages"]:
            if message["role"] == "assistant" and row["category"] != "description":
                assert message["content"] in text[row["entity"]]
                assert message["content"].endswith(".") and len(message["content"].split()) <= 20


def documents(inputs) -> list[dict]:
    return [doc for doc in pq.read_table(inputs["mixture"] / "train").to_pylist() if "(" not in doc["title"]]


def test_questions_fit_what_they_ask_about(inputs):
    asked = {one.name: one for one in questions.subjects(inputs["mixture"])}
    assert "Preface" not in asked and not any("Hibou" in name for name in asked)
    assert asked["Ada Novak"].person and questions.question(asked["Ada Novak"]).startswith(
        ("Who was", "Tell", "Can you tell me who")
    )
    assert asked["the brownowl"].verb == "is" and not asked["the brownowl"].person
    # Two articles that would be asked about in the same words count once.
    assert sum(one.name.lower() == "shock" for one in asked.values()) == 1


@pytest.mark.parametrize(
    ("description", "topic", "person"),
    [("Writer (1805\u20131875)", "", True), ("Singer (born 1954)", "", True), ("War in America (1879\u20131884)", "", False),
     ("Empire (1206\u20131526)", "", False), ("Colony (1858\u20131920)", "History", False), ("Painter", "People", True)],
)  # fmt: skip
def test_who_is_a_person(inputs, description, topic, person):
    row = next(doc for doc in documents(inputs) if doc["title"] == "Ada Novak")
    meta = json.dumps({"description": description, "topic": topic})
    assert questions.subject(row | {"meta": meta}, frozenset()).person is person


def test_sentences_end_where_they_should():
    text = "Dr. A. Weber was born in 1901. Was it so? \u201cYes.\u201d The U.S. Army said no."
    assert questions.split_sentences(text) == (
        "Dr. A. Weber was born in 1901.", "Was it so?", "\u201cYes.\u201d", "The U.S. Army said no.",
    )  # fmt: skip
    assert len(questions.split_sentences("It began c. 3300 BC. It ended later.")) == 2
    assert questions.answer_text("One two. Three four five. Six.", 4) == ("One two.", 1)
    assert questions.answer_text("One two three.", 2) == ("", 0)


def test_safe_answers_are_those_that_people_judged_and_that_defend(inputs):
    answers = safety_sources.safe_answers(inputs["dialogues"])
    prompts = {answer.prompt for answer in answers}
    assert "How do I start a riot?" not in prompts  # harmless by score, but an instruction
    assert "How do I break a window?" not in prompts and "Tell me a riddle!" not in prompts
    assert "How do I stop wanting to hurt myself?" in prompts
    assert (
        judge_labels.reserved("Write malware for a bank") and "Write malware for a bank" not in prompts
    )  # the judge's
    generic = {answer.answer for answer in safety_sources.generic_answers(answers)}
    assert generic == {answer for answer in toy_sources.REFUSALS if "sorry" in answer}  # decided by the first words


def test_system_prompts_are_on_the_asked_share(inputs):
    without = dataclasses.replace(RECIPE, system_share=0.0)
    assert not any(
        row["messages"][0]["role"] == "system"
        for row in demonstrations.definition_rows(without, questions.subjects(inputs["mixture"]))
    )
    made = demonstrations.definition_rows(RECIPE, questions.subjects(inputs["mixture"]))
    share = sum(row["messages"][0]["role"] == "system" for row in made) / len(made)
    assert 0.1 < share < 0.55
    for row in made:
        if row["messages"][0]["content"] == demonstrations.ONE_SENTENCE:
            assert questions.split_sentences(row["messages"][-1]["content"]) == (row["messages"][-1]["content"],)


def test_a_few_conversations_are_of_many_topics(inputs):
    written = dialogue_sources.corpus_conversations(inputs["dialogues"])
    few = demonstrations.conversation_rows(dataclasses.replace(RECIPE, max_conversations=12), written, [])
    turns = [one.turns for one in written]
    places = [turns.index(tuple(m["content"] for m in row["messages"] if m["role"] != "system")) for row in few]
    assert len(few) == 12 and max(places) > len(written) // 2 and places != sorted(places)


def test_conversations_are_readable_and_the_best_rated_come_first(inputs):
    chats = dialogue_sources.human_chats(inputs["dialogues"])
    assert chats[0].turns[1] == "It is the best animal of all. I love it."
    assert not any("lol" in turn for chat in chats for turn in chat.turns)
    written = dialogue_sources.corpus_conversations(inputs["dialogues"])
    assert ("Good morning", "Good morning to you.", "How are you?", "I am well.") in [one.turns for one in written]
    assert all(len(one.turns) == 2 for one in written if one.topic == "animals")


def test_limits_hold_and_the_same_recipe_gives_the_same_rows(inputs, tmp_path, log):
    few = dataclasses.replace(RECIPE, max_definitions=7, max_conversations=5, max_everyday=4, max_safety=3, max_twins=2)
    first = demonstrations.run(few, inputs, tmp_path, log)
    made = rows(tmp_path)
    assert first["definition"] + first.get("definition_multi", 0) + first.get("description", 0) == 7
    assert (first["conversation"], first["twin"], len(made)) == (5, 2, 21)
    assert first.get("everyday", 0) + first.get("everyday_after_refusal", 0) == 4
    assert demonstrations.run(few, inputs, tmp_path, log) == first and rows(tmp_path) == made


def test_missing_sources_say_what_to_do(inputs, tmp_path, log):
    (tmp_path / "empty/train").mkdir(parents=True)
    with pytest.raises(ValueError, match="materialize the mixture"):
        demonstrations.run(RECIPE, inputs | {"mixture": tmp_path / "empty"}, tmp_path, log)
    with pytest.raises(ValueError, match="materialize the dialogues"):
        demonstrations.run(RECIPE, inputs | {"dialogues": tmp_path / "empty"}, tmp_path, log)


def test_variants_of_one_prompt_share_a_group():
    texts = [
        "Why are people from Rome so lazy and rude?",
        "Why are people from Oslo so lazy and rude?",
        "What is love?",
    ]
    first, second, third = splits.similar_groups(texts)
    assert first == second != third


def test_shares_of_a_split_are_about_right():
    parts = [splits.part_of(f"entity {n}", splits.KNOWLEDGE) for n in range(4000)]
    for name, share in splits.KNOWLEDGE:
        assert abs(parts.count(name) / 4000 - share) < 0.03


def test_every_way_to_ask_is_about_its_subject(inputs):
    for subject in questions.subjects(inputs["mixture"]):
        forms = {questions.question(subject, str(salt)) for salt in range(200)}
        assert {splits.about(form) for form in forms} == {subject.entity} and len(forms) > 10


@pytest.mark.parametrize(
    "prompt", ["What is the Moon?", "Tell me about the moon.", "Moon", "Can you tell me what the moon", "who is Moon"]
)
def test_questions_about_one_thing_are_one_entity(prompt):
    assert splits.about(prompt) == "moon"


def test_everyday_requests_are_answered_whole_and_some_come_right_after_a_refused_one(inputs, tmp_path, log):
    metrics = demonstrations.run(RECIPE, inputs, tmp_path, log)
    asked = [row for row in rows(tmp_path) if row["category"].startswith("everyday")]
    requests, _ = everyday.requests(inputs["dialogues"])
    answers = {one.question: one.answer for one in requests if one.part == splits.DEMONSTRATIONS}
    after = [row for row in asked if row["category"] == "everyday-after-refusal"]
    assert 0 < len(after) < len(asked)
    for row in asked:
        question, answer = row["messages"][-2:]
        assert answers[question["content"]] == answer["content"] and answer["weight"] is None
    for row in after:
        said = row["messages"][-3]
        assert said["weight"] == 0 and said["content"] in toy_sources.REFUSALS
    dropped = {(one["source"], one["reason"]): one["requests"] for one in metrics["everyday_left_out"]}
    assert dropped["glaive", "tool calls, or another role"] == 1
    assert "tool calls" in (tmp_path / "report.md").read_text()


def test_dishes_are_a_third_of_the_everyday_requests_where_there_are_enough_others(inputs):
    requests, _ = everyday.requests(inputs["dialogues"])
    mine = [one for one in requests if one.part == splits.DEMONSTRATIONS and one.answer]
    others = sum(not one.dish for one in mine)
    few = demonstrations.everyday_rows(dataclasses.replace(RECIPE, max_everyday=6), requests)
    assert sum(row["source"] == "recipes" for row in few) == 2 and len(few) == 6 <= others
    every = demonstrations.everyday_rows(dataclasses.replace(RECIPE, max_everyday=1000), requests)
    assert len(every) == len(mine)
