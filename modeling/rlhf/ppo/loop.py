"""The loop of PPO: rollouts, updates, and held-out evaluations that choose the weights to release."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modeling.core import hashing, json_text, ranks, runtime, sampling, sharding, training
from modeling.core.divergence import DivergedError, weights_finite
from modeling.rlhf import scoring
from modeling.rlhf.ppo import evaluation, losses
from modeling.rlhf.ppo import rollout as ppo_rollout
from modeling.rlhf.ppo import state as ppo_state
from modeling.rlhf.ppo.baselines import Baseline
from modeling.rlhf.ppo.networks import Reward, policy_logprobs, policy_logprobs_and_entropy
from modeling.rlhf.ppo.rollout import Batch, Prompt, Response
from modeling.rlhf.ppo.state import Learner, Progress
from modeling.rlhf.recipes import PpoRecipe

CHECKPOINT_SECONDS = 60.0  # between evaluations; each evaluation writes one anyway


@dataclass(frozen=True)
class Experience:
    """The rollouts of one iteration and the tensors that the update needs, from the old policy and baseline.

    B rows; float32, but mask_BT is bool. `pieces`: this process's micro-batches of each mini-batch. Rollout and update
    use the same ones, so ratios begin at exactly 1. Every process has all the rest.
    """

    prompts: list[Prompt]
    responses: list[Response]
    pieces: list[list[Batch]]
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
    baseline: Baseline
    actor: nn.Module  # samples; the policy's weights are copied to it if it is another network
    reference: nn.Module
    reward: Reward
    prompts: list[Prompt]
    heldout: list[Prompt]
    too_long: int  # prompts left out because they do not fit in the context with an answer
    log: Any

    def __post_init__(self) -> None:
        self.where = next(self.policy.model.parameters()).device
        self.learners = {"policy": self.policy, **self.baseline.learners}
        longest = (
            max(len(prompt.ids) for prompt in (*self.prompts, *self.heldout)) + self.recipe.sampling.max_new_tokens
        )
        vocabulary = self.policy.model.config.vocab_size
        self.micro_batch, _ = training.split_batch(self.recipe.mini_batch, longest, vocabulary)

    def train(self, checkpoints: Path) -> Progress:
        """Run all iterations from the newest checkpoint on, with early stopping by the held-out objective.

        Raises DivergedError if a gradient norm or a weight is not finite.
        """
        recipe = self.recipe
        progress = ppo_state.restore(checkpoints, self.learners)
        if progress is None:
            progress = Progress()
            progress.history.append(self.evaluate(progress) | {"iteration": 0})
            ppo_state.save_best(checkpoints, 0, self.policy.model)
            sampling.free_memory()
        else:
            self.log.info(f"continuing after iteration {progress.iteration}")
        saved = time.monotonic()
        while progress.iteration < recipe.iterations and progress.waited < recipe.patience:
            started = time.perf_counter()
            progress.iteration += 1
            experience, figures = self.rollout(progress.iteration)
            rolled = time.perf_counter()
            moves = progress.iteration > recipe.critic_warmup
            figures |= self.update(experience, moves)
            self.check_weights(progress.iteration, figures)
            updated = time.perf_counter()
            last = progress.iteration == recipe.iterations
            evaluated = moves and (progress.iteration % recipe.evaluate_every == 0 or last)
            if evaluated:
                figures |= self.evaluate(progress)
                if progress.best == progress.iteration:
                    ppo_state.save_best(checkpoints, progress.best, self.policy.model)
            progress.history.append(json_text.without_nan({"iteration": progress.iteration, **figures}))
            if evaluated or ranks.any_of(time.monotonic() - saved > CHECKPOINT_SECONDS):
                ppo_state.save(checkpoints, progress, self.learners)
                saved = time.monotonic()
            tokens = int(experience.mask_BT.sum())
            sampling.free_memory()
            self.log.progress(
                progress.iteration,
                recipe.iterations,
                unit="iteration",
                **{name: round(figures[name], 3) for name in ("reward", "kl", "entropy", "length")},
                tokens_per_s=round(tokens / (time.perf_counter() - started)),
                rollout_share=round((rolled - started) / (updated - started), 2),
            )
        return progress

    @torch.no_grad()
    def rollout(self, iteration: int) -> tuple[Experience, dict[str, float]]:
        """(responses of the current policy with what the update needs, metrics of reward, KL, entropy and length)."""
        recipe = self.recipe
        drawn = ppo_rollout.draw(self.prompts, iteration, recipe.batch // recipe.samples, recipe.seed)
        prompts = ppo_rollout.repeat(drawn, recipe.samples)
        responses = self.respond(drawn, hashing.mix(recipe.seed, "rollout", iteration), recipe.samples)
        scores = self.reward(prompts, responses)
        width = max(len(response.ids) for response in responses)
        lengths_B = torch.tensor([len(response.ids) for response in responses], device=self.where)
        mask_BT = losses.response_mask(lengths_B, width)
        pieces = [
            list(self.micro_batches(prompts, responses, range(start, start + recipe.mini_batch)))
            for start in range(0, recipe.batch, recipe.mini_batch)
        ]
        batches = [batch for mini in pieces for batch in mini]
        logp_BT, reference_BT, entropy_BT = (torch.zeros(mask_BT.shape, device=self.where) for _ in range(3))
        for batch in batches:
            logp_BT[batch.place()], entropy_BT[batch.place()] = policy_logprobs_and_entropy(self.policy.model, batch)
            reference_BT[batch.place()] = policy_logprobs(self.reference, batch)
        logp_BT, reference_BT, entropy_BT = map(ranks.summed, (logp_BT, reference_BT, entropy_BT))
        kl_BT = losses.kl_k1(logp_BT, reference_BT)
        ended_B = torch.tensor([response.ended for response in responses])
        faulty_B = ppo_rollout.faulty(prompts, responses)
        whitened_B = scoring.whiten(scores.combined_B)
        whitened_B -= recipe.truncation_penalty * (~ended_B) + recipe.fault_penalty * faulty_B
        rewards_BT = losses.token_rewards(whitened_B.to(self.where), kl_BT, mask_BT, recipe.beta)
        values_BT = ranks.summed(self.baseline.values(batches, rewards_BT))
        advantages_BT, returns_BT = losses.gae(rewards_BT, values_BT, mask_BT, recipe.gamma, recipe.gae_lambda)
        experience = Experience(
            prompts,
            responses,
            pieces,
            mask_BT,
            logp_BT,
            values_BT,
            losses.normalize(advantages_BT, mask_BT),
            returns_BT,
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
            "faulty": float(faulty_B.float().mean()),
            "explained_variance": losses.explained_variance(values_BT, returns_BT, mask_BT),
        }

    def update(self, experience: Experience, policy_moves: bool = True) -> dict[str, float]:
        """Take one gradient step on each mini-batch. Returns metrics, averaged over the mini-batches.

        If not `policy_moves`, the baseline alone learns.
        """
        e, own, norms = experience, Counter(), Counter()
        learners = self.learners if policy_moves else self.baseline.learners
        for mini, mask_BT in zip(e.pieces, e.mask_BT.split(self.recipe.mini_batch), strict=True):
            tokens = int(mask_BT.sum())  # of all processes
            for batch in mini:
                place = batch.place()
                if policy_moves:
                    own.update(self.policy_backward(batch, e.logp_BT[place], e.advantages_BT[place], tokens))
                own.update(self.baseline.backward(batch, e.values_BT[place], e.returns_BT[place], tokens))
            for name, learner in learners.items():
                norms[f"{name}_gradient_norm"] += learner.step(self.recipe.optimizer.gradient_clip)
        return {name: total / len(e.pieces) for name, total in (ranks.summed_figures(own) | norms).items()}

    def policy_backward(
        self, batch: Batch, old_logp_BT: Tensor, advantages_BT: Tensor, tokens: int
    ) -> dict[str, float]:
        """Add the policy's gradients on a micro-batch and return metrics. `tokens` is the size of the mini-batch."""
        logp_BT = policy_logprobs(self.policy.model, batch)
        loss_BT, clipped_BT = losses.policy_loss(logp_BT, old_logp_BT, advantages_BT, batch.mask_BT, self.recipe.clip)
        loss = losses.masked_sum(loss_BT, batch.mask_BT) / tokens
        # Gradients are averaged over the processes, but `tokens` counts those of all of them.
        (loss * runtime.processes()).backward()
        return {"policy_loss": float(loss.detach()), "clip_fraction": int(clipped_BT.sum()) / tokens}

    def check_weights(self, iteration: int, figures: dict[str, float]) -> None:
        """Raise DivergedError if a gradient norm or a weight is not finite, before the weights are saved."""
        for name in self.learners:
            norm = figures.get(f"{name}_gradient_norm", 0.0)
            if not math.isfinite(norm):
                what = f"the gradient norm of the {name} is {norm}"
                raise DivergedError(what, iteration, self.recipe.iterations, "iteration")
        for name, learner in self.learners.items():
            if not weights_finite(learner.model):
                what = f"its updates made weights of the {name} that are not finite"
                raise DivergedError(what, iteration, self.recipe.iterations, "iteration")

    @torch.no_grad()
    def evaluate(self, progress: Progress) -> dict[str, Any]:
        """Held-out reward, KL, refusals and objective of the current policy. Updates the best iteration in `progress`.

        Every evaluation uses the same random numbers, so that two evaluations differ by the policy alone.
        """
        recipe = self.recipe
        asked = ppo_rollout.repeat(self.heldout, recipe.evaluation_samples)
        responses = self.respond(self.heldout, hashing.mix(recipe.seed, "heldout"), recipe.evaluation_samples)
        scores = self.reward(asked, responses)
        repeated = -len(responses) % runtime.processes()  # so many rows twice: all processes get equally many
        kl_B = torch.zeros(len(responses) + repeated, device=self.where)
        for batch in self.micro_batches(asked + asked[:repeated], responses + responses[:repeated], range(len(kl_B))):
            kl_BT = losses.kl_k1(policy_logprobs(self.policy.model, batch), policy_logprobs(self.reference, batch))
            kl_B[batch.rows] = torch.where(batch.mask_BT, kl_BT, 0.0).sum(1)
        kl = float(ranks.summed(kl_B)[: len(responses)].mean())
        texts = [response.text for response in responses]
        return evaluation.judge(
            progress,
            recipe,
            evaluation.Measured(
                scores=scores,
                kl=kl,
                lengths=[len(response.ids) for response in responses],
                truncated=sum(not response.ended for response in responses) / len(responses),
                faulty=float(ppo_rollout.faulty(asked, responses).float().mean()),
                refused=evaluation.refusal_shares(self.heldout, texts, recipe.evaluation_samples),
                texts=texts[:: recipe.evaluation_samples],
            ),
        )

    def respond(self, prompts: list[Prompt], seed: int, samples: int) -> list[Response]:
        """`samples` responses of the current policy to each prompt; a bfloat16 copy of it answers if `actor` is one.

        Frees the memory of the KV cache, which grew in many sizes, before other parts of an iteration need theirs.
        """
        if self.actor is not self.policy.model:
            with torch.no_grad():
                for ours, theirs in zip(self.actor.parameters(), self.policy.model.parameters(), strict=True):
                    ours.copy_(sharding.whole(theirs))
        responses = ppo_rollout.respond(self.actor, self.tokenizer, prompts, self.recipe.sampling, seed, samples)
        sampling.free_memory()
        return responses

    def micro_batches(self, prompts: list[Prompt], responses: list[Response], rows: range) -> Iterator[Batch]:
        """This process's part of `rows` in pieces that fit in memory, rows of like lengths together."""
        lengths = [len(p.ids) + len(r.ids) for p, r in zip(prompts, responses, strict=True)]
        groups = ppo_rollout.shared(lengths, rows, self.micro_batch, runtime.processes())
        for group in groups[runtime.rank()]:
            yield ppo_rollout.pack(group, prompts, responses, self.where)
