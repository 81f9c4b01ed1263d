"""Spellings of one address become one string, and addresses of different pages stay different."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_cleaning.reading.urls import canonical_url

PAGE = "https://example.org/a/b?id=7&lang=en"


@pytest.mark.parametrize(
    "spelling",
    [
        "HTTPS://Example.ORG/a/b?id=7&lang=en",
        "https://example.org.:443/a/b?id=7&lang=en",
        "https://example.org:/a/b?id=7&lang=en",
        "https://example.org/a/b?id=7&lang=en#part",
        "https://example.org/a/b?utm_source=x&id=7&lang=en&UTM_Campaign=y",
        "https://example.org/a/b?fbclid=1&id=7&gclid=2&lang=en&_ga=3",
        "https://example.org/a/b;jsessionid=0AF?id=7&lang=en&PHPSESSID=q",
        "https://example.org/a/b?lang=en&&id=7&",
        "https://example.org/./x/../%61/b?id=%37&lang=en",
        " <https://example.org/a/b?id=7&lang=en>\n",
    ],
)
def test_spellings_of_one_page_are_one(spelling):
    assert canonical_url(spelling) == PAGE


def test_escapes_and_names_outside_ascii_are_one():
    assert canonical_url("http://bücher.example/straße?q=ö ü") == (
        "http://xn--bcher-kva.example/stra%C3%9Fe?q=%C3%B6%20%C3%BC"
    )
    assert canonical_url("http://h.org/a%2fb%c3%9f") == "http://h.org/a%2Fb%C3%9F"
    assert canonical_url("http://h.org/\udcff%") == "http://h.org/%FF%25"
    assert canonical_url("http://h.org") == canonical_url("http://h.org/?#") == "http://h.org/"


@pytest.mark.parametrize(
    "other",
    [
        "http://example.org/a/b?id=7&lang=en",
        "https://www.example.org/a/b?id=7&lang=en",
        "https://example.org:8443/a/b?id=7&lang=en",
        "https://example.org/A/b?id=7&lang=en",
        "https://example.org/a/b/?id=7&lang=en",
        "https://example.org/a%2Fb?id=7&lang=en",
        "https://example.org/a/b?id=8&lang=en",
        "https://example.org/a/b?id=7&lang=en&ref=x",
    ],
)
def test_other_pages_stay_apart(other):
    assert canonical_url(other) not in ("", PAGE)


@pytest.mark.parametrize(
    "text", ["", "u", "n/a", "/docs/a.html", "example.org/a", "http://", "http://h:port/", "http://[::1"]
)
def test_a_text_without_scheme_and_host_is_no_url(text):
    assert canonical_url(text) == ""


@given(st.text(), st.text(), st.text(), st.text())
def test_a_canonical_url_gives_itself(user, path, query, fragment):
    once = canonical_url(f"http://{user}h.org/{path}?{query}#{fragment}")
    assert canonical_url(once) == once and once.isascii()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1), st.randoms())
def test_the_order_of_parameters_counts_only_within_a_name(pairs, random):
    names = sorted({name for name, _ in pairs})
    random.shuffle(names)
    url = "http://h.org/?" + "&".join(f"{name}={value}" for name, value in pairs)
    other = "http://h.org/?" + "&".join(f"{name}={value}" for one in names for name, value in pairs if name == one)
    assert canonical_url(url) == canonical_url(other)
