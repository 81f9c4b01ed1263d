import io
import json
import re
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_cleaning.reading.json_stream import bounded_lines, json_items
from data_cleaning.reading.packaged_readers import chat_turns
from data_cleaning.reading.raw_records import Bad
from data_cleaning.reading.readers import READERS, reader_for
from tests.data_cleaning.raw import real_sources
from tests.data_cleaning.samples import LINE_SEPARATORS

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
    articles["C"] = {"title": None, "extract": "Another."}
    good, bad = read("wikipedia_intros", write(tmp_path / "a.json", json.dumps(articles)))
    assert [(r.key, r.title, r.text, r.meta) for r in good] == [
        ("Ä", "Ä", "A letter.", {"topic": "Letters"}),
        ("C", "", "Another.", {}),
    ]
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
    assert all(chat_turns(chat) is None for chat in ({"messages": [["?"]]}, {"messages": [1]}, {}, []))


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


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ("###  Deep ##  ", "Deep"),
        ("#hashtag", ""),
        ("# a" + " " * 200_000 + "b", "a" + " " * 200_000 + "b"),  # minutes where the pattern backtracks
        ("# " + "# " * 100_000, ""),
    ],
)
def test_the_heading_of_a_markdown_file(tmp_path, heading, title):
    good, _ = read("markdown", write(tmp_path / "a.md", f"Text\n{heading}\nmore"))
    assert [r.title for r in good] == [title]


def test_jsonl_keeps_what_is_whole_and_places_what_is_not(tmp_path):
    lines = ['{"id": 7, "title": "T", "text": "one", "url": "u", "deep": {}}', "{broken", "", '{"body": 1}']
    lines += ['{"content": "two"}', '{"text": "cu']
    good, bad = read("jsonl", write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert [(r.key, r.title, r.text, r.meta) for r in good][0] == ("7", "T", "one", {"url": "u"})
    assert [r.text for r in good] == ["one", "two"]
    data = (tmp_path / "a.jsonl").read_bytes()
    assert [data[b.offset : b.offset + 5] for b in bad] == [b"{brok", b'{"bod', b'{"tex']
    assert bad[1].error == 'no string under "text"; it has body'


def test_line_separators_inside_strings_end_no_document(tmp_path):
    text = f"a{LINE_SEPARATORS}b"
    rows = "\n".join(json.dumps({"text": text + end}, ensure_ascii=False) for end in "12")
    for kind in ("jsonl", "json"):
        good, bad = read(kind, write(tmp_path / f"a.{kind}", rows))
        assert ([r.text for r in good], bad) == ([text + "1", text + "2"], [])
    good, bad = read("csv", write(tmp_path / "a.csv", f'text\n{text}\n"{text}"\n'))
    assert ([r.text for r in good], bad) == ([text, text], [])


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


def test_json_lines_under_the_suffix_of_json_are_read_as_lines(tmp_path):
    lines = b'\xef\xbb\xbf{"text": "a", "id": 1}\n\n{"text": "b"}\n{oops\n["x"]\n"c"'
    good, bad = read("json", write(tmp_path / "a.json", lines))
    assert [(r.key, r.text) for r in good] == [("1", "a"), ("", "b"), ("", "c")]
    assert [(lines[b.offset : b.offset + 5], b.error) for b in bad] == [
        (b"{oops", "no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b'["x"]', 'no string under "text"'),
    ]
    good, bad = read("json", write(tmp_path / "b.json", '{"text": "a"}\n  \n'))
    assert ([r.text for r in good], bad) == (["a"], [])


@pytest.mark.parametrize("first", ['{"text": "a",\n"n": 1}', '[{"text": "a"}\n]', '{"x": {"text":\n"a"}}', '["a"\n]'])
def test_what_follows_a_json_value_is_told_and_counted(tmp_path, first):
    for number, rest in enumerate(('{"text": "b"}', "x" * 400_000)):
        good, bad = read("json", write(tmp_path / f"{number}.json", first + "\n" + rest))
        assert [r.text for r in good] == ["a"]
        why = 'more after the JSON value: for JSON lines set reader = "jsonl"'
        assert bad == [Bad(len(first) + 1, why, len(rest))]


def test_a_single_json_document_is_held_up_to_the_bound_and_a_cut_one_not_at_all(tmp_path):
    members = ", ".join(f'"k{number}": "{"x" * 1000}"' for number in range(2_000))
    good, bad = read("json", path := write(tmp_path / "a.json", '{"text": "a", ' + members + "}"), 100_000)
    assert (good, bad) == ([], [Bad(0, "document larger than 100,000 bytes", path.stat().st_size)])
    good, bad = read("json", path := write(tmp_path / "b.json", '{"title": "t", "text": "a", "more": [1, '))
    assert good == [] and [(b.offset, b.bytes) for b in bad] == [(0, path.stat().st_size)]


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
    assert ([(r.key, r.text, r.meta) for r in good], bad) == ([("", "a", {"url": "u"}), ("", "b", {"url": "v"})], [])
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:200])
    assert read("parquet", tmp_path / "b.parquet")[1][0].error.startswith("broken parquet: ")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_a_parquet_string_that_is_no_utf8_is_told_by_its_document(tmp_path, kind):
    whole = pa.array(["a", "b~", None, "c"], kind)
    pq.write_table(pa.table({"text": whole}), tmp_path / "a.parquet", compression="none")
    write(tmp_path / "a.parquet", (tmp_path / "a.parquet").read_bytes().replace(b"b~", b"b\xff"))
    good, bad = read("parquet", tmp_path / "a.parquet")
    assert [r.text for r in good] == ["a", "b\udcff", "c"] and [b.offset for b in bad] == [2]


def test_parquet_rows_that_are_broken_or_a_bomb_are_passed_over(tmp_path):
    path = tmp_path / "a.parquet"
    with pq.ParquetWriter(path, pa.schema([("text", pa.string())]), compression="zstd", use_dictionary=False) as file:
        for texts in (["a", "b"], ["x" * (64 << 20)], ["broken " * 99], ["c"]):
            file.write_table(pa.table({"text": texts}))
    place = pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    damaged = bytearray(path.read_bytes())
    damaged[place : place + 8] = b"\xff" * 8
    path.write_bytes(damaged)
    good, bad = read("parquet", path)
    assert [(r.offset, r.text) for r in good] == [(0, "a"), (1, "b"), (4, "c")]
    assert [(b.offset, b.error.partition(":")[0]) for b in bad] == [
        (2, "rows that unpack like a bomb"),
        (3, "broken parquet"),
    ]


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
