"""Table 30 on toy models: what is asked, what is counted, and what a killed run keeps."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from modeling.core import sampling
from modeling.core.recipes import GhostEvaluationRecipe, SamplingRecipe
from modeling.evaluation import ghost_attention
from modeling.evaluation.ghost_attention import CONTROL, NEW, TRAINED, Talk
from tests.modeling import toy_rlhf
from tests.modeling.toy_evaluation import prompt, write_prompts

pytestmark = pytest.mark.trains

ROLES = ("base_model", "sft_model", "policy_3", "policy_5", "chat_model")
RECIPE = GhostEvaluationRecipe(
    sampling=SamplingRecipe(temperature=0.7, top_p=0.9, max_new_tokens=8, seed=3), lengths=((2, 4), (3, 2)),
    measured_turns=(1, 2, 3, 9), control_dialogues=2, kinds=("lower_case", "sentences"),
    new_kinds=("upper_case", "contains"), seed=3,
)  # fmt: skip
LOWER, UPPER = (json.dumps({"kind": kind, "value": ""}) for kind in ("lower_case", "upper_case"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ghost")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_rlhf, "CONTEXT", 512)
        world = toy_rlhf.build(folder / "world", prompts=4)
    rows = [prompt(kind, n, f"Which colours do you see {n}?") for kind in ("helpfulness", "safety") for n in range(7)]
    return {"prompts": write_prompts(folder / "prompts", rows), **dict.fromkeys(ROLES, world["policy"])}


def test_every_version_answers_the_same_and_a_killed_run_answers_nothing_twice(inputs, tmp_path, log, monkeypatch):
    metrics = ghost_attention.run(RECIPE, inputs, tmp_path, log)
    rows = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    assert metrics["dialogues"] == 8 and len(rows) == 5 * (4 * 2 + 2 * 3 + 2 * 2)
    said = {}
    for row in rows:
        said.setdefault((row["dialogue"], row["turn"], row["question"]), set()).add(row["answer"])
        assert (row["obeyed"] is None) == (row["constraints"] == CONTROL) == (row["instruction"] == "")
    assert all(len(answers) == 1 for answers in said.values()), "one model under five names"
    measured = {(r["version"], r["constraints"], r["turn"], r["given"]): r for r in metrics["rows"]}
    assert {key[2] for key in measured} == {1, 2, 3}, "no dialogue has nine turns"
    assert measured["Chat", TRAINED, 2, True]["dialogues"] == 3 and measured["Chat", NEW, 3, True]["dialogues"] == 1
    assert measured["Chat", TRAINED, 2, False]["dialogues"] == 2 and ("Chat", NEW, 3, False) not in measured
    for row in metrics["rows"]:
        assert 0 <= row["low"] <= row["rate"] <= row["high"] <= 1
    given = [row["obeyed"] for row in rows if (row["version"], row["constraints"], row["turn"]) == ("SFT", TRAINED, 2)]
    assert measured["SFT", TRAINED, 2, True]["rate"] == pytest.approx(sum(given) / len(given), abs=1e-4)
    assert json.loads((tmp_path / "ghost_attention.json").read_text()) == metrics["rows"]
    assert (tmp_path / "plots/attention.png").read_bytes().startswith(b"\x89PNG")
    assert "| Chat | **" in (tmp_path / "report.md").read_text()
    assert "Chat, trained constraint" in (tmp_path / "examples.md").read_text()
    monkeypatch.setattr(sampling, "load", lambda *a: pytest.fail("loaded again"))
    assert ghost_attention.run(RECIPE, inputs, tmp_path, log) == metrics


def test_only_harmless_prompts_that_stand_alone_are_asked():
    rows = [prompt(kind, n, f"{kind} {n}?") for kind in ("helpfulness", "safety", "harmless") for n in range(4)]
    earlier = [{"role": "user", "content": "How do I steal?"}, {"role": "user", "content": "helpfulness 9?"}]
    follow = prompt("helpfulness", 8, "What is tea? Tell me more.") | {
        "messages": [{"role": "user", "content": text} for text in ("What is tea?", "Tell me more.")]
    }
    rows += [prompt("helpfulness", 9, "helpfulness 9?") | {"messages": earlier}, follow]
    planned = ghost_attention.plan(rows, replace(RECIPE, lengths=((3, 40),)))
    asked = {question for talk in planned for question in talk.questions}
    assert asked == {f"{kind} {n}?" for kind in ("helpfulness", "harmless") for n in range(4)} | {"helpfulness 9?"}
    assert all(len(set(talk.questions)) == len(talk.questions) for talk in planned)
    groups = [talk.group for talk in planned]
    assert (groups.count(TRAINED), groups.count(NEW), groups.count(CONTROL)) == (20, 20, 2)
    trained = {one for talk in planned if talk.group == TRAINED for one in talk.constraints}
    assert not trained & {one for talk in planned if talk.group == NEW for one in talk.constraints}
    with pytest.raises(ValueError, match="no harmless test prompt"):
        ghost_attention.plan([prompt("safety", 1, "How?")], RECIPE)


def test_the_instruction_stands_in_the_first_message_alone():
    talk = Talk("0", TRAINED, (LOWER,), True, ("One?", "Two?", "Three?"), ("first", "second"))
    said = talk.messages(3)
    assert [message["role"] for message in said] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert "lower case" in said[0]["content"] and [m["content"] for m in said[1:]] == [
        "One?", "first", "Two?", "second", "Three?"
    ]  # fmt: skip
    inside = replace(talk, system=False).messages(2)
    assert inside[0]["content"].endswith("\nOne?") and "lower case" in inside[0]["content"] and len(inside) == 3
    assert replace(talk, constraints=(), group=CONTROL).messages(1) == [{"role": "user", "content": "One?"}]


def test_rates_by_hand():
    questions = ("a?", "b?")
    talks = [
        Talk("0", TRAINED, (LOWER,), True, questions, ("all small.", "Not small.")),
        Talk("1", NEW, (UPPER,), True, questions, ("ALL LARGE.",)),  # no room for a second answer
        Talk("2", TRAINED, (LOWER,), True, questions, ("small.", "small too.")),
        Talk("3", CONTROL, (), True, questions, ("small by chance.", "LARGE BY CHANCE.")),
    ]
    found = {(r["constraints"], r["turn"], r["given"]): (r["rate"], r["dialogues"])
             for r in ghost_attention.rates("Chat", talks, (1, 2))}  # fmt: skip
    assert found == {
        (TRAINED, 1, True): (1.0, 2), (TRAINED, 2, True): (0.5, 2), (NEW, 1, True): (1.0, 1),
        (TRAINED, 1, False): (1.0, 1), (TRAINED, 2, False): (0.0, 1), (NEW, 1, False): (0.0, 1),
        (NEW, 2, False): (1.0, 1),
    }  # fmt: skip


def test_a_dialogue_ends_where_the_context_is_full(inputs, tmp_path, log):
    long = Talk("0", TRAINED, (LOWER,), False, ("Which colours? " * 60,) * 6)
    (talk,) = ghost_attention.answered([long], inputs["chat_model"], RECIPE, tmp_path, log)
    assert 1 <= len(talk.answers) < 6
