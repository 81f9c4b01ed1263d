"""Every version answers the same prompts once; a killed run continues."""

import pyarrow.parquet as pq
import pytest

from modeling.core import sampling
from modeling.evaluation import generations
from tests.modeling import toy_rlhf
from tests.modeling.toy_evaluation import RECIPE, prompt, write_prompts

pytestmark = pytest.mark.trains


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generations")
    world = toy_rlhf.build(folder / "world", prompts=4)
    rows = [
        prompt(kind, n, f"Which colours do you see {n}?")
        for kind in ("helpfulness", "safety", "harmless")
        for n in range(9)
    ]
    rows.append(prompt("safety", 99, "colours " * 200))
    return {
        "prompts": write_prompts(folder / "prompts", rows),
        "sft_model": world["policy"],
        "policy_2": world["policy"],
        "policy_10": world["policy"],
        "chat_model": world["policy"],
    }


def test_versions_are_named_and_ordered_as_trained(inputs):
    assert list(generations.version_folders(inputs)) == ["SFT", "RLHF-v2", "RLHF-v10", "Chat"]
    assert "RLHF-v10 PPO" in generations.version_folders(inputs | {"ppo_policy": inputs["sft_model"]})
    with pytest.raises(ValueError, match="sft_model"):
        generations.version_folders({"policy_1": inputs["sft_model"]})


def test_same_model_same_seed_same_answers(inputs, tmp_path, log):
    metrics = generations.run(RECIPE, inputs, tmp_path, log)
    # 12 wanted of 9, 8 of 10 (the overlong one among them or not), 6 of 9
    assert metrics["helpfulness_prompts"] == 9 and metrics["harmless_prompts"] == 6
    assert metrics["safety_prompts"] + metrics["prompts_too_long"] == 8
    prompts, answers = generations.read(tmp_path, "safety")
    assert list(answers) == ["SFT", "RLHF-v2", "RLHF-v10", "Chat"]
    assert answers["SFT"] == answers["Chat"] == answers["RLHF-v10"]  # one model under four names
    assert any(answers["SFT"]) and [p["prompt_id"] for p in prompts] == sorted(p["prompt_id"] for p in prompts)
    table = pq.read_table(tmp_path / "answers.parquet")
    assert table.schema.equals(generations.SCHEMA) and table.num_rows == 4 * metrics["prompts"]
    text = (tmp_path / "examples.md").read_text()
    assert text.count("### Prompt") == 18 and "**RLHF-v10**" in text


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
    assert len(calls) == 5  # two versions were done, one died, then two were left
    assert (killed / "answers.parquet").read_bytes() == (whole / "answers.parquet").read_bytes()


def test_more_prompts_keep_the_earlier_ones():
    rows = [prompt("safety", n, str(n)) for n in range(30)]
    few = {row["id"] for row in generations.select(rows, {"safety": 5})}
    assert len(few) == 5 and few < {row["id"] for row in generations.select(rows, {"safety": 12})}


def test_a_missing_answer_is_an_error(tmp_path):
    rows = [prompt("safety", n, str(n)) for n in range(2)]
    generations.write(rows, {"SFT": ["a", "b"]}, tmp_path / "answers.parquet")
    table = pq.read_table(tmp_path / "answers.parquet")
    extra = table.slice(0, 1).set_column(0, "version", [["Chat"]])
    import pyarrow as pa

    pq.write_table(pa.concat_tables([table, extra]), tmp_path / "answers.parquet")
    with pytest.raises(ValueError, match="Chat answered 1 of 2"):
        generations.read(tmp_path, "safety")


def test_model_text_cannot_break_the_examples():
    shown = generations.examples(
        [prompt("safety", 1, "# Title <b>")], {"SFT": ["# head\n<script>x</script>\n```"], "Chat": [""]}
    )
    assert "<script>" not in shown and "\n# head" not in shown and "*(empty)*" in shown and "```" not in shown
