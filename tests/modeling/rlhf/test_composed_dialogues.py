"""Dialogues for Ghost Attention put together from single answers."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from modeling.dialogues import instructions
from modeling.rlhf import ghost_attention
from modeling.rlhf.composed_dialogues import MOST_WORDS, compose, read_answers
from modeling.rlhf.ghost_dialogue import samples
from tests.modeling import toy_rlhf
from tests.modeling.rlhf.test_ghost_attention import RECIPE

TWENTY = replace(RECIPE, composed=20)


@pytest.fixture
def answered(tmp_path):
    toy_rlhf.save_own_answers(tmp_path / "demonstrations")
    return read_answers(tmp_path / "demonstrations" / "train.parquet")


def test_answers_to_requests_with_a_constraint_of_their_own_are_left_out(answered):
    assert len(answered) == 27 and not any("thing 9?" in question for question, _ in answered)
    assert len(dict(answered)) == 27


def test_every_answer_of_a_dialogue_obeys_its_instruction_and_stands_after_its_own_question(answered):
    ghosts, known = compose(answered, TWENTY), dict(answered)
    assert len(ghosts) == 20 and {len(ghost.answers) for ghost in ghosts} == {2, 3}
    for ghost in ghosts:
        assert len(set(ghost.questions)) == len(ghost.questions) == len(ghost.answers)
        for question, answer in zip(ghost.questions, ghost.answers, strict=True):
            assert instructions.obeyed(ghost.constraints, answer)
            thing = known[question].split(".")[0].removeprefix("It is ")
            assert thing in answer.lower()
    assert len({question for ghost in ghosts for question in ghost.questions}) > 20


def test_training_sees_the_instruction_once_and_learns_the_last_answer_alone(answered):
    rows = [row for ghost in compose(answered, TWENTY) for row in samples(ghost, TWENTY)]
    for row in rows:
        said = " ".join(message["content"] for message in row["messages"])
        assert said.count(row["instruction"]) == 1 and row["rewritten"]
        answers = [message for message in row["messages"] if message["role"] == "assistant"]
        assert [one.get("weight") for one in answers] == [*[0.0] * (len(answers) - 1), None]


def test_answers_that_no_rule_can_rewrite_leave_the_dialogue_out():
    lists = replace(TWENTY, kinds=("bullets",), combined_share=0.0)
    assert compose([("What?", "One sentence.")], lists) == []
    assert compose([(f"What is {place}?", "word " * (MOST_WORDS + 1) + ".") for place in range(9)], TWENTY) == []
    assert compose([], TWENTY) == []


@pytest.mark.trains
def test_they_stand_beside_the_policys_own_dialogues(tmp_path, log):
    inputs = toy_rlhf.build(tmp_path / "world", prompts=4)
    toy_rlhf.save_own_answers(tmp_path / "demonstrations")
    (tmp_path / "mixture/train").mkdir(parents=True)
    row = {"title": "Nobody", "text": "Nobody lives here.", "meta": json.dumps({"topic": ""}), "source": "wiki"}
    pq.write_table(toy_rlhf.pa.Table.from_pylist([row]), tmp_path / "mixture/train/0.parquet")
    inputs |= {"mixture": tmp_path / "mixture", "demonstrations": tmp_path / "demonstrations"}
    metrics = ghost_attention.run(replace(TWENTY, dialogues=0), inputs, tmp_path, log)
    rows = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    assert metrics["composed"] == 20 == len({row["dialogue"] for row in rows})
    assert metrics["samples"] == len(rows) and {row["kind"] for row in rows} == {"ghost attention"}
