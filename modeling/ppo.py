"""PPO on top of the rejection-sampled policy (paper 3.2.3), one process and one device.

    maximise E[R(g | p)],  R(g | p) = WHITEN(LOGIT(R_c(g | p))) - beta KL(pi || pi_0)

What the paper leaves open, and what is done here:
- The critic is the helpfulness reward model's backbone with a new scalar head (zero at first) read at every token.
- Whitening is over the rollouts of an iteration. Advantages are normalised over the iteration too.
- Rollouts are drawn at temperature 1 from the whole distribution, else the KL of the sampled tokens is no KL.
- A response is scored as the text a reader sees, through the same functions as rejection sampling. One that was cut off
  is scored as if it were closed, loses `truncation_penalty` of whitened reward, and is counted in `truncated`.
- Held-out prompts (never trained on) are answered every `evaluate_every` iterations. Their objective is the reward in
  units of the first evaluation's spread minus beta KL; the weights with the highest are released, those of iteration 0,
  the policy it began with, included.
"""

import copy
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from modeling import (
    answering,
    ppo_math,
    ppo_report,
    ppo_rollout,
    ppo_state,
    runtime,
    sampling,
    scoring,
    training,
)
from modeling.ppo_networks import (
    Reward,
    critic_values,
    load_critic,
    load_float32,
    policy_logits,
    policy_logprobs,
    reward_function,
)
from modeling.ppo_rollout import Batch, Prompt, Response
from modeling.ppo_state import Learner, Progress
from modeling.recipes import PpoRecipe

CHECKPOINT_SECONDS = 60.0  # between evaluations; each evaluation writes one anyway


@dataclass(frozen=True)
class Experience:
    """The rollouts of one iteration with what the old policy, the reference and the old critic say; float32, B rows."""

    prompts: list[Prompt]
    responses: list[Response]
    mask_BT: Tensor
    logp_BT: Tensor
    values_BT: Tensor
    advantages_BT: Tensor
    returns_BT: Tensor


def run(config: PpoRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Stage: `policy`, `helpfulness_reward_model`, `safety_reward_model`, `prompts` → a Hugging Face directory.

    Also iterations.jsonl, plots/ppo.png, examples.md. Raises ValueError for a recipe or inputs that cannot work.
    """
    loop = make_loop(config, inputs, log)
    checkpoints = out / "_scratch" / "ppo"
    started = time.perf_counter()
    progress = loop.train(checkpoints)
    seconds = time.perf_counter() - started
    policy = loop.policy.model
    ppo_state.load_best(checkpoints, progress, policy)
    training.save_model(policy, loop.tokenizer, out)
    ppo_report.write(out, progress, loop.heldout, config)
    return {
        **ppo_report.summary(progress, config),
        "training_prompts": len(loop.prompts),
        "heldout_prompts": len(loop.heldout),
        "prompts_too_long": loop.too_long,
        "seconds": round(seconds, 1),
    }


def make_loop(recipe: PpoRecipe, inputs: dict[str, Path], log: Any) -> "Loop":
    """Everything loaded and checked, nothing trained."""
    check_recipe(recipe)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("PPO runs on one device: launch this stage as a single process")
    where = runtime.device()
    tokenizer = AutoTokenizer.from_pretrained(inputs["policy"])
    check_tokenizers(tokenizer, [inputs["helpfulness_reward_model"], inputs["safety_reward_model"]])
    policy = load_float32(AutoModelForCausalLM, inputs["policy"], where)
    limit = policy.config.max_position_embeddings - recipe.sampling.max_new_tokens
    prompts, too_long = ppo_rollout.load_prompts(inputs["prompts"], tokenizer, limit)
    training_prompts, heldout = ppo_rollout.hold_out(prompts, recipe.batch)
    if not heldout:
        raise ValueError(f"{len(prompts)} prompts fit in {limit} tokens; PPO needs 10 or more, to hold one out")
    log.info(f"{len(training_prompts)} training prompts, {len(heldout)} held out, {too_long} over {limit} tokens")
    return Loop(
        recipe=recipe,
        tokenizer=tokenizer,
        policy=ppo_state.learner(policy, recipe.optimizer),
        critic=ppo_state.learner(load_critic(inputs["helpfulness_reward_model"], where), recipe.optimizer),
        reference=copy.deepcopy(policy).requires_grad_(False),
        reward=reward_function(inputs, tokenizer, recipe.safety_threshold),
        prompts=training_prompts,
        heldout=heldout,
        too_long=too_long,
        log=log,
    )


def check_recipe(recipe: PpoRecipe) -> None:
    """ValueError for settings under which PPO would silently do something else."""
    if recipe.sampling.temperature != 1.0 or recipe.sampling.top_p != 1.0:
        raise ValueError("rollouts need temperature 1 and top_p 1: otherwise the KL of their tokens is no KL")
    if recipe.batch % recipe.mini_batch:
        raise ValueError(f"batch {recipe.batch} must be a multiple of mini_batch {recipe.mini_batch}")
    if recipe.evaluate_every < 1 or recipe.patience < 1:
        raise ValueError("evaluate_every and patience must be 1 or more: the released weights are chosen by evaluation")


def check_tokenizers(tokenizer, folders: list[Path]) -> None:
    """One tokenizer for policy and reward models: ValueError where vocabulary, merges or chat template differ."""
    ours = (tokenizer.backend_tokenizer.to_str(), tokenizer.chat_template)
    for folder in folders:
        other = AutoTokenizer.from_pretrained(folder)
        if (other.backend_tokenizer.to_str(), other.chat_template) != ours:
            raise ValueError(f"{folder} has another tokenizer than the policy: train it from the same chat model")


@dataclass
class Loop:
    """The networks and data of a run; `train` goes through the iterations."""

    recipe: PpoRecipe
    tokenizer: Any
    policy: Learner
    critic: Learner
    reference: nn.Module
    reward: Reward
    prompts: list[Prompt]
    heldout: list[Prompt]
    too_long: int  # prompts left out because they and an answer do not fit in the context
    log: Any

    def __post_init__(self) -> None:
        self.where = next(self.policy.model.parameters()).device
        self.actor = self.policy.model
        dtype = sampling.generation_dtype(self.where, self.policy.model.num_parameters())
        if dtype != torch.float32:
            self.actor = copy.deepcopy(self.policy.model).to(dtype).requires_grad_(False)
        self.micro_batch, _ = training.split_batch(self.recipe.mini_batch)

    def train(self, checkpoints: Path) -> Progress:
        """All iterations, from the newest checkpoint; stops early by the held-out objective."""
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
            updated = time.perf_counter()
            evaluated = progress.iteration % recipe.evaluate_every == 0 or progress.iteration == recipe.iterations
            if evaluated:
                figures |= self.evaluate(progress)
                if progress.best == progress.iteration:
                    ppo_state.save_best(checkpoints, progress.best, self.policy.model)
            progress.history.append({"iteration": progress.iteration, **figures})
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
        """Responses of the current policy and all that the update needs of them; figures of the reward side."""
        recipe = self.recipe
        prompts = ppo_rollout.draw(self.prompts, iteration, recipe.batch, recipe.seed)
        responses = self.respond(prompts, answering.mix(recipe.seed, "rollout", iteration))
        scores = self.reward(prompts, responses)
        width = max(len(response.ids) for response in responses)
        lengths_B = torch.tensor([len(response.ids) for response in responses], device=self.where)
        mask_BT = ppo_math.response_mask(lengths_B, width)
        logp_BT, reference_BT, values_BT, entropy_BT = (torch.zeros(mask_BT.shape, device=self.where) for _ in range(4))
        with torch.no_grad():
            for start in range(0, recipe.batch, recipe.mini_batch):
                for batch in self.micro_batches(prompts, responses, range(start, start + recipe.mini_batch)):
                    part = (batch.rows, slice(batch.mask_BT.shape[1]))
                    logits_NV = policy_logits(self.policy.model, batch)
                    logp_BT[part] = batch.spread(ppo_math.token_logprobs(logits_NV, batch.tokens()))
                    entropy_BT[part] = batch.spread(ppo_math.token_entropy(logits_NV))
                    reference_BT[part] = policy_logprobs(self.reference, batch)
                    values_BT[part] = critic_values(self.critic.model, batch)
        kl_BT = ppo_math.kl_k1(logp_BT, reference_BT)
        ended_B = torch.tensor([response.ended for response in responses])
        whitened_B = scoring.whiten(scores.combined_B) - recipe.truncation_penalty * (~ended_B).float()
        rewards_BT = ppo_math.token_rewards(whitened_B.to(self.where), kl_BT, mask_BT, recipe.beta)
        advantages_BT, returns_BT = ppo_math.gae(rewards_BT, values_BT, mask_BT, recipe.gamma, recipe.gae_lambda)
        experience = Experience(
            prompts, responses, mask_BT, logp_BT, values_BT, ppo_math.normalize(advantages_BT, mask_BT), returns_BT
        )
        return experience, {
            "reward": float(scores.combined_B.mean()),
            "reward_deviation": float(scores.combined_B.std(correction=0)),
            "helpfulness": float(scores.helpfulness_B.mean()),
            "safety": float(scores.safety_B.mean()),
            "kl": float(torch.where(mask_BT, kl_BT, 0.0).sum(1).mean()),
            "kl_token": float(ppo_math.masked_mean(kl_BT, mask_BT)),
            "kl_k3_token": float(ppo_math.masked_mean(ppo_math.kl_k3(logp_BT, reference_BT), mask_BT)),
            "entropy": float(ppo_math.masked_mean(entropy_BT, mask_BT)),
            "length": float(lengths_B.float().mean()),
            "truncated": float((~ended_B).float().mean()),
            "explained_variance": ppo_math.explained_variance(values_BT, returns_BT, mask_BT),
        }

    def update(self, experience: Experience) -> dict[str, float]:
        """One gradient step on each mini-batch; figures are means over the mini-batches."""
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
                loss_BT, clipped_BT = ppo_math.policy_loss(
                    logp_BT, e.logp_BT[part], e.advantages_BT[part], mask_BT, recipe.clip
                )
                policy_loss = ppo_math.masked_sum(loss_BT, mask_BT) / tokens
                policy_loss.backward()
                values_BT = critic_values(self.critic.model, batch)
                error_BT = ppo_math.value_loss(values_BT, e.values_BT[part], e.returns_BT[part], recipe.value_clip)
                value_loss = ppo_math.masked_sum(error_BT, mask_BT) / tokens
                (recipe.value_coefficient * value_loss).backward()
                totals["policy_loss"] += float(policy_loss.detach())
                totals["value_loss"] += float(value_loss.detach())
                totals["clip_fraction"] += int(clipped_BT.sum()) / tokens
            totals["gradient_norm"] += self.policy.step(recipe.optimizer.gradient_clip)
            totals["value_gradient_norm"] += self.critic.step(recipe.optimizer.gradient_clip)
        return {name: total / len(minis) for name, total in totals.items()}

    @torch.no_grad()
    def evaluate(self, progress: Progress) -> dict[str, float]:
        """Held-out reward, KL and objective of the current policy; notes in `progress` whether it is the best so far.

        The same random numbers each time, so that two evaluations differ by the policy alone.
        """
        recipe = self.recipe
        responses = self.respond(self.heldout, answering.mix(recipe.seed, "heldout"))
        scores = self.reward(self.heldout, responses)
        kl = 0.0
        for batch in self.micro_batches(self.heldout, responses, range(len(responses))):
            logp_BT = policy_logprobs(self.policy.model, batch)
            reference_BT = policy_logprobs(self.reference, batch)
            kl += float(ppo_math.masked_sum(ppo_math.kl_k1(logp_BT, reference_BT), batch.mask_BT)) / len(responses)
        truncated = sum(not response.ended for response in responses) / len(responses)
        reward, deviation = float(scores.combined_B.mean()), float(scores.combined_B.std(correction=0))
        first = progress.history[0] if progress.history else {"heldout_reward": reward, "heldout_deviation": deviation}
        gain = (reward - first["heldout_reward"]) / max(first["heldout_deviation"], 1e-4)
        objective = gain - recipe.truncation_penalty * truncated - recipe.beta * kl
        best = next((row for row in progress.history if row["iteration"] == progress.best), None)
        texts = [response.text for response in responses]
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
        """Responses of the current policy; on an accelerator drawn from a bfloat16 copy of its weights."""
        if self.actor is not self.policy.model:
            with torch.no_grad():
                for ours, theirs in zip(self.actor.parameters(), self.policy.model.parameters(), strict=True):
                    ours.copy_(theirs)
        return ppo_rollout.respond(self.actor, self.tokenizer, prompts, self.recipe.sampling, seed)

    def micro_batches(self, prompts: list[Prompt], responses: list[Response], rows: range) -> Iterator[Batch]:
        """`rows` in pieces as memory allows; the same ones before and in an update, so ratios begin at exactly 1."""
        lengths = [len(p.ids) + len(r.ids) for p, r in zip(prompts, responses, strict=True)]
        for group in ppo_rollout.like_lengths(lengths, rows, self.micro_batch):
            yield ppo_rollout.pack(group, prompts, responses, self.where)
