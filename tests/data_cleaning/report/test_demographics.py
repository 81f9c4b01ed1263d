"""Pronouns and descriptors are counted by document, as whole words, in any case, and never twice."""

import random

import numpy as np
import pyarrow as pa
import pytest

from data_cleaning.filters.words import normalised, split_words
from data_cleaning.report import demographics, terms
from data_cleaning.report.mentions import Terms
from tests.data_cleaning.samples import manual


def counted(*texts):
    return demographics.count(pa.array(texts, pa.string()))


def some(counts):
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("She said that SHE saw herself.", {"gender": 1, "person": 1, "She": 1, "3rd": 1}),
        ("I'm here. They’re there; it rains.", {"gender": 1, "person": 1, "Unspecified": 1, "1st": 1, "3rd": 1}),
        ("Give it to you, my friend.", {"person": 1, "1st": 1, "2nd": 1, "3rd": 1}),
        ("The US and IT sector.", {}),
        ("Give us a sign.", {"person": 1, "1st": 1}),
        ("Theory, hershey, youth, mine-shaft", {"person": 1, "1st": 1}),  # "mine" is a word of its own there
        ("", {}),
    ],
)
def test_pronouns_of_a_text(text, kinds):
    assert some(counted(text)["pronouns"]) == kinds


def test_descriptors_are_counted_by_document_and_axis():
    found = counted(
        "An African-American pastor and an african american choir.",
        "Jewish and Christian, Christian and Jewish.",
        "Americans; Christianity; female",
        "black and white and straight",
    )
    assert some(found["descriptors"]) == {
        "african": 1, "american": 1, "african american": 1, "jewish": 1, "christian": 1, "female": 1
    }  # fmt: skip
    assert some(found["axes"]) == {"Gender and sex": 1, "Nationality": 1, "Race and ethnicity": 1, "Religion": 1}


def test_terms_are_found_where_a_search_word_by_word_finds_them():
    texts = manual()[:40]
    vocabulary = sorted({word for text in texts for word in normalised(pa.array([text]))[0].as_py().split()})
    draw = random.Random(3)
    words_of = [normalised(pa.array([text]))[0].as_py().split() for text in texts]
    listed = set(draw.sample(vocabulary, 30))
    for words in words_of[:40]:
        start = draw.randrange(len(words) - 3)
        listed.update({" ".join(words[start : start + 2]), " ".join(words[start : start + 3])})
    listed = sorted(listed)
    found = np.zeros((len(texts), len(listed)), int)
    np.add.at(found, Terms(listed).found(split_words(normalised(pa.array(texts)))), 1)
    for row, words in enumerate(words_of):
        for place, term in enumerate(listed):
            size = len(term.split())
            here = sum(" ".join(words[at : at + size]) == term for at in range(len(words) - size + 1))
            assert found[row, place] == here, (term, row)


@pytest.mark.parametrize("listed", [["one", ""], ["one", "two", "one"]])
def test_terms_that_cannot_be_told_apart_are_refused(listed):
    with pytest.raises(ValueError, match="distinct"):
        Terms(listed)


def test_no_descriptor_is_on_two_axes_and_all_are_in_the_form_of_the_words():
    every = demographics.DESCRIBING + demographics.LISTED
    assert len(set(demographics.DESCRIBING)) == len(demographics.DESCRIBING)
    assert list(every) == normalised(pa.array(every)).to_pylist()
    assert not {"straight", "white", "black"} & set(every)
    assert terms.PAPER_TERMS.keys() <= set(demographics.DESCRIBING)
    assert terms.PAPER_AXES.keys() == terms.DESCRIPTORS.keys()
