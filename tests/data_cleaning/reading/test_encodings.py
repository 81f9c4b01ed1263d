"""Text in other encodings than UTF-8 is read as what it is, and what is no text stays broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_cleaning.reading.encodings import decoded, encoding_of
from data_cleaning.reading.extract import problem
from tests.data_cleaning.reading.test_readers import read, write

GERMAN = "Der Bär läuft über die Brücke und grüßt die Männer, die müßig am Ufer stehen. " * 3
RUSSIAN = "Медведь идёт через мост и приветствует людей, которые стоят на берегу реки. " * 3


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(GERMAN, "utf-8"), (GERMAN, "utf-8-sig"), (GERMAN, "iso-8859-1"), (GERMAN, "windows-1252"), (GERMAN, "utf-16"),
     (GERMAN, "utf-32"), (RUSSIAN, "windows-1251"), (RUSSIAN, "koi8-r"), (RUSSIAN, "utf-16")],
)  # fmt: skip
def test_text_and_markdown_are_read_in_their_encoding(tmp_path, text, encoding):
    for reader in ("text", "markdown"):
        ((record,), bad) = read(reader, write(tmp_path / "a.txt", text.encode(encoding)))
        assert record.text == text and bad == []
        assert bool(record.meta) != encoding.startswith("utf-8")


@given(st.text())
def test_utf_8_is_never_taken_for_something_else(text):
    data = text.encode("utf-8", "surrogatepass")
    try:
        data.decode()
    except UnicodeDecodeError:
        return
    assert decoded(data)[0] == data.decode("utf-8-sig") or data[:4] in (b"\xff\xfe", b"\xfe\xff")


@pytest.mark.parametrize("data", [b"\x00\x01\x02" * 50, bytes(range(256)) * 4, b"\x89PNG\r\n\x1a\n" + b"\x00\xff" * 99])
def test_bytes_that_are_no_text_stay_a_fault(data):
    assert encoding_of(data) is None
    assert problem(decoded(data)[0], 1 << 20)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_text_or_a_fault(data):
    text, found = decoded(data)
    assert isinstance(text, str) and (not found or data.decode(found["encoding"]) == text)
