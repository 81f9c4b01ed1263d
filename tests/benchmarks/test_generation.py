"""The reference loop of the benchmark and the loop in use give the same answers."""

import pytest
import torch
from transformers import AutoTokenizer

from benchmarks import generation
from modeling.core import sampling
from modeling.core.recipes import SamplingRecipe
from tests.modeling import toy_chat

pytestmark = pytest.mark.trains


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_both_loops_give_the_same_answers(tmp_path, temperature):
    torch.set_num_threads(1)
    folder = toy_chat.save_base(tmp_path)
    model, tokenizer = sampling.load_transformers(folder, torch.device("cpu")), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(6)
    prompts = [prompt[:40] for prompt in generation.encoded_prompts(tokenizer, None, 10)]
    recipe = SamplingRecipe(temperature, 0.9, 12, 3)
    found = [generation.answers(loop, model, tokenizer, prompts, recipe, 4) for loop in generation.LOOPS]
    assert found[0] == found[1]
    assert len({tuple(answer) for row in found[0] for answer in row}) > 5
