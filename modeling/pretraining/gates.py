"""Gates of the tokenizer and the base model."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_cleaning.verdict import Verdict
from modeling.core import runtime
from modeling.core.recipes import AdoptRecipe, PretrainRecipe
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


def better_than_its_start(artifact: Path, inputs: dict[str, Path], recipe: PretrainRecipe) -> Verdict:
    """The base model's loss on training tokens is below that of its start: the checkpoint, or a unigram model."""
    if broken := not_finite(artifact):
        return False, broken, {}
    shard = np.load(sorted((inputs["tokens"] / "train").glob("*.npy"))[0], mmap_mode="r", allow_pickle=False)
    length = min(recipe.model.context, len(shard) // WINDOWS)
    starts = np.linspace(0, len(shard) - length, WINDOWS).astype(int)
    windows = torch.from_numpy(np.stack([shard[start : start + length] for start in starts]).astype(np.int64))
    if isinstance(recipe.model, AdoptRecipe):
        start, name = mean_loss(inputs["initial_model"], windows), "the checkpoint"
    else:
        start, name = unigram_entropy(shard), "unigram entropy"
    loss = mean_loss(artifact, windows)
    figures = {"loss": loss, "start": start, "margin": start - loss}
    return loss < start, f"{loss:.2f} nats per token; {name} {start:.2f}", figures


def mean_loss(folder: Path, windows_NT: torch.Tensor) -> float:
    """Mean nats per token of a model on windows of tokens."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(runtime.device()).eval()
    windows_NT = windows_NT.to(model.device)
    with torch.inference_mode(), runtime.autocast(model.device):
        return float(np.mean([model(input_ids=row[None], labels=row[None]).loss.item() for row in windows_NT]))


def unigram_entropy(tokens: np.ndarray) -> float:
    """Nats per token of the best model that ignores context."""
    counts = np.bincount(np.asarray(tokens))
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
