"""Where the work runs: never part of a recipe, so one GPU and eight make the same artifact."""

import contextlib
import os

import torch


def device() -> torch.device:
    """The accelerator of this process if there is one (LOCAL_RANK picks it under torchrun), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def bfloat16_products(where: torch.device) -> bool:
    """Whether matrix products of bfloat16 pay: on accelerators and CPUs with AVX-512. Others emulate them, 4x slower."""
    return where.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def autocast(where: torch.device) -> contextlib.AbstractContextManager:
    """bfloat16 autocast where it pays: weights stay float32, matrix products run about 7x faster on recent CPUs."""
    return torch.autocast(where.type, dtype=torch.bfloat16, enabled=bfloat16_products(where))
