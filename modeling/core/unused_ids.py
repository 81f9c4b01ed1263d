"""Ids without a token: embeddings are often padded beyond the vocabulary, and those rows are untrained.

An unused id does not decode to text. `bar` removes these ids from the model's own distribution, so that all samplers
and the log-probabilities of their samples agree.
"""

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def unused_ids(vocab_size: int, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids below `vocab_size` for which the tokenizer has no token, ascending."""
    return sorted(set(range(vocab_size)) - set(tokenizer.get_vocab().values()))


def bar(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Set the model's logits to -inf at unused ids from now on. Copies of the model keep this; saved weights do not."""
    head = model.get_output_embeddings()
    unused = unused_ids(head.out_features, tokenizer)
    if unused:
        head.register_buffer("unused_ids", torch.tensor(unused, device=head.weight.device), persistent=False)
        head.register_forward_hook(_without_unused)


def _without_unused(head: nn.Module, inputs: tuple[torch.Tensor, ...], logits: torch.Tensor) -> torch.Tensor:
    return logits.index_fill_(-1, head.unused_ids, -torch.inf)
