"""A tokenizer and a tiny Llama of seconds, with dialogues that they can learn by heart."""

from pathlib import Path

from modeling.core import training
from modeling.core.recipes import FinetuneRecipe, ModelRecipe, OptimizerRecipe
from modeling.pretraining import model as models
from modeling.pretraining import tokenizer as tokenizers

THINGS = ["stone", "river", "cloud", "bird", "house", "lamp", "road", "tree", "boat", "star"]
COLOURS = ["red", "blue", "green", "white", "black", "grey", "brown", "pink", "gold", "silver"]
MODEL = ModelRecipe(
    layers=2, heads=4, kv_heads=2, hidden=32, ffn=64, context=64, rope_theta=10000.0, norm_epsilon=1e-5,
    tied_embeddings=True, vocab_size=640,
)  # fmt: skip
RECIPE = FinetuneRecipe(
    optimizer=OptimizerRecipe(
        learning_rate=1e-2, beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, gradient_clip=1.0,
        schedule="cosine", warmup_steps=2, warmup_ratio=0.0, final_ratio=0.1,
    ),
    context=64, batch_sequences=4, epochs=220.0, max_steps=0, demonstration_share=0.0, frozen_layers=0, ghost_share=0.0,
    opening_weight=1.0, start_share=0.0, seed=5,
)  # fmt: skip


def dialogue(thing: str, colour: str, system: str = "") -> list[dict]:
    turns = [
        {"role": "user", "content": f"Which colour has the {thing}?"},
        {"role": "assistant", "content": f"The {thing} is {colour}."},
    ]
    return [{"role": "system", "content": system}, *turns] if system else turns


def dialogues() -> list[list[dict]]:
    return [dialogue(thing, COLOURS[place]) for place, thing in enumerate(THINGS)]


def tokenizer():
    texts = [message["content"] for messages in dialogues() for message in messages] * 5
    return tokenizers.train([*texts, "Answer in one sentence. Be kind and wise."], 512)


def save_base(folder: Path) -> Path:
    """A random model with its tokenizer, as a Hugging Face directory."""
    training.save_model(models.build(MODEL, tokenizer(), 1), tokenizer(), folder)
    return folder
