"""Several processes train one model in shares (FSDP2 on gloo): the losses, weights and files of a single process."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, set_seed

from modeling.core import data_order, runtime, sharding, training
from modeling.core.recipes import ModelRecipe
from modeling.core.sharded_checkpoints import SHARES
from modeling.core.training import COMPLETE, last_checkpoint
from modeling.pretraining import pretrain
from modeling.pretraining.model import build, count_parameters_on_meta
from tests.conftest import ROOT
from tests.modeling import sharded_worker, toy_chat
from tests.modeling.pretraining.test_pretrain import make_inputs, read_losses

pytestmark = pytest.mark.timeout(600)  # of the one fixture; a minute or two on two idle cores

CLOSE = 1e-4
LARGE = ModelRecipe(layers=8, heads=8, kv_heads=8, hidden=512, ffn=1408, context=64, rope_theta=10000.0,
                    norm_epsilon=1e-5, tied_embeddings=False, vocab_size=8192)  # fmt: skip
LARGE_BYTES = 4 * count_parameters_on_meta(LARGE)


def under_torchrun(processes: int, folder: Path, *jobs: dict, ends: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    listed = folder / f"jobs-{processes}.json"
    listed.write_text(json.dumps(jobs, default=str))
    command = [sys.executable, "-m", "orchestration.torchrun", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run([*command, "-m", "tests.modeling.sharded_worker", str(listed)], cwd=ROOT, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "CRIA_MICRO_BATCH": "2"}, capture_output=True)  # fmt: skip
    assert done.returncode == ends, done.stdout[-2000:] + done.stderr[-6000:]


def trained_alone(function, *arguments, **settings):
    """A training in this process, which leaves the modules as they were."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (runtime, training, sharding):
            patch.setattr(module, "bfloat16_products", module.bfloat16_products)
        for name in ("MIN_CHECKPOINT_SECONDS", "CHECKPOINT_SHARE"):
            patch.setattr(training, name, getattr(training, name))
        patch.setattr(training.Checkpoints, "on_save", training.Checkpoints.on_save)
        patch.setattr(pretrain, "RECOMPUTED_PARAMETERS", pretrain.RECOMPUTED_PARAMETERS)
        sharded_worker.in_float32()
        return function(*arguments, **settings)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """All trainings: on one process, on two and on four, and one that goes from two to one to four."""
    folder = tmp_path_factory.mktemp("sharded")
    inputs = folder / "inputs"
    inputs.mkdir()
    make_inputs(inputs)
    toy_chat.save_base(folder / "base")
    build(LARGE, None, 0).save_pretrained(folder / "large")
    trained_alone(sharded_worker.pretraining, folder / "one", inputs)
    trained_alone(sharded_worker.fine_tuning, folder / "one-sft", folder / "base")
    trained_alone(sharded_worker.reward, folder / "one-reward", folder / "base")
    trained_alone(sharded_worker.pretraining, folder / "grown", inputs, stop=9)
    pretraining = {"name": "pretraining", "inputs": inputs}
    under_torchrun(
        2,
        folder,
        {**pretraining, "out": folder / "two"},
        {**pretraining, "out": folder / "recomputed", "recompute": True},
        {**pretraining, "out": folder / "moved", "stop": 8},
        {**pretraining, "out": folder / "grown"},
        {"name": "fine_tuning", "out": folder / "two-sft", "base": folder / "base"},
        {"name": "reward", "out": folder / "two-reward", "base": folder / "base"},
        {"name": "fine_tuning", "out": folder / "two-frozen", "base": folder / "base", "frozen": 1},
        {**pretraining, "out": folder / "killed", "kill": 9},
        ends=-signal.SIGKILL,
    )
    shutil.copytree(folder / "killed", folder / "killed-then")
    reduction = {"name": "reduction", "out": folder / "reduction.json"}
    under_torchrun(2, folder, {**pretraining, "out": folder / "killed"}, reduction)
    shutil.copytree(folder / "moved", folder / "moved-2")
    trained_alone(sharded_worker.pretraining, folder / "moved", inputs, stop=16)
    shutil.copytree(folder / "moved", folder / "moved-1")
    under_torchrun(
        4,
        folder,
        {**pretraining, "out": folder / "four"},
        {**pretraining, "out": folder / "moved"},
        {"name": "fine_tuning", "out": folder / "four-sft", "base": folder / "base"},
        {"name": "memory", "out": folder / "memory", "model": folder / "large"},
    )
    return folder


@pytest.mark.parametrize("name", ["two", "four", "killed", "recomputed", "moved", "grown"])
def test_the_losses_and_weights_are_those_of_one_process(world, name):
    alone, together = read_losses(world / "one"), read_losses(world / name)
    assert len(alone) == 24 and alone[-1] < 0.8 * alone[0]
    assert together == pytest.approx(alone, abs=CLOSE)
    whole, gathered = (load_file(world / out / "model.safetensors") for out in ("one", name))
    assert {key: (value.shape, value.dtype) for key, value in gathered.items()} == {
        key: (value.shape, value.dtype) for key, value in whole.items()
    }
    for key, value in whole.items():
        torch.testing.assert_close(gathered[key], value, atol=2e-3, rtol=0)


def test_one_process_killed_in_a_checkpoint_and_the_same_command_ends_with_the_same_bytes(world):
    left = world / "killed-then" / "_scratch" / "checkpoints"
    assert (left / "checkpoint-9").is_dir() and not (left / "checkpoint-9" / COMPLETE).exists()
    assert last_checkpoint(left).name == "checkpoint-8"
    for file in ("loss.jsonl", "model.safetensors"):
        assert (world / "killed" / file).read_bytes() == (world / "two" / file).read_bytes()


def test_one_process_and_several_leave_the_same_directory(world):
    files = {path.name: path for path in (world / "one").iterdir() if path.is_file()}
    assert {path.name for path in (world / "four").iterdir() if path.is_file()} == set(files)
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (world / "four" / name).read_bytes() == files[name].read_bytes()
    model = AutoModelForCausalLM.from_pretrained(world / "four")
    assert type(model).__name__ == "LlamaForCausalLM" and model.dtype == torch.float32


def test_a_checkpoint_holds_shares_and_counts_once_it_is_complete(world, tmp_path):
    shutil.copytree(world / "moved-2" / "_scratch" / "checkpoints", tmp_path / "checkpoints")
    found = last_checkpoint(tmp_path / "checkpoints")
    assert found.name == "checkpoint-8"
    assert len(list((found / SHARES).glob("*.distcp"))) == 2
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["checkpoint-7", "checkpoint-8"]
    (found / COMPLETE).unlink()
    assert last_checkpoint(tmp_path / "checkpoints").name == "checkpoint-7"
    after = last_checkpoint(world / "moved-1" / "_scratch" / "checkpoints")
    assert after.name == "checkpoint-16" and not (after / SHARES).exists()


@pytest.mark.parametrize("name", ["two-sft", "four-sft"])
def test_fine_tuning_over_short_epochs_has_the_losses_of_one_process(world, name):
    alone, together = read_losses(world / "one-sft"), read_losses(world / name)
    assert together == pytest.approx(alone, abs=CLOSE)
    assert (world / name / "samples.md").read_text() == (world / "one-sft" / "samples.md").read_text()
    whole, gathered = (load_file(world / out / "model.safetensors") for out in ("one-sft", name))
    for key, value in whole.items():  # averaged with the start
        torch.testing.assert_close(gathered[key], value, atol=2e-3, rtol=0)


def test_a_reward_model_has_the_losses_and_the_head_of_one_process(world):
    assert read_losses(world / "two-reward") == pytest.approx(read_losses(world / "one-reward"), abs=CLOSE)
    whole, gathered = (load_file(world / name / "model.safetensors") for name in ("one-reward", "two-reward"))
    assert gathered.keys() == whole.keys() and gathered["score.weight"].shape == (1, toy_chat.MODEL.hidden)
    torch.testing.assert_close(gathered["score.weight"], whole["score.weight"], atol=2e-3, rtol=0)


def test_frozen_layers_of_a_sharded_model_do_not_learn(world):
    before, after = (
        load_file(world / "base" / "model.safetensors"),
        load_file(world / "two-frozen" / "model.safetensors"),
    )
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert changed and all(name.startswith(("model.layers.1.", "model.norm")) for name in changed)


def test_no_process_holds_the_whole_model(world):
    found = [json.loads((world / "memory" / f"{rank}.json").read_text()) for rank in range(4)]
    assert sum(one["share"] for one in found) == LARGE_BYTES
    for one in found:
        assert one["share"] <= 0.26 * LARGE_BYTES
        assert one["rise"] < 0.7 * LARGE_BYTES


def test_gradients_of_bfloat16_products_are_reduced_in_float32(world):
    found = json.loads((world / "reduction.json").read_text())
    assert found["types"] == ["torch.float32"] and all(found["finer"])


def test_a_model_is_saved_in_files_of_a_size(world):
    saved = world / "memory" / "saved"
    assert len(list(saved.glob("*.safetensors"))) > 5
    assert json.loads((saved / sharding.INDEX).read_text())["metadata"]["total_size"] == LARGE_BYTES
    before, after = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (world / "large", saved))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(sharding.Stored(saved)("lm_head.weight"), before["lm_head.weight"])


def test_a_new_head_is_the_one_that_a_single_process_makes(world):
    set_seed(7)
    model = AutoModelForSequenceClassification.from_pretrained(world / "base", num_labels=1)
    assert torch.equal(sharding.new_head(model.config, 7), model.score.weight)


def test_a_directory_of_another_architecture_is_named(world):
    with pytest.raises(ValueError, match=r"has no weight model.wings: it is no checkpoint of this architecture"):
        sharding.Stored(world / "base")("model.wings")


def test_the_order_of_rows_is_a_function_of_seed_and_step():
    order = data_order.in_steps(rows=10, batch=4, steps=7, seed=3)
    assert len(order) == 28
    for epoch in (order[:12], order[12:24]):
        assert sorted(epoch) == [-1, -1, *range(10)] and epoch[-2:] == [-1, -1]
    assert order[:12] != order[12:24]
    assert order == data_order.in_steps(10, 4, 9, 3)[:28]
    assert order != data_order.in_steps(10, 4, 7, 4)
