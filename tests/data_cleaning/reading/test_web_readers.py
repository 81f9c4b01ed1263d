"""Pages by themselves and in crawls: what is read, what is told where it is broken, and that the others are read."""

import gzip

import pytest

from data_cleaning.reading.archives import is_archive
from data_cleaning.reading.readers import READERS, reader_for
from tests.data_cleaning.reading.test_readers import MAX, read, write

PAGE = """<html><head><title>On llamas</title><meta charset="{charset}"><script>var tracking = 1;</script></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About us</a></li></ul></nav>
<main><article><h1>On llamas</h1><p>The llama is a domesticated South American camelid, née in the Andes.</p>
<p>It has been used as a meat and pack animal since the pre-Columbian era.</p></article></main>
<footer>© 2024 Example. All rights reserved. Cookie settings</footer></body></html>"""


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
def test_html_gives_the_main_content_in_the_encoding_of_the_page(tmp_path, charset):
    page = PAGE.format(charset=charset).encode(charset)
    ((record,), bad) = read("html", write(tmp_path / "a.html", page))
    assert record.title == "On llamas" and bad == []
    assert "camelid, née in the Andes" in record.text and "pack animal" in record.text
    assert not any(word in record.text for word in ("tracking", "About us", "Cookie", "<p>"))


def record(kind, number, type_, block, packed):
    """One record of a crawl, packed for itself if asked for."""
    opening = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{kind}-{number}>\r\n"
        f"WARC-Target-URI: https://example.org/{number}\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
        f"Content-Type: {type_}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    whole = opening.encode() + block + b"\r\n\r\n"
    return gzip.compress(whole) if packed else whole


def warc(pages, packed=True, head=b""):
    """A WARC as crawlers write it: a request and a response for every page, each record packed for itself."""
    data = b""
    for number, (status, kind, body) in enumerate(pages):
        reply = b"HTTP/1.1 %d X\r\nContent-Type: %s\r\n%s\r\n" % (status, kind, head) + body
        for name, block in (("request", b"GET / HTTP/1.1\r\n\r\n"), ("response", reply)):
            data += record(name, number, f"application/http; msgtype={name}", block, packed)
    return data


@pytest.mark.parametrize("packed", [True, False])
def test_warc_pages_are_read_and_the_rest_is_counted(tmp_path, packed):
    page = PAGE.format(charset="utf-8").encode()
    pages = [(200, b"text/html; charset=utf-8", page), (200, b"image/png", b"\x89PNG"), (404, b"text/html", b"gone")]
    pages += [(200, b"text/html", page.replace(b"llama", b"alpaca")), (200, b"text/html", b"<p>" + b"x" * MAX)]
    path = write(tmp_path / ("a.warc.gz" if packed else "a.warc"), warc(pages, packed))
    good, bad = read("warc", path)
    found = [(r.meta["url"], "alpaca" in r.text) for r in good]
    assert found == [("https://example.org/0", False), ("https://example.org/3", True)]
    assert [b.error for b in bad] == [
        "no page: status 200, image/png",
        "no page: status 404, text/html",
        f"document larger than {MAX:,} bytes",
    ]
    assert [b.foreign for b in bad] == [True, True, False]
    assert reader_for("auto", path) is READERS["warc"]


@pytest.mark.parametrize("packed", [True, False])
def test_pages_that_were_sent_packed_are_unpacked_and_a_bomb_is_passed_over(tmp_path, packed):
    pages = [gzip.compress(page) for page in (PAGE.format(charset="utf-8").encode(), bytes(40 * MAX))]
    stored = warc([(200, b"text/html", page) for page in [*pages, pages[0]]], packed, b"Content-Encoding: gzip\r\n")
    good, bad = read("warc", write(tmp_path / "a.warc", stored))
    assert [("camelid" in r.text, r.title) for r in good] == [(True, "On llamas")] * 2
    assert [b.error for b in bad] == [f"document larger than {MAX:,} bytes"]


def wet(texts, packed=True):
    """A WET file: a warcinfo record, then the text of each page, each record packed for itself."""
    data = record("warcinfo", 0, "application/warc-fields", b"Software-Info: wet", packed)
    for number, text in enumerate(texts, start=1):
        data += record("conversion", number, "text/plain", text.encode(), packed)
    return data


@pytest.mark.parametrize("packed", [True, False])
def test_wet_texts_are_read(tmp_path, packed):
    path = write(
        tmp_path / ("a.warc.wet.gz" if packed else "a.warc.wet"), wet(["Née en 1901.", "x" * (MAX + 1), "Two."], packed)
    )
    good, bad = read("warc", path)
    assert [(one.text, one.meta["url"]) for one in good] == [
        ("Née en 1901.", "https://example.org/1"),
        ("Two.", "https://example.org/3"),
    ]
    assert [one.error for one in bad] == [f"document larger than {MAX:,} bytes"]
    assert reader_for("auto", path) is READERS["warc"] and not is_archive(path)


def test_a_warc_that_is_cut_or_none_keeps_the_pages_before(tmp_path):
    page = PAGE.format(charset="utf-8").encode()
    whole = warc([(200, b"text/html", page), (200, b"text/html", page)])
    good, bad = read("warc", write(tmp_path / "cut.warc.gz", whole[: len(whole) - 200]))
    assert len(good) == 1 and [b.error.partition(":")[0] for b in bad] == ["page cut short"]
    for name, packed in (("last.warc.gz", True), ("last.warc", False)):
        one, two = (warc([(200, b"text/html", page)] * count, packed) for count in (1, 2))
        last = two.rindex(b"\x1f\x8b\x08" if packed else b"WARC/1.0")
        for cut in range(len(one) + 1, len(two)):
            good, bad = read("warc", write(tmp_path / name, two[:cut]))
            whole = any(0 <= end - cut <= 4 for end in (last, len(two)))  # but for the blank lines behind a record
            assert len(good) >= 1 and (bad or whole), cut
            if bad and not bad[-1].error.startswith("page cut short"):
                assert bad[-1].offset + bad[-1].bytes == cut
    good, bad = read("warc", write(tmp_path / "none.warc", b"this is no crawl\n" * 10))
    assert good == [] and len(bad) == 1 and bad[0].error.startswith("broken WARC")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("head", [b"Content-Encoding: gzip", b"Content-Encoding: x-own", b"Transfer-Encoding: chunked"])
def test_a_page_that_is_not_sent_as_it_says_leaves_the_others(tmp_path, packed, head):
    page = PAGE.format(charset="utf-8").encode()
    good_page, bad_page = (
        warc([(200, b"text/html", page)], packed),
        warc([(200, b"text/html", page)], packed, head + b"\r\n"),
    )
    good, bad = read("warc", write(tmp_path / "a.warc", good_page + bad_page + good_page))
    assert [r.title for r in good] == ["On llamas"] * 2
    assert [b.error.partition(":")[0] for b in bad] == ["broken page"]


@pytest.mark.parametrize("charset", [b"klingon", b"hex", b"unicode_escape", b'"'])
def test_a_page_in_an_unknown_charset_is_read_by_its_bytes(tmp_path, charset):
    page = PAGE.format(charset="utf-8").encode()
    pages = [(200, b"text/html; charset=" + charset, page), (200, b"text/html", page)]
    good, bad = read("warc", write(tmp_path / "a.warc.gz", warc(pages)))
    assert ["née in the Andes" in r.text for r in good] == [True, True] and bad == []


def test_a_record_whose_type_is_damaged_is_told(tmp_path):
    page = (200, b"text/html", PAGE.format(charset="utf-8").encode())
    crawl = warc([page, page], packed=False).replace(b"WARC-Type: response", b"WARC-Typo: response", 1)
    good, bad = read("warc", write(tmp_path / "a.warc", crawl))
    assert len(good) == 1 and [b.error for b in bad] == ["broken WARC: a record without a type"]
