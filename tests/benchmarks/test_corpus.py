"""The measurements of the corpus: the documents that are made, and the page of the record."""

import json
import re
import sys
from collections import Counter

from benchmarks import corpus, corpus_texts
from data_cleaning.documents import read_documents
from tests.data_cleaning.samples import artifact, manual, table


def test_the_documents_are_real_sentences_with_the_stated_copies(tmp_path):
    known = artifact(tmp_path / "known", a=table(manual()[:30], "wiki-en"), b=table(["Pas en anglais."], "wiki-fr"))
    size = corpus_texts.write(known, tmp_path / "made", 300, 2000)
    texts = read_documents(tmp_path / "made")["text"].to_pylist()
    assert len(texts) == 300 and size == sum(len(text.encode()) for text in texts)
    lower = Counter(text.lower() for text in texts)
    assert sum(lower.values()) - len(lower) == 15, "5 of 100 are copies but for case"
    pages = [text for text in texts if sum(text[:500] == other[:500] for other in texts) >= 15]
    assert len(pages) == 15, "5 of 100 are pages of the template"
    assert sum(bool(re.search(r"\bword\d", text)) for text in texts) == 30, "10 of 100 have words replaced"
    earlier: set[str] = set()
    for number, text in enumerate(texts):
        copied = text.lower() in earlier or re.search(r"\bword\d", text) is not None
        assert corpus_texts.repeats(number) == copied
        earlier.add(text.lower())
    corpus_texts.write(known, tmp_path / "again", 300, 2000)
    assert read_documents(tmp_path / "again")["text"].to_pylist() == texts


def test_the_page_is_that_of_the_record():
    record = json.loads(corpus.RECORD.read_text()) if corpus.RECORD.exists() else {"rows": []}
    assert corpus.PAGE.read_text() == corpus.page(record)


def row(step: str, core_seconds: float, **other: object) -> dict:
    return {
        "made": 1000,
        "step": step,
        "documents": 900,
        "kept": 800,
        "seconds": 2.0,
        "core_seconds": core_seconds,
        "process_mb": 150,
        "worker_mb": 0,
        **other,
    }


def test_the_page_states_rates_memory_and_how_much_faster_than_the_other_tools():
    ours = [row(step, 1.0) for step in ("language", "quality", "pii", "signatures", "dedup")]
    others = [
        row("datatrove cleaning", 45.0, agreement=0.875),
        row("datatrove dedup", 10.0, repeats=90),
        row("text-dedup dedup", 4.0),
    ]
    record = {"processor": "A", "cores": 2, "workers": 2, "versions": {"datatrove": "0.10.0"}, "bytes": {"1000": 4e6}}
    page = corpus.page(record | {"rows": ours + others})
    assert "| 1,000 | pii | 900 | - | 800 | - | 2.0 | 1.0 | 900 | 150 | - |" in page
    assert "| 1,000 | datatrove dedup | 900 | 90 | 800 | - | 2.0 | 10.0 | 90 | 150 | - |" in page
    assert "| 1,000 | datatrove cleaning | 900 | - | 800 | 87.5 % | 2.0 | 45.0 | 20 |" in page
    assert "1,000 (4 MB)" in page and "datatrove 0.10.0" in page
    assert "| 1,000 | cleaning + dedup | datatrove | 55.0 | 5.0 | 11.0× |" in page
    assert "| 1,000 | dedup | text-dedup | 4.0 | 2.0 | 2.0× |" in page
    assert "text-dedup | 4" not in corpus.page(record | {"rows": ours + others[:2]})


def test_core_seconds_count_workers_that_nobody_waits_for():
    """A child of the measured process works and is left to itself, as the pools of some tools are."""
    work = "import time\nwhile time.process_time() < 1: pass"
    start = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {work!r}]); time.sleep(0.2)"
    start += (
        "\nimport psutil\nwhile any(one.status() != 'zombie' for one in psutil.Process().children()): time.sleep(0.2)"
    )
    found = corpus.measure([sys.executable, "-c", start])
    assert found["core_seconds"] > 0.7 and found["worker_mb"] > 0
