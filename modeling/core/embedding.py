"""Sentence embeddings by all-MiniLM-L6-v2, loaded from local files: BERT states averaged over the tokens."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from transformers import BertModel, BertTokenizerFast

from modeling.core import batching, runtime

MAX_TOKENS = 96  # per text: the judge reads the first 70 words or so of an answer
BATCH_TOKENS = 4_096


@dataclass(frozen=True)
class Embedded:
    """Unit vectors per text: its meaning (last layer) and its wording (a middle layer, which encodes word order)."""

    meaning_ND: np.ndarray
    wording_ND: np.ndarray


@dataclass(frozen=True)
class Encoder:
    model: BertModel
    tokenizer: BertTokenizerFast
    known: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)  # texts embedded so far
    precise: bool = False  # float32 on every processor instead of bfloat16 where that is fast


WORDING_LAYER = 3  # of 6: separates prose from shuffled words best (layers 2 to 5 are nearly as good)


def load(judge: Path, precise: bool = False) -> Encoder:
    """Loads the encoder of a `judge` artifact. Raises FileNotFoundError if there is none."""
    found = sorted(judge.glob("raw/**/model.safetensors"))
    if len(found) != 1:
        raise FileNotFoundError(f"{judge} should hold one model.safetensors under raw/, found {len(found)}")
    # Sentence embeddings do not use the pooling head, and transformers would warn about its unused weights.
    model = BertModel.from_pretrained(found[0].parent, add_pooling_layer=False, use_safetensors=True)
    tokenizer = BertTokenizerFast.from_pretrained(found[0].parent)
    return Encoder(model.to(runtime.device()).eval(), tokenizer, precise=precise)


@torch.inference_mode()
def embed(encoder: Encoder, texts: Sequence[str], log=None) -> Embedded:
    """Embeds each distinct text once, in batches that do not depend on the order of `texts`."""
    distinct = sorted(set(texts) - encoder.known.keys(), key=lambda text: (len(text), text))
    rows = [
        encoder.tokenizer(text, truncation=True, max_length=MAX_TOKENS, padding=False)["input_ids"] for text in distinct
    ]
    done = 0
    for chosen in batching.of_like_length(rows, BATCH_TOKENS):
        meaning_BD, wording_BD = _encode(encoder, [rows[index] for index in chosen])
        for index, meaning_D, wording_D in zip(chosen, meaning_BD, wording_BD, strict=True):
            encoder.known[distinct[index]] = meaning_D, wording_D
        done += len(chosen)
        if log is not None:
            log.progress(done, len(rows), unit="text")
    width = encoder.model.config.hidden_size
    vectors = [encoder.known[text] for text in texts]
    return Embedded(
        np.array([meaning_D for meaning_D, _ in vectors]).reshape(len(texts), width),
        np.array([wording_D for _, wording_D in vectors]).reshape(len(texts), width),
    )


def _encode(encoder: Encoder, rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    where, width = encoder.model.device, max(len(row) for row in rows)
    ids_BT = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=where)
    mask_BT = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=where)
    with contextlib.nullcontext() if encoder.precise else runtime.autocast(where):
        states = encoder.model(input_ids=ids_BT, attention_mask=mask_BT, output_hidden_states=True).hidden_states
    mask_BT1 = mask_BT[..., None].double()
    means = [(states[layer].double() * mask_BT1).sum(1) / mask_BT1.sum(1) for layer in (-1, WORDING_LAYER)]
    meaning_BD, wording_BD = (torch.nn.functional.normalize(mean_BD, dim=-1).cpu().numpy() for mean_BD in means)
    return meaning_BD, wording_BD
