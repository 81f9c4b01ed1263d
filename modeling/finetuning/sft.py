"""Supervised fine-tuning (paper 3.1): packed dialogues, loss on answers and their closing tokens only.

`finetune` trains every chat model: RLHF policies and distillation call it with other dialogues and start models.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from data_cleaning.markdown import literal
from modeling.core import dialog, reporting, resumable_generation, runtime, sampling, sharding, training, unused_ids
from modeling.core.averaging import with_start
from modeling.core.frozen_layers import freeze_lower
from modeling.core.recipes import FinetuneRecipe, SamplingRecipe
from modeling.finetuning import packing
from modeling.finetuning.packing import IGNORED, Encoded

Dialogue = list[dict]
OPENING = 3  # tokens that begin an answer: "I'm sorry" and "I can't" are decided in them
HELD_OUT = 128  # dialogues whose answer loss is measured before and after
SHOWN = 8
TEMPERATURE, TOP_P = 0.6, 0.9  # as in the released Llama 2-Chat's generation_config.json


def run(config: FinetuneRecipe, inputs: dict[str, Path], out: Path, log) -> dict:
    """Write the SFT model as a Hugging Face directory, samples.md, loss.jsonl and plots. Inputs: base_model, demonstrations."""
    train = read_dialogues(inputs["demonstrations"] / "train.parquet")
    held_out = read_dialogues(inputs["demonstrations"] / "test.parquet")
    return finetune(inputs["base_model"], train, config, out, log, held_out)


def finetune(
    base_dir: Path,
    dialogues: Sequence[Dialogue],
    recipe: FinetuneRecipe,
    out: Path,
    log,
    held_out: Sequence[Dialogue] = (),
) -> dict:
    """Fine-tune the model in `base_dir` on whole dialogues and save it in `out`; continues where a killed run stopped.

    Dialogues longer than the context are left out and counted. `held_out` dialogues measure the answer loss (nats per
    token) before and after, and their prompts are answered in samples.md. Raises ValueError if no dialogue fits, or for a
    start_share that leaves nothing of the training.
    """
    if not 0 <= recipe.start_share < 1:
        raise ValueError(f"start_share is {recipe.start_share}: choose at least 0 (all trained) and less than 1")
    tokenizer = AutoTokenizer.from_pretrained(base_dir)
    encoded, too_long = encode(tokenizer, dialogues, recipe.context)
    if not encoded:
        raise ValueError(f"none of {len(dialogues)} dialogues fits in {recipe.context} tokens: raise the context")
    if too_long:
        log.info(f"{too_long} of {len(dialogues)} dialogues are longer than {recipe.context} tokens and were left out")
    tests, _ = encode(tokenizer, held_out, recipe.context)
    trained = training.once(out, lambda: _train(base_dir, tokenizer, encoded, tests, recipe, out, log))
    if runtime.main_process():
        show(out, tokenizer, held_out, recipe, log)
    return {"dialogues": len(encoded), "dialogues_too_long": too_long, **trained}


def read_dialogues(path: Path) -> list[Dialogue]:
    """The messages column of a parquet file as plain dialogues, in the file's order."""
    return [
        resumable_generation.plain(messages)
        for messages in pq.read_table(path, columns=["messages"])["messages"].to_pylist()
    ]


def encode(
    tokenizer: PreTrainedTokenizerBase, dialogues: Sequence[Dialogue], context: int
) -> tuple[list[Encoded], int]:
    """(encoded dialogues of at most `context` tokens, the number of longer ones)."""
    found = []
    for messages in dialogues:
        ids, mask = dialog.encode_dialog(tokenizer, messages)
        if len(ids) <= context:
            labels = [token if kept else IGNORED for token, kept in zip(ids, mask, strict=True)]
            found.append(Encoded(ids, labels))
    return found, len(dialogues) - len(found)


def total_steps(rows: int, recipe: FinetuneRecipe) -> int:
    """Optimizer steps: the recipe's constant number, or `epochs` over the packed rows (the last batch may be short)."""
    if recipe.max_steps:
        return recipe.max_steps
    return max(1, math.ceil(rows * recipe.epochs / recipe.batch_sequences))


def _train(base_dir, tokenizer, encoded, tests, recipe: FinetuneRecipe, out: Path, log) -> dict:
    model = sharding.load(AutoModelForCausalLM, base_dir)
    if recipe.context > model.config.max_position_embeddings:
        raise ValueError(
            f"the recipe's context {recipe.context} exceeds the model's {model.config.max_position_embeddings}: lower it"
        )
    freeze_lower(model, recipe.frozen_layers)
    rows = packing.pack(encoded, recipe.context)
    collator = packing.PackedCollator(filler(tokenizer))
    batch, accumulation = training.split_batch(recipe.batch_sequences, recipe.context)
    steps = total_steps(len(rows), recipe)
    tokens = sum(len(one.ids) for one in encoded)
    log.info(
        f"{len(encoded)} dialogues in {len(rows)} rows, {tokens / len(rows) / recipe.context:.0%} full, {steps} steps"
    )
    before = None
    if runtime.processes() == 1:  # inference mode would gather a sharded model into tensors that cannot learn
        before = answer_loss(model.to(runtime.device()), tests, collator)
    arguments = training.training_arguments(
        SFTConfig,
        out,
        recipe.optimizer,
        steps,
        batch=batch,
        accumulation=accumulation,
        seed=recipe.seed,
        max_length=None,  # rows are packed above
        dataset_kwargs={"skip_prepare_dataset": True},
        shuffle_dataset=False,  # the sampler shuffles rows
        train_sampling_strategy="random" if runtime.processes() == 1 else "sequential",
        remove_unused_columns=False,
        activation_checkpointing=runtime.device().type == "cuda",
    )
    data = rows
    if runtime.processes() > 1:
        data = packing.in_steps(rows, recipe.batch_sequences, steps, recipe.seed, collator.pad_token_id)
    trainer = DialogueTrainer(model, arguments, data_collator=collator, train_dataset=data, processing_class=tokenizer)
    trainer.opening_weight = recipe.opening_weight
    history = training.fit(trainer, out, log, tokens_per_step=round(tokens / len(rows) * recipe.batch_sequences))
    if recipe.start_share:
        with_start(model, base_dir, recipe.start_share)
    model.generation_config = generation_config(tokenizer, model.config.vocab_size)
    model.config.use_cache = True
    training.save_model(model, tokenizer, out)
    after = answer_loss(model, tests, collator)  # in all processes, because they gather sharded weights together
    losses = {"heldout_loss_before": before, "heldout_loss_after": after}
    measured = {name: round(loss, 4) for name, loss in losses.items() if loss is not None}
    answers = sum(label != IGNORED for one in encoded for label in one.labels)
    return {
        "rows": len(rows),
        "steps": steps,
        "tokens": tokens,
        "answer_tokens": answers,
        "row_fill": round(tokens / len(rows) / recipe.context, 4),
        "epochs": round(steps * recipe.batch_sequences / len(rows), 3),
        "loss_first": round(history[0]["loss"], 4),
        "loss_last": round(history[-1]["loss"], 4),
        **measured,
    }


class DialogueTrainer(training.ResumableTRL, SFTTrainer):
    """TRL's trainer, with a weight for the openings of answers; on a CPU the output head runs on answer tokens only.

    TRL's fused head is made for accelerators. On a CPU it scores every token in float32, and again for the gradient,
    which takes a third of the time of a step.
    """

    opening_weight = 1.0

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if return_outputs or (self.args.device.type != "cpu" and self.opening_weight == 1):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        inputs = dict(inputs)
        total, count = answer_nats(model, inputs.pop("labels"), inputs, self.opening_weight)
        # Gradients are averaged over the processes, but num_items_in_batch counts the items of all of them.
        shares = 1 if num_items_in_batch is None else runtime.processes()
        return total * shares / max(1, count if num_items_in_batch is None else num_items_in_batch)


def opening(learnt_BT: torch.Tensor) -> torch.Tensor:
    """Which of the learnt tokens are among the first OPENING of their answer (boolean, like the argument)."""
    before = torch.nn.functional.pad(learnt_BT, (OPENING, 0))
    width = learnt_BT.shape[1]
    earlier = [before[:, OPENING - back : OPENING - back + width] for back in range(1, OPENING + 1)]
    return learnt_BT & ~torch.stack(earlier).all(0)


def answer_nats(model, labels_BT: torch.Tensor, inputs: dict, opening_weight: float = 1.0) -> tuple[torch.Tensor, int]:
    """(negative log-likelihood summed over answer tokens, their number). The output head runs on these tokens only.

    With another `opening_weight` than 1 the sum is the weighted mean times the number.
    """
    labels_BT = labels_BT[:, 1:]
    learnt_BT = labels_BT != IGNORED
    with runtime.autocast(labels_BT.device):
        if sharding.is_sharded(model):  # only the whole model's forward pass gathers sharded weights
            logits_NV = model(**inputs, use_cache=False).logits[:, :-1][learnt_BT]
        else:
            hidden_BTD = model.get_decoder()(**inputs, use_cache=False).last_hidden_state[:, :-1]
            logits_NV = model.get_output_embeddings()(hidden_BTD[learnt_BT])
    nats_N = torch.nn.functional.cross_entropy(logits_NV.float(), labels_BT[learnt_BT], reduction="none")
    count = len(nats_N)
    if opening_weight != 1 and count:
        weights_N = torch.where(opening(learnt_BT)[learnt_BT], opening_weight, 1.0)
        nats_N = nats_N * weights_N * (count / weights_N.sum())
    return nats_N.sum(), count


@torch.inference_mode()
def answer_loss(model, dialogues: Sequence[Encoded], collator: packing.PackedCollator, batch: int = 4) -> float | None:
    """Mean negative log-likelihood (nats) of the answer tokens of at most HELD_OUT dialogues; None without any.

    `batch` dialogues run together: few, because logits of 8,000 answer tokens over 49,152 ids would take 3 GB.
    """
    training_mode = model.training
    model.eval()
    total, count = 0.0, 0
    dialogues = dialogues[:HELD_OUT]
    for begin in range(0, len(dialogues), batch):
        rows = [
            {"input_ids": one.ids, "labels": one.labels, "seq_lengths": [len(one.ids)]}
            for one in dialogues[begin : begin + batch]
        ]
        inputs = {name: tensor.to(model.device) for name, tensor in collator(rows).items()}
        nats, tokens = answer_nats(model, inputs.pop("labels"), inputs)
        total, count = total + nats.item(), count + tokens
    model.train(training_mode)
    return total / count if count else None


def filler(tokenizer: PreTrainedTokenizerBase) -> int:
    """Id of the padding token, else of the closing token: padding is always masked."""
    return dialog.closing_token_id(tokenizer) if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def generation_config(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> GenerationConfig:
    """Defaults for other tools: stop at the closing token, sample as Llama 2-Chat does, suppress unused ids."""
    closing = dialog.closing_token_id(tokenizer)
    stops = sorted({closing, tokenizer.eos_token_id} - {None})
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=stops[0] if len(stops) == 1 else stops,
        pad_token_id=filler(tokenizer),
        do_sample=True,
        temperature=TEMPERATURE,
        top_p=TOP_P,
        suppress_tokens=unused_ids.unused_ids(vocab_size, tokenizer) or None,
    )


def show(model_dir: Path, tokenizer, dialogues: Sequence[Dialogue], recipe: FinetuneRecipe, log) -> None:
    """Write samples.md: greedy answers to prompts of a few held-out dialogues, beside the demonstrated answers."""
    answers_limit = min(96, recipe.context // 2)
    greedy = SamplingRecipe(temperature=0.0, top_p=1.0, max_new_tokens=answers_limit, seed=recipe.seed)
    rows = []
    for messages in dialogues:
        # The prompt ends before the first answer that is not context only.
        first = next(place for place, message in enumerate(messages) if dialog.is_learnt(message))
        prompt = messages[:first]
        if len(dialog.encode_prompt(tokenizer, prompt)) + answers_limit <= recipe.context:
            rows.append((prompt, messages[first]["content"]))
    spread = rows[:: max(1, len(rows) // SHOWN)][:SHOWN]
    if not spread:
        return
    model, loaded = sampling.load_transformers(model_dir), AutoTokenizer.from_pretrained(model_dir)
    answers = sampling.generate(model, loaded, [prompt for prompt, _ in spread], greedy, log=log)
    del model
    sampling.free_memory()
    lines = ["Greedy answers to held-out prompts.", ""]
    for (prompt, reference), ((answer, _),) in zip(spread, answers, strict=True):
        lines += [f"**{message['role']}**: {literal(message['content'])}  " for message in prompt]
        lines += [f"**model**: {literal(answer)}  ", f"*demonstrated: {literal(reference)}*", ""]
    reporting.write_text(model_dir / "samples.md", "\n".join(lines))
