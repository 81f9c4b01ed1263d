"""Normalises the text of a document before any rule looks at it: line ends, invisible characters, Unicode NFC.

An invisible character inside a word hides the word from every rule: two copies count as different documents, an e-mail
address has no match. Invisible are the controls and the code points that Unicode lets a font ignore (property
Default_Ignorable_Code_Point), with the bidirectional controls among them. Some of them change how a script or an emoji
is shown; those stay where they do.
"""

import re
import unicodedata

ZWSP, ZWNJ, ZWJ, CGJ = "\u200b", "\u200c", "\u200d", "\u034f"
CONTROLS = "\x01-\x08 \x0e-\x1f \x7f-\x84 \x86-\x9f"  # without NUL, which marks a file that is not text
IGNORABLE = (
    "\xad \u034f \u061c \u115f-\u1160 \u17b4-\u17b5 \u180b-\u180f \u200b-\u200f \u202a-\u202e \u2060-\u206f \u3164 "
    "\ufe00-\ufe0f \ufeff \uffa0 \ufff0-\ufffb \U0001bca0-\U0001bca3 \U0001d173-\U0001d17a \U000e0000-\U000e0fff"
)


def _all_but(ranges: list[str]) -> str:
    """Returns a character class of everything outside these ascending ranges, "a" or "a-z".

    The regular expression engine searches with such a class twice as fast as with one that lists the ranges: the first
    entry, a table of the common characters, decides.
    """
    edges = [0, *(edge for one in ranges for edge in (ord(one[0]) - 1, ord(one[-1]) + 1)), 0x10FFFF]
    visible = zip(edges[::2], edges[1::2], strict=True)
    return "[^" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in visible) + "]"


INVISIBLE = re.compile(_all_but(f"{CONTROLS} {IGNORABLE}".split(" ")))
RUN = re.compile(f"{INVISIBLE.pattern}+")  # slower to search for
FLAG_TAGS = re.compile("[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")  # of a region, after a black flag

# Scripts in which a joiner or non-joiner changes the shape of letters: Arabic, Syriac, N'Ko, those of India and of South
# East Asia, Mongolian, Phags-pa, Adlam (Unicode 16, chapters 9, 12, 13, 16; RFC 5892 A.1 and A.2).
JOINING = re.compile(
    r"[\u0600-\u08ff\u0900-\u0fff\u1000-\u109f\u1700-\u18af\u1900-\u1aaf\u1b00-\u1bff\u1c00-\u1c7f\ua800-\ua8ff"
    r"\ua930-\ua95f\ua980-\uaaff\uabc0-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00010a5f\U00010ac0-\U00010aff"
    r"\U00011000-\U00011fff\U0001e900-\U0001e95f]"
)
WITHOUT_SPACES = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf]"
)
MONGOLIAN = re.compile(r"[\u1800-\u180a\u1810-\u18af]")
JAMO = re.compile(r"[\u1100-\u115e\u1161-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]")
# What a variation selector may follow beside symbols: ideographs and their punctuation, and letters with such sequences.
VARIED = re.compile(
    r"[\u203c\u2049\u2139\u3001-\u303f\u3400-\u9fff\uf900-\ufaff\uff01-\uff1f\u1000-\u109f\ua840-\ua87f\uaa60-\uaa7f"
    r"\U00010ac0-\U00010aff\U00013000-\U0001345f\U00020000-\U0003ffff]"
)


def clean(text: str) -> tuple[str, int]:
    """Returns the text normalised and the number of invisible characters removed from it.

    Line ends become "\\n", the text NFC, and no blanks are left at its ends or at line ends. A second call changes
    nothing.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0b", "\n").replace("\x0c", "\n")
    text, removed = remove_invisible(text)
    text = unicodedata.normalize("NFC", text)
    return "\n".join([line.rstrip(" \t") for line in text.split("\n")]).strip(), removed


def remove_invisible(text: str) -> tuple[str, int]:
    """Returns the text without invisible characters that its script does not need, and how many were removed."""
    if INVISIBLE.search(text) is None:
        return text, 0
    visible = RUN.sub(_needed, text)
    return visible, len(text) - len(visible)


def _needed(run: re.Match) -> str:
    """Returns the characters of a run that change how their neighbours are shown, each of them once."""
    text, (start, end) = run.string, run.span()
    before, after = text[start - 1 : start] if start else "", text[end : end + 1]
    if before == "\U0001f3f4" and FLAG_TAGS.fullmatch(run[0]):
        return run[0]
    kept = ""
    for sign in run[0]:
        if sign not in kept and _changes(sign, before, after):
            kept += sign
    return kept


def _changes(sign: str, before: str, after: str) -> bool:
    """Returns whether an ignorable character between these two ("" at an end of the text) changes how they are shown."""
    if sign == ZWSP:  # separates words
        return bool(WITHOUT_SPACES.match(before) and WITHOUT_SPACES.match(after))
    if sign == ZWNJ:
        joined = JOINING.match(before) or JOINING.match(after)
        return bool(joined) and (unicodedata.combining(before or " ") == 9 or (_in_word(before) and _in_word(after)))
    if sign == ZWJ:
        joined = (JOINING.match(before) and _in_word(before)) or (JOINING.match(after) and _in_word(after))
        return bool(joined) or (_is_symbol(before) and _is_symbol(after))
    if sign == CGJ:  # keeps marks in their order, as in Biblical Hebrew
        return bool(before and after and unicodedata.combining(before) and unicodedata.combining(after))
    if "\u180b" <= sign <= "\u180f":
        return MONGOLIAN.match(before) is not None
    if sign in "\u115f\u1160":  # stand for a missing letter of a syllable
        return bool(JAMO.match(before) or JAMO.match(after))
    if "\ufe00" <= sign <= "\ufe0f" or "\U000e0100" <= sign <= "\U000e01ef":
        keycap = after == "\u20e3" and before in "0123456789#*"
        return bool(before) and (keycap or _is_symbol(before) or VARIED.match(before) is not None)
    return False


def _in_word(sign: str) -> bool:
    return bool(sign) and unicodedata.category(sign)[0] in "LMN"


def _is_symbol(sign: str) -> bool:
    """Returns whether this is a symbol outside ASCII; the block of emoji counts as a whole, newer ones included."""
    return sign > "\x7f" and (unicodedata.category(sign)[0] == "S" or "\U0001f000" <= sign <= "\U0001fbff")
