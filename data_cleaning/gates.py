"""Gates of the corpus: each judges an artifact and its inputs and returns (passed, why, figures)."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data_cleaning.documents import read_documents, shard_paths, text_bytes
from data_cleaning.heldout import copies_of_heldout, near_copies_of_heldout
from data_cleaning.json_lines import read_rows
from data_cleaning.report.counts import count_by
from data_cleaning.report.units import megabytes
from data_cleaning.verdict import Verdict

MAX_LOST = 0.9  # a step that drops a larger share of its input is more likely broken than strict
MAX_QUARANTINED = 0.5


def every_source_read(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Passes if there are corpus sources, each gave documents, and most of its records and bytes were readable.

    Foreign input (an image among pages) does not count as unreadable; a source with nothing else fails for want of
    documents.
    """
    fetched = json.loads((inputs["sources"] / "sources.json").read_text(encoding="utf-8"))
    corpus = [source for source in fetched if source["use"] == "corpus"]
    documents = count_by(shard_paths(artifact), "source")
    entries, sizes = Counter(), Counter()  # both, as one entry may cover the rest of a file
    foreign, foreign_sizes = Counter(), Counter()
    for _, entry in read_rows(artifact / "quarantine.jsonl"):
        count, size = (foreign, foreign_sizes) if entry["foreign"] else (entries, sizes)
        count[entry["source"]] += 1
        size[entry["source"]] += entry["bytes"]
    bad, margins = [], []
    if not corpus:
        bad.append("the snapshot has no corpus source: name it as the entries of the sources file do, or add one to it")
    for source in corpus:
        name = source["name"]
        read, refused = documents.get(name, {"documents": 0, "bytes": 0}), entries[name]
        records = read["documents"] + refused
        of_text = source["bytes"] - foreign_sizes[name]
        size = max(of_text, read["bytes"] + sizes[name])  # files are larger with markup, smaller when packed
        unread = max(refused / records, sizes[name] / max(size, 1)) if read["documents"] else 1.0
        margins.append(MAX_QUARANTINED - unread)
        if not read["documents"]:
            bad.append(f"{name} gave no document")
        elif refused > MAX_QUARANTINED * records:
            bad.append(f"{name}: {refused} of {records} records quarantined")
        elif sizes[name] > MAX_QUARANTINED * size:
            bad.append(f"{name}: {megabytes(sizes[name])} of {megabytes(size)} quarantined")
    why = "; ".join(bad) or "every source was read"
    figures = {"documents": sum(count["documents"] for count in documents.values())}
    figures |= {"quarantined": (entries + foreign).total(), "quarantined_bytes": (sizes + foreign_sizes).total()}
    figures |= {"foreign": foreign.total()} | ({"margin": min(margins)} if margins else {})
    return not bad, why, figures


def _judged(inputs: dict[str, Path]) -> Path:
    """Returns the parent whose documents the step judged: the one that contains any."""
    return next(folder for folder in inputs.values() if (folder / "documents").is_dir())


def _ids(folder: Path, part: str = "documents") -> list[str]:
    return read_documents(folder, part, columns=["id"])["id"].to_pylist()


def nothing_lost(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Passes if kept and dropped documents are exactly the parent's and the step did not drop nearly all of them."""
    before, kept = _ids(_judged(inputs)), _ids(artifact)
    dropped = _ids(artifact, "dropped")
    after = kept + dropped
    size = sum(text_bytes(pq.read_table(shard, columns=["text"])) for shard in shard_paths(artifact))
    figures = {"given": len(before), "kept": len(kept), "dropped": len(dropped), "bytes_kept": size}
    if sorted(before) != sorted(after):
        missing, extra = set(before) - set(after), set(after) - set(before)
        return False, f"{len(missing)} documents vanished, {len(extra)} came from nowhere, or some stand twice", figures
    figures["margin"] = len(kept) / max(len(before), 1) - (1 - MAX_LOST)
    if len(kept) < (1 - MAX_LOST) * len(before):
        return False, f"only {len(kept)} of {len(before)} documents kept", figures
    return True, f"{len(kept)} kept and {len(dropped)} dropped make the {len(before)} given", figures


def heldout_apart(artifact: Path, inputs: dict[str, Path], recipe: Any) -> Verdict:
    """Passes if no held-out document is in the training part, and all are from the clean corpus.

    Compares ids, words, and near-duplicates by MinHash.
    """
    clean = set()
    for role, folder in inputs.items():
        if role.startswith("corpus/"):
            clean.update(_ids(folder))
    train_ids, heldout_ids = _ids(artifact, "train"), _ids(artifact, "heldout")
    figures = {"train": len(train_ids), "heldout": len(heldout_ids)}
    if shared := set(train_ids) & set(heldout_ids):
        return False, f"{len(shared)} held-out documents are in the training part", figures
    if copies := copies_of_heldout(artifact):
        return False, f"{copies} training documents repeat a held-out text", figures
    if near := near_copies_of_heldout(artifact, recipe.dedup):
        return False, f"{near} training documents are near-duplicates of a held-out one", figures
    if strangers := (set(train_ids) | set(heldout_ids)) - clean:
        return False, f"{len(strangers)} documents are not of the clean corpus", figures
    if not train_ids or not heldout_ids:
        return False, "the mixture holds no documents to train on, or none to hold out", figures
    return True, "held-out documents are nowhere in the training part", figures
