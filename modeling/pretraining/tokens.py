"""Token shards of the mixture: each document between its start and end tokens, repeated by its epochs, in one shuffle.

A document is encoded once, however many epochs it has; special strings in texts stay text. Both passes work shard by
shard and skip finished files, so a killed run continues. Shards are plain .npy files that training maps into memory.
The shuffle holds about 60 bytes a document and copy, all in arrays; texts and ids stay on disk.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from data_cleaning.files import replacing, write_json
from modeling.core import hashing
from modeling.core.recipes import TokensRecipe
from modeling.pretraining.tokenizer import copies, document_tokens

ENCODE_DOCUMENTS = 1000  # handed to the tokenizer at once: it encodes a batch on all cores


def run(config: TokensRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Write train/*.npy and tokens.json. Raises ValueError if the mixture has no shards."""
    tokenizer = AutoTokenizer.from_pretrained(inputs["tokenizer"])
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    paths = sorted((inputs["mixture"] / "train").glob("*.parquet"))
    if not paths:
        raise ValueError(f"No train/*.parquet in {inputs['mixture']}: materialize the mixture first")
    encoded = []
    for number, path in enumerate(paths, 1):
        encoded.append(encode_shard(tokenizer, path, out / "_scratch" / "encoded", dtype, config))
        log.progress(number, len(paths), unit="shard")
    shards, rows = shuffled(encoded)
    firsts = np.cumsum([0, *(len(shard["lengths"]) for shard in encoded)])
    lengths = np.concatenate([shard["lengths"] for shard in encoded])[firsts[shards] + rows]
    names = write_shards(encoded, shards, rows, lengths, config.shard_tokens, out / "train", dtype, log)
    sources = _by_source(encoded)
    summary = {
        "tokens": int(lengths.sum()),
        "unique_tokens": int(sum(shard["lengths"][shard["copies"] > 0].sum() for shard in encoded)),
        "documents": len(rows),
        "unique_documents": int(sum((shard["copies"] > 0).sum() for shard in encoded)),
        "bytes": int(sum(row["bytes"] for row in sources)),
        "dtype": np.dtype(dtype).name,
        "vocab_size": len(tokenizer),
        "shards": names,
        "sources": sources,
    }
    write_json(out / "tokens.json", summary)
    return {name: value for name, value in summary.items() if name != "shards"}


def training_text(row: dict, config: TokensRecipe) -> str:
    """The text of a document; a hashed `title_share` of the titled documents begin with their title.

    If the text repeats the title, a small model learns to copy the subject from the context (later, from a question).
    """
    place = hashing.unit(f"{config.seed}:title:{row['id']}")
    return f"{row['title']}\n{row['text']}" if row["title"] and place < config.title_share else row["text"]


def encode_shard(
    tokenizer: PreTrainedTokenizerBase, path: Path, folder: Path, dtype: type, config: TokensRecipe
) -> dict:
    """Encode one parquet shard of D documents once. Returns its token ids (memory map) and what the shuffle needs.

    starts, lengths, copies (number of copies): int [D]; keys: sort keys of all copies in the order of documents, uint64
    [sum of copies]; sources: source → documents, tokens and bytes of all copies.
    """
    ids_path, meta_path = folder / f"{path.stem}.npy", folder / f"{path.stem}.json"
    if not meta_path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        table = pq.read_table(path, columns=["id", "source", "title", "text", "epochs"])
        pieces: list[np.ndarray] = []
        start, end = document_tokens(tokenizer)
        opening = [] if start == end else [start]  # one separator between two documents is enough
        texts = [training_text(row, config) for row in table.select(["id", "title", "text"]).to_pylist()]
        for begin in range(0, len(texts), ENCODE_DOCUMENTS):
            batch = tokenizer(
                texts[begin : begin + ENCODE_DOCUMENTS],
                add_special_tokens=False,
                split_special_tokens=True,
                return_attention_mask=False,
            )["input_ids"]
            pieces += [np.array([*opening, *ids, end], dtype=dtype) for ids in batch]
        with replacing(ids_path) as part, part.open("wb") as file:
            np.save(file, np.concatenate(pieces) if pieces else np.zeros(0, dtype=dtype))
        identifiers = table["id"].to_pylist()
        counts = [
            copies(i, e, f"{config.seed}:") for i, e in zip(identifiers, table["epochs"].to_pylist(), strict=True)
        ]
        write_json(
            meta_path,
            {
                "lengths": [len(piece) for piece in pieces],
                "ids": identifiers,
                "copies": counts,
                "source": table["source"].to_pylist(),
                "bytes": [len(text.encode()) for text in texts],
            },
        )
    meta = json.loads(meta_path.read_text())
    lengths, counts = np.array(meta["lengths"], dtype=np.int64), np.array(meta["copies"], dtype=np.int32)
    keys = (
        hashing.number(f"{config.seed}:{copy}:{identifier}")
        for identifier, count in zip(meta["ids"], meta["copies"], strict=True)
        for copy in range(count)
    )
    sources: dict[str, np.ndarray] = {}
    for source, length, count, size in zip(meta["source"], meta["lengths"], meta["copies"], meta["bytes"], strict=True):
        sources[source] = sources.get(source, np.zeros(3, np.int64)) + (count, length * count, size * count)
    return {
        "ids": np.load(ids_path, mmap_mode="r") if lengths.sum() else np.zeros(0, dtype=dtype),
        "lengths": lengths,
        "starts": np.concatenate([[0], np.cumsum(lengths)[:-1]]) if len(lengths) else lengths,
        "copies": counts,
        "keys": np.fromiter(keys, np.uint64, int(counts.sum())),
        "sources": sources,
    }


def shuffled(encoded: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """(shards, rows) of every copy of every document, int32 [copies], by key, then by shard and row."""
    rows = [np.repeat(np.arange(len(one["copies"]), dtype=np.int32), one["copies"]) for one in encoded]
    shards = np.repeat(np.arange(len(rows), dtype=np.int32), [len(one) for one in rows])
    order = np.argsort(np.concatenate([one["keys"] for one in encoded]), kind="stable")
    return shards[order], np.concatenate(rows)[order]


def write_shards(
    encoded: list[dict],
    shards: np.ndarray,
    rows: np.ndarray,
    lengths: np.ndarray,
    shard_tokens: int,
    folder: Path,
    dtype: type,
    log: Any,
) -> list[str]:
    """Cut the shuffled documents into files of about `shard_tokens` tokens, whole documents each. Returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    count = max(1, -(-total // shard_tokens))
    # Equal shards: otherwise the last could be very short.
    cuts = [int(np.searchsorted(ends, total * n / count)) for n in range(count)] + [len(rows)]
    names = []
    for number in range(count):
        name = f"{number:05d}.npy"
        names.append(name)
        path = folder / name
        if path.exists():
            continue
        mine = slice(cuts[number], cuts[number + 1])
        shard = np.empty(int(lengths[mine].sum()), dtype=dtype)
        place = 0
        for source, row in zip(shards[mine].tolist(), rows[mine].tolist(), strict=True):
            contents = encoded[source]
            begin, length = int(contents["starts"][row]), int(contents["lengths"][row])
            shard[place : place + length] = contents["ids"][begin : begin + length]
            place += length
        with replacing(path) as part, part.open("wb") as file:
            np.save(file, shard)
        log.progress(number + 1, count, unit="shard", tokens=int(ends[cuts[number + 1] - 1]) if len(ends) else 0)
    return names


def _by_source(encoded: list[dict]) -> list[dict]:
    sums: dict[str, np.ndarray] = {}
    for shard in encoded:
        for source, counts in shard["sources"].items():
            sums[source] = sums.get(source, 0) + counts
    rows = {
        source: {"source": source} | dict(zip(("documents", "tokens", "bytes"), counts.tolist(), strict=True))
        for source, counts in sums.items()
    }
    total = max(sum(row["tokens"] for row in rows.values()), 1)
    for row in rows.values():
        row["share"] = round(row["tokens"] / total, 4)
    return sorted(rows.values(), key=lambda row: row["source"])
