"""SFT, one RLHF round and PPO by the stages themselves: seconds, tokens/s and peak memory of each."""

import json
import time
from dataclasses import replace

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from assets.finetuning import prompts, sft_model
from assets.pretraining import base_model
from assets.rlhf import ppo_policy, rounds
from benchmarks.gpu_kit.task import Task
from benchmarks.gpu_kit.workshop import SpeedLog, Stopwatch, Workshop, peak_memory, reset_memory
from modeling.core import dialog, resumable_generation, sampling
from modeling.rlhf import scoring
from modeling.rlhf.ppo import rollout
from modeling.rlhf.ppo.loop import Loop
from orchestration.scales import Scale

FIRST = rounds[0]
PPO_ITERATIONS = 5
FINETUNING_STEPS = 12


def shortened(scale: Scale) -> Scale:
    """Returns the scale with the same work per step but fewer steps, prompts and samples."""
    first = scale.rounds[0]
    asked = min(256, first.preferences.prompts)
    first = replace(
        first,
        preferences=replace(first.preferences, prompts=asked),
        rejection=replace(first.rejection, prompts=asked, samples=min(8, first.rejection.samples)),
        policy=replace(first.policy, max_steps=min(FINETUNING_STEPS, first.policy.max_steps)),
    )
    return replace(
        scale,
        sft=replace(scale.sft, max_steps=min(FINETUNING_STEPS, scale.sft.max_steps or FINETUNING_STEPS)),
        rounds=(first, *scale.rounds[1:]),
        ppo=replace(scale.ppo, iterations=min(PPO_ITERATIONS, scale.ppo.iterations), evaluate_every=PPO_ITERATIONS,
                    evaluation_samples=1),
    )  # fmt: skip


def tokenizer(shop: Workshop) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(shop.folder / "tokenizer")


def prompt_ids(shop: Workshop, tokenizer: PreTrainedTokenizerBase, most: int) -> list[list[int]]:
    """Returns the ids of the first RLHF prompts."""
    rows = resumable_generation.read_prompts(shop.path(prompts))[:most]
    return [dialog.encode_prompt(tokenizer, row["messages"]) for row in rows]


def one_round(task: Task) -> None:
    """Runs SFT, preferences, two reward models, rejection sampling and the next policy."""
    begin(task)
    for stage in (sft_model, *vars(FIRST).values()):
        make(task, stage)


def begin(task: Task) -> None:
    """Pretrains a base model for a few steps if there is none."""
    if not (task.shop.path(base_model) / "config.json").exists():
        recipe = replace(task.shop.scale.base, steps=20)
        task.shop.make(base_model, SpeedLog(), recipe=recipe)
        task.say("base model", "20 steps", "", "pretraining left none")


def make(task: Task, stage) -> None:
    """Runs a stage and records its time, speed and memory."""
    reset_memory()
    log, watch, started = SpeedLog(), Stopwatch(), time.perf_counter()
    with (
        watch.watching(sampling, "generate_ids", "generation", tokens_of),
        watch.watching(scoring, "score_ids", "scoring", len),
    ):
        metrics = task.shop.make(stage, log)
    (task.shop.path(stage) / "metrics.json").write_text(json.dumps(metrics))
    remark = f"peak {peak_memory():.1f} GiB"
    task.say(stage.key, time.perf_counter() - started, "s", remark)
    if log.points:
        task.say(f"{stage.key}: training", log.speed(), "tokens/s", "median")
    if watch.tokens.get("generation"):
        task.say(f"{stage.key}: generation", watch.tokens["generation"] / watch.seconds["generation"], "tokens/s",
                 f"{watch.tokens['generation']:,} tokens in {watch.seconds['generation']:.1f} s")  # fmt: skip
    if watch.tokens.get("scoring"):
        task.say(f"{stage.key}: scoring", watch.tokens["scoring"] / watch.seconds["scoring"], "answers/s")


def tokens_of(answers: list[list[list[int]]]) -> int:
    return sum(len(ids) for row in answers for ids in row)


def ppo(task: Task) -> None:
    """Runs a few iterations from the first round's policy and records the seconds of each part."""
    begin(task)
    for stage in (sft_model, *vars(FIRST).values()):
        if not (task.shop.path(stage) / "metrics.json").exists():
            make(task, stage)
    inputs = {
        "policy": task.shop.path(FIRST.policy),
        "helpfulness_reward_model": task.shop.path(FIRST.helpfulness_reward_model),
        "safety_reward_model": task.shop.path(FIRST.safety_reward_model),
        "prompts": task.shop.path(prompts),
    }
    reset_memory()
    watch, log = Stopwatch(), SpeedLog()
    with (
        watch.watching(Loop, "rollout", "rollout"),
        watch.watching(Loop, "update", "update"),
        watch.watching(Loop, "evaluate", "evaluation"),
        watch.watching(rollout, "respond", "generation", lambda responses: sum(len(one.ids) for one in responses)),
        watch.watching(scoring, "score_ids", "scoring", len),
    ):
        metrics = task.shop.make(ppo_policy, log, inputs)
    iterations = task.shop.scale.ppo.iterations
    task.say("an iteration", (watch.seconds["rollout"] + watch.seconds["update"]) / iterations, "s",
             f"{task.shop.scale.ppo.batch} answers; median {log.speed():,.0f} answer tokens/s over all")  # fmt: skip
    task.say(
        "rollout of an iteration", watch.seconds["rollout"] / iterations, "s", "answers, scores, old log-probabilities"
    )
    task.say("update of an iteration", watch.seconds["update"] / iterations, "s")
    task.say("evaluations", watch.seconds["evaluation"], "s", "on the held-out prompts, total")
    task.say("generation", watch.tokens["generation"] / watch.seconds["generation"], "tokens/s",
             f"{watch.seconds['generation']:.1f} s, those of evaluations included")  # fmt: skip
    task.say("scoring", watch.tokens["scoring"] / watch.seconds["scoring"], "answers/s",
             f"both reward models, {watch.seconds['scoring']:.1f} s")  # fmt: skip
    task.say("held-out KL at the end", metrics.get("heldout_kl_after", "unknown"), "nats per answer")
