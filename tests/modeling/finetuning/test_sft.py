"""Fine-tuning: what is packed, what carries loss, what is learnt, and that a kill changes no byte."""

import dataclasses
import json
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig

from modeling.core import dialog, sampling
from modeling.core.recipes import SamplingRecipe
from modeling.finetuning import packing, sft
from tests.modeling import killed, toy_chat

pytestmark = pytest.mark.trains

GREEDY = SamplingRecipe(temperature=0.0, top_p=1.0, max_new_tokens=16, seed=0)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return toy_chat.save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demonstrations")
    write(toy_chat.dialogues(), folder / "train.parquet")
    write(toy_chat.dialogues()[:4], folder / "test.parquet")
    return folder


def write(dialogues: list, path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"id": f"d{n}", "messages": one} for n, one in enumerate(dialogues)]), path)


def test_packed_dialogues_do_not_see_each_other(base):
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    assert model.config._attn_implementation == "sdpa"
    encoded, _ = sft.encode(tokenizer, toy_chat.dialogues(), 64)
    rows = packing.pack(encoded, 64)
    assert max(len(row["seq_lengths"]) for row in rows) > 1
    assert sorted(length for row in rows for length in row["seq_lengths"]) == sorted(len(one.ids) for one in encoded)
    batch = packing.PackedCollator(0)(list(rows))
    labels = batch.pop("labels")
    logits = model(**batch, use_cache=False).logits
    for number, row in enumerate(rows):
        start = 0
        for length in row["seq_lengths"]:
            ids = row["input_ids"][start : start + length]
            alone = model(input_ids=torch.tensor([ids])).logits[0]
            torch.testing.assert_close(logits[number, start : start + length], alone, atol=1e-5, rtol=1e-4)
            answer = [token for token in labels[number, start : start + length].tolist() if token != packing.IGNORED]
            assert answer in [[label for label in one.labels if label != packing.IGNORED] for one in encoded]
            start += length
        assert set(labels[number, start:].tolist()) <= {packing.IGNORED}


def test_loss_is_on_answers_and_their_closing_token_only(base):
    tokenizer = AutoTokenizer.from_pretrained(base)
    (one,), too_long = sft.encode(tokenizer, [toy_chat.dialogue("stone", "red", "Be kind and wise.")], 64)
    assert too_long == 0
    learnt = [label for label in one.labels if label != packing.IGNORED]
    assert learnt[-1] == dialog.closing_token_id(tokenizer)
    assert dialog.decode_answer(tokenizer, learnt) == "The stone is red."
    assert all(label in (packing.IGNORED, token) for token, label in zip(one.ids, one.labels, strict=True))


def test_dialogues_that_do_not_fit_are_left_out_and_counted(base, tmp_path, log):
    recipe = dataclasses.replace(toy_chat.RECIPE, max_steps=2)
    long = toy_chat.dialogue("stone", "red " * 100)
    figures = sft.finetune(base, [*toy_chat.dialogues(), long], recipe, tmp_path, log)
    assert (figures["dialogues"], figures["dialogues_too_long"], figures["steps"]) == (10, 1, 2)
    assert any("left out" in line for line in log.lines)
    with pytest.raises(ValueError, match="raise the context"):
        sft.finetune(base, [long], recipe, tmp_path / "none", log)
    with pytest.raises(ValueError, match="longer|exceeds"):
        sft.finetune(base, toy_chat.dialogues(), dataclasses.replace(recipe, context=128), tmp_path / "wide", log)


def test_saved_weights_are_averaged_with_the_start(base, tmp_path, log):
    recipe = dataclasses.replace(toy_chat.RECIPE, max_steps=3)
    for share in (0.0, 0.25):
        sft.finetune(
            base, toy_chat.dialogues(), dataclasses.replace(recipe, start_share=share), tmp_path / f"{share}", log
        )
    start, trained, averaged = (
        load_file(one / "model.safetensors") for one in (base, tmp_path / "0.0", tmp_path / "0.25")
    )
    assert any(not torch.equal(start[name], trained[name]) for name in start)
    for name, weight in averaged.items():
        torch.testing.assert_close(weight, 0.75 * trained[name] + 0.25 * start[name])
    with pytest.raises(ValueError, match="less than 1"):
        sft.finetune(base, toy_chat.dialogues(), dataclasses.replace(recipe, start_share=1.5), tmp_path / "over", log)


def test_steps_come_from_epochs_or_are_constant():
    assert sft.total_steps(10, dataclasses.replace(toy_chat.RECIPE, epochs=2.0, batch_sequences=4)) == 5
    assert sft.total_steps(10, dataclasses.replace(toy_chat.RECIPE, max_steps=7)) == 7


def test_the_head_on_answer_tokens_alone_gives_the_loss_and_gradients_of_trl(base, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = packing.pack(sft.encode(tokenizer, toy_chat.dialogues(), 64)[0], 64)
    collator = packing.PackedCollator(0)
    arguments = SFTConfig(
        str(tmp_path), use_cpu=True, bf16=False, max_length=None, dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False, report_to="none",
    )  # fmt: skip
    trainer = sft.DialogueTrainer(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), arguments, data_collator=collator,
        train_dataset=rows, processing_class=tokenizer,
    )  # fmt: skip
    found = []
    for compute in (trainer.compute_loss, super(sft.DialogueTrainer, trainer).compute_loss):
        for count in (None, torch.tensor(7)):
            trainer.model.zero_grad()
            loss = compute(trainer.model, collator(list(rows)), num_items_in_batch=count)
            loss.backward()
            norm = torch.nn.utils.get_total_norm([weight.grad for weight in trainer.model.parameters()])
            found.append((loss.item(), norm.item()))
    for ours, theirs in zip(found[:2], found[2:], strict=True):
        assert ours == pytest.approx(theirs, rel=0.02)  # ours are bfloat16 matrix products


def test_openings_weigh_more_in_the_loss(base):
    """Two packed answers of four and two tokens: by hand, the weighted mean over their six tokens."""
    learnt = torch.tensor([[False, True, True, True, True, False, True, True]])
    assert sft.opening(learnt).tolist() == [[False, True, True, True, False, False, True, True]]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12, 13]])
    labels = torch.where(torch.cat([torch.tensor([[False]]), learnt], 1), ids, packing.IGNORED)
    batch = {"input_ids": ids, "position_ids": torch.arange(9)[None]}
    with torch.no_grad():
        logits = model(**batch).logits[0, :-1].float().log_softmax(-1)
        nats = -logits[range(8), ids[0, 1:]][learnt[0]]
        plain, count = sft.answer_nats(model, labels, batch)
        total, also = sft.answer_nats(model, labels, batch, 4.0)
    weights = torch.tensor([4.0, 4.0, 4.0, 1.0, 4.0, 4.0])
    assert count == also == 6 and plain.item() == pytest.approx(nats.sum().item(), rel=2e-2)
    assert total.item() == pytest.approx((nats * weights).sum().item() / 21 * 6, rel=2e-2)  # products are bfloat16


def test_the_model_learns_its_demonstrations_and_says_when_to_stop(base, demonstrations, tmp_path, log):
    figures = sft.run(toy_chat.RECIPE, {"base_model": base, "demonstrations": demonstrations}, tmp_path, log)
    assert figures["heldout_loss_after"] < 0.3 < 3 < figures["heldout_loss_before"]
    model, tokenizer = sampling.load(tmp_path)
    prompts = [one[:-1] for one in toy_chat.dialogues()]
    answers = [answer.text for (answer,) in sampling.generate(model, tokenizer, prompts, GREEDY)]
    right = sum(answer == one[-1]["content"] for answer, one in zip(answers, toy_chat.dialogues(), strict=True))
    assert right >= 6  # chance gives one of ten
    assert model.generation_config.eos_token_id == dialog.closing_token_id(tokenizer)
    assert model.generation_config.temperature == sft.TEMPERATURE
    shown = (tmp_path / "samples.md").read_text()
    assert "Which colour has the stone?" in shown and answers[0].rstrip(".") in shown
    assert [json.loads(line) for line in (tmp_path / "loss.jsonl").read_text().splitlines()]


def test_a_killed_run_ends_with_the_same_bytes(base, demonstrations, tmp_path, log, monkeypatch):
    killed.assert_kill_changes_no_byte(
        sft.run,
        dataclasses.replace(toy_chat.RECIPE, epochs=40.0),
        {"base_model": base, "demonstrations": demonstrations},
        tmp_path,
        log,
        monkeypatch,
        files=("model.safetensors", "loss.jsonl", "samples.md"),
        every=10,
        step=33,
    )


def test_frozen_layers_keep_their_weights_and_the_saved_model_has_them_all(base, demonstrations, tmp_path, log):
    recipe = dataclasses.replace(toy_chat.RECIPE, max_steps=3, frozen_layers=1)
    sft.run(recipe, {"base_model": base, "demonstrations": demonstrations}, tmp_path, log)
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert {name: weight.dtype for name, weight in after.items()} == {name: w.dtype for name, w in before.items()}
    for name, weight in before.items():
        frozen = name.startswith(("model.embed_tokens.", "model.layers.0."))
        assert torch.equal(after[name], weight) == frozen, name


def test_a_finished_training_is_not_repeated(base, demonstrations, tmp_path, log):
    recipe = dataclasses.replace(toy_chat.RECIPE, max_steps=3)
    inputs = {"base_model": base, "demonstrations": demonstrations}
    first = sft.run(recipe, inputs, tmp_path, log)
    written = (tmp_path / "model.safetensors").stat().st_mtime_ns
    time.sleep(0.01)
    assert sft.run(recipe, inputs, tmp_path, log) == first
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == written
