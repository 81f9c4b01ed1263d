"""Where the work runs: never part of a recipe, so one GPU and eight make the same artifact."""

import contextlib
import os
from collections.abc import Iterator

import torch

# cuDNN's attention plans for each new shape, 3 ms a call on an H200 (docs/gpu.md). Lengths change all the time in generation
# and in fine-tuning: with it, generation took 4.7 times as long.
torch.backends.cuda.enable_cudnn_sdp(False)


@contextlib.contextmanager
def one_shape() -> Iterator[None]:
    """Allows cuDNN's attention where all batches have one shape: planned once, it is the fastest on recent GPUs."""
    torch.backends.cuda.enable_cudnn_sdp(True)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(False)


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
