"""A trained model averaged with the model that its training started from (Wortsman et al. 2022, WiSE-FT).

What a short training forgot comes back in part, and most of what it taught stays. The paper does not average.
"""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from modeling.core import sharding


@torch.no_grad()
def with_start(model: PreTrainedModel, start_dir: Path, share: float) -> None:
    """Replace each weight of `model` by (1 - share) × itself + share × that of the model in `start_dir`, in place.

    Every process must call it; each averages its share of sharded weights.
    """
    start = dict(sharding.load(AutoModelForCausalLM, start_dir).named_parameters())
    for name, weight in model.named_parameters():
        weight.lerp_(start[name].to(weight.device, weight.dtype), share)
