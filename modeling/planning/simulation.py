"""A training step on fake tensors: what one device of many would hold, as torch's own tracker counts it.

Fake tensors have shapes and no data, and a fake process group answers at once, so a step of a 70B model on hundreds of
devices takes seconds on a laptop. The step is real code: transformers' Llama, FSDP2, autocast, AdamW.
"""

from collections import Counter
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import LlamaForCausalLM

from modeling.core.recipes import ModelRecipe
from modeling.pretraining.model import llama_config

STATES = {"Sharded Param": "weights", "Sharded Grad": "gradients", "OptState": "moments"}


@dataclass(frozen=True)
class Tracked:
    """Bytes on one device by the tracker's categories, at the peak of the second micro-batch."""

    peak: dict[str, int]
    between: dict[str, int]  # after the step: weights, gradients and moments alone

    @property
    def total(self) -> int:
        return self.peak["Total"]

    @property
    def states(self) -> dict[str, int]:
        """Weights, gradients and moments."""
        return {name: self.between[category] for category, name in STATES.items()}


def simulate(recipe: ModelRecipe, devices: int, sequences: int, recompute: bool) -> Tracked:
    """Runs two micro-batches of `sequences` on rank 0 of `devices`; the first ends with an optimizer step.

    The gradients of the first are kept, so that the second sees what accumulation sees. Must not run in a process that
    has a process group. The attention is the CPU's fused one, which keeps what the fused ones of GPUs keep.
    """
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=devices)
    try:
        mesh = init_device_mesh("cpu", (devices,))  # of real tensors: its ranks are read
        with FakeTensorMode(allow_non_fake_inputs=True):
            return _step(recipe, mesh, sequences, recompute)
    finally:
        dist.destroy_process_group()


def _step(recipe: ModelRecipe, mesh: DeviceMesh, sequences: int, recompute: bool) -> Tracked:
    model = LlamaForCausalLM(llama_config(recipe)).train()
    model.config.use_cache = False
    if recompute:
        model.activation_checkpointing_enable()
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    ids = torch.zeros(sequences, recipe.context, dtype=torch.long)
    tracker = FSDPMemTracker(model, optimizer)
    tracker.track_inputs((ids,))
    with tracker:
        _backward(model, ids)
        optimizer.step()
        tracker.reset_mod_stats()
        _backward(model, ids)
        between = tracker.get_tracker_snapshot("current")
    return Tracked(_counted(tracker.get_tracker_snapshot("peak")), _counted(between))


def _backward(model: LlamaForCausalLM, ids: torch.Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()


def _counted(snapshot: dict) -> dict[str, int]:
    """Returns category → bytes on all devices of a snapshot together (one, and the few scalars of AdamW)."""
    found: Counter[str] = Counter()
    for categories in snapshot.values():
        found.update({str(getattr(key, "value", key)): size for key, size in categories.items()})
    return dict(found)
