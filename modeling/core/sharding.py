"""FSDP2: each process holds its share of the weights, the gradients and the optimizer state; one decoder layer a unit.

A model is built and sharded on the meta device. Rank 0 then reads one tensor at a time and broadcasts it, and each
process keeps its share, so no process holds the whole model. At the end rank 0 gathers and writes one file at a time.
The exception are random weights: rank 0 makes all of them on its CPU, because a single process must get the same ones.
Gradients are reduced in float32.

The model is sharded here and not by accelerate. AcceleratorState (accelerate 1.15) ignores the FSDP plugin on CPUs and
wraps the model in DDP, so the code that runs on GPUs could not be tested with gloo. The Trainer leaves a model alone
that says it is sharded already (`is_distributed_loading_by_transformers`). This file has run with gloo on CPUs and small
models only, never on several GPUs.
"""

import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import AutoConfig, GenerationConfig, PreTrainedConfig, PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from modeling.core import json_text
from modeling.core.runtime import bfloat16_products, device, join, main_process, processes

HEAD = "score.weight"  # of a reward model
INDEX = "model.safetensors.index.json"
FILE_SIZE = "50GB"  # save_pretrained's, so one process and several write the same files
Read = Callable[[str], Tensor]  # the name of a weight → the whole weight


def load(
    auto: Any, folder: Path, seed: int = 0, compiled: bool = False, gathered: torch.dtype | None = None, **settings: Any
) -> PreTrainedModel:
    """The model of a Hugging Face directory in float32: whole if this process trains alone, else its share.

    `auto` is a class of transformers with from_pretrained and from_config; `settings` change the configuration. The
    scalar head of a reward model, which the directory of a chat model lacks, is random from `seed`. `gathered`: see
    `shard`.
    """
    if processes() == 1:
        return auto.from_pretrained(folder, dtype=torch.float32, **settings)
    config = AutoConfig.from_pretrained(folder, **settings)

    def weights() -> Read:
        stored = Stored(folder)
        return lambda name: stored(name) if name in stored.files or name != HEAD else new_head(config, seed)

    model = build(lambda: auto.from_config(config, dtype=torch.float32), weights, compiled, gathered)
    if (folder / "generation_config.json").exists():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return model


def new_head(config: PreTrainedConfig, seed: int) -> Tensor:
    """The head (labels, hidden) that from_pretrained would add if the seed was set just before."""
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(config.num_labels, config.hidden_size).normal_(0, config.initializer_range, generator=generator)


def build(
    skeleton: Callable[[], PreTrainedModel],
    weights: Callable[[], Any],
    compiled: bool = False,
    gathered: torch.dtype | None = None,
) -> PreTrainedModel:
    """This process's share of the Llama that `skeleton` constructs. `weights` gives a Read; only rank 0 calls it.

    Every process must call it. `compiled` compiles each decoder layer. `gathered`: see `shard`.
    """
    join()
    with torch.device("meta"):
        model = skeleton()
    shard(model, compiled, gathered)
    model.to_empty(device=device())
    for name, module in list(model.named_modules()):
        if isinstance(module, LlamaRotaryEmbedding):  # its buffers are in no file
            model.set_submodule(name, LlamaRotaryEmbedding(model.config).to(device()))
    model.tie_weights()
    fill(model, weights() if main_process() else None)
    return model


def shard(model: nn.Module, compiled: bool = False, gathered: torch.dtype | None = None) -> None:
    """Splits each weight among all processes of the group along its first dimension.

    A unit is gathered for its computation and freed after it: a decoder layer each, and embeddings, last norm and head
    together, so tied weights stay in one unit. Weights are gathered in the dtype `gathered`, by default in bfloat16
    where its products are fast.
    """
    if gathered is None and bfloat16_products(device()):
        gathered = torch.bfloat16
    policy = MixedPrecisionPolicy(param_dtype=gathered, reduce_dtype=torch.float32)
    mesh = init_device_mesh(device().type, (dist.get_world_size(),))
    for layer in model.base_model.layers:
        if compiled:
            layer.compile()
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    model._is_distributed_loading_by_transformers = True  # the Trainer must neither wrap nor move it


@torch.no_grad()
def fill(model: PreTrainedModel, read: Read | None) -> None:
    """Sets the weights of a sharded model to those that `read` gives on rank 0, which broadcasts one at a time."""
    for name, weight in model.named_parameters():
        if read is not None:
            whole = read(name).to(device(), weight.dtype).contiguous()
        else:
            whole = torch.empty(weight.shape, dtype=weight.dtype, device=device())
        dist.broadcast(whole, 0)
        weight.to_local().copy_(share_of(whole, weight).to_local())


def save(model: PreTrainedModel, folder: Path, file_size: str = FILE_SIZE) -> None:
    """Writes a sharded model as save_pretrained writes a whole one. Every process must call it; rank 0 writes.

    Rank 0 holds the weights of one file of `file_size` at a time.
    """
    shares = model.state_dict()
    if model.config.tie_word_embeddings:
        shares.pop("lm_head.weight", None)
    shapes = {name: torch.empty(share.shape, dtype=share.dtype, device="meta") for name, share in shares.items()}
    split = split_torch_state_dict_into_shards(
        shapes, filename_pattern="model{suffix}.safetensors", max_shard_size=file_size
    )
    for file, names in split.filename_to_tensors.items():
        whole = {}
        for name in names:
            weight = shares[name].full_tensor()
            if main_process():
                whole[name] = weight.cpu().contiguous()
        if main_process():
            save_file(whole, folder / file, metadata={"format": "pt"})
    if not main_process():
        return
    if split.is_sharded:
        metadata = {"total_parameters": model.num_parameters(), **split.metadata}
        index = {"metadata": metadata, "weight_map": split.tensor_to_filename}
        (folder / INDEX).write_text(json_text.dumps(index, indent=2, sort_keys=True) + "\n")
    model.config.dtype = str(model.dtype).removeprefix("torch.")
    model.config.architectures = [type(model).__name__.removeprefix("FSDP")]
    model.config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)


class Stored:
    """Reads the weights of a Hugging Face directory one at a time: Stored(folder)(name)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = folder / INDEX
        if index.exists():
            self.files: dict[str, str] = json.loads(index.read_text())["weight_map"]
        else:
            with safe_open(folder / "model.safetensors", "pt") as file:
                self.files = dict.fromkeys(file.keys(), "model.safetensors")

    def __call__(self, name: str) -> Tensor:
        if name not in self.files:
            raise ValueError(f"{self.folder} has no weight {name}: it is no checkpoint of this architecture")
        with safe_open(self.folder / self.files[name], "pt") as file:
            return file.get_tensor(name)


def is_sharded(model: nn.Module) -> bool:
    """Whether processes share the model: then all of them must compute with it, and only its whole forward pass works."""
    return isinstance(model, FSDPModule)


def whole(weight: Tensor) -> Tensor:
    """The whole of a tensor of which this process may hold a share. Every process must call it."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def share_of(whole_tensor: Tensor, like: Tensor) -> Tensor:
    """This process's share of a whole tensor, split as `like` is; the tensor itself if `like` is whole."""
    if not isinstance(like, DTensor):
        return whole_tensor
    return distribute_tensor(whole_tensor.to(device()), like.device_mesh, like.placements, src_data_rank=None)


def computed(model: nn.Module, function: Callable[..., Any], *arguments: Any) -> Any:
    """function(model, *arguments), with the weights outside the decoder layers gathered if processes share the model.

    For computations that are not the model's forward pass, such as its head on chosen positions. Every process must
    call it equally often, with a backward pass after all of these calls or after none.
    """
    if not is_sharded(model):
        return function(model, *arguments)
    if not hasattr(model, "_computed"):
        model._computed = types.MethodType(lambda self, what, *given: what(self, *given), model)
        register_fsdp_forward_method(model, "_computed")
    result = model._computed(function, *arguments)
    if not torch.is_grad_enabled():
        model.reshard()  # else the gathered weights stay until a backward pass, beside updated shares
    return result
