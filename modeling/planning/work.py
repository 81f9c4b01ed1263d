"""The work of a stage: tokens it trains on, reads and writes, and the arithmetic of the first two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modeling.core.recipes import ModelRecipe
from modeling.planning.arithmetic import forward_flops, training_flops
from modeling.planning.generation import Drawn


@dataclass(frozen=True)
class Work:
    trained: float = 0.0  # tokens
    read: float = 0.0  # tokens that only run forward: prompts, scored answers, log-probabilities, values
    drawn: tuple[Drawn, ...] = ()
    flops: float = 0.0  # of training and reading; what writing costs follows from the device (generation.py)
    steps: int = 0  # of the optimizer

    @property
    def written(self) -> float:
        """Answer tokens."""
        return sum(one.answers * one.answer_tokens for one in self.drawn)

    def __add__(self, other: Work) -> Work:
        return Work(
            self.trained + other.trained,
            self.read + other.read,
            self.drawn + other.drawn,
            self.flops + other.flops,
            self.steps + other.steps,
        )


def total(works: Iterable[Work]) -> Work:
    return sum(works, Work())


@dataclass(frozen=True)
class Model:
    """Counts the work of one model; all lengths are in tokens."""

    recipe: ModelRecipe

    def train(self, tokens: float, length: int, steps: int = 0, output_matrix: bool = True) -> Work:
        return Work(trained=tokens, flops=tokens * training_flops(self.recipe, length, output_matrix), steps=steps)

    def read(self, tokens: float, length: int) -> Work:
        return Work(read=tokens, flops=tokens * forward_flops(self.recipe, length))

    def score(self, rows: float, length: int) -> Work:
        """Reads whole rows with a reward model or a critic of this size."""
        tokens = rows * length
        return Work(read=tokens, flops=tokens * forward_flops(self.recipe, length, output_matrix=False))

    def answer(self, prompts: float, samples: int, prompt_tokens: int, answer_tokens: int) -> Work:
        """Reads each prompt once and writes `samples` answers to it."""
        drawn = Drawn(prompts * samples, prompt_tokens, answer_tokens)
        return self.read(prompts * prompt_tokens, prompt_tokens) + Work(drawn=(drawn,))
