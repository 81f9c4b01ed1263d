"""Embeddings padded beyond the tokenizer: no sampler ever draws an id without a token."""

import dataclasses

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from modeling.core import dialog, nucleus, sampling, unused_ids
from modeling.core.recipes import SamplingRecipe
from modeling.evaluation import benchmarks
from modeling.finetuning import sft
from modeling.rlhf.ppo import networks, rollout
from modeling.rlhf.ppo import stage as ppo
from release import chat, export, loaded_models
from tests.modeling import toy_chat, toy_rlhf

WILD = SamplingRecipe(temperature=2.0, top_p=1.0, max_new_tokens=12, seed=3)
PROMPTS = [messages[:-1] for messages in toy_chat.dialogues()]


@pytest.fixture(scope="module")
def padded(tmp_path_factory):
    """A random model with 640 embeddings for a tokenizer of fewer: what lies beyond is as likely as the rest."""
    torch.set_num_threads(1)
    folder = toy_chat.save_base(tmp_path_factory.mktemp("padded"))
    assert len(AutoTokenizer.from_pretrained(folder)) < 600 < toy_chat.MODEL.vocab_size
    return folder


def drawn(model, tokenizer, recipe=WILD) -> list[int]:
    prompts = [dialog.encode_prompt(tokenizer, messages) for messages in PROMPTS]
    rows = sampling.generate_ids(model, tokenizer, prompts, recipe, samples=8)
    return [token for row in rows for answer in row for token in answer]


@pytest.mark.parametrize("temperature", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("top_p", [0.9, 1.0])
def test_generation_draws_tokens_only(padded, temperature, top_p):
    model, tokenizer = sampling.load(padded)
    recipe = dataclasses.replace(WILD, temperature=temperature, top_p=top_p)
    assert max(drawn(model, tokenizer, recipe)) < len(tokenizer)
    # The weights as they are do fall for it: the test would notice if it stopped testing anything.
    bare = AutoModelForCausalLM.from_pretrained(padded)
    assert temperature == 0.0 or max(drawn(bare, tokenizer, recipe)) >= len(tokenizer)


def test_the_chat_draws_tokens_only(padded, monkeypatch):
    loaded, tokens, sample = loaded_models.load(padded), [], nucleus.sample_tokens

    def watched(*arguments):
        tokens.append(sample(*arguments))
        return tokens[-1]

    monkeypatch.setattr(nucleus, "sample_tokens", watched)
    for seed, messages in enumerate(PROMPTS):
        list(chat.stream(loaded, messages, chat.Settings(temperature=2.0, top_p=1.0, max_new_tokens=12, seed=seed)))
    assert len(tokens) > 50 and max(int(token) for token in tokens) < len(loaded.tokenizer)


def test_transformers_itself_draws_tokens_only(padded, tmp_path, log):
    sft.finetune(padded, toy_chat.dialogues(), dataclasses.replace(toy_chat.RECIPE, max_steps=1), tmp_path, log)
    export.export_model(
        tmp_path, tmp_path / "released", ["Hello"], {"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 12}
    )
    for folder in (tmp_path, tmp_path / "released"):
        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        torch.manual_seed(0)
        ids = torch.tensor([dialog.encode_prompt(tokenizer, PROMPTS[0])])
        answers = model.generate(ids, max_new_tokens=12, temperature=2.0, top_p=1.0, num_return_sequences=40)
        assert answers.max() < len(tokenizer)


def test_benchmarks_answer_in_tokens_only(padded):
    pytest.importorskip("lm_eval")
    lm = benchmarks.load(padded)
    with torch.inference_mode():
        logits = lm.model(input_ids=torch.tensor([[5, 6, 7]], device=lm.device)).logits
    assert logits.argmax(-1).max() < len(lm.tokenizer) and logits[..., len(lm.tokenizer) :].max() == -torch.inf


@pytest.fixture(scope="module")
def padded_policy(tmp_path_factory):
    inputs = toy_rlhf.build(tmp_path_factory.mktemp("toy"))
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(inputs["policy"]),
        AutoTokenizer.from_pretrained(inputs["policy"]),
    )
    size = len(tokenizer)
    model.resize_token_embeddings(size + 200)
    with torch.no_grad():  # as likely as the closing token
        closing = dialog.closing_token_id(tokenizer)
        for weight in {model.get_input_embeddings().weight, model.get_output_embeddings().weight}:
            weight[size:] = weight[closing]
    toy_rlhf.save(model, tokenizer, inputs["policy"])
    return inputs


def test_rollouts_of_ppo_and_their_probabilities_are_over_tokens_only(padded_policy, log):
    loop = ppo.make_loop(toy_rlhf.recipe(), padded_policy, log)
    tokens = len(loop.tokenizer)
    experience, figures = loop.rollout(1)
    assert max(token for response in experience.responses for token in response.ids) < tokens
    assert 0 < figures["entropy"] < 10 and abs(figures["kl"]) < 1e-3
    batch = rollout.pack([0, 1], experience.prompts, experience.responses, loop.where)
    for policy in (loop.policy.model, loop.reference, loop.actor):
        shares = networks.policy_logits(policy, batch).softmax(-1).cpu()
        assert shares[:, tokens:].sum() == 0 and torch.allclose(shares[:, :tokens].sum(-1), torch.ones(len(shares)))
    before = {name: weight.clone() for name, weight in loop.policy.model.named_parameters()}
    moved = loop.update(experience)
    assert all(value == value for value in moved.values())
    changed = loop.policy.model.get_output_embeddings().weight - before["lm_head.weight"]
    assert changed[:tokens].abs().sum() > 0 and changed.isfinite().all()


def test_ids_missing_inside_the_vocabulary_are_barred_too(padded):
    class Holey:
        def get_vocab(self):
            return {"a": 0, "b": 3}

    assert unused_ids.unused_ids(6, Holey()) == [1, 2, 4, 5]
    model = AutoModelForCausalLM.from_pretrained(padded)
    unused_ids.bar(model, Holey())
    logits = model(input_ids=torch.tensor([[0]])).logits[0, 0]
    assert logits.isfinite().nonzero().flatten().tolist() == [0, 3]


def test_a_barred_model_is_saved_without_the_bar(padded, tmp_path):
    model, tokenizer = sampling.load(padded)
    model.save_pretrained(tmp_path)
    assert "unused_ids" not in AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()
    assert "unused_ids" not in str(sorted(model.state_dict()))
