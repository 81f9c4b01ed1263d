"""The tokenizer of a scale: BPE trained on its mixture (paper 2.2), or that of the checkpoint it continues from.

As in Llama's, every digit is a token of its own and characters outside the alphabet fall back to bytes. Unlike
SentencePiece, spaces stay literal inside pieces (no `▁`, no dummy prefix, no normalisation), so decoding restores any
text exactly, `▁`, tabs and `<0x41>` included. The tags of the chat format are reserved tokens: a user cannot forge them.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from modeling.core import hashing
from modeling.core.atomic_folders import filling
from modeling.core.dialog import LLAMA2_TEMPLATE
from modeling.core.recipes import AdoptRecipe, TokenizerRecipe

SPECIALS = ("<pad>", "<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")
BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
# Share of the characters of the training text that get a token; SentencePiece's and Llama's own choice.
CHARACTER_COVERAGE = 0.99995
# A word with at most one symbol before it (usually a space), each digit, runs of symbols, line ends, other blanks.
PIECES = (
    r"[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]+"
    r"|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)
# Training time grows with the square of a piece's length, encoding time linearly. Training therefore splits runs of
# letters, symbols or blanks into pieces of at most this many characters, far more than a useful token has.
LONGEST_RUN = 128
LEARNING_PIECES = PIECES.replace("+", f"{{1,{LONGEST_RUN}}}").replace("*", f"{{0,{LONGEST_RUN}}}")


def run(config: TokenizerRecipe | AdoptRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Write a Hugging Face tokenizer folder. Returns the vocabulary size and the bytes per token of each source."""
    if isinstance(config, AdoptRecipe):
        tokenizer = AutoTokenizer.from_pretrained(inputs["initial_model"])
    else:
        tokenizer = train(mixture_texts(inputs["mixture"], config.training_bytes), config.vocab_size)
    with filling(out) as folder:
        tokenizer.save_pretrained(folder)
    reloaded = AutoTokenizer.from_pretrained(out)
    table = compression(reloaded, inputs["mixture"])
    for row in table:
        log.info(f"{row['source']}: {row['bytes_per_token']:.2f} bytes per token")
    total_bytes, total_tokens = sum(row["bytes"] for row in table), sum(row["tokens"] for row in table)
    return {
        "vocab_size": len(reloaded),
        "bytes_per_token": round(total_bytes / total_tokens, 4) if total_tokens else 0.0,
        "sources": table,
    }


def document_tokens(tokenizer) -> tuple[int, int]:
    """Returns (token before a document, token after it) as in pretraining.

    Models whose vocabulary has `<|endoftext|>` were pretrained with it between documents, and their BOS may be a chat
    token. Raises ValueError without a BOS or EOS token.
    """
    separator = tokenizer.get_added_vocab().get("<|endoftext|>")
    if separator is not None:
        return separator, separator
    if tokenizer.bos_token_id is None or tokenizer.eos_token_id is None:
        raise ValueError("The tokenizer names no BOS or no EOS token: set both in tokenizer_config.json")
    return tokenizer.bos_token_id, tokenizer.eos_token_id


def train(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """BPE of at most `vocab_size` tokens, reserved ones and 256 bytes included. The same texts give the same file.

    Raises ValueError if `vocab_size` leaves no room for characters.
    """
    if vocab_size < len(SPECIALS) + 256 + 128:
        raise ValueError(f"A vocabulary of {vocab_size} leaves no room for characters: use at least 512")
    texts = list(texts)
    alphabet = covering_alphabet(texts, limit=vocab_size - len(SPECIALS) - 256)
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = _pieces(LEARNING_PIECES)
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size - len(SPECIALS) - 256,
            initial_alphabet=alphabet,
            limit_alphabet=len(alphabet),
            show_progress=False,
        ),
    )
    return _assemble(learner)


def covering_alphabet(texts: Iterable[str], limit: int) -> list[str]:
    """The most frequent characters that make up CHARACTER_COVERAGE of the texts, at most half of `limit`, sorted."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    wanted, covered, alphabet = CHARACTER_COVERAGE * counts.total(), 0, []
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if covered >= wanted or len(alphabet) >= limit // 2:
            break
        alphabet.append(character)
        covered += count
    return sorted(alphabet)


def copies(identifier: str, epochs: float, salt: str = "") -> int:
    """How often a document is seen: the integer part of `epochs`, and once more for a hashed share of the documents."""
    whole = math.floor(epochs)
    return whole + (hashing.unit(f"{salt}{identifier}") < epochs - whole)


def mixture_texts(mixture: Path, limit_bytes: int) -> Iterator[str]:
    """Texts of the mixture, repeated by their epochs: a choice by hash of at most `limit_bytes` UTF-8 bytes in total.

    Memory: one shard of text, and some 100 bytes per document of the mixture.
    """
    keys = []
    for shard, path in enumerate(_shards(mixture)):
        table = pq.read_table(path, columns=["id", "epochs", "text"])
        sizes = pc.binary_length(table["text"].cast("large_binary")).to_pylist()
        for row, (identifier, epochs, size) in enumerate(
            zip(table["id"].to_pylist(), table["epochs"].to_pylist(), sizes, strict=True)
        ):
            for copy in range(copies(identifier, epochs)):
                key = hashing.digest(f"tokenizer:{copy}:{identifier}")
                keys.append((key, shard, row, size))
    keys.sort()
    chosen: dict[int, list[int]] = {}
    room = limit_bytes
    for _, shard, row, size in keys:
        room -= size
        if room < 0 and chosen:
            break
        chosen.setdefault(shard, []).append(row)
    for shard, path in enumerate(_shards(mixture)):
        if shard in chosen:
            texts = pq.read_table(path, columns=["text"])["text"]
            yield from (texts[row].as_py() for row in sorted(chosen[shard]))


def compression(tokenizer: PreTrainedTokenizerBase, mixture: Path, sample_bytes: int = 200_000) -> list[dict]:
    """Per source {source, documents, bytes, tokens, bytes_per_token} over the first documents of the train shards."""
    rows: dict[str, dict] = {}
    for path in _shards(mixture):
        table = pq.read_table(path, columns=["source", "text"])
        for source, text in zip(table["source"].to_pylist(), table["text"].to_pylist(), strict=True):
            row = rows.setdefault(source, {"source": source, "documents": 0, "bytes": 0, "tokens": 0})
            if row["bytes"] < sample_bytes:
                row["documents"] += 1
                row["bytes"] += len(text.encode())
                row["tokens"] += len(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
    for row in rows.values():
        row["bytes_per_token"] = round(row["bytes"] / max(row["tokens"], 1), 4)
    return sorted(rows.values(), key=lambda row: row["source"])


def _shards(mixture: Path) -> list[Path]:
    paths = sorted((mixture / "train").glob("*.parquet"))
    if not paths:
        raise ValueError(f"No train/*.parquet in {mixture}: materialize the mixture first")
    return paths


def _pieces(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def _assemble(learner: Tokenizer) -> PreTrainedTokenizerFast:
    """Put reserved tokens and bytes before the learned tokens."""
    learned = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    names = [*SPECIALS, *BYTES, *(name for name, _ in learned)]
    state = json.loads(learner.to_str())
    merges = [tuple(pair) for pair in state["model"]["merges"]]
    tokenizer = Tokenizer(
        models.BPE({name: index for index, name in enumerate(names)}, merges, byte_fallback=True, fuse_unk=False)
    )
    tokenizer.pre_tokenizer = _pieces(PIECES)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIALS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", SPECIALS.index("<s>"))]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"],
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        padding_side="left",
    )
    wrapped.chat_template = LLAMA2_TEMPLATE
    return wrapped
