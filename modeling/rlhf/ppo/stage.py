"""PPO on top of the rejection-sampled policy (paper 3.2.3), by one process or several.

    maximise E[R(g | p)],  R(g | p) = WHITEN(LOGIT(R_c(g | p))) - beta KL(pi || pi_0)

The paper leaves these choices open:
- A critic is the helpfulness reward model's backbone with a new scalar head, zero at first, evaluated at every token.
  For `critic_warmup` iterations it alone learns, from the first policy's answers. At small scales several answers a
  prompt and the baseline "leave-one-out" replace it (baselines.py).
- Rewards are whitened and advantages are normalised over the rollouts of an iteration.
- Rollouts are sampled at temperature 1 from the whole distribution; otherwise the KL estimate would be biased.
- A response is scored as decoded text, through the same functions as rejection sampling. A response that was cut off
  is scored as if it were closed, loses `truncation_penalty` of whitened reward, and is counted in `truncated`.
- A response that rules find fault with (rlhf/faults.py) loses `fault_penalty`, and is counted in `faulty`. The paper has
  no such penalty. At a small scale the reward models like refusals, and PPO would teach them.
- The policy answers held-out prompts (the validation part, which no stage of RLHF trains on) every `evaluate_every`
  iterations. The stage releases the weights with the highest objective that no veto keeps back (evaluation.py). These
  may be the weights it began with.
- The embeddings and the lowest `frozen_layers` layers may stay as they are, which saves time and memory.

Several processes share the prompts, the micro-batches, and by FSDP2 the weights of policy, reference and critic. Each
holds the network that samples and both reward models whole, in bfloat16 on a GPU. Seeds belong to prompts and sums to
the whole mini-batch, so several processes take the steps of one, up to rounding.
"""

import time
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from modeling.core import runtime, sampling, training
from modeling.core.frozen_layers import freeze_lower
from modeling.rlhf.ppo import baselines, rollout
from modeling.rlhf.ppo import report as ppo_report
from modeling.rlhf.ppo import state as ppo_state
from modeling.rlhf.ppo.loop import Loop
from modeling.rlhf.ppo.networks import actor_of, load_policy, reference_of, reward_function
from modeling.rlhf.recipes import PpoRecipe


def run(config: PpoRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Write the policy as a Hugging Face directory, iterations.jsonl, plots/ppo.png and examples.md.

    Inputs: policy, helpfulness_reward_model, safety_reward_model, prompts. Returns the metrics before and after PPO.
    Raises ValueError for an invalid recipe, tokenizers that differ or no prompt that fits, DivergedError if training
    diverges.
    """
    loop = make_loop(config, inputs, log)
    checkpoints = out / "_scratch" / "ppo"
    started = time.perf_counter()
    progress = loop.train(checkpoints)
    seconds = time.perf_counter() - started
    policy = loop.policy.model
    ppo_state.load_best(checkpoints, progress, policy)
    training.save_model(policy, loop.tokenizer, out)
    if runtime.main_process():
        ppo_report.write(out, progress, loop.heldout, config)
    return {
        **ppo_report.summary(progress, config),
        "training_prompts": len(loop.prompts),
        "heldout_prompts": len(loop.heldout),
        "prompts_too_long": loop.too_long,
        "seconds": round(seconds, 1),
    }


def make_loop(recipe: PpoRecipe, inputs: dict[str, Path], log: Any) -> Loop:
    """Load and check everything that a run needs. Raises ValueError for a recipe or inputs that cannot work."""
    check_recipe(recipe)
    runtime.join()
    where = runtime.device()
    tokenizer = AutoTokenizer.from_pretrained(inputs["policy"])
    check_tokenizers(tokenizer, [inputs["helpfulness_reward_model"], inputs["safety_reward_model"]])
    policy = load_policy(inputs["policy"], tokenizer, where)
    freeze_lower(policy, recipe.frozen_layers)
    limit = policy.config.max_position_embeddings - recipe.sampling.max_new_tokens
    prompts, too_long = rollout.load_prompts(inputs["prompts"], "rl", tokenizer, limit)
    heldout, also_too_long = rollout.load_prompts(inputs["prompts"], "validation", tokenizer, limit)
    too_long += also_too_long
    for part, fitting in (("rl", prompts), ("validation", heldout)):
        if not fitting:
            raise ValueError(f"no {part} prompt fits in {limit} tokens: ask for more in the recipe of the prompts")
    log.info(f"{len(prompts)} training prompts, {len(heldout)} held out, {too_long} over {limit} tokens")
    loop = Loop(
        recipe=recipe,
        tokenizer=tokenizer,
        policy=ppo_state.learner(policy, recipe.optimizer),
        baseline=baselines.make(recipe, inputs["helpfulness_reward_model"], where),
        actor=actor_of(policy, inputs["policy"], tokenizer, where),
        reference=reference_of(policy, inputs["policy"], tokenizer, where),
        reward=reward_function(inputs, tokenizer, recipe.safety_threshold),
        prompts=prompts,
        heldout=heldout,
        too_long=too_long,
        log=log,
    )
    sampling.free_memory()  # of the checkpoints read, before the first rollout
    return loop


def check_recipe(recipe: PpoRecipe) -> None:
    """Raise ValueError for settings under which PPO would not compute what it claims."""
    if recipe.sampling.temperature != 1.0 or recipe.sampling.top_p != 1.0:
        raise ValueError("rollouts need temperature 1 and top_p 1: otherwise the KL estimate is biased")
    if recipe.mini_batch % runtime.processes():
        raise ValueError(f"mini_batch {recipe.mini_batch} is no multiple of the {runtime.processes()} processes")
    if recipe.batch % recipe.mini_batch:
        raise ValueError(f"batch {recipe.batch} must be a multiple of mini_batch {recipe.mini_batch}")
    if recipe.samples < 1 or recipe.batch % recipe.samples:
        raise ValueError(f"batch {recipe.batch} must be a multiple of samples {recipe.samples}, which is 1 or more")
    if recipe.evaluate_every < 1 or recipe.patience < 1:
        raise ValueError("evaluate_every and patience must be 1 or more: the released weights are chosen by evaluation")


def check_tokenizers(tokenizer, folders: list[Path]) -> None:
    """Raise ValueError if a reward model's vocabulary, merges or chat template differ from the policy's."""
    ours = (tokenizer.backend_tokenizer.to_str(), tokenizer.chat_template)
    for folder in folders:
        other = AutoTokenizer.from_pretrained(folder)
        if (other.backend_tokenizer.to_str(), other.chat_template) != ours:
            raise ValueError(f"{folder} has another tokenizer than the policy: train it from the same chat model")
