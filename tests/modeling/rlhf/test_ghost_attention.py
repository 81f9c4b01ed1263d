"""Dialogues for Ghost Attention: the instruction on every turn to answer, in the first message to learn."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modeling.core import dialog, resumable_generation, sampling
from modeling.core.recipes import SamplingRecipe
from modeling.core.sampling import Answer
from modeling.dialogues import instructions
from modeling.rlhf import gates, ghost_attention, ghost_dialogue, scoring
from modeling.rlhf.ghost_attention import Option
from modeling.rlhf.ghost_dialogue import Ghost
from modeling.rlhf.recipes import GhostRecipe
from tests.modeling import toy_rlhf

pytestmark = pytest.mark.trains

RECIPE = GhostRecipe(
    dialogues=10, composed=0, turns=3, samples=3, sampling=SamplingRecipe(temperature=1.0, top_p=1.0, max_new_tokens=12, seed=5),
    kinds=("lower_case", "ends_with", "begins_with"), unchecked_share=0.2, combined_share=0.3, short_share=0.5,
    system_share=0.5, seed=7,
)  # fmt: skip
LOWER = json.dumps({"kind": "lower_case", "value": ""})
END = json.dumps({"kind": "ends_with", "value": "That is all."})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_rlhf, "CONTEXT", 512)  # an instruction takes many tokens of the toy tokenizer
        world = toy_rlhf.build(folder, prompts=40)
    (folder / "mixture/train").mkdir(parents=True)
    text = "{} was a Roman emperor. He lived long ago."
    rows = [{"title": name, "text": text.format(name), "meta": json.dumps({"topic": "People"}), "source": "wiki"}
            for name in (f"Emperor {number}" for number in range(12))]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "mixture/train/0.parquet")
    toy_rlhf.save_own_answers(folder / "demonstrations")
    return {**world, "mixture": folder / "mixture", "demonstrations": folder / "demonstrations"}


@pytest.fixture(scope="module")
def made(inputs, tmp_path_factory):
    from tests.conftest import MemoryLog

    out = tmp_path_factory.mktemp("ghost")
    return ghost_attention.run(RECIPE, inputs, out, MemoryLog()), out


def rows_of(out):
    rows = pq.read_table(out / "samples.parquet").to_pylist()
    return [row | {"messages": resumable_generation.plain(row["messages"])} for row in rows]


def test_only_the_first_message_instructs_and_only_the_last_answer_is_learnt(made):
    metrics, out = made
    rows = rows_of(out)
    assert len(rows) == metrics["samples"] >= metrics["dialogues_kept"] > 3
    for row in rows:
        first, *others = row["messages"]
        assert row["instruction"] in first["content"]
        assert not any(row["instruction"] in message["content"] for message in others)
        assert [dialog.is_learnt(message) for message in row["messages"]] == [False] * len(others) + [True]
        assert instructions.obeyed(row["constraints"], row["messages"][-1]["content"])
        assert sum(message["role"] == "user" for message in row["messages"]) == int(row["id"].rpartition(":")[2]) >= 1
        full = instructions.text(row["constraints"])
        assert row["instruction"] in (full, instructions.text(row["constraints"], short=True))
    assert {row["messages"][0]["role"] for row in rows} == {"system", "user"}
    assert "Only the last answer is learnt" in (out / "examples.md").read_text()
    assert {row["id"].rpartition(":")[2] for row in rows} == {"1", "2", "3"}
    assert sum(metrics["ended_early"].values()) >= metrics["dialogues"] - metrics["dialogues_kept"]
    assert [row["turn"] for row in metrics["obeyed_as_drawn"]] == [1, 2, 3]


def test_a_killed_run_answers_and_scores_nothing_twice(inputs, made, log, monkeypatch):
    metrics, out = made
    before = rows_of(out)
    monkeypatch.setattr(sampling, "generate", lambda *a, **k: pytest.fail("answered again"))
    monkeypatch.setattr(scoring, "score", lambda *a, **k: pytest.fail("scored again"))
    assert ghost_attention.run(RECIPE, inputs, out, log) == metrics and rows_of(out) == before


def test_the_gate_stops_what_is_no_ghost_attention(inputs, made, tmp_path):
    _, out = made
    assert gates.instruction_stands_once(out, inputs, RECIPE)[0]
    table = pq.read_table(out / "samples.parquet")

    def spoiled(change):
        rows = table.to_pylist()
        checked = next(row for row in rows if instructions.checked(row["constraints"]) and row["id"].endswith(":2"))
        change(checked)
        pq.write_table(pa.Table.from_pylist(rows, table.schema), tmp_path / "samples.parquet")
        passed, why, _ = gates.instruction_stands_once(tmp_path, inputs, RECIPE)
        return None if passed else why

    def again(row):
        row["messages"][-2]["content"] = f"{row['instruction']} {row['messages'][-2]['content']}"

    assert "first message alone" in spoiled(again)
    assert "earlier answer" in spoiled(lambda row: [message.update(weight=None) for message in row["messages"]])
    assert "does not obey" in spoiled(lambda row: row["messages"][-1].update(content="NO! I do NOT."))


def prompt(number, kind="helpfulness", before=()):
    asked = [*before, f"Question {number}?"]
    messages = [{"role": "user", "content": text} for text in asked]
    return {"id": f"{kind}-{number}", "kind": kind, "messages": messages, "question": " ".join(asked), "constraint": ""}


def test_no_question_predicts_the_instruction_and_none_is_adversarial():
    rows = [prompt(number) for number in range(30)] + [prompt(number, "safety") for number in range(30)]
    recipe = replace(RECIPE, dialogues=40)
    planned = ghost_attention.plan(rows, recipe, ["Napoleon"])
    other = ghost_attention.plan([prompt(number) for number in range(100, 150)], recipe, ["Napoleon"])
    assert [ghost.constraints for ghost in planned] == [ghost.constraints for ghost in other]
    assert {len(ghost.questions) for ghost in planned} == {2, 3}
    harmless = {row["question"] for row in rows if row["kind"] != "safety"}
    assert {question for ghost in planned for question in ghost.questions} == harmless
    assert ghost_attention.plan([prompt(1, "safety")], recipe, []) == []


def test_a_follow_up_brings_its_first_question_and_foreign_earlier_turns_stay_out():
    assert ghost_attention.own_questions(prompt(1, before=["What is tea?"])) == ["What is tea?", "Question 1?"]
    foreign = prompt(2) | {
        "messages": [{"role": "user", "content": text} for text in ("How do I steal?", "Question 2?")]
    }
    assert ghost_attention.own_questions(foreign) == ["Question 2?"]


def test_obedient_answers_as_drawn_come_before_rewritten_ones():
    ghost = Ghost("g", (LOWER,), ("a?", "b?"))
    drawn = [Answer("Large Letters.", True), Answer("small letters.", True), Answer("small and cut off. then", False)]
    assert ghost_attention.obedient(ghost, drawn) == [Option("small letters.", False)]
    assert ghost_attention.obedient(ghost, drawn[:1]) == [Option("large letters.", True)]
    assert ghost_attention.obedient(ghost, drawn[2:]) == [Option("small and cut off.", True)]
    assert ghost_attention.obedient(ghost, [Answer("", True)]) == []
    asked = replace(ghost, constraints=(END,))
    assert ghost_attention.obedient(asked, drawn[2:]) == [Option("small and cut off. That is all.", True)]


def test_an_answer_that_repeats_an_earlier_one_is_left_out():
    said = "the sea is wide and deep and full of salt."
    ghost = Ghost("g", (LOWER,), ("a?", "b?"), (said,), (False,))
    new = "volcanoes throw out ash and molten rock."
    assert ghost_attention.obedient(ghost, [Answer(said, True), Answer(new, True)]) == [Option(new, False)]
    assert ghost_attention.obedient(ghost, [Answer(said, True)]) == []
    assert ghost_attention.repeated(said, [said]) == 1.0 and ghost_attention.repeated(said, []) == 0.0


def test_the_most_helpful_obedient_answer_is_kept(inputs, tmp_path, log, monkeypatch):
    """The reward model likes "blue"."""
    ghost = Ghost("g", (LOWER,), ("Which colours do you see now?", "And here?"))
    drawn = [Answer(text, True) for text in ("red green red", "blue blue blue", "Blue blue blue blue", "red blue red")]
    monkeypatch.setattr(resumable_generation, "answer_all", lambda *a: [drawn])
    (after,), obeyed = ghost_attention.answer_turn([ghost], 0, RECIPE, inputs, tmp_path, log)
    assert after.answers == ("blue blue blue",) and after.rewritten == (False,)
    assert obeyed == [True, True, False, True]


def test_a_dialogue_ends_where_no_answer_obeys_or_fits(inputs, tmp_path, log, monkeypatch):
    ghost = Ghost("g", (LOWER,), ("Which colours do you see now?", "And here?"))
    monkeypatch.setattr(resumable_generation, "answer_all", lambda *a: [[Answer("", True)] for _ in a[1]])
    (after,), _ = ghost_attention.answer_turn([ghost], 0, RECIPE, inputs, tmp_path / "a", log)
    assert after.ended == "no new answer 1 obeys" and ghost_dialogue.samples(after, RECIPE) == []
    long = replace(ghost, questions=("Which colours? " * 200, "b?"))
    (after,), _ = ghost_attention.answer_turn([long], 0, RECIPE, inputs, tmp_path / "b", log)
    assert after.ended == "no room for answer 1"
