"""The shared Trainer glue: the paper's optimizer, resuming to the last bit, what is left on disk."""

import gc
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback, TrainingArguments

from modeling.core import training
from modeling.core.recipes import ModelRecipe, OptimizerRecipe
from modeling.core.training import COMPLETE, fit, last_checkpoint, save_model, split_batch, training_arguments
from modeling.pretraining.model import build
from modeling.pretraining.tokenizer import train as train_tokenizer

pytestmark = pytest.mark.trains

MODEL = ModelRecipe(
    layers=2,
    heads=2,
    kv_heads=1,
    hidden=32,
    ffn=64,
    context=16,
    rope_theta=10000.0,
    norm_epsilon=1e-5,
    tied_embeddings=True,
    vocab_size=512,
)
OPTIMIZER = OptimizerRecipe(
    learning_rate=1e-2,
    beta1=0.9,
    beta2=0.95,
    epsilon=1e-5,
    weight_decay=0.1,
    gradient_clip=1.0,
    schedule="cosine",
    warmup_steps=2,
    warmup_ratio=0.0,
    final_ratio=0.1,
)
STEPS = 12


class Rows(torch.utils.data.Dataset):
    """27 rows: an epoch ends in the middle of the run, and of an accumulated batch."""

    def __init__(self) -> None:
        self.ids = torch.randint(7, 512, (27, 16), generator=torch.Generator().manual_seed(3))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> dict:
        return {"input_ids": self.ids[place], "labels": self.ids[place]}


class KillAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def tokenizer():
    return train_tokenizer(["a few words to learn from, 123"], 512)


def train(out: Path, log, *callbacks) -> list[dict]:
    arguments = training_arguments(
        TrainingArguments, out, OPTIMIZER, STEPS, batch=2, accumulation=2, seed=5, logging_steps=1
    )
    model = build(MODEL, None, seed=1)
    trainer = Trainer(model, arguments, train_dataset=Rows(), callbacks=list(callbacks))
    history = fit(trainer, out, log, tokens_per_step=64, checkpoint_steps=3)
    save_model(model, tokenizer(), out)
    return history


def hashes(out: Path) -> dict[str, str]:
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and "_scratch" not in path.parts]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    from tests.conftest import MemoryLog

    out = tmp_path_factory.mktemp("straight")
    train(out, MemoryLog())
    return out


def test_killed_and_resumed_ends_with_the_same_bytes(undisturbed, tmp_path, log):
    code = (
        "from pathlib import Path; from tests.conftest import MemoryLog; from tests.modeling.core.test_training import *; "
        f"train(Path({str(tmp_path)!r}), MemoryLog(), KillAt(8))"
    )
    root = Path(__file__).resolve().parents[3]
    killed = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert last_checkpoint(tmp_path / "_scratch" / "checkpoints").name == "checkpoint-6"
    history = train(tmp_path, log)
    assert any("checkpoint-6" in line for line in log.lines)
    assert log.steps[0][0] == 7  # it did not start over
    assert [entry["step"] for entry in history] == list(range(1, STEPS + 1))
    assert hashes(tmp_path) == hashes(undisturbed)


def test_half_written_checkpoints_are_not_used(tmp_path):
    for step, complete in [(3, True), (6, True), (9, False)]:
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if complete:
            (folder / COMPLETE).touch()
    assert last_checkpoint(tmp_path).name == "checkpoint-6"
    assert not (tmp_path / "checkpoint-9").exists()
    assert last_checkpoint(tmp_path / "nowhere") is None


def test_history_and_progress(undisturbed):
    lines = [json.loads(line) for line in (undisturbed / "loss.jsonl").read_text().splitlines()]
    assert len(lines) == STEPS
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert (undisturbed / "plots" / "loss.png").read_bytes()[:4] == b"\x89PNG"


def test_schedule_is_the_papers(undisturbed):
    rates = [json.loads(line)["learning_rate"] for line in (undisturbed / "loss.jsonl").read_text().splitlines()]
    peak, warm, total = 1e-2, STEPS // 10, STEPS  # the warm-up of two steps is bounded
    for step, rate in enumerate(rates):
        if step < warm:
            expected = peak * step / warm
        else:
            expected = peak * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm))))
        assert rate == pytest.approx(expected, rel=1e-6)


def test_optimizer_is_the_papers(tmp_path):
    arguments = training_arguments(TrainingArguments, tmp_path, OPTIMIZER, 10, batch=2, seed=1)
    trainer = Trainer(build(MODEL, None, seed=1), arguments, train_dataset=Rows())
    optimizer = trainer.create_optimizer()
    names = {id(weight): name for name, weight in trainer.model.named_parameters()}
    spared = {names[id(w)] for group in optimizer.param_groups if group["weight_decay"] == 0 for w in group["params"]}
    decayed = {
        names[id(w)] for group in optimizer.param_groups if group["weight_decay"] == 0.1 for w in group["params"]
    }
    assert spared | decayed == set(names.values())
    assert spared == {name for name, weight in trainer.model.named_parameters() if weight.dim() < 2}
    for group in optimizer.param_groups:
        assert group["betas"] == (0.9, 0.95)
        assert group["eps"] == 1e-5


def test_warmup_takes_the_larger(tmp_path):
    from dataclasses import replace

    recipe = replace(OPTIMIZER, warmup_steps=5, warmup_ratio=0.03)
    assert training_arguments(TrainingArguments, tmp_path, recipe, 100, batch=1, seed=0).warmup_steps == 5
    assert training_arguments(TrainingArguments, tmp_path, recipe, 1000, batch=1, seed=0).warmup_steps == 30
    for steps, warmup in ((1, 0), (7, 0), (12, 1), (40, 4), (60, 5)):  # never over a tenth of a short run
        arguments = training_arguments(TrainingArguments, tmp_path, recipe, steps, batch=1, seed=0)
        assert arguments.warmup_steps == warmup
    constant = training_arguments(
        TrainingArguments, tmp_path, replace(recipe, schedule="constant"), 100, batch=1, seed=0
    )
    assert constant.lr_scheduler_type == "constant_with_warmup"
    with pytest.raises(ValueError, match="Unknown schedule"):
        training_arguments(TrainingArguments, tmp_path, replace(recipe, schedule="line"), 100, batch=1, seed=0)


def test_only_safe_files_are_published(undisturbed):
    files = set(hashes(undisturbed))
    assert {"model.safetensors", "config.json", "tokenizer.json", "loss.jsonl", "plots/loss.png"} <= files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pth"))]
    assert load_file(undisturbed / "model.safetensors")["model.norm.weight"].dtype == torch.float32


def test_global_batch_is_split_without_changing_it(monkeypatch):
    assert split_batch(12, 256) == (12, 1)
    assert split_batch(12, training.MICRO_BATCH_TOKENS // 5) == (4, 3)
    assert split_batch(12, 256, logits=training.CPU_LOGITS // 1024) == (4, 3)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert split_batch(12, training.MICRO_BATCH_TOKENS // 2) == (1, 3)
    with pytest.raises(ValueError, match="does not divide"):
        split_batch(10, 256)


class Cyclic:
    """As a Trainer: refers to itself through its callbacks."""

    def __init__(self) -> None:
        self.itself = self


def test_what_training_took_is_free_before_the_model_is_loaded_again(tmp_path):
    seen = []

    def train() -> dict:
        trainer = Cyclic()
        seen.append(weakref.ref(trainer))
        return {"loss": 1.0}

    gc.disable()  # else it may go by chance
    try:
        assert training.once(tmp_path, train) == {"loss": 1.0}
        assert seen[0]() is None
    finally:
        gc.enable()
