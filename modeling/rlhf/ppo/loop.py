"""The loop of PPO: rollouts, updates, and held-out evaluations that choose the weights to release."""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modeling.core import hashing, json_text, sampling, training
from modeling.core.divergence import DivergedError, weights_finite
from modeling.core.recipes import PpoRecipe
from modeling.rlhf import scoring
from modeling.rlhf.ppo import losses
from modeling.rlhf.ppo import rollout as ppo_rollout
from modeling.rlhf.ppo import state as ppo_state
from modeling.rlhf.ppo.networks import Reward, critic_values, policy_logits, policy_logprobs
from modeling.rlhf.ppo.rollout import Batch, Prompt, Response
from modeling.rlhf.ppo.state import Learner, Progress

CHECKPOINT_SECONDS = 60.0  # between evaluations; each evaluation writes one anyway


@dataclass(frozen=True)
class Experience:
    """The rollouts of one iteration and the tensors that the update needs, from the old policy and critic.

    B rows; float32, but mask_BT is bool.
    """

    prompts: list[Prompt]
    responses: list[Response]
    mask_BT: Tensor
    logp_BT: Tensor
    values_BT: Tensor
    advantages_BT: Tensor
    returns_BT: Tensor


@dataclass
class Loop:
    """The networks and data of a run; `train` runs the iterations."""

    recipe: PpoRecipe
    tokenizer: Any
    policy: Learner
    critic: Learner
    reference: nn.Module
    reward: Reward
    prompts: list[Prompt]
    heldout: list[Prompt]
    too_long: int  # prompts left out because they do not fit in the context with an answer
    log: Any

    def __post_init__(self) -> None:
        self.where = next(self.policy.model.parameters()).device
        self.actor = self.policy.model
        dtype = sampling.generation_dtype(self.where, self.policy.model.num_parameters())
        if dtype != torch.float32:
            self.actor = copy.deepcopy(self.policy.model).to(dtype).requires_grad_(False)
        longest = (
            max(len(prompt.ids) for prompt in (*self.prompts, *self.heldout)) + self.recipe.sampling.max_new_tokens
        )
        self.micro_batch, _ = training.split_batch(self.recipe.mini_batch, longest)

    def train(self, checkpoints: Path) -> Progress:
        """Run all iterations from the newest checkpoint on, with early stopping by the held-out objective.

        Raises DivergedError if a gradient norm or a weight is not finite.
        """
        recipe = self.recipe
        progress = ppo_state.restore(checkpoints, self.policy, self.critic)
        if progress is None:
            progress = Progress()
            progress.history.append(self.evaluate(progress) | {"iteration": 0})
            ppo_state.save_best(checkpoints, 0, self.policy.model)
        else:
            self.log.info(f"continuing after iteration {progress.iteration}")
        saved = time.monotonic()
        while progress.iteration < recipe.iterations and progress.waited < recipe.patience:
            started = time.perf_counter()
            progress.iteration += 1
            experience, figures = self.rollout(progress.iteration)
            rolled = time.perf_counter()
            figures |= self.update(experience)
            self.check_weights(progress.iteration, figures)
            updated = time.perf_counter()
            evaluated = progress.iteration % recipe.evaluate_every == 0 or progress.iteration == recipe.iterations
            if evaluated:
                figures |= self.evaluate(progress)
                if progress.best == progress.iteration:
                    ppo_state.save_best(checkpoints, progress.best, self.policy.model)
            progress.history.append(json_text.without_nan({"iteration": progress.iteration, **figures}))
            if evaluated or time.monotonic() - saved > CHECKPOINT_SECONDS:
                ppo_state.save(checkpoints, progress, self.policy, self.critic)
                saved = time.monotonic()
            tokens = int(experience.mask_BT.sum())
            self.log.progress(
                progress.iteration,
                recipe.iterations,
                unit="iteration",
                **{name: round(figures[name], 3) for name in ("reward", "kl", "entropy", "length")},
                tokens_per_s=round(tokens / (time.perf_counter() - started)),
                rollout_share=round((rolled - started) / (updated - started), 2),
            )
        return progress

    def rollout(self, iteration: int) -> tuple[Experience, dict[str, float]]:
        """(responses of the current policy with what the update needs, metrics of reward, KL, entropy and length)."""
        recipe = self.recipe
        prompts = ppo_rollout.draw(self.prompts, iteration, recipe.batch, recipe.seed)
        responses = self.respond(prompts, hashing.mix(recipe.seed, "rollout", iteration))
        scores = self.reward(prompts, responses)
        width = max(len(response.ids) for response in responses)
        lengths_B = torch.tensor([len(response.ids) for response in responses], device=self.where)
        mask_BT = losses.response_mask(lengths_B, width)
        logp_BT, reference_BT, values_BT, entropy_BT = (torch.zeros(mask_BT.shape, device=self.where) for _ in range(4))
        with torch.no_grad():
            for start in range(0, recipe.batch, recipe.mini_batch):
                for batch in self.micro_batches(prompts, responses, range(start, start + recipe.mini_batch)):
                    part = (batch.rows, slice(batch.mask_BT.shape[1]))
                    logits_NV = policy_logits(self.policy.model, batch)
                    logp_BT[part] = batch.spread(losses.token_logprobs(logits_NV, batch.tokens()))
                    entropy_BT[part] = batch.spread(losses.token_entropy(logits_NV))
                    reference_BT[part] = policy_logprobs(self.reference, batch)
                    values_BT[part] = critic_values(self.critic.model, batch)
        kl_BT = losses.kl_k1(logp_BT, reference_BT)
        ended_B = torch.tensor([response.ended for response in responses])
        whitened_B = scoring.whiten(scores.combined_B) - recipe.truncation_penalty * (~ended_B).float()
        rewards_BT = losses.token_rewards(whitened_B.to(self.where), kl_BT, mask_BT, recipe.beta)
        advantages_BT, returns_BT = losses.gae(rewards_BT, values_BT, mask_BT, recipe.gamma, recipe.gae_lambda)
        experience = Experience(
            prompts, responses, mask_BT, logp_BT, values_BT, losses.normalize(advantages_BT, mask_BT), returns_BT
        )
        return experience, {
            "reward": float(scores.combined_B.mean()),
            "reward_deviation": float(scores.combined_B.std(correction=0)),
            "helpfulness": float(scores.helpfulness_B.mean()),
            "safety": float(scores.safety_B.mean()),
            "kl": float(torch.where(mask_BT, kl_BT, 0.0).sum(1).mean()),
            "kl_token": float(losses.masked_mean(kl_BT, mask_BT)),
            "kl_k3_token": float(losses.masked_mean(losses.kl_k3(logp_BT, reference_BT), mask_BT)),
            "entropy": float(losses.masked_mean(entropy_BT, mask_BT)),
            "length": float(lengths_B.float().mean()),
            "truncated": float((~ended_B).float().mean()),
            "explained_variance": losses.explained_variance(values_BT, returns_BT, mask_BT),
        }

    def update(self, experience: Experience) -> dict[str, float]:
        """Take one gradient step on each mini-batch. Returns metrics, averaged over the mini-batches."""
        recipe, e = self.recipe, experience
        size = recipe.mini_batch
        totals = {
            "policy_loss": 0.0,
            "value_loss": 0.0,
            "clip_fraction": 0.0,
            "gradient_norm": 0.0,
            "value_gradient_norm": 0.0,
        }
        minis = range(0, len(e.prompts), size)
        for start in minis:
            tokens = int(e.mask_BT[start : start + size].sum())
            for batch in self.micro_batches(e.prompts, e.responses, range(start, start + size)):
                mask_BT = batch.mask_BT
                part = (batch.rows, slice(mask_BT.shape[1]))
                logp_BT = policy_logprobs(self.policy.model, batch)
                loss_BT, clipped_BT = losses.policy_loss(
                    logp_BT, e.logp_BT[part], e.advantages_BT[part], mask_BT, recipe.clip
                )
                policy_loss = losses.masked_sum(loss_BT, mask_BT) / tokens
                policy_loss.backward()
                values_BT = critic_values(self.critic.model, batch)
                error_BT = losses.value_loss(values_BT, e.values_BT[part], e.returns_BT[part], recipe.value_clip)
                value_loss = losses.masked_sum(error_BT, mask_BT) / tokens
                (recipe.value_coefficient * value_loss).backward()
                totals["policy_loss"] += float(policy_loss.detach())
                totals["value_loss"] += float(value_loss.detach())
                totals["clip_fraction"] += int(clipped_BT.sum()) / tokens
            totals["gradient_norm"] += self.policy.step(recipe.optimizer.gradient_clip)
            totals["value_gradient_norm"] += self.critic.step(recipe.optimizer.gradient_clip)
        return {name: total / len(minis) for name, total in totals.items()}

    def check_weights(self, iteration: int, figures: dict[str, float]) -> None:
        """Raise DivergedError if a gradient norm or a weight is not finite, before the weights are saved."""
        for name in ("gradient_norm", "value_gradient_norm"):
            if not math.isfinite(figures[name]):
                raise DivergedError(f"{name} is {figures[name]}", iteration, self.recipe.iterations, "iteration")
        for name, learner in (("policy", self.policy), ("critic", self.critic)):
            if not weights_finite(learner.model):
                what = f"its updates made weights of the {name} that are not finite"
                raise DivergedError(what, iteration, self.recipe.iterations, "iteration")

    @torch.no_grad()
    def evaluate(self, progress: Progress) -> dict[str, float]:
        """Held-out reward, KL and objective of the current policy. Updates the best iteration in `progress`.

        Every evaluation uses the same random numbers, so that two evaluations differ by the policy alone.
        """
        recipe = self.recipe
        asked = self.heldout * recipe.evaluation_samples
        responses = self.respond(asked, hashing.mix(recipe.seed, "heldout"))
        scores = self.reward(asked, responses)
        kl = 0.0
        for batch in self.micro_batches(asked, responses, range(len(responses))):
            logp_BT = policy_logprobs(self.policy.model, batch)
            reference_BT = policy_logprobs(self.reference, batch)
            kl += float(losses.masked_sum(losses.kl_k1(logp_BT, reference_BT), batch.mask_BT)) / len(responses)
        truncated = sum(not response.ended for response in responses) / len(responses)
        reward, deviation = float(scores.combined_B.mean()), float(scores.combined_B.std(correction=0))
        first = progress.history[0] if progress.history else {"heldout_reward": reward, "heldout_deviation": deviation}
        gain = (reward - first["heldout_reward"]) / max(first["heldout_deviation"], 1e-4)
        objective = gain - recipe.truncation_penalty * truncated - recipe.beta * kl
        best = next((row for row in progress.history if row["iteration"] == progress.best), None)
        texts = [response.text for response in responses[: len(self.heldout)]]
        if best is None or objective > best["heldout_objective"]:
            progress.best, progress.waited, progress.best_texts = progress.iteration, 0, texts
        else:
            progress.waited += 1
        if best is None:
            progress.first_texts = texts
        return {
            "heldout_reward": reward,
            "heldout_deviation": deviation,
            "heldout_helpfulness": float(scores.helpfulness_B.mean()),
            "heldout_safety": float(scores.safety_B.mean()),
            "heldout_kl": kl,
            "heldout_length": sum(len(response.ids) for response in responses) / len(responses),
            "heldout_truncated": truncated,
            "heldout_objective": objective,
        }

    def respond(self, prompts: list[Prompt], seed: int) -> list[Response]:
        """Responses of the current policy, sampled from a bfloat16 copy of its weights if `actor` is one."""
        if self.actor is not self.policy.model:
            with torch.no_grad():
                for ours, theirs in zip(self.actor.parameters(), self.policy.model.parameters(), strict=True):
                    ours.copy_(theirs)
        return ppo_rollout.respond(self.actor, self.tokenizer, prompts, self.recipe.sampling, seed)

    def micro_batches(self, prompts: list[Prompt], responses: list[Response], rows: range) -> Iterator[Batch]:
        """`rows` in pieces that fit in memory; rollout and update use the same pieces, so ratios begin at exactly 1."""
        lengths = [len(p.ids) + len(r.ids) for p, r in zip(prompts, responses, strict=True)]
        for group in ppo_rollout.like_lengths(lengths, rows, self.micro_batch):
            yield ppo_rollout.pack(group, prompts, responses, self.where)
