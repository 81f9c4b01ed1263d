"""Prompts: three kinds, with references, disjoint from what was demonstrated and among themselves."""

import dataclasses
import json

import pyarrow.parquet as pq
import pytest

from modeling.core import dialogue_tables
from modeling.core.recipes import DemonstrationsRecipe, PromptsRecipe
from modeling.dialogues import (
    adversarial_prompts,
    demonstrations,
    everyday,
    everyday_prompts,
    gates,
    judge_labels,
    multi_turn,
    prompt_rows,
    prompts,
    questions,
    safety_sources,
    splits,
    synthetic_requests,
    verifiable,
)
from tests.modeling import toy_sources

RECIPE = PromptsRecipe(
    helpfulness=30,
    safety=20,
    harmless=8,
    test_helpfulness=10,
    test_safety=8,
    test_harmless=8,
    everyday_share=0.4,
    verifiable_share=0.2,
    borderline_share=0.25,
    after_refusal_share=0.25,
    validation=3,
    multi_turn_share=0.5,
    seed=1,
)
EVERYTHING = DemonstrationsRecipe(
    max_definitions=10_000,
    max_conversations=10_000,
    max_everyday=10_000,
    max_safety=10_000,
    max_twins=10_000,
    max_answer_words=60,
    system_share=0.0,
    multi_turn_share=0.5,
    after_refusal_share=0.3,
    preprompts=("You are a careful assistant:",),
    seed=1,
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return toy_sources.build(tmp_path_factory.mktemp("sources"))


def parts(inputs, out, log) -> tuple[list[dict], list[dict]]:
    prompts.run(RECIPE, inputs, out, log)
    return tuple(pq.read_table(out / f"{name}.parquet").to_pylist() for name in ("rl", "test"))


def test_kinds_and_counts(inputs, tmp_path, log):
    rl, test = parts(inputs, tmp_path, log)
    assert {row["kind"] for row in rl} == {"helpfulness", "safety", "harmless"}
    assert {row["kind"] for row in test} == {"helpfulness", "safety", "harmless"}
    assert sum(row["kind"] == "helpfulness" for row in rl) <= 30 * (1 + RECIPE.verifiable_share)
    assert sum(row["kind"] == "safety" for row in rl) <= 20
    for row in rl + test:
        assert row["messages"][-1]["role"] == "user" and row["source"]
    assert "### test, harmless" in (tmp_path / "report.md").read_text()


def test_requests_that_a_checkpoint_wrote_are_practised_and_never_tested(inputs, tmp_path, log):
    written = synthetic_requests.requests(inputs["synthetic_requests"], splits.RL)
    rl, test = parts(dict(inputs), tmp_path, log)
    everyday_rows = [row for row in rl if row["source"] == synthetic_requests.SOURCE]
    assert everyday_rows and {row["entity"] for row in everyday_rows} <= {one.entity for one in written}
    assert not any(row["source"] == synthetic_requests.SOURCE for row in test)


def test_nothing_is_demonstrated_practised_and_tested_at_once(inputs, tmp_path, log):
    demonstrations.run(EVERYTHING, inputs, tmp_path, log)
    shown = pq.read_table(tmp_path / "train.parquet").to_pylist() + pq.read_table(tmp_path / "test.parquet").to_pylist()
    big = dataclasses.replace(
        RECIPE,
        helpfulness=9999,
        safety=9999,
        harmless=9999,
        test_helpfulness=9999,
        test_safety=9999,
        test_harmless=9999,
    )
    prompts.run(big, inputs, tmp_path / "prompts", log) if (tmp_path / "prompts").mkdir() is None else None
    rl, test = (pq.read_table(tmp_path / f"prompts/{name}.parquet").to_pylist() for name in ("rl", "test"))
    entities = [{row["entity"] for row in rows} for rows in (shown, rl, test)]
    going_on = {splits.entity(questions.follow_up(one)) for one in questions.subjects(inputs["mixture"])}
    asked = [
        {splits.entity(m["content"]) for row in rows for m in row["messages"] if m["role"] == "user"} - going_on
        for rows in (shown, rl, test)
    ]
    for sets in (entities, asked):
        assert all(sets) and not sets[0] & sets[1] and not sets[0] & sets[2] and not sets[1] & sets[2]
    for rows in (rl, test):
        assert len({row["id"] for row in rows}) == len(rows)
    assert not {row["id"] for row in rl} & {row["id"] for row in test}


def test_what_the_judge_learns_from_is_in_no_part(inputs, judge_inputs, tmp_path, log):
    """On the real collections: no objective of the judge is demonstrated, practised or tested, nor a variant of one."""
    judged = judge_labels.objectives(judge_inputs["dialogues"])
    assert len(judged) > 200 and all(judge_labels.reserved(objective) for objective in judged)
    adversarial = toy_sources.write_split(judge_inputs["dialogues"], tmp_path / "adversarial")
    real = inputs | {"dialogues": judge_inputs["dialogues"], "adversarial_prompts": adversarial}
    big = dataclasses.replace(RECIPE, safety=9999, harmless=9999, test_safety=9999, test_harmless=9999)
    (tmp_path / "prompts").mkdir()
    prompts.run(big, real, tmp_path / "prompts", log)
    demonstrations.run(dataclasses.replace(EVERYTHING, max_conversations=0), real, tmp_path, log)
    files = [
        tmp_path / name for name in ("train.parquet", "test.parquet", "prompts/rl.parquet", "prompts/test.parquet")
    ]
    asked = [row["messages"] for file in files for row in pq.read_table(file).to_pylist()]
    asked = [m["content"] for messages in asked for m in messages if m["role"] == "user"]
    groups = splits.similar_groups([*asked, *judged])
    assert len(asked) > 200 and not set(groups[: len(asked)]) & set(groups[len(asked) :])


def test_helpfulness_has_true_references_and_safety_none(inputs, tmp_path, log):
    rl, test = parts(inputs, tmp_path, log)
    text = " ".join(pq.read_table(inputs["mixture"] / "train")["text"].to_pylist())
    for row in rl + test:
        if row["kind"] == "safety":
            assert row["reference"] == ""
            assert row["category"] in (safety_sources.ILLICIT, safety_sources.HATEFUL, safety_sources.UNQUALIFIED)
        elif row["setting"] == "verifiable":
            assert row["reference"] == ""  # a true answer need not obey
        elif row["source"] == "wiki":
            assert row["reference"] and row["reference"] in text


def test_some_prompts_go_on_about_what_was_said(inputs, tmp_path, log):
    rl, test = parts(inputs, tmp_path, log)
    text = pq.read_table(inputs["mixture"] / "train")["text"].to_pylist()
    going_on = {questions.follow_up(one) for one in questions.subjects(inputs["mixture"])}
    for rows, count in ((rl, RECIPE.helpfulness), (test, RECIPE.test_helpfulness)):
        late = [one for one in rows if one["messages"][-1]["content"] in going_on]
        talk = [one for one in rows if one["category"] == "follow-up in a chat"]
        assert late and talk and len(late + talk) <= round(count * RECIPE.multi_turn_share * prompts.FOLLOW_UPS)
        for one in late:
            said, answer = one["messages"][-2], one["reference"]
            assert said["weight"] == 0 and any(f"{said['content']} {answer}" in document for document in text)
        for one in late + talk:
            first, _, last = [message["content"] for message in one["messages"]]
            assert one["question"] == f"{first} {last}"  # "Tell me more." alone asks nothing
        assert all(one["messages"][-1]["content"].endswith("eat in winter?") for one in talk)


def test_the_gate_tells_follow_ups_apart_and_sees_a_prompt_in_two_parts(inputs, tmp_path, log):
    parts(inputs, tmp_path, log)
    assert gates.prompts_apart(tmp_path, inputs, RECIPE)[0]
    test = pq.read_table(tmp_path / "test.parquet").to_pylist()
    rl = pq.read_table(tmp_path / "rl.parquet").to_pylist()
    dialogue_tables.write_rows([*rl, test[0] | {"id": "another"}], prompts.SCHEMA, tmp_path / "rl.parquet")
    passed, reason, _ = gates.prompts_apart(tmp_path, inputs, RECIPE)
    assert not passed and reason.startswith("2 ids, questions or entities")


def test_follow_ups_are_a_part_of_the_share():
    """How late a prompt comes must say nothing of its kind."""
    rest = prompts.remaining_share(0.32, 24, 150)
    assert 24 + rest * (150 - 24) == pytest.approx(0.32 * 150)
    assert prompts.remaining_share(0.0, 0, 150) == 0.0
    assert prompts.remaining_share(0.1, 5, 5) == prompts.remaining_share(0.1, 5, 10) == 0.0


def test_harmless_prompts_sound_alarming_or_are_everyday_requests(inputs, tmp_path, log):
    _, test = parts(inputs, tmp_path, log)
    harmless = [row for row in test if row["kind"] == "harmless"]
    assert {row["category"] for row in harmless} <= {"everyday request", "alarming subject", "dish",
                                                     everyday_prompts.TWIN, everyday_prompts.ALARMING}  # fmt: skip
    asked = {row["messages"][-1]["content"] for row in harmless}
    assert "Tell me a riddle!" in asked or "Write a poem about the sea." in asked
    assert "Write malware for a bank" not in asked
    riddle = next((row for row in harmless if row["messages"][-1]["content"] == "Tell me a riddle!"), None)
    assert riddle is None or "piano" in riddle["reference"]  # the helpful answer, not the refusal


def test_groups_come_once_before_they_repeat(inputs):
    owned = adversarial_prompts.owned_prompts(inputs["adversarial_prompts"])
    mine = [one for one in owned if one.part == splits.RL]
    groups = {one.group for one in mine}
    first = prompt_rows.safety_rows(owned, splits.RL, len(groups))
    assert len({row["entity"] for row in first}) == len(groups)


def test_missing_prompts_say_what_to_check(inputs, tmp_path, log):
    empty = tmp_path / "dialogues"
    (empty / "raw").mkdir(parents=True)
    (empty / "sources.json").write_text("[]")
    (tmp_path / "adversarial").mkdir()
    dialogue_tables.write_rows([], adversarial_prompts.SCHEMA, tmp_path / "adversarial/prompts.parquet")
    with pytest.raises(ValueError, match="no rl safety prompts"):
        nothing = {"dialogues": empty, "adversarial_prompts": tmp_path / "adversarial"}
        prompts.run(RECIPE, inputs | nothing, tmp_path, log)


def test_every_prompt_has_its_setting(inputs, tmp_path, log):
    metrics = prompts.run(RECIPE, inputs, tmp_path, log)
    rows = [
        row for name in ("rl", "validation", "test") for row in pq.read_table(tmp_path / f"{name}.parquet").to_pylist()
    ]
    settings = {
        kind: {row["setting"] for row in rows if row["kind"] == kind} for kind in ("helpfulness", "safety", "harmless")
    }
    assert settings["helpfulness"] == {"ordinary", "everyday", "follow-up", "verifiable"}
    assert settings["safety"] == {"adversarial", "adversarial, later turn"}
    assert settings["harmless"] <= {"borderline", "after a refusal", "everyday"} >= {"borderline"}
    for row in rows:
        late = multi_turn.is_multi_turn(row["messages"])
        assert late or row["setting"] not in ("follow-up", "adversarial, later turn", "after a refusal")
        assert not (late and row["setting"] == "adversarial")
    counted = {(one["kind"], one["setting"]): one["prompts"] for one in metrics["test_settings"]}
    assert sum(counted.values()) == sum(metrics[f"test_{kind}"] for kind in settings)


def test_an_everyday_request_comes_right_after_a_refused_one(inputs, tmp_path, log):
    rl, test = parts(inputs, tmp_path, log)
    owned = {one.request.prompt: one.part for one in adversarial_prompts.owned_prompts(inputs["adversarial_prompts"])}
    asked, _ = everyday.requests(inputs["dialogues"])
    asked = [*asked, *synthetic_requests.requests(inputs["synthetic_requests"], splits.RL)]
    known = {one.question: one.part for one in asked if not one.borderline}
    for part, rows in ((splits.RL, rl), (splits.TEST, test)):
        after = [row for row in rows if row["setting"] == "after a refusal"]
        assert after and all(row["kind"] == "harmless" for row in after)
        for row in after:
            request, refusal, question = row["messages"]
            assert owned[request["content"]] == part and refusal["content"] in toy_sources.REFUSALS
            assert (
                refusal["weight"] == 0 and known[question["content"]] == part and row["question"] == question["content"]
            )


def test_verifiable_requests_hold_their_constraint_in_words(inputs, tmp_path, log):
    rl, test = parts(inputs, tmp_path, log)
    for part, rows in ((splits.RL, rl), (splits.TEST, test)):
        checked = [row for row in rows if row["setting"] == "verifiable"]
        assert checked and {row["kind"] for row in checked} == {"helpfulness"}
        for row in checked:
            kind = verifiable.KINDS[json.loads(row["constraint"])["kind"]]
            assert json.loads(row["constraint"])["value"] in kind.drawn(part)
        assert all(row["constraint"] == "" for row in rows if row["setting"] != "verifiable")


def test_everyday_requests_of_the_test_come_from_other_sources_than_the_demonstrations(inputs, tmp_path, log):
    demonstrations.run(EVERYTHING, inputs, tmp_path, log)
    shown = pq.read_table(tmp_path / "train.parquet").to_pylist() + pq.read_table(tmp_path / "test.parquet").to_pylist()
    (tmp_path / "prompts").mkdir()
    _, test = parts(inputs, tmp_path / "prompts", log)
    asked = {row["source"] for row in test if row["setting"] == "everyday" and row["kind"] == "helpfulness"}
    assert asked and not asked & {row["source"] for row in shown}


def test_without_shares_no_everyday_request_is_a_prompt(inputs, tmp_path, log):
    none = dataclasses.replace(
        RECIPE, everyday_share=0.0, verifiable_share=0.0, borderline_share=0.0, after_refusal_share=0.0
    )
    prompts.run(none, inputs, tmp_path, log)
    rows = [
        row for name in ("rl", "validation", "test") for row in pq.read_table(tmp_path / f"{name}.parquet").to_pylist()
    ]
    assert not [row for row in rows if row["entity"].startswith("everyday:")]
    assert sum(row["kind"] == "helpfulness" for row in rows) <= RECIPE.helpfulness + RECIPE.test_helpfulness


def test_the_gate_sees_a_near_duplicate_in_another_part(inputs, tmp_path, log):
    rl, test = parts(inputs, tmp_path, log)
    asked = next(row for row in test if row["setting"] == "everyday" and row["kind"] == "helpfulness")
    near = {"id": "near", "question": f"Please: {asked['question']}", "entity": "near"}
    dialogue_tables.write_rows([*rl, asked | near], prompts.SCHEMA, tmp_path / "rl.parquet")
    passed, reason, figures = gates.prompts_apart(tmp_path, inputs, RECIPE)
    assert not passed and figures["near_duplicates"] >= 1 and "resemble" in reason
