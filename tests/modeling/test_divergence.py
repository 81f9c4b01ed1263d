"""Every stage that trains ends with the same message where its recipe makes it diverge, and publishes no model."""

import dataclasses
import random

import pytest
import torch

from modeling.core.divergence import DivergedError
from modeling.finetuning import sft
from modeling.pretraining import pretrain
from modeling.rlhf import pairs, reward_model
from tests.modeling import toy_chat, toy_rlhf
from tests.modeling.pretraining import test_pretrain
from tests.modeling.rlhf import test_reward_model


def absurd(recipe):
    optimizer = dataclasses.replace(
        recipe.optimizer, learning_rate=1e30, schedule="constant", warmup_steps=0, warmup_ratio=0.0
    )
    return dataclasses.replace(recipe, optimizer=optimizer)


def pretraining(folder, out, log):
    pretrain.run(absurd(test_pretrain.RECIPE), test_pretrain.make_inputs(folder), out, log)


def fine_tuning(folder, out, log):
    """SFT, the policies of RLHF and the final chat model: all of them are `sft.finetune`."""
    recipe = dataclasses.replace(absurd(toy_chat.RECIPE), max_steps=20)
    sft.finetune(toy_chat.save_base(folder), toy_chat.dialogues(), recipe, out, log)


def reward_modeling(folder, out, log):
    chat, rng = toy_rlhf.build(folder, prompts=4)["policy"], random.Random(0)
    rows = [test_reward_model.make_pair(number, rng, kind) for kind in pairs.KINDS for number in range(40)]
    reward_model.fit(absurd(test_reward_model.RECIPE), rows, chat, out, log)


@pytest.mark.parametrize("train", [pretraining, fine_tuning, reward_modeling])
def test_a_training_that_diverges_is_no_model(train, tmp_path, log):
    torch.set_num_threads(1)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DivergedError, match=r"diverged at step [1-4] of \d+: .*Lower the learning rate"):
        train(tmp_path / "inputs", out, log)
    assert not list(out.rglob("*.safetensors")) and not list(out.rglob("trained.json"))
