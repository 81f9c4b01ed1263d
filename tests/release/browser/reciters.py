"""Small Llamas whose weights are set by hand, so that the answer is known: each recites pieces of text, whatever is asked."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken
from transformers import LlamaConfig, LlamaForCausalLM

from modeling.core import dialog
from modeling.pretraining import tokenizer as tokenizers
from tests.release.toy_store import TEXT

CONTEXT = 8192
SURE = 100.0  # logit of the next piece: the others have 0


def save_reciter(folder: Path, pieces: Sequence[str], ends: bool = True) -> None:
    """A model that answers with the pieces, each a token of its own. Without an end, it begins again and again."""
    tokenizer = tokenizers.train([TEXT], 700)
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in pieces])
    ids = tokenizer.convert_tokens_to_ids(list(pieces))
    before = dialog.encode_prompt(tokenizer, [{"role": "user", "content": "What?"}])[-1]
    chain = [before, *ids, dialog.closing_token_id(tokenizer) if ends else ids[0]]
    assert len(set(chain[:-1])) == len(pieces) + 1, "each piece stands once, so that it tells the next one"
    width = -(-len(chain) // 8) * 8
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=CONTEXT, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if "norm" in name else 0.0)  # attention and feed-forward layers add nothing
        for place, (token, following) in enumerate(zip(chain, chain[1:], strict=False)):
            model.model.embed_tokens.weight[token, place] = 1.0
            model.lm_head.weight[following, place] = SURE / width**0.5  # the norm multiplies by the root of the width
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
