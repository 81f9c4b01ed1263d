import hashlib
import json

import pyarrow as pa
import pytest

from data_cleaning.documents import DOCUMENT_SCHEMA, DROPPED_SCHEMA, LABELLED_SCHEMA, read_documents, write_shard
from data_cleaning.filters import language
from data_cleaning.recipes import LanguageRecipe
from tests.data_cleaning.raw import real_sources

LID_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return real_sources(tmp_path_factory.getbasetemp() / "real")


def test_the_model_is_the_pinned_one(real):
    assert hashlib.sha256(language.model_path(real).read_bytes()).hexdigest() == LID_SHA256


@pytest.mark.parametrize(("code", "name"), [("en", "en-us"), ("fr", "fr-fr"), ("es", "es-es")])
def test_real_introductions_are_told_apart(real, code, name):
    articles = json.loads((real / "raw" / f"wiki-{code}" / f"summaries_{name}.json").read_text())
    texts = [article["extract"] for article in articles.values()][:1000]
    found, scores = language.identify(texts, language.model_path(real))
    right = sum(one == code for one in found)
    assert right >= 995, f"{code}: {right} of 1,000"
    sure = [one == code for one, score in zip(found, scores, strict=True) if score >= 0.65]
    assert sum(sure) / len(sure) >= 0.999 and len(sure) > 950


def document(number, text):
    return {
        "id": f"own:{number}",
        "source": "own",
        "text": text,
        "title": "",
        "profile": "",
        "meta": "{}",
    }


def test_other_and_unsure_documents_are_dropped_with_score_and_code(tmp_path, real, log):
    texts = [
        "The llama is a domesticated South American camelid,\nwidely used as a meat and pack animal.",
        "Le lama est un camélidé domestique d'Amérique du Sud, utilisé comme animal de bât.",
        "A: Hi",
        "John Smith\njohn@example.org\nParis\n\n"
        + "He was born in the north of England and moved there as a child. " * 5,
    ]
    rows = [document(number, text) for number, text in enumerate(texts)]
    write_shard(pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA), tmp_path / "in" / "documents" / "s.parquet")
    (tmp_path / "out").mkdir()
    inputs = {"documents": tmp_path / "in", "sources": real}
    metrics = language.run(LanguageRecipe(keep=("en",), threshold=0.5), inputs, tmp_path / "out", log)
    kept, dropped = read_documents(tmp_path / "out"), read_documents(tmp_path / "out", "dropped")
    assert kept.schema.equals(LABELLED_SCHEMA) and dropped.schema.equals(DROPPED_SCHEMA)
    assert kept["id"].to_pylist() == ["own:0", "own:3"] and kept["text"].to_pylist()[0] == texts[0]
    french, unsure = dropped.to_pylist()
    assert (french["reason"], french["detail"], french["lang"]) == ("other_language", "fr", "fr")
    assert french["value"] == pytest.approx(french["lang_score"]) and 0.9 < french["value"] <= 1
    assert unsure["id"] == "own:2" and unsure["reason"] in ("unsure_language", "other_language")
    assert metrics["documents_in"] == 4 and metrics["documents_out"] == 2
    assert sum(metrics["languages"].values()) == 4 and metrics["languages"]["fr"] == 1


def test_the_threshold_decides(tmp_path, real, log):
    rows = [document(0, "The llama is a domesticated South American camelid.")]
    write_shard(pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA), tmp_path / "in" / "documents" / "s.parquet")
    (tmp_path / "out").mkdir()
    inputs = {"documents": tmp_path / "in", "sources": real}
    metrics = language.run(LanguageRecipe(keep=("en", "fr"), threshold=1.01), inputs, tmp_path / "out", log)
    assert metrics["dropped_unsure_language"] == 1 and metrics["documents_out"] == 0


def test_a_corpus_without_the_model_says_what_is_missing(tmp_path):
    (tmp_path / "sources.json").write_text("[]")
    with pytest.raises(ValueError, match='holds 0 sources with use = "language_model"'):
        language.model_path(tmp_path)
