"""A document has the mean score of its lines, a line that of its most severe term."""

import numpy as np
import pyarrow as pa
import pytest

from data_cleaning.report import toxicity
from tests.data_cleaning.report.steps import toxicity_sources


@pytest.fixture
def sources(tmp_path):
    return toxicity_sources(tmp_path / "toxicity")


@pytest.fixture
def rated(sources):
    return toxicity.read_terms(sources)


def test_ratings_become_scores_and_terms_spelt_with_signs_are_left_out(rated):
    assert dict(zip(rated.terms, rated.scores, strict=True)) == {"filthy rat": 1000, "scoundrel": 500, "half wit": 300}


def test_a_line_has_the_score_of_its_most_severe_term(rated):
    lines = ["You half-wit scoundrel!", "FILTHY\trat", "a rat, filthy", "blast", "scoundrels", ""]
    scores, terms = toxicity.line_scores(rated, pa.array(lines))
    assert scores.tolist() == [500, 1000, 0, 0, 0, 0]
    assert terms == {"filthy rat": 1, "half wit": 1, "scoundrel": 1}


def test_a_document_has_the_mean_of_its_lines(rated):
    texts = [
        "scoundrel",  # 0.5
        "scoundrel\n\nGood day.",  # 0.25: an empty line is none
        "filthy rat\nscoundrel\nscoundrel scoundrel",  # 2/3
        "filthy\nrat",  # 0: a term does not go across lines
        "filthy rat",  # 1
        "half-wit\nGood.\nGood.\nGood.\nGood.",  # 0.06
        "",
    ]
    found = toxicity.count(rated, pa.array(texts))
    assert (found["documents"], found["lines"], found["lines_marked"], found["toxic"]) == (7, 14, 7, 3)
    assert found["histogram"] == [2, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1]
    assert found["terms"] == {"filthy rat": 2, "half wit": 1, "scoundrel": 4}


def test_agreement_with_labelled_lines(rated, sources):
    rows = {row["set"]: row for row in toxicity.agreement(rated, sources)}
    toxic, harmless = rows["ToxiGen, toxic to people"], rows["ToxiGen, harmless to people"]
    assert (toxic["lines"], toxic["above_0"], toxic["toxic"], toxic["auc"]) == (2, 0.5, 0.5, 0.75)
    assert (harmless["lines"], harmless["above_0"], harmless["toxic"]) == (2, 0.0, 0.0)
    assert rows["comments, Perspective 0.9–1.0"]["toxic"] == 1.0
    assert rows["comments, Perspective 0.8–0.9"]["above_0"] == 0.0
    assert rows["comments, Perspective 0.5–0.8"]["lines"] == 0


def test_auc_is_the_share_of_ordered_pairs():
    draw = np.random.default_rng(1)
    high, low = draw.integers(0, 5, 30), draw.integers(0, 4, 20)
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in high for b in low]
    assert toxicity.auc(high, low) == pytest.approx(np.mean(pairs), abs=1e-4)
    assert toxicity.auc(high, low[:0]) is None


def test_without_rated_terms_nothing_is_measured(tmp_path):
    (tmp_path / "sources.json").write_text("[]")
    assert toxicity.read_terms(tmp_path) is None
