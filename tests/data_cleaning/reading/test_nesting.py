"""Pages that would take a parser minutes are left out in time proportional to their size; pages of people are not."""

import pytest

from data_cleaning.reading.nesting import MOST_ATTRIBUTES, MOST_DEPTH, too_costly
from tests.data_cleaning.reading.test_readers import read, write
from tests.data_cleaning.reading.test_web_readers import PAGE, warc


@pytest.mark.parametrize("tag", [b"div", b"b", b"span", b"x-y"])
def test_deep_nesting_and_many_attributes_are_left_out(tag):
    assert "nested deeper" in too_costly(b"<%b>" % tag * (MOST_DEPTH + 1))
    assert too_costly(b"<%b>" % tag * (MOST_DEPTH - 1)) is None
    assert "attributes" in too_costly(b"<%b %b>" % (tag, b" ".join(b"a%d=''" % n for n in range(MOST_ATTRIBUTES + 1))))


@pytest.mark.parametrize(
    "page",
    [
        PAGE.encode(),
        b"<p>One.<p>Two." * 5000,  # the next one closes it
        b"<ul>" + b"<li>item" * 5000 + b"</ul>",
        b"<table>" + b"<tr><td>a<td>b" * 5000,
        b"<br><img src=x>" * 5000,
        b"<div><span>x</span></div>" * 5000,
        b"<!-- " + b"<div>" * 5000 + b" --><p>Text",
        b"<script>" + b"'<div>' + " * 5000 + b"</script><p>Text",
        b"<img src='data:image/png;base64," + b"A1+/ " * 5000 + b"'>",
        b"a < b and c > d" * 3000,
    ],
)
def test_pages_of_people_are_read(page):
    assert too_costly(page) is None


def test_a_page_of_100000_levels_is_quarantined_and_the_others_are_read(tmp_path):
    good = PAGE.format(charset="utf-8").encode()
    pages = [(200, b"text/html", page) for page in (good, b"<div>" * 100_000, good)]
    found, bad = read("warc", write(tmp_path / "a.warc.gz", warc(pages)))
    assert len(found) == 2 and [one.error.partition(" than")[0] for one in bad] == ["HTML nested deeper"]
    assert read("html", write(tmp_path / "a.html", b"<b>" * 100_000))[1]


@pytest.mark.parametrize(
    "page", [b"<" * 200_000, b"<a" * 200_000, b"<!--" * 100_000, b"<script>" * 50_000, b"<a '" * 100_000]
)
def test_hostile_pages_are_looked_at_in_one_pass(page):
    assert too_costly(page) in (None, f"HTML nested deeper than {MOST_DEPTH:,} elements")  # quadratic: never ends
