import gzip
import io
import json
import re
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_cleaning.json_stream import bounded_lines, json_items
from data_cleaning.packaged_readers import chat_turns
from data_cleaning.raw_records import Bad
from data_cleaning.readers import READERS, reader_for
from tests.data_cleaning.raw import real_sources

MAX = 1 << 20


def read(name, path, max_bytes=MAX):
    items = list(READERS[name](path, max_bytes))
    return [item for item in items if not isinstance(item, Bad)], [item for item in items if isinstance(item, Bad)]


def write(path, data):
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    return real_sources(tmp_path_factory.getbasetemp() / "real")


def test_wikipedia_intros(tmp_path):
    articles = {"Ä": {"title": "Ä", "extract": "A letter.", "topic": "Letters"}, "B": {"title": "B"}}
    good, bad = read("wikipedia_intros", write(tmp_path / "a.json", json.dumps(articles)))
    assert [(r.key, r.title, r.text, r.meta) for r in good] == [("Ä", "Ä", "A letter.", {"topic": "Letters"})]
    assert [b.error for b in bad] == ["no article: an object with title and extract is expected"]


def test_real_wikipedia_is_read_whole(real):
    good, bad = read("wikipedia_intros", real / "raw/wiki-en/summaries_en-us.json")
    assert (len(good), bad) == (10_033, [])
    raw = json.loads((real / "raw/wiki-en/summaries_en-us.json").read_text())
    assert {r.key: r.text for r in good} == {key: value["extract"] for key, value in raw.items()}


def test_real_bibles_give_whole_chapters_without_markup(real):
    kjv, bad = read("bible", real / "raw/bible-kjv/plain_text_readers_bible.py")
    assert (len(kjv), bad) == (1_189, [])
    assert kjv[0].title == "Genesis 1" and kjv[0].text.split(".")[0].strip().startswith("In the beginning God created")
    assert kjv[-1].title == "Revelation 22" and kjv[-1].text.strip().endswith("Amen.")
    assert "darkness was upon" in kjv[0].text
    bbe, bad = read("bible", real / "raw/bible-bbe/plain_text_readers_bible.py")
    assert (len(bbe), bad) == (1_190, [])  # one more: this edition numbers the last chapter of Isaiah 67
    assert next(r for r in bbe if r.title == "Exodus 1").text.strip().startswith("Now these are the names of the sons")
    assert next(r for r in bbe if r.title == "2 Samuel 1").key == "10001"
    assert sum(r.text.strip()[-1] in ".?!:;," for r in bbe) > 1_180
    assert not any(re.search(r"[\d\\\[\]*+]|  ", r.text) for r in bbe + kjv)


def test_chats_join_what_one_says_in_a_row():
    def said(sender, text):
        return {"sender": sender, "text": text}

    messages = [[said("x9", "Hello"), said("x9", "I don't want to -")], [said("x9", "study.")], [said("y", "a\nb")]]
    chat = {"messages": messages}
    assert chat_turns(chat) == [("A", "Hello I don't want to study."), ("B", "a b")]
    assert chat_turns({"messages": [["?"]]}) is None and chat_turns([]) is None


def test_real_chats_keep_every_word(real):
    good, bad = read("chats", real / "raw/chitchat/dataset.json")
    assert (len(good), bad) == (7_168, [])
    raw = json.loads((real / "raw/chitchat/dataset.json").read_text())
    for record in good[::100]:
        said = [m["text"] for group in raw[record.key]["messages"] for m in group]
        words = re.sub(r"^[A-Z]: ", "", record.text, flags=re.MULTILINE).split()
        assert [w for w in words if w != "-"] == [w for text in said for w in text.split() if w != "-"]


def test_text_and_markdown(tmp_path):
    good, _ = read("text", write(tmp_path / "a.txt", b"\xef\xbb\xbfCaf\xc3\xa9\r\nx"))
    assert [r.text for r in good] == ["Café\r\nx"]
    good, _ = read("markdown", write(tmp_path / "a.md", "---\ntags: x\n---\n# The *Title* #\n\nBody"))
    assert [(r.title, r.text) for r in good] == [("The *Title*", "# The *Title* #\n\nBody")]


def test_jsonl_keeps_what_is_whole_and_places_what_is_not(tmp_path):
    lines = ['{"id": 7, "title": "T", "text": "one", "url": "u", "deep": {}}', "{broken", "", '{"body": 1}']
    lines += ['{"content": "two"}', '{"text": "cu']
    good, bad = read("jsonl", write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert [(r.key, r.title, r.text, r.meta) for r in good][0] == ("7", "T", "one", {"url": "u"})
    assert [r.text for r in good] == ["one", "two"]
    data = (tmp_path / "a.jsonl").read_bytes()
    assert [data[b.offset : b.offset + 5] for b in bad] == [b"{brok", b'{"bod', b'{"tex']
    assert bad[1].error == 'no string under "text"; it has body'


def test_json_in_its_shapes(tmp_path):
    shapes = {
        '[{"text": "a"}, {"text": "b"}]': ["a", "b"],
        '{"x": {"text": "a"}, "y": {"text": "b"}}': ["a", "b"],
        '{"title": "t", "text": "a", "more": {"deep": [1]}}': ["a"],
        '["a", "b"]': ["a", "b"],
        "[]": [],
        "\ufeff[\n]": [],
    }
    for number, (text, expected) in enumerate(shapes.items()):
        good, bad = read("json", write(tmp_path / f"{number}.json", text))
        assert ([r.text for r in good], bad) == (expected, []), text
    assert read("json", write(tmp_path / "x.json", "hello"))[1] == [Bad(0, "no JSON object or list", 5)]


def test_csv_with_quotes_over_lines_and_rows_that_do_not_fit(tmp_path):
    data = 'id,Text\n1,"two\nlines, quoted"\n2,plain\n3,too,many\n'
    good, bad = read("csv", write(tmp_path / "a.csv", data))
    assert [(r.key, r.text) for r in good] == [("1", "two\nlines, quoted"), ("2", "plain")]
    assert [b.error for b in bad] == ["row of 3 fields under a header of 2"]
    assert read("csv", write(tmp_path / "b.csv", "a,b\n1,2\n"))[1][0].error == 'no column "text"; it has a, b'
    assert [r.text for r in read("csv", write(tmp_path / "c.tsv", "id\ttext\n1\tx, y\n"))[0]] == ["x, y"]


def test_parquet(tmp_path):
    pq.write_table(pa.table({"text": ["a", "b"], "url": ["u", "v"], "n": [1, 2]}), tmp_path / "a.parquet")
    good, bad = read("parquet", tmp_path / "a.parquet")
    assert ([(r.key, r.text, r.meta) for r in good], bad) == ([("0", "a", {"url": "u"}), ("1", "b", {"url": "v"})], [])
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:200])
    assert read("parquet", tmp_path / "b.parquet")[1][0].error.startswith("broken parquet: ")


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


def warc(pages, packed=True, head=b""):
    """A WARC as crawlers write it: a request and a response for every page, each record packed for itself."""
    data = b""
    for number, (status, kind, body) in enumerate(pages):
        reply = b"HTTP/1.1 %d X\r\nContent-Type: %s\r\n%s\r\n" % (status, kind, head) + body
        for record, block in (("request", b"GET / HTTP/1.1\r\n\r\n"), ("response", reply)):
            opening = (
                f"WARC/1.0\r\nWARC-Type: {record}\r\nWARC-Record-ID: <urn:uuid:{record}-{number}>\r\n"
                f"WARC-Target-URI: https://example.org/{number}\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
                f"Content-Type: application/http; msgtype={record}\r\nContent-Length: {len(block)}\r\n\r\n"
            )
            whole = opening.encode() + block + b"\r\n\r\n"
            data += gzip.compress(whole) if packed else whole
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
    assert reader_for("auto", path) is READERS["warc"]


@pytest.mark.parametrize("packed", [True, False])
def test_pages_that_were_sent_packed_are_unpacked_and_a_bomb_is_passed_over(tmp_path, packed):
    pages = [gzip.compress(page) for page in (PAGE.format(charset="utf-8").encode(), bytes(40 * MAX))]
    stored = warc([(200, b"text/html", page) for page in [*pages, pages[0]]], packed, b"Content-Encoding: gzip\r\n")
    good, bad = read("warc", write(tmp_path / "a.warc", stored))
    assert [("camelid" in r.text, r.title) for r in good] == [(True, "On llamas")] * 2
    assert [b.error for b in bad] == [f"document larger than {MAX:,} bytes"]


def test_a_warc_that_is_cut_or_none_keeps_the_pages_before(tmp_path):
    page = PAGE.format(charset="utf-8").encode()
    whole = warc([(200, b"text/html", page), (200, b"text/html", page)])
    good, bad = read("warc", write(tmp_path / "cut.warc.gz", whole[: len(whole) - 200]))
    assert len(good) == 1 and [b.error.partition(":")[0] for b in bad] == ["page cut short"]
    good, bad = read("warc", write(tmp_path / "none.warc", b"this is no crawl\n" * 10))
    assert good == [] and len(bad) == 1 and bad[0].error.startswith("broken WARC")


def test_auto_picks_by_suffix(tmp_path):
    assert [reader_for("auto", tmp_path / name) for name in ("a.TXT", "a.ndjson", "a.htm", "a.warc.gz", "a.exe")] == [
        READERS[name] if name else None for name in ("text", "jsonl", "html", "warc", None)
    ]


def test_long_lines_are_passed_over_in_pieces():
    data = b"short\n" + b"x" * 1_000_000 + b"\nlast"
    assert list(bounded_lines(io.BytesIO(data), 100)) == [
        (0, 6, b"short"),
        (6, 1_000_001, None),
        (1_000_007, 4, b"last"),
    ]
    assert list(bounded_lines(io.BytesIO(b"12345\r\n67890\n"), 5)) == [(0, 7, b"12345"), (7, 6, b"67890")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(st.lists(JSON, max_size=6) | st.dictionaries(st.text(max_size=4), JSON, max_size=6), st.data())
def test_json_items_gives_what_json_gives_and_before_a_cut_all_that_is_whole(whole, data):
    ascii_only, indent = data.draw(st.booleans()), data.draw(st.sampled_from([None, 1]))
    text = json.dumps(whole, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return  # lone surrogates, which no UTF-8 file holds
    expected = list(whole.items() if isinstance(whole, dict) else enumerate(whole))
    assert [item[1:] for item in json_items(io.BytesIO(text), MAX)] == expected
    cut = data.draw(st.integers(0, len(text) - 1))
    items = list(json_items(io.BytesIO(text[:cut]), MAX))
    assert isinstance(items[-1], Bad)
    got = [item[1:] for item in items[:-1]]
    assert got == expected[: len(got)]
    starts = [item[0] for item in json_items(io.BytesIO(text), MAX)]
    assert len(got) >= sum(start < cut for start in starts[1:]), "an object that was whole before the cut is missing"
    last = items[-1]
    assert 0 <= last.offset <= cut and last.offset + last.bytes == cut


def test_json_items_across_chunks_in_bounded_memory():
    import tracemalloc

    with tempfile.TemporaryFile() as file:
        file.write(b"{")
        for number in range(3_000):
            file.write(f'{"," if number else ""} "k{number}": {{"text": "{"é" * 5_000}"}}'.encode())
        file.write(b"}")
        file.seek(0)
        tracemalloc.start()
        count = sum(len(item[2]["text"]) == 5_000 for item in json_items(file, MAX))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 3_000
    assert peak < 6_000_000, f"{peak:,} bytes held of a 30 MB file"


@pytest.mark.parametrize(
    "text", [b'{"a": ' + b"[" * 100_000, b"[1, 2 3]", b'{"a" 1}', b"{1: 2}", b"[" + b"1" * 6000 + b", 2]"]
)
def test_broken_json_ends_in_one_bad_entry(text):
    items = list(json_items(io.BytesIO(text), MAX))
    assert isinstance(items[-1], Bad) and items[-1].offset + items[-1].bytes == len(text)
