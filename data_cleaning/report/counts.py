"""Counts and samples of a corpus step, shard by shard: what it kept by source, and what it dropped by reason."""

import heapq
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from data_cleaning.filters.pii import masked
from data_cleaning.json_lines import read_rows

EXCERPT_CHARACTERS = 200
UNKNOWN = "unknown"  # the language of a text that the identifier is not sure of (Table 10)

Counts = dict[str, dict[str, int]]  # key → {"documents", "bytes"}


def count_by(shards: list[Path], column: str) -> Counts:
    """Returns {value: {"documents", "bytes"}} over all shards, in the order of values; reads one shard at a time."""
    return add(counted_by(pq.read_table(shard, columns=[column, "text"]), column) for shard in shards)


def counted_by(table: pa.Table, column: str) -> Counts:
    """Returns {value: {"documents", "bytes"}} of one table."""
    sized = pa.table({"key": table[column], "bytes": pc.binary_length(table["text"])})
    grouped = sized.group_by("key").aggregate([("bytes", "sum"), ("bytes", "count")]).to_pylist()
    return {row["key"]: {"documents": row["bytes_count"], "bytes": row["bytes_sum"]} for row in grouped}


def add(counts: Iterable[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Returns the sums of nested counts, in the order of their keys."""
    total: dict[str, Counter] = {}
    for one in counts:
        for key, values in one.items():
            total.setdefault(key, Counter()).update(values)
    return {key: dict(total[key]) for key in sorted(total)}


def by_language(table: pa.Table, threshold: float) -> Counts:
    """Returns {language: {"documents", "bytes"}}; UNKNOWN has the texts whose score is below the threshold."""
    sure = pc.greater_equal(table["lang_score"], pa.scalar(threshold, pa.float32()))
    return counted_by(pa.table({"lang": pc.if_else(sure, table["lang"], UNKNOWN), "text": table["text"]}), "lang")


def languages(kept: Counts, gone: Counts) -> dict[str, dict]:
    """Returns {language: {"documents", "bytes", "kept"}} of what was read, the most frequent first."""
    read = add([kept, gone])
    found = {code: count | {"kept": kept.get(code, {}).get("documents", 0)} for code, count in read.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1]["documents"], item[0])))


def dropped_in(table: pa.Table, quotable: pa.Table, samples: int) -> dict[str, dict]:
    """Returns {reason: {"by_source": Counts, "samples"}} of one shard; each sample has its place in the order first.

    `quotable` has the rows of `table` from which samples may be taken.
    """
    reasons: dict[str, dict] = {}
    table = table.append_column("bytes", pc.binary_length(table["text"]))
    grouped = table.group_by(["reason", "source"]).aggregate([("bytes", "sum"), ("bytes", "count")])
    for row in grouped.to_pylist():
        reason = reasons.setdefault(row["reason"], {"by_source": {}, "samples": []})
        reason["by_source"][row["source"]] = {"documents": row["bytes_count"], "bytes": row["bytes_sum"]}
    chosen: dict[str, list] = {}
    for number, (name, reason) in enumerate(zip(*(quotable[c].to_pylist() for c in ("id", "reason")), strict=True)):
        best = chosen.setdefault(reason, [])
        push = heapq.heappush if len(best) < samples else heapq.heappushpop
        push(best, (-order(name), number))  # a heap keeps its largest: those of the smallest hashes
    for reason, best in chosen.items():
        reasons[reason]["samples"] = [
            [-place, sample(quotable, number)] for place, number in sorted(best, reverse=True)
        ]
    return reasons


def merged(parts: Iterable[dict[str, dict]], samples: int) -> dict[str, dict]:
    """Returns {reason: {"documents", "bytes", "by_source", "samples"}} of all shards' `dropped_in`, the largest first."""
    reasons: dict[str, dict] = {}
    for part in parts:
        for name, found in part.items():
            reason = reasons.setdefault(name, {"by_source": [], "samples": []})
            reason["by_source"].append(found["by_source"])
            reason["samples"] += found["samples"]
    whole = {}
    for name, reason in reasons.items():
        by_source = add(reason["by_source"])
        best = sorted(reason["samples"], key=lambda entry: (entry[0], entry[1]["id"]))[:samples]
        sizes = {unit: sum(count[unit] for count in by_source.values()) for unit in ("documents", "bytes")}
        whole[name] = sizes | {"by_source": by_source, "samples": [shown for _, shown in best]}
    return dict(sorted(whole.items(), key=lambda item: (-item[1]["bytes"], item[0])))


def order(name: str) -> int:
    """Returns the place of a document among samples: the hash of its id, spread over the corpus and always the same."""
    return xxhash.xxh64_intdigest(name.encode())


def sample(table: pa.Table, row: int) -> dict:
    """Returns what a report shows of a document; `value` and `detail` are those of a dropped one."""
    document = table.slice(row, 1).to_pylist()[0]
    return {
        "id": masked(document["id"]),
        "value": document.get("value"),
        "detail": masked(document.get("detail") or ""),
        "excerpt": excerpt(document["text"]),
    }


def excerpt(text: str) -> str:
    """Returns the beginning of a text as one line, with placeholders for personal information."""
    line = " ".join(masked(text[: EXCERPT_CHARACTERS * 4]).split())
    return line if len(line) <= EXCERPT_CHARACTERS else line[: EXCERPT_CHARACTERS - 1].rstrip() + "…"


def replaced(pii: Path) -> dict[str, int]:
    """Returns how often the step on personal data put a placeholder in, by kind, the most frequent first."""
    found: Counter[str] = Counter()
    for shard in sorted((pii / "replacements").glob("*.parquet")):
        found.update(pq.read_table(shard, columns=["kind"])["kind"].to_pylist())
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def quarantine(documents: Path, samples: int) -> dict:
    """Returns {"entries", "bytes", "errors": {error: count}, "samples"} of the extraction's quarantine.jsonl."""
    errors, size, first = Counter(), 0, {}
    for _, entry in read_rows(documents / "quarantine.jsonl"):
        kind = entry["error"].partition(":")[0]
        errors[kind] += 1
        size += entry["bytes"]
        if len(first.setdefault(kind, [])) < samples:
            first[kind].append(entry | {name: masked(entry[name]) for name in ("file", "error")})
    return {"entries": errors.total(), "bytes": size, "errors": dict(errors.most_common()), "samples": first}
