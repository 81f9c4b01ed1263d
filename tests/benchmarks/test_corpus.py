"""The measurements of the corpus: the documents that are made, and the page of the record."""

import json
import re
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
    corpus_texts.write(known, tmp_path / "again", 300, 2000)
    assert read_documents(tmp_path / "again")["text"].to_pylist() == texts


def test_the_page_is_that_of_the_record():
    record = json.loads(corpus.RECORD.read_text()) if corpus.RECORD.exists() else {"rows": []}
    assert corpus.PAGE.read_text() == corpus.page(record)


def test_a_row_of_the_page_states_rate_and_memory():
    row = {"made": 1000, "step": "pii", "documents": 900, "seconds": 2.0, "process_mb": 150, "worker_mb": 0}
    page = corpus.page({"processor": "A", "cores": 2, "workers": 2, "rows": [row]})
    assert "| 1,000 | pii | 900 | 2.0 | 450 | 150 | - |" in page
