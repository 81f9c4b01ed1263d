"""Every trainer on the accelerator: one device, bf16, finite and equal losses, checkpoints that continue."""

import dataclasses
import json
import math
import random
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig

from modeling.core import dialogue_tables, runtime, training
from modeling.finetuning import packing, sft
from modeling.pretraining import pretrain
from modeling.rlhf import pairs, reward_model
from modeling.rlhf.preferences import SCHEMA
from orchestration.launchers import follow
from tests.modeling import toy_chat
from tests.modeling.finetuning.test_sft import write
from tests.modeling.pretraining import test_pretrain
from tests.modeling.rlhf import test_reward_model

# Rounding alone moves a loss by less; another batch, seed or learning rate by more.
CLOSE = 0.02


class StoppedError(Exception):
    pass


class StoppingLog:
    """Ends a run at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def info(self, text: str) -> None:
        pass

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        if done == self.step:
            raise StoppedError


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict:
    return test_pretrain.make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def pretrained(inputs, tmp_path_factory):
    from tests.conftest import MemoryLog

    out = tmp_path_factory.mktemp("pretrained")
    return out, pretrain.run(test_pretrain.RECIPE, inputs, out, MemoryLog())


def losses(out) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "loss.jsonl").read_text().splitlines()]


def test_the_device_and_where_a_trainer_puts_the_model(where, base, tmp_path):
    assert where.type == ("cuda" if torch.cuda.is_available() else "cpu")
    arguments = training.training_arguments(SFTConfig, tmp_path, toy_chat.RECIPE.optimizer, 2, batch=1, seed=0)
    assert arguments.device.type == where.type
    assert arguments.n_gpu <= 1
    assert arguments.bf16 and arguments.dataloader_pin_memory == (where.type == "cuda")


def test_pretraining_learns_and_saves_float32(pretrained):
    out, metrics = pretrained
    found = losses(out)
    assert all(math.isfinite(loss) for loss in found)
    assert metrics["final_loss"] < 0.8 * found[0]
    assert metrics["peak_memory_gb"] >= 0
    assert AutoModelForCausalLM.from_pretrained(out, dtype="auto").dtype == torch.float32


def test_the_same_seed_gives_the_same_losses(inputs, pretrained, tmp_path, log):
    pretrain.run(test_pretrain.RECIPE, inputs, tmp_path, log)
    assert losses(tmp_path) == pytest.approx(losses(pretrained[0]), rel=CLOSE)


def test_a_stopped_run_continues_to_the_same_losses(inputs, pretrained, tmp_path, log, monkeypatch):
    monkeypatch.setattr(training, "MIN_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 1e9)
    with pytest.raises(StoppedError):
        pretrain.run(test_pretrain.RECIPE, inputs, tmp_path, StoppingLog(15))
    pretrain.run(test_pretrain.RECIPE, inputs, tmp_path, log)
    assert any("Continuing from checkpoint-14" in line for line in log.lines)
    assert losses(tmp_path) == pytest.approx(losses(pretrained[0]), rel=CLOSE)


def test_the_fused_head_gives_the_loss_of_the_answers(where, base, tmp_path):
    """TRL's head on an accelerator against the head on answer tokens alone."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    encoded, _ = sft.encode(tokenizer, toy_chat.dialogues(), 64)
    rows = packing.pack(encoded, 64)
    collator = packing.PackedCollator(sft.filler(tokenizer))
    arguments = training.training_arguments(
        SFTConfig, tmp_path, toy_chat.RECIPE.optimizer, 2, batch=4, seed=0, max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True}, remove_unused_columns=False,
        activation_checkpointing=where.type == "cuda",
    )  # fmt: skip
    trainer = sft.DialogueTrainer(
        model, arguments, data_collator=collator, train_dataset=rows, processing_class=tokenizer
    )
    batch = {name: tensor.to(where) for name, tensor in collator(list(rows)).items()}
    with runtime.autocast(where):
        fused = trainer.compute_loss(trainer.model, dict(batch))
    labels = batch.pop("labels")
    nats, count = sft.answer_nats(trainer.model, labels, batch)
    assert float(fused.detach()) == pytest.approx(float(nats.detach()) / count, rel=CLOSE)


def test_fine_tuning_learns_and_measures_held_out_answers(base, tmp_path, log):
    write(toy_chat.dialogues(), tmp_path / "train.parquet")
    write(toy_chat.dialogues()[:4], tmp_path / "test.parquet")
    recipe = dataclasses.replace(toy_chat.RECIPE, max_steps=40)
    metrics = sft.run(recipe, {"base_model": base, "demonstrations": tmp_path}, tmp_path / "sft", log)
    assert metrics["loss_last"] < metrics["loss_first"]
    assert metrics["heldout_loss_after"] < metrics["heldout_loss_before"]
    assert (tmp_path / "sft" / "samples.md").exists()


@pytest.mark.parametrize("kind", pairs.KINDS)
def test_reward_models_train_and_score(world, tmp_path, log, kind):
    rng = random.Random(0)
    rows = [test_reward_model.make_pair(i, rng, kind) for kind in pairs.KINDS for i in range(40)]
    dialogue_tables.write_rows(rows, SCHEMA, tmp_path / "pairs.parquet")
    recipe = dataclasses.replace(test_reward_model.RECIPE, kind=kind, safety_loss_weight=float(kind == "safety"))
    metrics = reward_model.run(recipe, {"chat": world["policy"], "preferences_1": tmp_path}, tmp_path / "out", log)
    assert metrics["loss_last"] < metrics["loss_first"]
    assert metrics["accuracy"] > 0.6


# One process under torchrun, as on a node with one GPU, that holds its model as one of several would (FSDP2).
UNDER_TORCHRUN = """
import json, sys
from pathlib import Path
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from transformers import LlamaForCausalLM, TrainingArguments
from modeling.core import runtime, sharding, training
from modeling.core.sharded_checkpoints import SHARES
from modeling.pretraining.model import build, llama_config
from modeling.pretraining.pretrain import collate
from tests.conftest import MemoryLog
from tests.modeling.pretraining.test_pretrain import RECIPE
from tests.modeling.toy_chat import tokenizer
out = Path(sys.argv[1])
dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
arguments = training.training_arguments(TrainingArguments, out, RECIPE.optimizer, 4, batch=4, seed=0,
                                        remove_unused_columns=False)
data = [torch.randint(7, 500, (RECIPE.model.context,), generator=torch.Generator().manual_seed(n)) for n in range(64)]
model = sharding.build(lambda: LlamaForCausalLM(llama_config(RECIPE.model)),
                       lambda: build(RECIPE.model, None, 0).state_dict().pop)
assert sharding.is_sharded(model)
trainer = training.ResumableTrainer(model, arguments, train_dataset=data, data_collator=collate)
history = training.fit(trainer, out, MemoryLog(), checkpoint_steps=2)
checkpoint = out / "_scratch" / "checkpoints" / "checkpoint-2"
assert (checkpoint / training.COMPLETE).exists() and (checkpoint / SHARES).is_dir()
training.save_model(model, tokenizer(), out)
assert all(torch.isfinite(weight).all() for weight in load_file(out / "model.safetensors").values())
dist.destroy_process_group()
print(json.dumps([row["loss"] for row in history]))
"""


def test_one_process_under_torchrun(tmp_path, log):
    start = [sys.executable, "-m", "orchestration.torchrun", "--standalone", "--nproc-per-node", "1", "--no-python"]
    follow("base_model", [*start, sys.executable, "-c", UNDER_TORCHRUN, str(tmp_path / "out")], log)
    assert all(math.isfinite(loss) for loss in json.loads(log.lines[-1]))
