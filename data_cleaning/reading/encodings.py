"""Decodes bytes of unknown encoding. UTF-8 wins wherever it fits; else a byte order mark or a detector decides."""

import codecs

LEAST_BYTES = 100  # a detector guesses wrong on less
SAMPLE_BYTES = 1 << 20  # that the detector sees
# Longest first: the mark of UTF-32 begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = frozenset(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))) - frozenset("\t\n\r\x0b\x0c\x85")


def decoded(data: bytes) -> tuple[str, dict]:
    """(text, {"encoding": name}); the dict is empty for UTF-8.

    Bytes that fit no encoding become surrogate escapes, so that the caller knows which document contains them.
    """
    name = encoding_of(data)
    if name is None:
        return data.decode("utf-8-sig", "surrogateescape"), {}
    try:
        text = data.decode(name)
    except (UnicodeDecodeError, LookupError):  # the sample was not like the rest, or Python does not know the encoding
        return data.decode("utf-8-sig", "surrogateescape"), {}
    return text, {"encoding": name}


def encoding_of(data: bytes) -> str | None:
    """The encoding of a text that is not UTF-8, as Python names it; None for UTF-8 and for what is no text."""
    marked = next((name for mark, name in MARKS if data.startswith(mark)), None)
    if marked == "utf-8-sig" or (marked is None and (b"\0" in data or _is_utf8(data))):
        return None
    if marked:
        return marked
    if len(data) < LEAST_BYTES:
        return None
    from resiliparse.parse.encoding import detect_encoding

    sample = data[:SAMPLE_BYTES]
    name = detect_encoding(sample)
    try:
        text = sample.decode(name, "replace")
    except LookupError:
        return None
    # A detector names some encoding for any bytes. Text holds no control characters and decodes as a whole.
    return None if _CONTROLS & set(text) or "\ufffd" in text[:-4] else name


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
