"""One of the processes of a sharded training: python -m tests.modeling.sharded_worker JOBS.json, under torchrun.

Jobs run one after the other in the same process group, because importing torch takes longer than any of them.
"""

import dataclasses
import json
import os
import random
import resource
import signal
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from modeling.core import runtime, sharding, training
from modeling.finetuning import sft
from modeling.pretraining import pretrain
from modeling.pretraining.model import build, llama_config
from modeling.rlhf import reward_model
from modeling.rlhf.ppo import stage
from tests.conftest import MemoryLog
from tests.modeling import toy_chat, toy_rlhf
from tests.modeling.pretraining.test_pretrain import RECIPE
from tests.modeling.rlhf import test_reward_model

SFT = dataclasses.replace(toy_chat.RECIPE, context=32, batch_sequences=4, epochs=3.0, start_share=0.25)


class StoppedError(Exception):
    pass


def in_float32() -> None:
    """No bfloat16 on any processor: the losses are compared to 1e-4."""
    for module in (runtime, training, sharding):
        module.bfloat16_products = lambda where: False


def checkpoint_every_step(stop: int | None = None, kill: int | None = None) -> None:
    """A checkpoint at each step. All processes raise StoppedError after that of step `stop`.

    The last process kills itself before that of step `kill` is complete.
    """
    training.MIN_CHECKPOINT_SECONDS, training.CHECKPOINT_SHARE = 0.0, 1e9
    if not hasattr(training.Checkpoints, "complete"):
        training.Checkpoints.complete = training.Checkpoints.on_save

    def on_save(self, args, state, control, **kwargs) -> None:
        if state.global_step == kill and dist.get_rank() == dist.get_world_size() - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        self.complete(args, state, control, **kwargs)
        if state.global_step == stop:
            raise StoppedError

    training.Checkpoints.on_save = on_save


def pretraining(
    out: Path, inputs: Path, stop: int | None = None, kill: int | None = None, recompute: bool = False
) -> None:
    """Checkpoints only if it is to stop: they take longer than the steps."""
    checkpoint_every_step(stop, kill)
    if stop is None and kill is None:
        training.MIN_CHECKPOINT_SECONDS = 600.0
    pretrain.RECOMPUTED_PARAMETERS = 0 if recompute else training.RECOMPUTED_PARAMETERS
    folders = {name: inputs / name for name in ("tokens", "tokenizer", "initial_model")}
    try:
        pretrain.run(RECIPE, folders, out, MemoryLog())
    except StoppedError:
        assert stop is not None


def fine_tuning(out: Path, base: Path, frozen: int = 0) -> dict:
    recipe = dataclasses.replace(SFT, frozen_layers=frozen)
    return sft.finetune(base, toy_chat.dialogues(), recipe, out, MemoryLog(), toy_chat.dialogues()[:3])


def reward(out: Path, base: Path) -> None:
    rng = random.Random(0)
    pairs = [test_reward_model.make_pair(number, rng, "safety") for number in range(16)]
    recipe = dataclasses.replace(test_reward_model.RECIPE, kind="safety", safety_loss_weight=1.0)
    reward_model.fit(recipe, pairs, base, out, MemoryLog())


def memory(out: Path, model: Path) -> None:
    """Writes the bytes by which loading a model raises this process's highest use of memory, and those of its share.

    Then saves the model in several files.
    """
    runtime.join()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loaded = sharding.load(AutoModelForCausalLM, model)
    rise = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    share = sum(weight.to_local().nbytes for weight in loaded.parameters())
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{dist.get_rank()}.json").write_text(json.dumps({"rise": rise, "share": share}))
    (out / "saved").mkdir(exist_ok=True)
    sharding.save(loaded, out / "saved", "20MB")


def reduction(out: Path) -> None:
    """Writes whether the sum of the processes' bfloat16 gradients holds values that bfloat16 does not."""
    runtime.join()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "bfloat16_products", lambda where: True)
        model = sharding.build(
            lambda: LlamaForCausalLM(llama_config(RECIPE.model)), lambda: build(RECIPE.model, None, 0).state_dict().pop
        )
    ids = torch.randint(7, 500, (2, 16), generator=torch.Generator().manual_seed(dist.get_rank()))
    model(input_ids=ids, labels=ids).loss.backward()
    gradients = [weight.grad.full_tensor() for weight in model.parameters()]
    if dist.get_rank() == 0:
        finer = [not torch.equal(gradient, gradient.bfloat16().float()) for gradient in gradients]
        out.write_text(json.dumps({"types": sorted({str(one.dtype) for one in gradients}), "finer": finer}))


def ppo(out: Path, inputs: Path, stop: int | None = None, **changes) -> None:
    """PPO on a toy world; all processes stop right after iteration `stop`."""

    class StoppingLog(MemoryLog):
        def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
            if done == stop:
                raise StoppedError

    folders = {path.name: path for path in inputs.iterdir()}
    try:
        stage.run(toy_rlhf.recipe(**changes), folders, out, StoppingLog())
    except StoppedError:
        assert stop is not None


JOBS = {
    "pretraining": pretraining,
    "fine_tuning": fine_tuning,
    "reward": reward,
    "ppo": ppo,
    "memory": memory,
    "reduction": reduction,
}


def main() -> None:
    in_float32()
    for job in json.loads(Path(sys.argv[1]).read_text()):
        settings = {
            key: Path(value) if isinstance(value, str) and "/" in value else value
            for key, value in job.items()
            if key != "name"
        }
        JOBS[job["name"]](**settings)
        if dist.is_initialized():
            dist.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
