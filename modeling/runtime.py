"""Where the work runs: never part of a recipe, so one GPU and eight make the same artifact."""

import contextlib
import os

import torch

# Models below it are bound by overhead on a CPU, those above it by the width of their products.
CPU_SMALL_PARAMETERS = 30_000_000


def device() -> torch.device:
    """The accelerator of this process if there is one (LOCAL_RANK picks it under torchrun), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def quick_attention(model) -> None:
    """Train small models on a CPU with plain products: the fused kernel's backward pass takes a quarter of their step."""
    if model.device.type == "cpu" and model.num_parameters() < CPU_SMALL_PARAMETERS:
        model.set_attn_implementation("eager")


def autocast(where: torch.device) -> contextlib.AbstractContextManager:
    """bfloat16 autocast: weights stay float32, matrix products run about 7x faster on recent CPUs."""
    return torch.autocast(where.type, dtype=torch.bfloat16)
