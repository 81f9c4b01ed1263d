"""Devices, processes and precision: never part of a recipe, so one GPU and eight make the same artifact."""

import contextlib
import datetime
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist

# Processes that wait for another one wait at most this long; then all of them fail. Rank 0 alone makes the random
# weights of a model, 70 billion in the largest case.
LONGEST_WAIT = datetime.timedelta(hours=2)

# cuDNN's attention plans each new shape, which takes 3 ms a call on an H200 (docs/gpu.md). Lengths vary in generation
# and in fine-tuning: cuDNN's attention made generation take 4.7 times as long.
torch.backends.cuda.enable_cudnn_sdp(False)


@contextlib.contextmanager
def one_shape() -> Iterator[None]:
    """Enables cuDNN's attention for batches of one shape: planned once, it is the fastest on recent GPUs."""
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


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; [] without any."""
    count = torch.cuda.device_count()
    stated = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return stated[:count] or [str(number) for number in range(count)]


def bfloat16_products(where: torch.device) -> bool:
    """Whether bfloat16 matrix products are fast: on accelerators and AVX-512 CPUs. Others emulate them, 4x slower."""
    return where.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def autocast(where: torch.device) -> contextlib.AbstractContextManager:
    """bfloat16 autocast where it is fast: weights stay float32, matrix products run about 7x faster on recent CPUs."""
    return torch.autocast(where.type, dtype=torch.bfloat16, enabled=bfloat16_products(where))


def processes() -> int:
    """The number of processes that train together, each on its own device."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def distributed() -> bool:
    """Whether several processes train together and their process group is initialized."""
    return dist.is_available() and dist.is_initialized() and processes() > 1


def rank() -> int:
    """The number of this process among those that train together, from 0."""
    return int(os.environ.get("RANK", "0"))


def main_process() -> bool:
    """Whether this is the process that writes the common files."""
    return rank() == 0


def join() -> None:
    """Joins the process group of those that train together, unless this process trains alone or has joined already."""
    if processes() == 1 or dist.is_initialized():
        return
    where = device()
    if where.type == "cuda":
        torch.cuda.set_device(where)
    dist.init_process_group("cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
