"""The networks of PPO: policy and critic, evaluated at the same positions, and two reward models for whole answers."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from modeling.core import dialog, ranks, runtime, sampling, sharding, unused_ids
from modeling.core.frozen_layers import freeze_lower
from modeling.rlhf import scoring
from modeling.rlhf.ppo import losses
from modeling.rlhf.ppo.rollout import Batch, Prompt, Response

Reward = Callable[[list[Prompt], list[Response]], "Scores"]

# Response tokens whose float32 logits exist at once: a runtime setting, never part of an artifact's identity.
LOGIT_TOKENS = 128


class Critic(nn.Module):
    """A reward model's backbone with a scalar head per token. The head starts at 0, the mean of whitened rewards."""

    def __init__(self, backbone: nn.Module, width: int) -> None:
        super().__init__()
        self.base_model = backbone  # transformers' name for it, by which the layers are found
        self.head = nn.Linear(width, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)


@dataclass(frozen=True)
class Scores:
    """Raw scores (logits) of B responses, and the paper's combination of them."""

    helpfulness_B: Tensor
    safety_B: Tensor
    combined_B: Tensor  # LOGIT(R_c), before whitening


def load_float32(cls, folder: Path, where: torch.device):
    """The model in float32 on the device, in evaluation mode: PPO runs without dropout, whatever the config sets."""
    return cls.from_pretrained(folder, dtype=torch.float32).to(where).eval()


def load_critic(folder: Path, where: torch.device, frozen: int) -> Critic:
    """A critic that starts from a reward model's weights; its lowest `frozen` layers do not learn."""
    model = load_float32(AutoModelForSequenceClassification, folder, where)
    critic = Critic(model.base_model, model.config.hidden_size).to(where).eval()
    if runtime.processes() > 1:
        sharding.shard(critic, gathered=torch.float32)
    freeze_lower(model, frozen)
    return critic


def load_policy(folder: Path, tokenizer, where: torch.device) -> nn.Module:
    """The policy in float32, or this process's share of it. Its distribution gives no token to unused ids.

    A share is gathered in float32: bfloat16 logits would be too coarse (`_over_logits`).
    """
    policy = sharding.load(AutoModelForCausalLM, folder, gathered=torch.float32)
    if not sharding.is_sharded(policy):
        policy = policy.to(where)
    unused_ids.bar(policy, tokenizer)
    return policy.eval()


def actor_of(policy: nn.Module, folder: Path, tokenizer, where: torch.device) -> nn.Module:
    """The network that samples: whole on each device, in the dtype of generation. May be the policy itself.

    Decoding with shares would gather all weights for each token (the paper found it 20 times slower: 3.4.1).
    """
    dtype = sampling.generation_dtype(where, policy.num_parameters())
    if sharding.is_sharded(policy):
        actor = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(where)
        unused_ids.bar(actor, tokenizer)
        return actor.eval().requires_grad_(False)
    return policy if dtype == torch.float32 else cast_copy(policy, dtype)


def reference_of(policy: nn.Module, folder: Path, tokenizer, where: torch.device) -> nn.Module:
    """The policy as it is now, which stays so. A whole one shares the weights that do not learn with the policy."""
    if sharding.is_sharded(policy):
        return load_policy(folder, tokenizer, where).requires_grad_(False)
    shared = {id(parameter): parameter for parameter in policy.parameters() if not parameter.requires_grad}
    return copy.deepcopy(policy, shared).requires_grad_(False)


def cast_copy(policy: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy in another dtype that does not learn, made weight by weight: a whole second float32 copy never exists."""
    cast = {id(weight): nn.Parameter(weight.detach().to(dtype), requires_grad=False) for weight in policy.parameters()}
    return copy.deepcopy(policy, cast).to(dtype).requires_grad_(False)


def reward_function(inputs: dict[str, Path], tokenizer, threshold: float) -> Reward:
    """A function that scores responses with both reward models and combines them by the paper's piecewise rule.

    Processes that train together share the responses, and all get all scores. Each holds both reward models whole.
    """
    helpfulness_model, _ = scoring.load(inputs["helpfulness_reward_model"])
    safety_model, _ = scoring.load(inputs["safety_reward_model"])
    limit = min(model.config.max_position_embeddings for model in (helpfulness_model, safety_model))

    def reward(prompts: list[Prompt], responses: list[Response]) -> Scores:
        dialogs = [
            dialog.with_answer(prompt.messages, response.text)
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        places = ranks.mine(len(dialogs))
        rows = [scoring.encode(tokenizer, dialogs[place], limit)[0] for place in places]
        helpfulness = ranks.merged(scoring.score_ids(helpfulness_model, rows), places, len(dialogs))
        safety = ranks.merged(scoring.score_ids(safety_model, rows), places, len(dialogs))
        combined = scoring.piecewise(
            scoring.sigmoid(safety), scoring.sigmoid(helpfulness), [prompt.safety for prompt in prompts], threshold
        )
        return Scores(helpfulness, safety, scoring.logit(combined))

    return reward


def hidden_states(backbone: nn.Module, batch: Batch) -> Tensor:
    """hidden_ND, float32: the hidden state before each response token. The network runs under runtime.autocast."""
    with runtime.autocast(batch.ids_BL.device):
        hidden_BLD = backbone(input_ids=batch.ids_BL, use_cache=False).last_hidden_state
    return hidden_BLD[batch.states()].float()


def policy_logits(policy: nn.Module, batch: Batch) -> Tensor:
    """logits_NV of all response tokens at once, float32, for checks: training reads them in chunks (`_over_logits`)."""
    return policy.get_output_embeddings()(hidden_states(policy.base_model, batch))


def policy_logprobs(policy: nn.Module, batch: Batch) -> Tensor:
    """logp_BT of the response tokens, 0 elsewhere."""
    return batch.spread(sharding.computed(policy, _over_logits, batch, losses.token_logprobs))


def policy_logprobs_and_entropy(policy: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """(logp_BT of the response tokens, entropy_BT of the distributions they were drawn from), 0 elsewhere."""

    def both(logits_CV: Tensor, tokens_C: Tensor) -> Tensor:
        return torch.stack([losses.token_logprobs(logits_CV, tokens_C), losses.token_entropy(logits_CV)], -1)

    logp_N, entropy_N = sharding.computed(policy, _over_logits, batch, both).unbind(-1)
    return batch.spread(logp_N), batch.spread(entropy_N)


def _over_logits(policy: nn.Module, batch: Batch, function: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """`function` of logits (C, V), float32, and response tokens (C), for all N tokens, at most LOGIT_TOKENS at once.

    The backward pass computes the logits again instead of keeping them. They are float32 because the rounding steps of
    bfloat16 logits are larger than the change of one update.
    """
    head = policy.get_output_embeddings()

    def chunk(hidden_CD: Tensor, tokens_C: Tensor) -> Tensor:
        return function(head(hidden_CD), tokens_C)

    hidden_ND = hidden_states(policy.base_model, batch)
    chunks = zip(hidden_ND.split(LOGIT_TOKENS), batch.tokens().split(LOGIT_TOKENS), strict=True)
    return torch.cat([checkpoint(chunk, *pair, use_reentrant=False, preserve_rng_state=False) for pair in chunks])


def critic_values(critic: Critic, batch: Batch) -> Tensor:
    """values_BT, 0 outside the response."""
    return batch.spread(sharding.computed(critic, _values, batch))


def _values(critic: Critic, batch: Batch) -> Tensor:
    return critic.head(hidden_states(critic.base_model, batch)).squeeze(-1)
