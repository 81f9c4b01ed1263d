"""Speed of generation by arithmetic: each step reads the weights once and the keys and values of all rows.

A replica is the least power of two of devices whose weights take half of their memory at most. It answers as many rows
at once as the rest of the memory holds keys and values for.
"""

from dataclasses import dataclass

from modeling.core.recipes import ModelRecipe
from modeling.core.sampling import cache_bytes_per_token
from modeling.planning.arithmetic import forward_flops
from modeling.planning.devices import device
from modeling.planning.recipes import Assumptions
from modeling.pretraining.model import llama_config

BFLOAT16 = 2
USABLE = 0.9  # of a device's memory
WEIGHTS_SHARE = 0.5


@dataclass(frozen=True)
class Drawn:
    """Answers of one length to prompts of one length."""

    answers: float
    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class Replica:
    devices: int
    rows: int  # answers at once
    cache: float  # bytes of their keys and values, when all are complete
    step_seconds: float  # for one token of every row

    @property
    def tokens_per_second(self) -> float:
        """Of one device."""
        return self.rows / self.step_seconds / self.devices


def replica(model: ModelRecipe, weights: int, drawn: Drawn, assumptions: Assumptions) -> Replica:
    """Returns the replica that draws such answers from a model of `weights` parameters in bfloat16.

    A step takes as long as the slower of two: reading the weights and, on average, half of every answer's cache at
    `bandwidth_share` of the bandwidth; the arithmetic at `mfu` of the peak.
    """
    chip = device(assumptions.device)
    count = 1
    while BFLOAT16 * weights > WEIGHTS_SHARE * count * chip.memory:
        count *= 2
    cache = cache_bytes_per_token(llama_config(model), BFLOAT16)
    length = drawn.prompt_tokens + drawn.answer_tokens
    rows = max(1, int((USABLE * count * chip.memory - BFLOAT16 * weights) / (cache * length)))
    read = BFLOAT16 * weights + rows * cache * (drawn.prompt_tokens + drawn.answer_tokens / 2)
    reading = read / (count * chip.bandwidth * assumptions.bandwidth_share)
    computing = rows * forward_flops(model, length) / (count * chip.flops * assumptions.mfu)
    return Replica(count, rows, rows * cache * length, max(reading, computing))


def device_seconds(model: ModelRecipe, weights: int, drawn: Drawn, assumptions: Assumptions) -> float:
    """Returns the seconds of one device that writing these answers takes. Reading the prompts is not included."""
    one = replica(model, weights, drawn, assumptions)
    return drawn.answers / one.rows * drawn.answer_tokens * one.step_seconds * one.devices
