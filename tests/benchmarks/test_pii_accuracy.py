"""The labelled lines of personal information, and floors for what the rules reach on them."""

import pytest

from benchmarks import pii_accuracy
from data_cleaning.filters.pii import kinds_of, replace_all
from data_cleaning.recipes import EVERY_PII

KINDS = kinds_of(EVERY_PII)
FLOORS = {"email": (0.93, 0.94), "phone": (0.90, 0.95), "ip": (0.97, 0.96), "card": (0.95, 0.97)}  # recall, precision


@pytest.fixture(scope="module")
def lines():
    return pii_accuracy.labelled()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_recall_and_precision_stay_above_the_floors(lines, kind):
    found = next(one for one in pii_accuracy.measure(lines, KINDS) if one.kind == kind.name)
    recall, precision = FLOORS[kind.name]
    assert found.recall >= recall and found.precision >= precision, found
    assert found.exact >= 0.97 * found.reached, "the bounds are those of the labels"


def test_the_set_is_large_and_of_many_languages(lines):
    assert sum(len(line.spans) for line in lines) >= 300
    assert sum(line.lookalikes for line in lines) >= 300
    assert {span[0] for line in lines for span in line.spans} == {kind.name for kind in KINDS}
    assert len({line.language for line in lines}) >= 20


def test_a_labelled_line_is_read_with_public_addresses_and_the_places_of_its_spans():
    (line,) = pii_accuracy.parse(["# ⟦ip|x⟧", "", "en\tfrom ⟦ip|192.0.2.7⟧ to ⟦email|a@example.com⟧, ⟦no|192.0.2.1⟧"])
    assert line.text == "from 172.253.62.7 to a@example.com, 192.0.2.1" and line.lookalikes == 1
    assert [(kind, line.text[first:last]) for kind, first, last in line.spans] == [
        ("ip", "172.253.62.7"),
        ("email", "a@example.com"),
    ]


def test_what_is_found_is_what_is_replaced(lines):
    for line in lines:
        found = sorted(pii_accuracy.found_in(line.text, KINDS), key=lambda span: -span[1])
        text = line.text
        for kind, first, last in found:
            text = text[:first] + pii_accuracy.placeholder(KINDS, kind) + text[last:]
        assert text == replace_all(line.text, KINDS)[0]


def test_misses_other_bounds_and_false_spans_are_counted_apart():
    lines = list(pii_accuracy.parse(["en\t⟦email|xa@example.com⟧ ⟦email|at home⟧ b@example.com", "en\tCall ⟦no|112⟧"]))
    moved = [pii_accuracy.Line("en", lines[0].text, (("email", 1, 14), *lines[0].spans[1:]), 0), lines[1]]
    email = pii_accuracy.measure(moved, KINDS)[0]
    assert (email.labelled, email.found, email.exact, email.reached, email.right) == (2, 2, 0, 1, 1)
    assert email.recall == email.precision == 0.5
    assert sorted(one.partition(":")[0] for one in pii_accuracy.mistakes(moved, KINDS)) == [
        "false",
        "missed",
        "other bounds",
    ]
