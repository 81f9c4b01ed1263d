"""The dialogues of SFT: written demonstrations, and good own answers of a checkpoint beside them."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from modeling.core import dialogue_tables
from modeling.core.recipes import OwnAnswersRecipe, SamplingRecipe
from modeling.core.sampling import Answer
from modeling.dialogues import answer_rules, splits, verifiable
from modeling.dialogues.demonstrations import SCHEMA, UNANSWERED
from modeling.dialogues.own_requests import SOURCE, own_requests
from modeling.finetuning import sft_dialogues
from modeling.finetuning.sft_dialogues import Question, best_answer, choose, run
from tests.modeling import toy_chat, toy_sources

RECIPE = OwnAnswersRecipe(
    prompts=4, requests=3, samples=2, sampling=SamplingRecipe(temperature=1.0, top_p=1.0, max_new_tokens=8, seed=1)
)


def row(number: int, category: str, system: str = "") -> dict:
    messages = toy_chat.dialogue(toy_chat.THINGS[number], toy_chat.COLOURS[number], system)
    return {"id": f"{number}", "messages": messages, "category": category, "source": "s", "entity": f"e{number}"}


@pytest.fixture
def inputs(tmp_path) -> dict[str, Path]:
    rows = [row(0, "safety"), row(1, "everyday", system="Be kind."), *(row(n, "everyday") for n in range(2, 8))]
    (tmp_path / "demonstrations").mkdir()
    dialogue_tables.write_rows(rows[:7], SCHEMA, tmp_path / "demonstrations" / "train.parquet")
    dialogue_tables.write_rows(rows[7:], SCHEMA, tmp_path / "demonstrations" / "test.parquet")
    asked = [{"question": "What is blue?", "source": "s", "entity": "everyday: blue"}]
    dialogue_tables.write_rows(asked, UNANSWERED, tmp_path / "demonstrations" / "unanswered.parquet")
    (tmp_path / "initial").mkdir()
    return {
        "demonstrations": tmp_path / "demonstrations",
        "initial_model": tmp_path / "initial",
        "synthetic_requests": toy_sources.write_requests(tmp_path / "synthetic"),
    }


def read(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


def test_a_model_from_random_weights_learns_the_written_ones_alone(inputs, tmp_path, log):
    figures = run(RECIPE, inputs, tmp_path, log)
    assert (figures["written"], figures["own"]) == (7, 0)
    for name in ("train.parquet", "test.parquet"):
        assert read(tmp_path / name) == read(inputs["demonstrations"] / name)


def test_good_answers_of_a_checkpoint_stand_beside_the_written_ones(inputs, tmp_path, log, monkeypatch):
    toy_chat.save_base(inputs["initial_model"])
    monkeypatch.setattr(sft_dialogues, "best_answer", lambda question, answers: (answers[0].text, ""))
    figures = run(RECIPE, inputs, tmp_path, log)
    too_long = figures["without_room_in_the_context"]  # the toy's context holds few of the requests
    again = figures["own_again_constrained"]
    assert figures["own"] == 4 + 3 - too_long + again and too_long <= 3
    rows = read(tmp_path / "train.parquet")
    own = [one for one in rows if one["id"].startswith("own:") and one["source"] != SOURCE]
    assert len(rows) == 7 + figures["own"] and len(own) == 4
    written = {one["id"]: one for one in read(inputs["demonstrations"] / "train.parquet")}
    for one in own:
        parent = written[one["id"].removeprefix("own:")]
        assert parent["category"] == "everyday" and parent["messages"][0]["role"] == "user"
        assert one["messages"][0]["content"] == parent["messages"][0]["content"]
        assert one["messages"][-1]["content"] != parent["messages"][-1]["content"]
        assert one["category"] == sft_dialogues.OWN and one["entity"] == parent["entity"]


def test_requests_of_the_sources_without_an_answer_are_asked_first(inputs):
    written = read(inputs["demonstrations"] / "train.parquet")
    asked = sft_dialogues.asked_questions(written, replace(RECIPE, prompts=0), ["What is blue?", "Name a colour."])
    assert [one.messages[-1]["content"] for one in asked[:2]] == ["What is blue?", "Name a colour."] and len(asked) == 3


def test_some_answers_stand_once_more_after_a_refused_request(inputs):
    refused = sft_dialogues.refused_requests([*read(inputs["demonstrations"] / "train.parquet"), calm_row()])
    assert refused[0] == [{k: m[k] for k in ("role", "content")} for m in row(0, "safety")["messages"]]
    assert len(refused) == 2 and "I can't help with that." in refused[1][1]["content"]
    own = [row(number % 8, "own answer") | {"id": f"own:{number}", "source": SOURCE} for number in range(200)]
    calm = sft_dialogues.again_after_refusal([*own, row(1, "own answer")], refused)  # the last is no request of its own
    assert 0.2 < len(calm) / 200 < 0.4 and len({one["id"] for one in calm} | {one["id"] for one in own}) == 200 + len(
        calm
    )
    by_id = {one["id"]: one for one in own}
    for one in calm:
        first = by_id[one["id"].removesuffix(" again")]
        assert one["messages"][2:] == first["messages"] and one["entity"] == first["entity"]
        assert one["messages"][1]["weight"] == 0  # the refusal is not learnt
    assert sft_dialogues.again_after_refusal(own, []) == []


def test_brief_answers_stand_again_with_constraints_that_they_obey():
    answer = "Bread is baked, sliced and eaten. It is made of flour and water. People like it."
    messages = [{"role": "user", "content": "What is bread?"}, {"role": "assistant", "content": answer}]
    own = [row(1, "own answer") | {"id": f"own:{n}", "source": SOURCE, "messages": messages} for n in range(200)]
    made = sft_dialogues.again_constrained(own)
    assert 200 < len(made) < 350  # of 400: no rule translates, or makes five points of three sentences
    asked = {" ".join(message["content"] for message in one["messages"][:-1]) for one in made}
    assert len(asked) > 40 and all("What is bread?" in text for text in asked)
    words = set(answer_rules.words(answer))
    for one in made:
        said = one["messages"][-1]["content"]
        assert len(words & set(answer_rules.words(said))) >= 3 and " constrained " in one["id"]
    assert len({one["id"] for one in made}) == len(made)
    assert sum(one["messages"][-1]["content"] != answer for one in made) > len(made) / 2
    assert 0.1 < sum(one["messages"][0]["role"] == "system" for one in made) / len(made) < 0.4
    long = [one | {"messages": [messages[0] | {"content": "word " * 30}, messages[1]]} for one in own]
    assert sft_dialogues.again_constrained(long) == []


def calm_row() -> dict:
    before = toy_chat.dialogue(toy_chat.THINGS[1], "I can't help with that.")
    return row(2, "everyday-after-refusal") | {"messages": [*before, *row(2, "everyday")["messages"]]}


def test_prompts_without_a_good_answer_are_counted(inputs, tmp_path, log):
    toy_chat.save_base(inputs["initial_model"])  # random weights never finish an answer of 8 tokens
    figures = run(replace(RECIPE, sampling=replace(RECIPE.sampling, max_new_tokens=2)), inputs, tmp_path, log)
    assert figures["own"] + sum(count for name, count in figures.items() if name.startswith("without_")) == 4 + 3


def test_harmless_prompts_are_chosen_by_hash_and_a_larger_number_keeps_the_smaller_set():
    rows = [row(0, "safety"), row(1, "safety-written"), *(row(n, "everyday") for n in range(2, 8))]
    assert {one["category"] for one in choose(rows, 10)} == {"everyday"} and len(choose(rows, 10)) == 6
    assert choose(rows, 5)[:3] == choose(list(reversed(rows)), 3)


def asked(written: str, constraint: str) -> Question:
    return Question("1", [{"role": "user", "content": "How do I cook rice?"}], "rice", "s", written, constraint)


@pytest.mark.parametrize(
    ("kind", "answers", "best"),
    [
        ("lower_case", ["Boil it in water."], "boil it in water."),
        ("lower_case", ["boil it in water."], "boil it in water."),
        ("language", ["Boil it in water."], None),  # no rule translates
    ],
)
def test_an_answer_that_disobeys_a_constraint_is_rewritten_or_not_kept(kind, answers, best):
    constraint = verifiable.choose("key", splits.DEMONSTRATIONS, [kind])
    found = best_answer(asked("", constraint), [Answer(text, True) for text in answers])
    assert found == (best, "" if best else "disobeys")


def test_requests_vary_in_place_and_a_larger_number_keeps_the_smaller_set():
    refused = [toy_chat.dialogue("door", "red")]
    answered = [toy_chat.dialogue("wall", "blue")]
    requests = own_requests(400, refused, answered)
    assert len({one.id for one in requests}) == 400 and own_requests(50, refused, answered) == requests[:50]
    after = [one for one in requests if len(one.messages) == 3 and one.messages[:2] == weightless(refused[0])]
    later = [one for one in requests if len(one.messages) == 3 and one.messages[:2] == weightless(answered[0])]
    assert 40 < len(after) < 120 and 70 < len(later) < 170 and len(after) + len(later) < 400
    assert 110 < sum(bool(one.constraint) for one in requests) < 210
    texts = [f"Can you name a {thing}?" for thing in toy_chat.THINGS]
    given = own_requests(400, refused, answered, texts)
    assert [one.messages for one in given[: len(texts)]] == [[{"role": "user", "content": text}] for text in texts]
    assert not any(one.constraint for one in given[: len(texts)])
    assert given[len(texts) :] == requests[: -len(texts)]
    assert all(one.messages[-1]["role"] == "user" for one in requests)


def weightless(messages: list[dict]) -> list[dict]:
    return [one | {"weight": 0} if one["role"] == "assistant" else one for one in messages]


PROSE = (
    "Rice is cooked in water. " * 2
    + "It takes about a quarter of an hour until all of the water is gone.\n\nLet it stand then."
)


def test_a_prose_answer_that_was_cut_off_ends_with_its_last_whole_sentence():
    assert sft_dialogues.without_its_end(f"{PROSE} Eat it with Mr. Ray and a") == PROSE
    assert sft_dialogues.without_its_end(f"{PROSE}\n\nEat it wi") == PROSE
    assert best_answer(asked("", ""), [Answer(f"{PROSE} Eat it", False)]) == (PROSE, "")


@pytest.mark.parametrize(
    "text", ["", "Rice is good. Eat", f"{PROSE}\n\n1. Wash it.\n2. Boi", f"{PROSE}\n```python\nprint("]
)
def test_a_short_rest_a_short_list_and_code_are_not_cut_into_an_answer(text):
    assert sft_dialogues.without_its_end(text) == ""


def test_a_list_that_was_cut_off_ends_with_its_last_whole_item():
    items = [f"{number}. Boil the rice in a big pot of salted water." for number in range(1, 6)]
    assert sft_dialogues.without_its_end("\n".join([*items, "6. Drain the"])) == "\n".join(items)


WRITTEN = "Boil the rice in salted water for twelve minutes, then drain it."


@pytest.mark.parametrize(
    ("answers", "chosen", "reason"),
    [
        ([Answer("Rice is white.", True), Answer("Boil the rice in water for twelve minutes.", True)], 1, ""),
        ([Answer("Boil the rice in water for twelve", False)], None, "cut off"),
        ([Answer("I'm sorry, but I can't help with that.", True)], None, "refuses"),
        ([Answer("Boil it. " * 20, True)], None, "repeats itself"),
        ([Answer("I'm sorry for the late answer. Boil it in water.", True)], None, "opens as a refusal"),
        ([Answer("As a text-based AI model, I love rice that is boiled.", True)], None, "opens as a refusal"),
        ([Answer("As a rule, boil the rice for twelve minutes.", True)], 0, ""),
        ([Answer("How do I cook rice?", True)], None, "repeats the question"),
        ([Answer("", True)], None, "repeats itself"),
        ([Answer("Boil the rice in", False), Answer("Put rice into hot water.", True)], 1, ""),
    ],
)
def test_the_best_answer_is_finished_and_closest_to_the_written_one(answers, chosen, reason):
    best, why = best_answer(asked(WRITTEN, ""), answers)
    assert (best, why) == (None if chosen is None else answers[chosen].text, reason)
