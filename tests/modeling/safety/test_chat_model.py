"""The chat model learns the distilled answers without the preprompt and keeps a share of helpful samples."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from modeling.core import sampling
from modeling.core.recipes import SamplingRecipe
from modeling.rlhf.recipes import SelectedRecipe
from modeling.safety import chat_model
from tests.modeling import toy_rlhf

pytestmark = pytest.mark.trains


GREEDY = SamplingRecipe(temperature=0.0, top_p=1.0, max_new_tokens=8, seed=0)
RECIPE = SelectedRecipe(
    toy_rlhf.optimizer(3e-3), 64, 4, 1.0, 45, 0.25, 0, 0.0, 1.0, 0.0, 0, selection_prompts=0, selection_sampling=GREEDY
)


def sample(index: int, answer: str, kind: str) -> dict:
    user = {"role": "user", "content": f"Which colours do you see now? {index}"}
    return {"id": f"{kind}-{index}", "messages": [user, {"role": "assistant", "content": answer}], "kind": kind}


def write(folder, rows) -> None:
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "samples.parquet")


@pytest.fixture
def inputs(tmp_path):
    torch.set_num_threads(1)
    folders = toy_rlhf.build(tmp_path / "toy", validation=24)
    write(tmp_path / "distilled", [sample(i, "green green white green", "safety") for i in range(24)])
    write(
        tmp_path / "rejection",
        [sample(i, "blue blue", "helpfulness") for i in range(30)] + [sample(i, "red red", "safety") for i in range(9)],
    )
    write(tmp_path / "ghosts", [sample(i, "white white", "ghost") for i in range(9)])
    return {
        **folders,
        "ppo_policy": folders["policy"],
        "distilled_answers": tmp_path / "distilled",
        "rejection_samples": tmp_path / "rejection",
        "ghost_dialogues": tmp_path / "ghosts",
    }


def test_it_learns_the_distilled_answers_and_is_the_same_again(inputs, tmp_path, log):
    out = tmp_path / "out"
    out.mkdir()
    metrics = chat_model.run(RECIPE, inputs, out, log)
    assert (metrics["distilled_samples"], metrics["rejection_samples"]) == (24, 8)
    question = sample(0, "", "safety")["messages"][:1]
    for folder, expected in ((inputs["ppo_policy"], False), (out, True)):
        (((answer, _),),) = sampling.generate(*sampling.load(folder), [question], GREEDY)
        assert (answer == "green green white green") is expected

    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert chat_model.run(RECIPE, inputs, out, log) == metrics  # killed before it was published: the same again
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_a_model_that_is_worse_than_the_ppo_policy_stays_out(inputs, tmp_path, log):
    sampled = replace(GREEDY, temperature=1.0)
    recipe = replace(RECIPE, demonstration_share=0.0, selection_prompts=24, selection_sampling=sampled, ghost_share=0.2)
    write(tmp_path / "bad", [sample(i, "red red red", "safety") for i in range(24)])
    metrics = chat_model.run(recipe, inputs | {"distilled_answers": tmp_path / "bad"}, tmp_path / "out", log)
    assert (metrics["ghost_dialogues"], metrics["selected"]) == (6, "before")
    began, released = (load_file(folder / "model.safetensors") for folder in (inputs["ppo_policy"], tmp_path / "out"))
    assert all(torch.equal(began[name], released[name]) for name in began)


def test_the_share_of_helpful_samples_and_no_safety_answers_but_the_distilled(inputs):
    distilled = chat_model.read_samples(inputs["distilled_answers"])
    helpful = [row for row in chat_model.read_samples(inputs["rejection_samples"]) if row["kind"] != "safety"]
    mixed = chat_model.mix(distilled, helpful, 0.25)
    assert len(mixed) == 32 and sum(row["kind"] == "safety" for row in mixed) == 24
    assert chat_model.mix(distilled, helpful, 0.25) == chat_model.mix(distilled[::-1], helpful[::-1], 0.25)
    assert len(chat_model.mix(distilled, helpful, 0.9)) == 24 + 30  # all there are
    assert chat_model.mix(distilled, helpful, 0.0) == distilled
    assert len(chat_model.mix([], helpful, 0.5)) == 30
    with pytest.raises(ValueError, match="below 1"):
        chat_model.mix(distilled, helpful, 1.0)
