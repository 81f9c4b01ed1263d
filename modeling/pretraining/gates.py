"""Gates of the tokenizer and the base model."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_cleaning.verdict import Verdict
from modeling.core import runtime
from modeling.core.recipes import AdoptRecipe
from modeling.core.verdicts import not_finite

DOCUMENTS, WINDOWS = 300, 32


def exact_round_trip(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Held-out documents of the mixture survive encoding and decoding exactly, in fewer tokens than bytes."""
    tokenizer = AutoTokenizer.from_pretrained(artifact)
    texts = pq.read_table(inputs["mixture"] / "heldout", columns=["text"])["text"].to_pylist()[:DOCUMENTS]
    tokens = size = 0
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        if tokenizer.decode(ids, clean_up_tokenization_spaces=False) != text:
            return False, f"a held-out document does not survive encoding and decoding: {text[:80]!r}", {}
        tokens, size = tokens + len(ids), size + len(text.encode())
    ratio = size / max(tokens, 1)
    figures = {"bytes_per_token": ratio, "margin": ratio - 1}
    return ratio > 1, f"{len(texts)} documents survive encoding and decoding, {ratio:.2f} bytes per token", figures


def better_than_unigram(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """The base model's loss on training tokens is below their unigram entropy; adopted weights cover the tokenizer."""
    if broken := not_finite(artifact):
        return False, broken, {}
    model = AutoModelForCausalLM.from_pretrained(artifact).to(runtime.device()).eval()
    if isinstance(recipe, AdoptRecipe):
        rows = model.get_input_embeddings().num_embeddings
        size = len(AutoTokenizer.from_pretrained(inputs["tokenizer"]))
        figures = {"embeddings": rows, "vocabulary": size, "margin": rows - size}
        return rows >= size, f"{rows} embeddings for {size} tokens", figures
    shard = np.load(sorted((inputs["tokens"] / "train").glob("*.npy"))[0], mmap_mode="r", allow_pickle=False)
    length = min(recipe.model.context, len(shard) // WINDOWS)
    counts = np.bincount(np.asarray(shard), minlength=recipe.model.vocab_size)
    shares = counts[counts > 0] / counts.sum()
    unigram = float(-(shares * np.log(shares)).sum())
    starts = np.linspace(0, len(shard) - length, WINDOWS).astype(int)
    windows = torch.from_numpy(np.stack([shard[start : start + length] for start in starts]).astype(np.int64))
    windows = windows.to(model.device)
    with torch.inference_mode(), runtime.autocast(model.device):
        loss = float(np.mean([model(input_ids=row[None], labels=row[None]).loss.item() for row in windows]))
    figures = {"loss": loss, "unigram_entropy": unigram, "margin": unigram - loss}
    return loss < unigram, f"{loss:.2f} nats per token; unigram entropy {unigram:.2f}", figures
