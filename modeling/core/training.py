"""Shared by pretraining, SFT and reward models: arguments for a transformers/TRL Trainer, a `fit` that survives kills.

`training_arguments` turns an OptimizerRecipe (paper 2.2: AdamW, cosine to 10 %, warm-up, clipping) into arguments,
`fit` trains from the last complete checkpoint and ends with the same weights as an uninterrupted run (bit for bit on
CPU), `save_model` writes a Hugging Face directory.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from modeling.core import json_text, ranks, reporting, resumable_generation, sampling
from modeling.core.atomic_folders import filling
from modeling.core.divergence import Watch
from modeling.core.heartbeat import Heartbeat
from modeling.core.recipes import OptimizerRecipe
from modeling.core.runtime import bfloat16_products, device, distributed, join, main_process, processes
from modeling.core.sharded_checkpoints import ShardedCheckpoints
from modeling.core.sharding import is_sharded, save

COMPLETE = "COMPLETE"  # a checkpoint's last file; a checkpoint without it is incomplete and is deleted
# Tokens a device holds at once unless CRIA_MICRO_BATCH says otherwise: logits of a 32k vocabulary then take 4 GB.
MICRO_BATCH_TOKENS = 32_768
CPU_LOGITS = 2**26  # logits of a loss and their gradients take about 10 bytes each: 0.7 GB
RECOMPUTED_PARAMETERS = 1_000_000_000  # from this size on, layers recompute their activations: they would not fit
MIN_CHECKPOINT_SECONDS = 60.0
CHECKPOINT_SHARE = 0.03  # largest share of the wall time for checkpoints
# Estimated cost of the first checkpoint: weights and two moments per parameter on a slow disk, at most 15 s.
CHECKPOINT_BYTES, DISK_BYTES_PER_S, MOST_GUESSED_SECONDS = 12, 150e6, 15.0


def split_batch(sequences: int, tokens: int, logits: int = 0) -> tuple[int, int]:
    """(per-device batch, accumulation steps) for a global batch of `sequences`, of at most `tokens` tokens each.

    $CRIA_MICRO_BATCH, else MICRO_BATCH_TOKENS, bounds what one device holds at once, and so does CPU_LOGITS if each
    token has `logits` logits. The recipe's global batch never changes. Raises ValueError if it does not divide among
    the devices.
    """
    devices = processes()
    if sequences % devices:
        raise ValueError(f"A global batch of {sequences} sequences does not divide among {devices} devices")
    share = sequences // devices
    bound = MICRO_BATCH_TOKENS // tokens
    if logits and device().type == "cpu":
        bound = min(bound, CPU_LOGITS // (tokens * logits))
    bound = max(1, int(os.environ.get("CRIA_MICRO_BATCH", bound)))
    accumulation = next(n for n in range(1, share + 1) if share % n == 0 and share // n <= bound)
    return share // accumulation, accumulation


def training_arguments(
    cls: type[TrainingArguments],
    out: Path,
    optimizer: OptimizerRecipe,
    total_steps: int,
    *,
    batch: int,
    accumulation: int = 1,
    seed: int,
    **extra: Any,
) -> TrainingArguments:
    """Arguments of class `cls` (TrainingArguments, SFTConfig, RewardConfig) for `total_steps` optimizer steps.

    `batch` is rows per device and forward pass. Weights are float32, with bf16 autocast where that is fast. `fit`
    writes checkpoints to `out/_scratch/checkpoints`. `extra` is passed on to `cls`. Raises ValueError for an unknown
    schedule.
    """
    where = device()
    join()
    # A warm-up's steps learn less than the others (the first one nothing), so it never takes over a tenth of a short run.
    warmup = min(max(optimizer.warmup_steps, round(optimizer.warmup_ratio * total_steps)), total_steps // 10)
    if optimizer.schedule == "cosine":
        schedule = {
            "lr_scheduler_type": "cosine_with_min_lr",
            "lr_scheduler_kwargs": {"min_lr_rate": optimizer.final_ratio},
        }
    elif optimizer.schedule == "constant":
        schedule = {"lr_scheduler_type": "constant_with_warmup"}
    else:
        raise ValueError(f"Unknown schedule {optimizer.schedule!r}: use 'cosine' or 'constant'")
    settings: dict[str, Any] = {
        "output_dir": str(out / "_scratch" / "checkpoints"),
        "max_steps": total_steps,
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": accumulation,
        "learning_rate": optimizer.learning_rate,
        "optim": "adamw_torch_fused",
        "adam_beta1": optimizer.beta1,
        "adam_beta2": optimizer.beta2,
        "adam_epsilon": optimizer.epsilon,
        "weight_decay": optimizer.weight_decay,  # the Trainer excludes norms and biases
        "max_grad_norm": optimizer.gradient_clip,
        "warmup_steps": warmup,
        **schedule,
        "bf16": bfloat16_products(where),
        "use_cpu": where.type == "cpu",
        "seed": seed,
        "data_seed": seed,
        "logging_steps": max(1, min(10, total_steps // 100)),
        "logging_nan_inf_filter": False,  # a NaN must be seen; the filter also waits for the device at each step
        "save_strategy": "no",  # fit's own callback decides when
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": where.type == "cuda",
    }
    if processes() > 1:
        # Each micro-batch reduces its gradients: otherwise a device would keep those of the whole model (FSDP2).
        settings["accelerator_config"] = {"gradient_accumulation_kwargs": {"sync_each_batch": True}}
    arguments = cls(**{**settings, **extra})
    # One device per process: else the Trainer spreads a single process over all GPUs and multiplies the global batch.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


class ResumableTrainer(ShardedCheckpoints, Trainer):
    """transformers' Trainer, for one process or several."""


class ResumableTRL(ShardedCheckpoints):
    """Mixin of TRL's trainers: drops their token count, which restarts when a run resumes and counts a batch as one row."""

    def log(self, logs: dict, start_time: float | None = None) -> None:
        self._metrics["train"].pop("num_tokens", None)
        super().log(logs, start_time)


def fit(
    trainer: Trainer, out: Path, log: Any, *, tokens_per_step: int = 0, checkpoint_steps: int | None = None
) -> list[dict]:
    """Train to the end, from the last complete checkpoint under the trainer's output_dir if there is one.

    Returns the history [{step, loss, grad_norm, learning_rate, …}] and writes it to out/loss.jsonl and
    out/plots/loss.png (main process only). `tokens_per_step` is the global batch, for tokens/s. Checkpoints are written
    every minute (less often if they would cost over 3 % of the time) or every `checkpoint_steps` steps. Raises
    DivergedError soon after the loss, a gradient or a weight is not finite, and if the loss rises for good; no checkpoint
    has weights that are not finite.
    """
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Progress(log, tokens_per_step))
    trainer.add_callback(Heartbeat(out))
    parameters = sum(weight.numel() for weight in trainer.model.parameters())
    guess = min(MOST_GUESSED_SECONDS, parameters * CHECKPOINT_BYTES / DISK_BYTES_PER_S)
    trainer.add_callback(Checkpoints(checkpoint_steps, guess))
    trainer.add_callback(Watch())  # last, because it checks what is about to be saved
    checkpoint = last_checkpoint(Path(trainer.args.output_dir))
    if checkpoint is not None:
        log.info(f"Continuing from {checkpoint.name}")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    if trainer.is_world_process_zero():
        write_history(history, out)
    return history


def once(out: Path, train: Callable[[], dict]) -> dict:
    """The result of `train`, stored so that a run killed after training does not train again, in any of its processes.

    Frees the memory of training: a Trainer refers to itself, and the next step loads the model again.
    """
    done = out / "_scratch" / "trained.json"
    if main_process():
        figures = resumable_generation.kept(done, lambda: [train()])[0]
    else:
        figures = json.loads(done.read_text())[0] if done.exists() else train()
    sampling.free_memory()
    return figures


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint of a folder, or None. Deletes incomplete ones."""
    complete = []
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).exists():
            complete.append(path)
        elif main_process():
            shutil.rmtree(path)
    return max(complete, key=lambda path: int(path.name.split("-")[1]), default=None)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Write model and tokenizer as a Hugging Face directory (safetensors) at the root of `out`, each file atomically.

    Every process of a distributed run must call it: together they gather sharded weights, and the main process writes.
    """
    with filling(out) if main_process() else contextlib.nullcontext(out) as folder:
        if is_sharded(model):
            save(model, folder)
        elif main_process():
            model.save_pretrained(folder)
        if main_process():
            tokenizer.save_pretrained(folder)
    ranks.wait()


def write_history(history: Sequence[dict], out: Path) -> None:
    """Write out/loss.jsonl and out/plots/loss.png."""
    reporting.write_text(out / "loss.jsonl", json_text.lines(history))
    steps, losses = [entry["step"] for entry in history], [entry["loss"] for entry in history]
    plot_loss(out / "plots" / "loss.png", steps, losses)


def plot_loss(path: Path, steps: Sequence[int], values: Sequence[float]) -> None:
    """The loss over optimizer steps: the values faint, their running mean on top."""
    figure, axes = reporting.diagram("Training loss", "optimizer step", "Loss (nats)")
    mean, running = [], None
    for value in values:
        running = value if running is None else 0.9 * running + 0.1 * value
        mean.append(running)
    axes.plot(steps, values, color="#9db7d5", linewidth=0.9)
    axes.plot(steps, mean, color="#1f4e79", linewidth=1.8)
    axes.margins(x=0.01)
    reporting.save_figure(figure, path)


class Progress(TrainerCallback):
    """Logs the step, the loss and the speed since the last entry."""

    def __init__(self, log: Any, tokens_per_step: int) -> None:
        self.log, self.tokens_per_step = log, tokens_per_step
        self.time, self.step = 0.0, 0

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.time, self.step = time.perf_counter(), state.global_step

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        now = time.perf_counter()
        speed = (state.global_step - self.step) / max(now - self.time, 1e-9)
        figures = {"loss": round(logs["loss"], 4), "steps_per_s": round(speed, 3)}
        if self.tokens_per_step:
            figures["tokens_per_s"] = round(speed * self.tokens_per_step)
        self.log.progress(state.global_step, state.max_steps, **figures)
        self.time, self.step = now, state.global_step


class Checkpoints(TrainerCallback):
    """Requests checkpoints at intervals and marks each complete once all its files are on disk.

    It saves only at logging steps: the Trainer keeps the loss since the last log only in memory, so a run resumed
    between two logs would report another loss. It never saves at the last step: the model itself is saved then.
    """

    def __init__(self, steps: int | None, cost: float) -> None:
        self.steps = steps
        self.asked = self.saved = time.monotonic()
        self.cost = cost  # seconds; an estimate until the first checkpoint

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step % state.logging_steps or state.global_step >= state.max_steps:
            return
        if self.steps is not None:
            due = state.global_step % self.steps == 0
        else:
            due = time.monotonic() - self.saved > max(MIN_CHECKPOINT_SECONDS, self.cost / CHECKPOINT_SHARE)
            if distributed():  # clocks differ; the main process decides for all
                answer = torch.tensor(float(due), device=args.device)
                dist.broadcast(answer, 0)
                due = bool(answer.item())
        if due:
            self.asked = time.monotonic()
            control.should_save = True

    def on_save(self, args, state, control, **kwargs) -> None:
        ranks.wait()
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()
        self.saved = time.monotonic()
        self.cost = self.saved - self.asked
