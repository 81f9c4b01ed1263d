"""Requests of several at once to a small model, and what each gets when it is alone."""

from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from modeling.core.continuous_batching import Scheduler

VOCABULARY, CLOSING, POISON = 64, 1, 63


def made(seed: int = 0, dtype: torch.dtype = torch.float64) -> LlamaForCausalLM:
    """A model with random weights. In float64 rounding decides no draw, so that equality can be asked for."""
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    for weight in model.parameters():
        weight.data *= 3  # else all rows would draw from nearly the same distribution
    return model.to(dtype).eval()


@dataclass(frozen=True)
class Asked:
    prompt: int = 5  # tokens
    temperature: float = 1.0
    top_p: float = 0.9
    most: int = 8
    seed: int = 0

    def submit(self, scheduler: Scheduler, model, ids=None):
        generator = torch.Generator().manual_seed(self.seed)
        ids = ids or self.ids()
        return scheduler.submit(model, ids, self.temperature, self.top_p, self.most, CLOSING, generator)

    def ids(self) -> list[int]:
        return torch.randint(2, POISON, (self.prompt,), generator=torch.Generator().manual_seed(self.seed)).tolist()


def received(request) -> list[int]:
    """The tokens that were made until now. Raises the error that ended the row."""
    tokens = []
    for token in request.tokens(0):
        if token is None:
            return tokens
        tokens.append(token)


def drained(scheduler: Scheduler) -> None:
    while scheduler.turn():
        pass


def alone(model, asked: Asked) -> list[int]:
    scheduler = Scheduler()
    request = asked.submit(scheduler, model)
    drained(scheduler)
    return received(request)
