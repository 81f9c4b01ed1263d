"""Throughput of near-deduplication in documents/s: this pipeline against datasketch as used in its manual.

    python benchmarks/dedup.py --documents 20000

Reads the corpus sources of sources.toml (fetched once into the cache). The contenders alternate over blocks of the same
documents, timed in CPU seconds of one core. Prints documents/s, ratios, and whether the candidate pairs agree.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from datasketch import MinHash, MinHashLSH

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data_cleaning.dedup import minhash
from data_cleaning.documents import read_documents
from data_cleaning.filters.words import normalised
from data_cleaning.reading import extract
from data_cleaning.recipes import ExtractRecipe, SourcesRecipe
from data_cleaning.sources import fetch, table

SHINGLE, BANDS, ROWS, SEED = 5, 14, 8, 1
ROOT = Path(__file__).resolve().parent.parent


class Console:
    def info(self, text: str) -> None:
        print(text, file=sys.stderr)

    def progress(self, done: int, total: int, unit: str = "step", **figures: float) -> None:
        pass


def real_documents(count: int, names: tuple[str, ...]) -> list[str]:
    """Returns the texts of the named corpus sources in order."""
    sources = tuple(source for source in table.load_sources(ROOT / "sources.toml") if source.name in names)
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "sources", Path(folder) / "documents"
        raw.mkdir()
        out.mkdir()
        fetch.run(SourcesRecipe(sources), {}, raw, Console())
        extract.run(ExtractRecipe(10_000_000, 1_000_000_000, 1_000_000, 4000), {"sources": raw}, out, Console())
        return read_documents(out, columns=["text"])["text"].to_pylist()[:count]


def shingled(text: str) -> set[bytes]:
    """Returns the word 5-grams of a text as encoded strings."""
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[i : i + SHINGLE]).encode() for i in range(max(len(words) - SHINGLE + 1, 1))}


def ours(texts: list[str]) -> np.ndarray:
    """data_cleaning.dedup.minhash: shingle arrays, one xxHash per distinct word, signatures per block."""
    return minhash.signatures(minhash.shingles(normalised(pa.array(texts)), SHINGLE), BANDS * ROWS, SEED)


def datasketch_update(texts: list[str]) -> list[MinHash]:
    """datasketch as in its manual: one `update` per shingle, SHA-1."""
    sketches = []
    for text in texts:
        sketch = MinHash(num_perm=BANDS * ROWS, seed=SEED)
        for shingle in shingled(text):
            sketch.update(shingle)
        sketches.append(sketch)
    return sketches


def datasketch_bulk(texts: list[str]) -> list[MinHash]:
    """datasketch at its fastest: `bulk` with xxHash over string shingles."""
    return MinHash.bulk(map(shingled, texts), num_perm=BANDS * ROWS, seed=SEED, hashfunc=xxhash.xxh32_intdigest)


def our_pairs(signed: np.ndarray) -> set[tuple[int, int]]:
    """Returns candidate pairs from sorted buckets."""
    found = set()
    for bucket in minhash.buckets(signed, BANDS, ROWS):
        rows = bucket.tolist()
        found.update((a, b) for place, a in enumerate(rows) for b in rows[place + 1 :])
    return found


def datasketch_pairs(signed: np.ndarray) -> set[tuple[int, int]]:
    """Returns candidate pairs from MinHashLSH over the same signatures."""
    index, found = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS)), set()
    for row, values in enumerate(signed):
        sketch = MinHash(seed=SEED, hashvalues=values, scheme="affine32")
        found.update((other, row) for other in index.query(sketch))
        index.insert(row, sketch)
    return found


def timed(function: Callable, argument: object) -> tuple[float, object]:
    """Returns (CPU seconds of this process, result). Other load on the machine has little effect on CPU seconds."""
    start = time.process_time()
    result = function(argument)
    return time.process_time() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--block", type=int, default=2_000)
    parser.add_argument("--sources", nargs="+", default=["wiki-en", "wiki-fr", "wiki-es", "bible-bbe", "bible-kjv"])
    arguments = parser.parse_args()
    texts = real_documents(arguments.documents, tuple(arguments.sources))
    words = sum(len(text.split()) for text in texts)
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{len(texts):,} documents, {words / len(texts):.0f} words each, {size:.1f} MB")
    pa.set_cpu_count(1)
    contenders = (ours, datasketch_bulk, datasketch_update)
    seconds = dict.fromkeys(contenders, 0.0)
    signed = []
    for start in range(0, len(texts), arguments.block):
        block = texts[start : start + arguments.block]
        for contender in contenders:
            taken, result = timed(contender, block)
            seconds[contender] += taken
            if contender is ours:
                signed.append(result)
    print("\nshingles and signatures")
    for contender in contenders:
        rate = len(texts) / seconds[contender]
        print(
            f"  {contender.__name__:18} {rate:9,.0f} documents/s   ours is {seconds[contender] / seconds[ours]:5.1f}×"
        )
    together = np.concatenate(signed)
    here, found = timed(our_pairs, together)
    there, answered = timed(datasketch_pairs, together)
    print("\nbuckets to candidate pairs, same signatures")
    for name, taken in (("ours", here), ("MinHashLSH", there)):
        print(f"  {name:18} {len(texts) / taken:9,.0f} documents/s   ours is {taken / here:5.1f}×")
    print(f"  pairs: {len(found):,} and {len(answered):,}, {'equal' if found == answered else 'NOT equal'}")
    whole, reference = seconds[ours] + here, seconds[datasketch_update] + there
    print(
        f"\nboth steps: {len(texts) / whole:,.0f} against {len(texts) / reference:,.0f} documents/s, {reference / whole:.1f}×"
    )


if __name__ == "__main__":
    main()
