"""The contaminated share of questions against a literal search over all training tokens."""

import numpy as np
import pytest

from modeling.core.recipes import ContaminationTestRecipe
from modeling.evaluation import contaminated_tokens
from tests.data_cleaning.contamination.test_skipgrams import literal

SEPARATOR = 99


def recipe(exact=10, skips=4, lengths=(10, 20, 30, 40, 50)) -> ContaminationTestRecipe:
    return ContaminationTestRecipe(exact_tokens=exact, skip_budget=skips, least_lengths=lengths, least_z=2.0)


def shares(config, questions, documents, folder, log, shards=1):
    """The documents with a separator after each, in so many files."""
    (folder / "train").mkdir(parents=True)
    paths = []
    for number in range(shards):
        flat = [token for document in documents[number::shards] for token in (*document, SEPARATOR)]
        paths.append(folder / "train" / f"{number:05d}.npy")
        np.save(paths[-1], np.array(flat, np.uint16))
    return contaminated_tokens.shares(config, questions, paths, (SEPARATOR,), folder / "out", log)


def literal_share(config, question, documents, least) -> float:
    inside = [False] * len(question)
    for document in documents:
        for (_, start), length in literal(document, question, config.exact_tokens, config.skip_budget).items():
            if length >= least:
                inside[start : start + length] = [True] * length
    return sum(inside) / max(len(inside), 1)


@pytest.mark.parametrize("seed", range(12))
def test_shares_are_those_of_a_literal_search(seed, tmp_path, monkeypatch, log):
    """Small pieces, so that spans cross them; few different tokens, so that spans overlap and repeat."""
    monkeypatch.setattr(contaminated_tokens, "PIECE", 5 + 4 * seed)
    generator = np.random.default_rng(seed)
    config = recipe(exact=2 + seed % 3, skips=seed % 4, lengths=(2, 5, 9, 14))
    sizes = generator.integers(0, 40, 5)
    questions = [generator.integers(0, 3, size).tolist() for size in sizes]
    documents = [generator.integers(0, 3, generator.integers(0, 60)).tolist() for _ in range(6)]
    documents += [questions[0][3:], [0, 1, *questions[1], 2]]
    found = shares(config, questions, documents, tmp_path, log, shards=1 + seed % 3)
    for least in config.least_lengths:
        wanted = [literal_share(config, question, documents, least) for question in questions]
        assert found[least].tolist() == wanted, least


@pytest.mark.parametrize(
    ("length", "wanted"),
    [(10, {}), (11, {10: 11}), (19, {10: 19}), (20, {10: 20, 20: 20}), (49, {10: 49, 20: 49, 30: 49, 40: 49})],
)
def test_a_span_counts_from_eleven_tokens_and_from_the_least_length_on(length, wanted, tmp_path, log):
    question = list(range(100, 160))
    found = shares(recipe(), [question], [[1, 2, *question[5 : 5 + length], 3]], tmp_path, log)
    assert {least: 60 * float(value[0]) for least, value in found.items() if value[0]} == pytest.approx(wanted)


def test_no_span_goes_on_into_the_next_document(tmp_path, log):
    """The separator would be one mismatch of four."""
    question = list(range(100, 130))
    cut = [question[:12], question[13:25]]
    found = shares(recipe(), [question], cut, tmp_path, log)
    assert found[10][0] == pytest.approx(24 / 30) and found[20][0] == 0
    joined = shares(recipe(), [question], [[*cut[0], 1, *cut[1]]], tmp_path / "joined", log)
    assert joined[20][0] == pytest.approx(25 / 30)


def test_finished_shards_are_not_searched_again(tmp_path, log, monkeypatch):
    question = list(range(100, 130))
    first = shares(recipe(), [question], [question[:15], question[15:]], tmp_path, log, shards=2)
    monkeypatch.setattr(contaminated_tokens, "find_spans", None)
    paths = sorted((tmp_path / "train").glob("*.npy"))
    again = contaminated_tokens.shares(recipe(), [question], paths, (SEPARATOR,), tmp_path / "out", log)
    assert {least: value.tolist() for least, value in again.items()} == {
        least: value.tolist() for least, value in first.items()
    }
    assert first[10][0] == 1.0
