"""Log-probabilities of the policy: float32 logits exist for a few response tokens at once, and the values stay equal."""

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from modeling.rlhf.ppo import losses, networks, rollout
from modeling.rlhf.ppo.rollout import Prompt, Response

LENGTHS = [(9, 5), (2, 11), (6, 1)]  # tokens of each prompt and of its response: 17 response tokens


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def policy(request, monkeypatch):
    monkeypatch.setattr(networks, "LOGIT_TOKENS", 4)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        tie_word_embeddings=request.param,
    )
    return LlamaForCausalLM(shape).eval()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    prompts, responses = [], []
    for prompt, response in LENGTHS:
        ids = torch.randint(50, (prompt + response,), generator=generator).tolist()
        prompts.append(Prompt("", [], False, "", ids[:prompt]))
        responses.append(Response(ids[prompt:], "", True))
    return rollout.pack([0, 1, 2], prompts, responses, torch.device("cpu"))


def gradients(policy: nn.Module, logp_BT: torch.Tensor) -> list[torch.Tensor]:
    weights_BT = torch.linspace(-1, 1, logp_BT.numel()).view(logp_BT.shape)
    return list(torch.autograd.grad((weights_BT * logp_BT).sum(), list(policy.parameters())))


def test_values_and_gradients_are_those_of_all_logits_at_once(policy, batch):
    logits_NV = networks.policy_logits(policy, batch)
    plain_BT = batch.spread(losses.token_logprobs(logits_NV, batch.tokens()))
    logp_BT = networks.policy_logprobs(policy, batch)
    assert torch.allclose(logp_BT, plain_BT, atol=1e-5)
    for ours, plain in zip(gradients(policy, logp_BT), gradients(policy, plain_BT), strict=True):
        assert plain.abs().sum() > 0 and torch.allclose(ours, plain, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        rolled_BT, entropy_BT = networks.policy_logprobs_and_entropy(policy, batch)
    assert torch.equal(rolled_BT, logp_BT)  # ratios begin at exactly 1
    assert torch.allclose(entropy_BT, batch.spread(losses.token_entropy(logits_NV)), atol=1e-5)


def test_logits_exist_for_a_few_response_tokens_and_are_not_kept(policy, batch):
    made, kept = [], []
    policy.get_output_embeddings().register_forward_hook(lambda head, inputs, logits: made.append(logits.shape[0]))

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logp_BT = networks.policy_logprobs(policy, batch)
    assert made == [4, 4, 4, 4, 1]
    assert not [shape for shape in kept if len(shape) > 1 and shape[0] <= 17 and shape[-1] == 50]
    logp_BT.sum().backward()
    assert made[5:] and max(made) == 4


def test_a_cast_copy_is_the_copy_cast(policy):
    policy.model.layers[0].requires_grad_(False)
    copied = networks.cast_copy(policy, torch.bfloat16)
    assert all(weight.dtype == torch.float32 for weight in policy.parameters())
    for ours, theirs in zip(copied.parameters(), policy.parameters(), strict=True):
        assert not ours.requires_grad and torch.equal(ours, theirs.bfloat16())
    tied = policy.config.tie_word_embeddings
    assert (copied.get_output_embeddings().weight is copied.get_input_embeddings().weight) == tied
