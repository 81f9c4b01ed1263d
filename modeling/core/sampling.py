"""Batched generation from a chat model, for rejection sampling, PPO, evaluation and the demo.

`generate` takes conversations and returns texts, `generate_ids` takes and returns token ids. Each row draws from its
own column of one random table. The same seed therefore gives the same answers, regardless of earlier calls and of how
rows are batched (up to the rounding of a differently shaped matrix product).
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_cleaning import heap
from modeling.core import decoding, dialog, runtime, unused_ids
from modeling.core.batching import batches
from modeling.core.hashing import mix
from modeling.core.recipes import SamplingRecipe

# Limits of the KV cache: runtime settings, never part of an artifact's identity.
CPU_TOKEN_BUDGET = 49_152
CUDA_MEMORY_SHARE = 0.4  # of the free memory; logits, activations and the allocator's slack need the rest
CPU_BFLOAT16_PARAMETERS = 30_000_000


class PromptTooLongError(ValueError):
    """The last user turn alone leaves no room for an answer."""


class Answer(NamedTuple):
    text: str
    ended: bool  # False: cut off at max_new_tokens, without a closing token


@dataclass(frozen=True)
class FittedPrompt:
    ids: list[int]
    dropped_turns: int  # earliest question-answer pairs left out so that an answer fits in the context


def generation_dtype(where: torch.device, parameters: int) -> torch.dtype:
    """bfloat16 where it is fast, else float32. Small models on a CPU use float32: overhead bounds their decoding."""
    small = where.type == "cpu" and parameters < CPU_BFLOAT16_PARAMETERS
    return torch.bfloat16 if runtime.bfloat16_products(where) and not small else torch.float32


def load(model_dir: Path | str):
    """(model, tokenizer) for generation: a vLLM engine if vLLM and a GPU are available, else a transformers model."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    where = runtime.device()
    if where.type == "cuda" and importlib.util.find_spec("vllm"):
        from vllm import LLM

        return LLM(model=str(model_dir), dtype="bfloat16", gpu_memory_utilization=0.6), tokenizer
    return load_transformers(model_dir), tokenizer


def load_transformers(model_dir: Path | str, where: torch.device | None = None):
    """The causal model in the generation dtype and in evaluation mode; its logits are -inf at unused ids."""
    where = where or runtime.device()
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype="auto")
    unused_ids.bar(model, AutoTokenizer.from_pretrained(model_dir))
    return model.to(where, generation_dtype(where, model.num_parameters())).eval()


def free_memory() -> None:
    """Release the memory of models and tensors without references, before the next model is loaded."""
    heap.trim()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def generate(
    model,
    tokenizer,
    prompts: list[list[dict]],
    recipe: SamplingRecipe,
    samples: int = 1,
    seed: int | None = None,
    log=None,
) -> list[list[Answer]]:
    """`samples` answers to each conversation (which ends with a user turn), in the order of `prompts`.

    A conversation too long for the context loses its earliest turns, which is logged. Raises PromptTooLongError if
    its last turn alone does not fit.
    """
    limit = context_length(model) - recipe.max_new_tokens
    fitted = [fit_prompt(tokenizer, messages, limit) for messages in prompts]
    shortened = [prompt.dropped_turns for prompt in fitted if prompt.dropped_turns]
    if shortened and log is not None:
        log.info(f"{len(shortened)} of {len(prompts)} prompts lost {sum(shortened)} early turns to fit {limit} tokens")
    answers = generate_ids(model, tokenizer, [prompt.ids for prompt in fitted], recipe, samples, seed, log)
    closing = dialog.closing_token_id(tokenizer)
    return [[Answer(dialog.decode_answer(tokenizer, ids), closing in ids) for ids in row] for row in answers]


def fit_prompt(tokenizer, messages: list[dict], limit: int) -> FittedPrompt:
    """Encode a conversation in at most `limit` tokens: drops earliest question-answer pairs, never the system prompt.

    Raises PromptTooLongError if the last turn does not fit, and ValueError if `limit` is below 1.
    """
    if limit < 1:
        raise ValueError("max_new_tokens leaves no room for a prompt: lower it below the model's context")
    system = [message for message in messages if message["role"] == "system"]
    turns = [message for message in messages if message["role"] != "system"]
    dropped = 0
    while True:
        ids = dialog.encode_prompt(tokenizer, system + turns)
        if len(ids) <= limit:
            return FittedPrompt(ids, dropped)
        if len(turns) < 3:
            raise PromptTooLongError(
                f"the last turn takes {len(ids)} tokens, {limit} are free: shorten it or lower max_new_tokens"
            )
        turns, dropped = turns[2:], dropped + 1


def context_length(model) -> int:
    """The model's context length in tokens."""
    if _is_vllm(model):
        return model.llm_engine.model_config.max_model_len
    return model.config.max_position_embeddings


def generate_ids(
    model,
    tokenizer,
    prompts: list[list[int]],
    recipe: SamplingRecipe,
    samples: int = 1,
    seed: int | None = None,
    log=None,
    only: Sequence[int] | None = None,
) -> list[list[list[int]]]:
    """`samples` answers as token ids to each prompt of token ids.

    An answer ends with the closing token unless max_new_tokens cut it off. Temperature 0 is greedy. `seed` replaces the
    recipe's (a round or an iteration has its own). Processes that share the work name the places of their prompts in
    `only`: the others get no answers, and a prompt's random numbers depend on its place alone. Raises
    PromptTooLongError if a prompt leaves no room for an answer.
    """
    if not prompts:
        return []
    seed = recipe.seed if seed is None else seed
    limit = context_length(model) - recipe.max_new_tokens
    longest = max(len(ids) for ids in prompts)
    if longest > limit:
        raise PromptTooLongError(f"a prompt has {longest} tokens, {limit} are free: use fit_prompt first")
    closing = dialog.closing_token_id(tokenizer)
    places = list(range(len(prompts)) if only is None else only)
    if _is_vllm(model):
        return _generate_vllm(model, tokenizer, prompts, places, recipe, samples, seed, closing)

    shape = (len(prompts), samples, recipe.max_new_tokens, 2)
    uniforms = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    answers: list[list[list[int]]] = [[] for _ in prompts]
    order = sorted(places, key=lambda index: len(prompts[index]))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else closing
    training = model.training
    model.eval()
    done = 0

    def progressed(batch_answers: float) -> None:
        if log is not None:
            log.progress(done + int(batch_answers), len(places) * samples, unit="answer")

    for batch in batches([len(prompts[index]) for index in order], recipe.max_new_tokens, samples, token_budget(model)):
        chosen = [order[position] for position in batch]
        asked, uniforms_RT2 = [prompts[index] for index in chosen], uniforms[chosen].flatten(0, 1)
        rows = decoding.answer_batch(model, asked, uniforms_RT2, recipe, samples, closing, pad, progressed)
        for position, index in enumerate(chosen):
            answers[index] = rows[position * samples : (position + 1) * samples]
        done += len(rows)
        progressed(0)
    model.train(training)
    return answers


def token_budget(model) -> int:
    """Most tokens that all rows of a batch may have together in the KV cache."""
    if model.device.type == "cpu":
        return CPU_TOKEN_BUDGET
    free, _ = torch.cuda.mem_get_info(model.device)
    return max(1, int(CUDA_MEMORY_SHARE * free / cache_bytes_per_token(model.config, model.dtype.itemsize)))


def cache_bytes_per_token(config, itemsize: int) -> int:
    """Bytes of one token's keys and values in all layers."""
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * config.num_key_value_heads * head * itemsize


def _is_vllm(model) -> bool:
    return hasattr(model, "llm_engine")


def _generate_vllm(engine, tokenizer, prompts, places, recipe, samples, seed, closing) -> list[list[list[int]]]:
    from vllm import SamplingParams

    # A request each answer, with a seed of its own: vLLM seeds sample j of one request with its seed + j, so that seeds of
    # prompts that follow each other would make sample j of one the same stream as sample j - 1 of the next.
    padded = unused_ids.unused_ids(engine.llm_engine.model_config.get_vocab_size(), tokenizer)
    params = [
        SamplingParams(
            temperature=recipe.temperature,
            top_p=recipe.top_p,
            max_tokens=recipe.max_new_tokens,
            stop_token_ids=[closing],
            allowed_token_ids=sorted(tokenizer.get_vocab().values()) if padded else None,
            seed=mix(seed, place, sample),
        )
        for place in places
        for sample in range(samples)
    ]
    requests = [{"prompt_token_ids": prompts[place]} for place in places for _ in range(samples)]
    drawn = [list(result.outputs[0].token_ids) for result in engine.generate(requests, params)]
    answers: list[list[list[int]]] = [[] for _ in prompts]
    for number, place in enumerate(places):
        answers[place] = drawn[number * samples : (number + 1) * samples]
    return answers
