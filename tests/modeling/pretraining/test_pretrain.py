"""Packing, learning, and the same bytes after a kill."""

import hashlib
import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from modeling.core import training
from modeling.core.recipes import (
    AdoptRecipe,
    ModelRecipe,
    OptimizerRecipe,
    PretrainRecipe,
)
from modeling.pretraining import gates
from modeling.pretraining.pretrain import PackedSequences, collate, run, starting_model
from modeling.pretraining.tokenizer import train as train_tokenizer

pytestmark = pytest.mark.trains

RECIPE = PretrainRecipe(
    model=ModelRecipe(
        layers=2,
        heads=4,
        kv_heads=2,
        hidden=32,
        ffn=64,
        context=16,
        rope_theta=10000.0,
        norm_epsilon=1e-5,
        tied_embeddings=True,
        vocab_size=512,
    ),
    optimizer=OptimizerRecipe(
        learning_rate=2e-2,
        beta1=0.9,
        beta2=0.95,
        epsilon=1e-5,
        weight_decay=0.1,
        gradient_clip=1.0,
        schedule="cosine",
        warmup_steps=3,
        warmup_ratio=0.0,
        final_ratio=0.1,
    ),
    batch_tokens=128,
    steps=24,
    frozen_layers=0,
    seed=3,
)


def make_inputs(folder: Path) -> dict[str, Path]:
    """Two shards of a language in which token n+1 follows token n."""
    (folder / "tokens" / "train").mkdir(parents=True)
    starts = np.random.default_rng(0).integers(7, 500, 200)
    stream = np.concatenate([(7 + (start + np.arange(20)) % 500) for start in starts]).astype(np.uint16)
    shards = {"00000.npy": stream[:2500], "00001.npy": stream[2500:]}
    for name, shard in shards.items():
        np.save(folder / "tokens" / "train" / name, shard)
    summary = {"tokens": len(stream), "unique_tokens": len(stream), "shards": list(shards)}
    (folder / "tokens" / "tokens.json").write_text(json.dumps(summary))
    train_tokenizer(["some words"], 512).save_pretrained(folder / "tokenizer")
    return {"tokens": folder / "tokens", "tokenizer": folder / "tokenizer", "initial_model": folder / "initial"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, Path]:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory) -> tuple[Path, dict]:
    from tests.conftest import MemoryLog

    out = tmp_path_factory.mktemp("straight")
    return out, run(RECIPE, inputs, out, MemoryLog())


def hashes(out: Path) -> dict[str, str]:
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and "_scratch" not in path.parts]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read_losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "loss.jsonl").read_text().splitlines()]


def test_each_pass_reads_every_sequence_once_in_another_order():
    shards = [np.arange(0, 35), np.arange(100, 141), np.arange(200, 203)]
    data = PackedSequences(shards, context=10, rows=14, seed=1)
    assert len(data) == 14
    wanted = sorted([list(range(begin, begin + 10)) for begin in (0, 10, 20, 100, 110, 120, 130)])
    first, second = [[data[row].tolist() for row in range(begin, begin + 7)] for begin in (0, 7)]
    assert sorted(first) == sorted(second) == wanted
    assert first != second
    other = PackedSequences(shards, context=10, rows=14, seed=2)
    assert [other[row].tolist() for row in range(7)] != first
    # Any row can be asked for at any time: what a resumed run does.
    assert data[3].tolist() == first[3]
    batch = collate([data[0], data[1]])
    assert torch.equal(batch["input_ids"], batch["labels"]) and batch["labels"].min() >= 0  # nothing is padding
    with pytest.raises(ValueError, match="no sequence of 100"):
        PackedSequences(shards, context=100, rows=1, seed=1)


def test_it_learns_and_transformers_reads_it(undisturbed):
    out, metrics = undisturbed
    losses = read_losses(out)
    assert losses[0] > 0.9 * math.log(512)
    assert metrics["final_loss"] < 0.8 * losses[0]
    model = AutoModelForCausalLM.from_pretrained(out)
    assert type(model).__name__ == "LlamaForCausalLM" and model.config.use_cache
    assert sum(weight.numel() for weight in model.parameters()) == metrics["parameters"]
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.model_max_length == RECIPE.model.context
    assert tokenizer.chat_template
    assert metrics["tokens_seen"] == RECIPE.steps * RECIPE.batch_tokens
    assert metrics["tokens_per_s"] > 0


def test_killed_and_resumed_ends_with_the_same_bytes(inputs, undisturbed, tmp_path, log, monkeypatch):
    monkeypatch.setattr(training, "MIN_CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 1e9)
    code = f"""
import os, signal
from pathlib import Path
from modeling.core import training
from modeling.pretraining.pretrain import run
from tests.modeling.pretraining.test_pretrain import RECIPE
training.MIN_CHECKPOINT_SECONDS, training.CHECKPOINT_SHARE = 0.0, 1e9
class Log:
    def info(self, text): pass
    def progress(self, done, total, **figures):
        if done == 15: os.kill(os.getpid(), signal.SIGKILL)
folders = {{name: Path(path) for name, path in { ({k: str(v) for k, v in inputs.items()})!r}.items()}}
run(RECIPE, folders, Path({str(tmp_path)!r}), Log())
"""
    root = Path(__file__).resolve().parents[3]
    killed = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run(RECIPE, inputs, tmp_path, log)
    assert any("Continuing from checkpoint-14" in line for line in log.lines)
    assert hashes(tmp_path) == hashes(undisturbed[0])


def test_micro_batches_change_rounding_only(inputs, undisturbed, tmp_path, log, monkeypatch):
    monkeypatch.setenv("CRIA_MICRO_BATCH", "2")
    metrics = run(RECIPE, inputs, tmp_path, log)
    assert metrics["final_loss"] == pytest.approx(undisturbed[1]["final_loss"], rel=0.02)


def test_a_compiled_model_is_saved_under_its_own_names(inputs, undisturbed, tmp_path, log, monkeypatch):
    """torch.compile wraps the model; here it leaves the arithmetic as it is, so the files are the same ones."""
    monkeypatch.setenv("CRIA_COMPILE", "1")
    monkeypatch.setattr("torch._dynamo.config.disable", True)
    wrapped = []
    monkeypatch.setattr(
        torch, "compile", lambda model, compile=torch.compile, **named: wrapped.append(1) or compile(model)
    )
    run(RECIPE, inputs, tmp_path, log)
    assert wrapped
    assert hashes(tmp_path) == hashes(undisturbed[0])


@pytest.mark.skipif(torch.cuda.device_count() == 1, reason="two processes need a device each")
def test_two_processes_make_the_same_model(inputs, undisturbed, tmp_path):
    """The global batch is the recipe's: two devices read the same sequences at each step, one process writes."""
    code = f"""
from pathlib import Path
from modeling.pretraining.pretrain import run
from tests.conftest import MemoryLog
from tests.modeling.pretraining.test_pretrain import RECIPE
folders = {{name: Path(path) for name, path in { ({k: str(v) for k, v in inputs.items()})!r}.items()}}
run(RECIPE, folders, Path({str(tmp_path)!r}), MemoryLog())
"""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([*command, sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(hashes(tmp_path)) == set(hashes(undisturbed[0]))
    for alone, together in zip(read_losses(undisturbed[0]), read_losses(tmp_path), strict=True):
        assert together == pytest.approx(alone, rel=0.02)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


def test_a_batch_that_is_no_whole_number_of_sequences_is_refused(inputs, tmp_path, log):
    with pytest.raises(ValueError, match="multiple of the context"):
        run(replace(RECIPE, batch_tokens=100), inputs, tmp_path, log)


def test_more_passes_than_teach_anything_are_refused_before_training(inputs, tmp_path, log):
    with pytest.raises(ValueError, match="epochs over .* add sources or lower base.steps"):
        run(replace(RECIPE, steps=100_000), inputs, tmp_path, log)
    assert not any(tmp_path.iterdir())


def test_it_continues_from_a_checkpoint_and_improves_on_it(inputs, undisturbed, tmp_path, log):
    checkpoint, _ = undisturbed
    recipe = replace(RECIPE, model=AdoptRecipe(source="x", context=16), steps=12)
    there = inputs | {"initial_model": checkpoint}
    figures = run(recipe, there, tmp_path, log)
    assert figures["tokens_seen"] == 12 * 128
    own = AutoTokenizer.from_pretrained(inputs["tokenizer"])
    first = starting_model(recipe, own, checkpoint).state_dict()
    saved = AutoModelForCausalLM.from_pretrained(checkpoint).state_dict()
    assert all(torch.equal(first[name], weight) for name, weight in saved.items())
    passed, why, verdict = gates.better_than_its_start(tmp_path, there, recipe)
    assert passed and verdict["margin"] > 0, why
    untouched, why, _ = gates.better_than_its_start(checkpoint, there, recipe)
    assert not untouched, why
