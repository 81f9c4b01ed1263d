"""Draws all that comes after the base model anew: `CRIA_SEED=2` shifts the seeds of those recipes.

Demonstrations, prompts and the evaluation stay as they are, so runs of several seeds answer the same test prompts.
"""

import dataclasses
import os
from typing import Any

from orchestration.scales.recipe import Scale

VARIABLE = "CRIA_SEED"
DRAWN_ANEW = ("synthetic_requests", "own_answers", "sft", "rounds", "ghost", "ppo", "distillation")  # fields of a scale
STEP = 1000  # more than any seed of a recipe, so that no two runs share a seed


def number() -> int:
    """Returns CRIA_SEED, 0 where it is not set. Raises ValueError if it is no whole number from 0 on."""
    stated = os.environ.get(VARIABLE, "0")
    if not stated.isdecimal():
        raise ValueError(f"{VARIABLE}={stated}: use a whole number from 0 on")
    return int(stated)


def shifted(scale: Scale, run: int) -> Scale:
    """Returns the scale with the seeds of run number `run`; run 0 is the scale itself."""
    return dataclasses.replace(scale, **{name: _shifted(getattr(scale, name), run * STEP) for name in DRAWN_ANEW})


def _shifted(value: Any, by: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_shifted(item, by) for item in value)
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return dataclasses.replace(
        value, **{name: part + by if name == "seed" else _shifted(part, by) for name, part in fields.items()}
    )
