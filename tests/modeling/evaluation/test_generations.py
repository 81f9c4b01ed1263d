"""Every version answers the same prompts once, at its own temperature; a killed run continues."""

import json

import pyarrow.parquet as pq
import pytest

from modeling.core import sampling, system_prompts, version_names
from modeling.evaluation import controls, generations, versions
from tests.modeling import toy_rlhf
from tests.modeling.toy_evaluation import RECIPE, prompt, write_prompts

pytestmark = pytest.mark.trains

NAMES = ["Base", "SFT", "RLHF-v2", "RLHF-v10", "Chat"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generations")
    world = toy_rlhf.build(folder / "world", prompts=4)
    rows = [
        prompt(kind, n, f"Which colours do you see {n}?", reference="blue" if n % 2 else "")
        for kind in ("helpfulness", "safety", "harmless")
        for n in range(9)
    ]
    rows.append(prompt("safety", 99, "colours " * 200))
    (folder / "temperatures").mkdir()
    choice = dict.fromkeys(NAMES, 1.0) | {"RLHF-v10": 0.1}
    (folder / "temperatures" / version_names.CHOICE).write_text(json.dumps(choice))
    return {
        "prompts": write_prompts(folder / "prompts", rows),
        "temperature_curve": folder / "temperatures",
        **dict.fromkeys(("base_model", "sft_model", "policy_2", "policy_10", "chat_model"), world["policy"]),
    }


def answers_of(rows: list[dict], version: str) -> dict[str, str]:
    return {row["prompt_id"]: row["answer"] for row in rows if row["version"] == version}


def test_same_model_same_numbers_same_answers(inputs, tmp_path, log):
    metrics = generations.run(RECIPE, inputs, tmp_path, log)
    # 12 wanted of 9, 8 of 10 (the overlong one among them or not), 6 of 9
    assert metrics["helpfulness_prompts"] == 9 and metrics["harmless_prompts"] == 6
    assert metrics["safety_prompts"] + metrics["prompts_too_long"] == 8
    rows = generations.read(tmp_path)
    by = {name: answers_of(rows, name) for name in dict.fromkeys(row["version"] for row in rows)}
    assert list(by) == [*NAMES, controls.CONSTANT, controls.REFUSAL, controls.REFERENCE]
    # One model under five names: the rounds answer the same half of the prompts, with the same random numbers.
    assert by["Base"] == by["SFT"] == by["Chat"] and len(by["Base"]) == metrics["prompts"]
    assert len(by["RLHF-v2"]) == metrics["prompts_of_every_version"] < metrics["prompts"]
    assert by["RLHF-v2"] == {key: by["Base"][key] for key in by["RLHF-v2"]}
    assert by["RLHF-v10"].keys() == by["RLHF-v2"].keys() and by["RLHF-v10"] != by["RLHF-v2"]  # another temperature
    assert {row["temperature"] for row in rows if row["version"] == "RLHF-v10"} == {0.1}
    assert set(by[controls.CONSTANT].values()) == {controls.SENTENCE}
    assert set(by[controls.REFERENCE].values()) == {"blue"} and len(by[controls.REFERENCE]) < metrics["prompts"]
    assert all(row["control"] == (row["temperature"] is None) for row in rows)
    assert pq.read_table(tmp_path / "answers.parquet").schema.equals(generations.SCHEMA)
    text = (tmp_path / "examples.md").read_text()
    assert text.count("### Prompt") == metrics["prompts_of_every_version"] and "**RLHF-v10**" in text


def test_chat_answers_a_subset_once_more_with_the_default_system_prompt(inputs, tmp_path, log, monkeypatch):
    monkeypatch.setattr(system_prompts, "DEFAULT", "Say blue.")  # Table 31 does not fit into the toy's context
    metrics = generations.run(RECIPE, inputs, tmp_path, log)
    rows = generations.read(tmp_path)
    told, chat = answers_of(rows, versions.TOLD), answers_of(rows, "Chat")
    assert 0 < len(told) == metrics["prompts_with_system_prompt"] <= metrics["prompts_of_every_version"]
    assert told != {key: chat[key] for key in told}
    mine = [row for row in rows if row["version"] == versions.TOLD]
    assert {row["messages"][0]["role"] for row in mine} == {"user"}  # raters read the dialogue alone
    assert {row["temperature"] for row in mine} == {1.0} and not any(row["control"] for row in mine)


def test_a_prompt_with_a_system_prompt_of_its_own_is_not_told_another():
    plain, own = prompt("safety", 1, "Hello"), prompt("safety", 2, "Hello")
    own["messages"] = [{"role": "system", "content": "Be kind."}, *own["messages"]]
    (one,) = generations.told_prompts([plain, own])
    assert one["id"] == plain["id"] and one["messages"][0]["content"] == system_prompts.DEFAULT
    assert one["messages"][1:] == plain["messages"]


def test_a_killed_run_continues_with_the_same_bytes(inputs, tmp_path, log, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    generations.run(RECIPE, inputs, whole, log)
    real, calls = sampling.generate, []

    def dies(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(sampling, "generate", dies)
    with pytest.raises(KeyboardInterrupt):
        generations.run(RECIPE, inputs, killed, log)
    assert not (killed / "answers.parquet").exists()
    generations.run(RECIPE, inputs, killed, log)
    assert len(calls) == 6  # two versions were done, one died, then three were left
    assert (killed / "answers.parquet").read_bytes() == (whole / "answers.parquet").read_bytes()


def test_more_prompts_keep_the_earlier_ones():
    rows = [prompt("safety", n, str(n)) for n in range(30)]
    few = {row["id"] for row in generations.select(rows, {"safety": 5})}
    assert len(few) == 5 and few < {row["id"] for row in generations.select(rows, {"safety": 12})}


def test_a_subset_comes_first_and_holds_every_kind():
    rows = [prompt("safety", n, str(n)) for n in range(30)] + [prompt("harmless", n, str(n)) for n in range(2)]
    ordered, few = generations.subset_first(rows, 1 / 3)
    assert sorted(row["id"] for row in ordered) == sorted(row["id"] for row in rows) and few == 11
    assert {row["kind"] for row in ordered[:few]} == {"safety", "harmless"}
    fewer = generations.subset_first(rows, 0.1)
    assert {row["id"] for row in fewer[0][: fewer[1]]} < {row["id"] for row in ordered[:few]}
    assert generations.subset_first(rows, 1.0) == (sorted(rows, key=lambda row: row["id"]), 32)


def test_model_text_cannot_break_the_examples():
    asked = [prompt("safety", 1, "# Title <b>")]
    rows = generations.answer_rows("SFT", asked, ["# head\n<script>x</script>\n```"], 0.5)
    shown = generations.examples(asked, rows + generations.answer_rows("Chat", asked, [""], 0.5))
    assert "<script>" not in shown and "\n# head" not in shown and "*(empty)*" in shown and "```" not in shown
