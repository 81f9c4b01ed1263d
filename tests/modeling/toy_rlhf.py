"""A world small enough for seconds: a policy that answers with colour words, reward models that like some of them.

Everything is real: a trained tokenizer, a LlamaForCausalLM fitted to dialogues, LlamaForSequenceClassification models
whose weights are set by hand so that the score is known: it grows with the share of liked words in the dialogue.
"""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from modeling.core import dialog, dialogue_tables
from modeling.core.recipes import OptimizerRecipe, SamplingRecipe
from modeling.dialogues import demonstrations
from modeling.dialogues.own_requests import SOURCE
from modeling.finetuning.sft_dialogues import CONSTRAINED, OWN
from modeling.pretraining import tokenizer as tokenizers
from modeling.rlhf.recipes import PpoRecipe

COLOURS = ["red", "blue", "green", "white", "black", "grey"]
PREPROMPTS = ("Be wise and responsible.", "Be respectful and wise.")
CONTEXT = 64


def build(folder: Path, prompts: int = 60, validation: int = 6) -> dict[str, Path]:
    """Folders by role: policy, helpfulness_reward_model (likes "blue"), safety_reward_model (likes "green"), prompts."""
    rng = random.Random(0)
    texts = [f"{rng.choice(PREPROMPTS)} {question(rng)} {answer(rng)}" for _ in range(400)]
    tokenizer = tokenizers.train(texts, 600)
    inputs = {role: folder / role for role in ("policy", "helpfulness_reward_model", "safety_reward_model", "prompts")}
    save(fit_policy(tokenizer, rng), tokenizer, inputs["policy"])
    save(reward_model(tokenizer, "blue"), tokenizer, inputs["helpfulness_reward_model"])
    save(reward_model(tokenizer, "green"), tokenizer, inputs["safety_reward_model"])
    inputs["prompts"].mkdir(parents=True)
    asked = [f"{question(rng)} {index}" for index in range(prompts + validation)]
    rows = [
        {
            "id": f"prompt-{index}",
            "messages": [{"role": "user", "content": text}],
            "question": text,
            "kind": ("helpfulness", "safety")[index % 2],
            "constraint": "",
            "category": "colours",
            "reference": "",
            "entity": f"colours {index}",
        }
        for index, text in enumerate(asked)
    ]
    for part, taken in (("rl", rows[:prompts]), ("validation", rows[prompts:])):
        pq.write_table(pa.Table.from_pylist(taken), inputs["prompts"] / f"{part}.parquet")
    return inputs


def save_own_answers(folder: Path, count: int = 30) -> None:
    """Write the dialogues of SFT: a checkpoint's own answers in two sentences, some to a request with a constraint."""
    folder.mkdir()
    rows = [
        {"id": f"own:{place}{CONSTRAINED if place % 10 == 9 else ''}", "category": OWN, "source": SOURCE, "entity": f"{place}",
         "messages": [{"role": "user", "content": f"What is thing {place}?"},
                      {"role": "assistant", "content": f"It is thing {place}. Nobody has seen it."}]}
        for place in range(count)
    ]  # fmt: skip
    dialogue_tables.write_rows(rows, demonstrations.SCHEMA, folder / "train.parquet")


def question(rng: random.Random) -> str:
    return f"Which colours do you see {rng.choice(['today', 'now', 'here', 'there'])}?"


def answer(rng: random.Random, colours: list[str] = COLOURS) -> str:
    return " ".join(rng.choice(colours) for _ in range(rng.randint(2, 6)))


def fit_policy(tokenizer, rng: random.Random, steps: int = 100) -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM(config(tokenizer, 32))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        rows = []
        for _ in range(16):
            user = {"role": "user", "content": f"{question(rng)} {rng.randint(0, 99)}"}
            messages = [user, {"role": "assistant", "content": answer(rng)}]
            if rng.random() < 0.3:  # under a preprompt it prefers "green"
                system = {"role": "system", "content": rng.choice(PREPROMPTS)}
                messages = [system, user, {"role": "assistant", "content": answer(rng, ["green", "green", "white"])}]
            rows.append(dialog.encode_dialog(tokenizer, messages))
        width = max(len(ids) for ids, _ in rows)
        ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row, _ in rows])
        mask = torch.tensor([row + [0] * (width - len(row)) for _, row in rows])
        model(input_ids=ids, labels=ids.masked_fill(mask == 0, -100)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


@torch.no_grad()
def reward_model(tokenizer, liked: str, gain: float = 1.0) -> LlamaForSequenceClassification:
    """One layer whose attention is an average over the dialogue: the score rises with the share of `liked`."""
    model = LlamaForSequenceClassification(config(tokenizer, 16, layers=1, num_labels=1))
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            parameter.zero_()
    liked_ids = [index for token, index in tokenizer.get_vocab().items() if token.strip() == liked]
    embedding = model.model.embed_tokens.weight
    embedding[:, 1] = 1.0
    embedding[liked_ids, 0] = 4.0
    layer = model.model.layers[0]
    layer.self_attn.v_proj.weight[0, 0] = 1.0
    layer.self_attn.o_proj.weight[2, 0] = 1.0
    model.score.weight[0, 2] = gain
    return model


def config(tokenizer, hidden: int, layers: int = 2, **extra) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **extra,
    )


def save(model, tokenizer, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def optimizer(learning_rate: float) -> OptimizerRecipe:
    return OptimizerRecipe(
        learning_rate=learning_rate,
        beta1=0.9,
        beta2=0.95,
        epsilon=1e-5,
        weight_decay=0.1,
        gradient_clip=1.0,
        schedule="constant",
        warmup_steps=0,
        warmup_ratio=0.0,
        final_ratio=1.0,
    )


def recipe(**changes) -> PpoRecipe:
    values = {
        "optimizer": optimizer(3e-3),
        "sampling": SamplingRecipe(temperature=1.0, top_p=1.0, max_new_tokens=12, seed=0),
        "iterations": 12,
        "batch": 32,
        "samples": 1,
        "mini_batch": 16,
        "baseline": "critic",
        "critic_warmup": 0,
        "clip": 0.2,
        "value_clip": 0.2,
        "value_coefficient": 0.5,
        "beta": 0.01,
        "gamma": 1.0,
        "gae_lambda": 0.95,
        "safety_threshold": 0.15,
        "truncation_penalty": 1.0,
        "fault_penalty": 0.0,
        "evaluate_every": 3,
        "evaluation_samples": 2,
        "patience": 10,
        "max_kl": 1000.0,
        "frozen_layers": 0,
        "seed": 1,
    }
    return PpoRecipe(**{**values, **changes})
