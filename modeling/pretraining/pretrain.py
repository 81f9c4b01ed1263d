"""Pretraining (paper 2.2): next-token loss on packed sequences, AdamW, cosine schedule, gradient clipping.

It uses transformers' Trainer; several processes share one model (modeling/core/sharding.py). The Trainer costs about
5 ms of CPU time a step: 4 % at the smallest scale worth training, nothing at any other.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase, TrainingArguments

from modeling.core import runtime, sharding
from modeling.core.frozen_layers import freeze_lower
from modeling.core.recipes import AdoptRecipe, PretrainRecipe
from modeling.core.runtime import processes
from modeling.core.training import (
    RECOMPUTED_PARAMETERS,
    ResumableTrainer,
    fit,
    last_checkpoint,
    save_model,
    split_batch,
    training_arguments,
)
from modeling.pretraining.model import build, llama_config, matmul_flops_per_token, shape

# Dense bf16 FLOP/s from the vendors' data sheets; for other cards only TFLOP/s are reported, no MFU.
PEAK_FLOPS = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "4090": 165e12,
    "3090": 71e12,
}
COMPILED_STEPS = 1_000  # 1.46x the speed on an H200 (docs/gpu.md), but 40 s to compile: too long for fewer steps
# More epochs add nothing and memorise the data (Muennighoff et al. 2023, arXiv 2305.16264: about 16).
MOST_PASSES = 16


class PackedSequences(torch.utils.data.Dataset):
    """Row n is the n-th training sequence: `context` consecutive tokens of a shard, no padding, no overlap.

    The seed shuffles the sequences of all shards anew in each epoch. The run has `rows` sequences.
    """

    def __init__(self, shards: Sequence[np.ndarray], context: int, rows: int, seed: int) -> None:
        self.shards, self.context, self.rows, self.seed = shards, context, rows, seed
        self.firsts = np.cumsum([0] + [len(shard) // context for shard in shards])  # each shard's first sequence
        self.sequences = int(self.firsts[-1])
        if not self.sequences:
            raise ValueError(f"The token shards hold no sequence of {context} tokens: add data or shorten the context")
        self.number, self.order = -1, np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> torch.Tensor:
        number, place = divmod(row, self.sequences)
        if number != self.number:
            self.number = number
            self.order = np.random.default_rng([self.seed, number]).permutation(self.sequences)
        sequence = int(self.order[place])
        shard = int(np.searchsorted(self.firsts, sequence, side="right")) - 1
        begin = (sequence - int(self.firsts[shard])) * self.context
        return torch.from_numpy(self.shards[shard][begin : begin + self.context].astype(np.int64))


def run(config: PretrainRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Train from random weights or from a checkpoint; write a Hugging Face directory, loss.jsonl and plots/loss.png.

    Inputs: tokens, tokenizer, initial_model. Raises ValueError if the batch is no whole number of sequences or tokens
    are too few.
    """
    context = config.model.context
    if config.batch_tokens % context:
        raise ValueError(f"batch_tokens {config.batch_tokens} must be a multiple of the context {context}")
    tokenizer = AutoTokenizer.from_pretrained(inputs["tokenizer"])
    summary = json.loads((inputs["tokens"] / "tokens.json").read_text())
    seen = config.steps * config.batch_tokens
    if seen > MOST_PASSES * summary["tokens"]:
        raise ValueError(
            f"{config.steps} steps of {config.batch_tokens:,} tokens are {seen / max(summary['tokens'], 1):.0f} epochs "
            f"over the shards' {summary['tokens']:,} tokens, more than {MOST_PASSES}: add sources or lower base.steps"
        )
    sequences = config.batch_tokens // context
    data = PackedSequences(
        [np.load(inputs["tokens"] / "train" / name, mmap_mode="r") for name in summary["shards"]],
        context,
        config.steps * sequences,
        config.seed,
    )
    model = starting_model(config, tokenizer, inputs["initial_model"])
    freeze_lower(model, config.frozen_layers)
    model.config.use_cache = False
    parameters = sum(weight.numel() for weight in model.parameters())
    log.info(
        f"{parameters:,} parameters, {seen:,} tokens: {seen / summary['tokens']:.2f} epochs over the mixture's "
        f"{summary['tokens']:,} tokens, {summary['unique_tokens']:,} of them unique"
    )
    batch, accumulation = split_batch(sequences, context, model.config.vocab_size)
    arguments = training_arguments(
        TrainingArguments,
        out,
        config.optimizer,
        config.steps,
        batch=batch,
        accumulation=accumulation,
        seed=config.seed,
        train_sampling_strategy="sequential",  # the dataset shuffles its rows itself
        remove_unused_columns=False,
        activation_checkpointing=parameters >= RECOMPUTED_PARAMETERS,
        dataloader_num_workers=2 if torch.cuda.is_available() else 0,
        torch_compile=compiles(config.steps) and processes() == 1,  # else each decoder layer is compiled
    )
    trainer = ResumableTrainer(model, arguments, train_dataset=data, data_collator=collate)
    done = last_checkpoint(Path(arguments.output_dir))
    first = int(done.name.split("-")[1]) if done else 0
    begin = time.perf_counter()
    with runtime.one_shape():
        history = fit(trainer, out, log, tokens_per_step=config.batch_tokens)
    seconds = time.perf_counter() - begin
    model.config.use_cache = True
    save_model(model, tokenizer, out)
    speed = (config.steps - first) * config.batch_tokens / seconds
    tail = [entry["loss"] for entry in history][-max(1, len(history) // 20) :]
    return {
        "parameters": parameters,
        "tokens_seen": seen,
        "passes": round(seen / summary["tokens"], 3),
        "steps": config.steps,
        "final_loss": round(float(np.mean(tail)), 4),
        **speed_figures(speed, matmul_flops_per_token(shape(model.config, context))),
    }


def starting_model(config: PretrainRecipe, tokenizer: PreTrainedTokenizerBase, initial: Path) -> LlamaForCausalLM:
    """Float32 weights: those of the checkpoint in `initial`, or random ones; the tokenizer learns their context.

    If several processes train together, each gets its share.
    """
    compiled = compiles(config.steps)
    if isinstance(config.model, AdoptRecipe):
        return sharding.load(LlamaForCausalLM, initial, compiled=compiled)
    tokenizer.model_max_length = config.model.context
    if processes() == 1:
        return build(config.model, tokenizer, config.seed)
    return sharding.build(
        lambda: LlamaForCausalLM(llama_config(config.model, tokenizer)),
        lambda: build(config.model, tokenizer, config.seed).state_dict().pop,
        compiled,
    )


def compiles(steps: int) -> bool:
    """Whether to compile the model: as CRIA_COMPILE says (1 or 0), else on a GPU for at least COMPILED_STEPS steps."""
    stated = os.environ.get("CRIA_COMPILE")
    return stated == "1" if stated else torch.cuda.is_available() and steps >= COMPILED_STEPS


def collate(rows: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """input_ids and labels, the same (batch, context) ids: the model shifts the labels."""
    ids = torch.stack(rows)
    return {"input_ids": ids, "labels": ids}


def peak_flops(card: str) -> float | None:
    """Dense bf16 FLOP/s of a card, by the name that its driver reports; None if it is not in the table."""
    return next((value for key, value in PEAK_FLOPS.items() if key in card), None)


def speed_figures(tokens_per_s: float, flops_per_token: float) -> dict[str, float]:
    """tokens/s, TFLOP/s of model arithmetic, MFU if the device's peak is known, peak memory in GB (of this process)."""
    figures = {"tokens_per_s": round(tokens_per_s), "model_tflops": round(tokens_per_s * flops_per_token / 1e12, 3)}
    if torch.cuda.is_available():
        peak = peak_flops(torch.cuda.get_device_name())
        if peak is not None:
            figures["mfu"] = round(tokens_per_s * flops_per_token / (peak * processes()), 4)
        figures["peak_memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        figures["peak_memory_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 2)
    return figures
