"""Earlier turns: as many as asked for, true, of the prompt's own part, and never about the prompt itself."""

import pyarrow.parquet as pq
import pytest

from modeling.core import dialog
from modeling.dialogues import (
    adversarial_prompts,
    answer_rules,
    demonstrations,
    dialogue_sources,
    multi_turn,
    prompts,
    questions,
    safety_sources,
    splits,
)
from modeling.finetuning import sft
from modeling.finetuning.packing import IGNORED
from modeling.pretraining.tokenizer import train
from tests.modeling import toy_sources
from tests.modeling.dialogues import test_demonstrations, test_prompts


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return toy_sources.build(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def said(inputs) -> dict[str, multi_turn.Pool]:
    return {part: pool(inputs, part, set()) for part, _ in splits.KNOWLEDGE}


def pool(inputs, part: str, elsewhere: set[str]) -> multi_turn.Pool:
    dialogues = inputs["dialogues"]
    refusals = safety_sources.generic_answers(safety_sources.safe_answers(dialogues))
    return multi_turn.pool(
        questions.subjects(inputs["mixture"]),
        dialogue_sources.corpus_conversations(dialogues),
        toy_sources.split_by_words(dialogues),
        refusals,
        part,
        elsewhere,
    )


def row(number: int, entity: str = "theft", system: str = "") -> dict:
    messages = [{"role": "system", "content": system}] if system else []
    return {"id": f"safety:{number}", "entity": entity, "messages": [*messages, {"role": "user", "content": "How?"}]}


def exchanges(pool: multi_turn.Pool) -> dict[tuple[str, str], str]:
    return {(one.question, one.answer): one.entity for collection in pool.collections for one in collection}


def test_a_pool_holds_the_three_collections_of_its_part_alone(inputs, said):
    owned = {one.request.prompt: one.part for one in adversarial_prompts.owned_prompts(inputs["adversarial_prompts"])}
    for part, pool in said.items():
        *known, declined = pool.collections
        assert len(known) == 2
        assert all(splits.part_of(one.entity, splits.KNOWLEDGE) == part for each in known for one in each)
        assert all(owned[one.question] == part for one in declined)
        assert all(answer_rules.safety(one.question, one.answer).refuses for one in declined)
        assert all(len(answer.split()) <= multi_turn.MOST_WORDS for _, answer in exchanges(pool))


def test_the_share_and_the_number_of_exchanges(said):
    made = [multi_turn.with_earlier_turns(row(n), said[splits.RL], 0.3) for n in range(2000)]
    late = [one for one in made if multi_turn.is_multi_turn(one["messages"])]
    assert abs(len(late) / len(made) - 0.3) < 0.04
    twice = [one for one in late if len(one["messages"]) == 5]
    assert abs(len(twice) / len(late) - multi_turn.TWO_EXCHANGES) < 0.06
    known = exchanges(said[splits.RL])
    for one in late:
        dialog.check_messages(one["messages"], ends_with="user")
        assert one["messages"][-1]["content"] == "How?"
        texts = [message["content"] for message in one["messages"][:-1]]
        assert all(pair in known for pair in zip(texts[::2], texts[1::2], strict=True))


def test_what_is_asked_elsewhere_is_not_said_before(inputs, said):
    elsewhere = set(list(exchanges(said[splits.RL]).values())[::2])
    rest = pool(inputs, splits.RL, elsewhere)
    assert set(exchanges(rest).values()) == set(exchanges(said[splits.RL]).values()) - elsewhere != set()


def test_no_earlier_turn_holds_a_question_of_a_set(inputs, tmp_path, log):
    """Neither a prompt of the validation or the test, nor a held-out demonstration, stands before another one."""
    going_on = {questions.follow_up(one) for one in questions.subjects(inputs["mixture"])}
    demonstrations.run(test_demonstrations.RECIPE, inputs, tmp_path, log)
    (tmp_path / "prompts").mkdir()
    prompts.run(test_prompts.RECIPE, inputs, tmp_path / "prompts", log)
    names = ("train", "test", "prompts/rl", "prompts/validation", "prompts/test")
    rows = {name: pq.read_table(tmp_path / f"{name}.parquet").to_pylist() for name in names}
    held_out = {row["entity"] for name in names[1:] if name != "prompts/rl" for row in rows[name]}
    groups = {one.request.prompt: one.group for one in adversarial_prompts.owned_prompts(inputs["adversarial_prompts"])}
    before = [
        (groups.get(message["content"]) or splits.about(message["content"]), row["entity"])
        for group in rows.values()
        for row in group
        for message, answer in zip(row["messages"][:-2], row["messages"][1:], strict=False)
        if message["role"] == "user"
        and answer["weight"] == 0
        and row["category"] != "follow-up in a chat"
        and not (row in rows["prompts/test"] and row["setting"] == "after a refusal")  # the test's own requests
        and row["messages"][-1]["content"] not in going_on
    ]
    assert len(before) > 20 and not {said for said, _ in before} & held_out
    assert all(said != entity for said, entity in before)  # a prompt does not come after itself


def test_a_system_prompt_stays_first(said):
    made = multi_turn.with_earlier_turns(row(1, system="Be kind."), said[splits.RL], 1.0)
    assert made["messages"][0] == {"role": "system", "content": "Be kind."}
    assert [message["role"] for message in made["messages"][1:3]] == ["user", "assistant"]


def test_a_dialogue_with_turns_of_its_own_keeps_them(said):
    own = row(1) | {"messages": [*multi_turn.exchange("Who?", "I."), {"role": "user", "content": "How?"}]}
    assert multi_turn.with_earlier_turns(own, said[splits.RL], 1.0) == own


def test_earlier_answers_are_not_learnt(inputs, tmp_path, log):
    """From the artifact to the labels: of what was put before, no answer; of a dialogue of its own, every one."""
    demonstrations.run(test_demonstrations.RECIPE, inputs, tmp_path, log)
    tokenizer = train(pq.read_table(inputs["mixture"] / "train")["text"].to_pylist(), 700)
    closing = dialog.closing_token_id(tokenizer)
    rows = pq.read_table(tmp_path / "train.parquet").to_pylist()
    encoded, _ = sft.encode(tokenizer, sft.read_dialogues(tmp_path / "train.parquet"), 10_000)
    learnt = {True: set(), False: set()}
    for one, labels in zip(rows, encoded, strict=True):
        answers = sum(message["role"] == "assistant" for message in one["messages"])
        late = any(message["weight"] == 0 for message in one["messages"])
        learnt[late].add((answers, sum(label == closing for label in labels.labels if label != IGNORED)))
    assert learnt == {True: {(2, 1), (3, 1)}, False: {(1, 1), (2, 2)}}


def test_without_a_share_or_without_a_pool_nothing_changes(said):
    assert multi_turn.with_earlier_turns(row(1), said[splits.RL], 0.0) == row(1)
    assert multi_turn.with_earlier_turns(row(1), multi_turn.Pool(()), 1.0) == row(1)


def test_every_kind_of_prompt_comes_late_in_every_part(inputs, tmp_path, log):
    metrics = prompts.run(test_prompts.RECIPE, inputs, tmp_path, log)
    for name in ("rl", "validation", "test"):
        rows = pq.read_table(tmp_path / f"{name}.parquet").to_pylist()
        late = [one for one in rows if multi_turn.is_multi_turn(one["messages"])]
        assert metrics[f"{name}_multi_turn"] == len(late)
        if name == "rl":
            assert len(late) > 10 and {one["kind"] for one in late} == {one["kind"] for one in rows}


def test_safe_answers_are_demonstrated_late_too(inputs, tmp_path, log):
    metrics = demonstrations.run(test_demonstrations.RECIPE, inputs, tmp_path, log)
    rows = [one for name in ("train", "test") for one in pq.read_table(tmp_path / f"{name}.parquet").to_pylist()]
    late = [one for one in rows if multi_turn.is_multi_turn(one["messages"])]
    assert metrics["multi_turn"] == len(late)
    assert {"safety", "safety-written", "definition"} <= {one["category"] for one in late}
    first = [one for one in rows if not multi_turn.is_multi_turn(one["messages"])]
    assert {"safety", "safety-written", "definition"} <= {one["category"] for one in first}
