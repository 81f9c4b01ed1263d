"""Telephone numbers in a text: a linear-time pattern finds candidates, libphonenumber's numbering plans decide.

Precision comes before recall: a number without a country code counts only in a form that other numbers do not have
(`(415) 555-2671`), or after a word that announces a telephone number.
"""

import functools
import re
from collections.abc import Iterator, Sequence

import phonenumbers
from phonenumbers import NumberParseException, ValidationResult

from data_cleaning.filters.phone_words import announced_in
from data_cleaning.filters.scripts import WORD

NEAR = 32  # characters of context before a number
MIN_DIGITS, MAX_DIGITS = 8, 15  # E.164 allows 15; shorter digit runs are too common in text
POSSIBLE, VALID = 1, 2

_BLANKS = " \u00a0\u202f"
_DASHES = "\u2010-\u2013-"  # the last one is the sign of the keyboard
_BEFORE = rf"(?<![\d.,/@=$€£%+-])(?<!{WORD})"  # not inside a longer number, a price, a path or an address
_AFTER = rf"(?!{WORD}|[\d@%€$£]|[-./:,]\d)"
# One digit per repetition: each run of digits matches in one way only, so matching takes linear time.
_SEPARATORS = rf"[{_BLANKS}.()/\uff0d{_DASHES}]{{0,2}}"
# The first character comes before the look at what is before it: so matching passes over other characters fast.
SUSPECT = re.compile(
    rf"[(+\d](?<![\d.,/@=$€£%+-][(+\d])(?<!{WORD}[(+\d])(?:(?<=\()(?:\+[1-9]|\d)|(?<=\+)[1-9]|(?<=\d))"
    rf"(?:{_SEPARATORS}\d){{6,17}}{_AFTER}"
)
HINT = rf"\p{{Nd}}(?:[{_BLANKS}.()/\x{{ff0d}}\x{{2010}}-\x{{2013}}-]{{0,2}}\p{{Nd}}){{6}}"  # in every suspect (RE2)
FORMS = {
    # (415) 555-2671, 415-555-2671, 1-800-555-0199: North America, area and exchange begin with 2 to 9
    "US": re.compile(
        rf"{_BEFORE}(?:1[{_BLANKS}.{_DASHES}])?(?:\([2-9]\d\d\)[{_BLANKS}{_DASHES}]?|[2-9]\d\d([.{_DASHES}]))[2-9]\d\d"
        rf"(?(1)\1|[{_BLANKS}.{_DASHES}])\d{{4}}{_AFTER}"
    ),
    # 01.42.68.53.00; with dashes, not the start of a MAC address
    "FR": re.compile(rf"{_BEFORE}0[1-9](?:([{_BLANKS}.-])\d\d)(?:\1\d\d){{3}}{_AFTER}(?!-[0-9A-Fa-f]{{2}}\b)"),
    # not in a table of numbers: 020 7946 0123, 0207 946 0123, (0161) 496 0123, 01632 960123, 07700 900123
    "GB": re.compile(
        rf"{_BEFORE}(?<!\d[{_BLANKS}])(?:02\d[{_BLANKS}]\d{{4}}[{_BLANKS}]\d{{4}}|020[378][{_BLANKS}]\d{{3}}[{_BLANKS}]\d{{4}}"
        rf"|(\()?01(?:1\d|\d1)(?(1)\))[{_BLANKS}]\d{{3}}[{_BLANKS}]\d{{4}}|0[17]\d{{3}}[{_BLANKS}]\d{{6}}){_AFTER}(?![{_BLANKS}]\d)"
    ),
}
# Years, or numbers of two digits: 2010-2011, 10 20 30 40
SMALL_NUMBERS = re.compile(r"(?:1[5-9]|20)\d\d(?:\D+(?:1[5-9]|20)\d\d)*|[1-9]\d?(?:\D+\d{1,2})*")
ANY_NUMBERS = re.compile(rf"0\d(?:[{_BLANKS}]\d\d){{4}}")  # 07 14 21 33 42
# +48.858222 (a coordinate); +12 345 678 (an amount)
QUANTITY = re.compile(rf"\+\d{{1,3}}\.\d{{4}}.*|\+\d{{2,3}}(?:[{_BLANKS}.]\d{{3}}){{2}}")
OTHER = re.compile(
    r"(?:isbn|issn|doi|oclc|pmid|arxiv|lccn|\b(?:order|invoice|part|item|article|serial|model|ticket|case|claim|account|patent"
    r"|reference|ref|sku)(?: number| id| code| no| nr)?|(no\.|nr\.|#))[-\d\s:.]*$"
)
# After a number: "ext. 23", "x104", "Durchwahl 12"
EXTENSION = re.compile(
    rf"[{_BLANKS}]?,?[{_BLANKS}]?(?:ext(?:ension|n)?|x|durchwahl|dw|poste)[.:]?[{_BLANKS}]?\d{{1,6}}\b", re.IGNORECASE
)


def phone_spans(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yields (start, end) of every telephone number; national numbers are recognised for `regions` (ISO 3166)."""
    suspect = SUSPECT.search(text)
    while suspect:
        found = _number(text, *suspect.span(), regions)
        if found:
            extension = EXTENSION.match(text, found[1])
            found = found[0], extension.end() if extension else found[1]
            yield found
        suspect = SUSPECT.search(text, found[1] if found else suspect.end())


def _number(text: str, start: int, end: int, regions: Sequence[str]) -> tuple[int, int] | None:
    """Returns (start, end) of the number inside a suspect, or None."""
    before = text[max(start - NEAR, 0) : start].lower()
    other = OTHER.search(before)
    countries = announced_in(before[: other.start()] if other else before)
    called = countries is not None
    if other and not (other[1] and called):  # but "Phone no." announces a telephone number
        return None
    if before.endswith((":", "：")) and not called:  # a time, a verse, a port
        return None
    beside = text[max(start - 1, 0) : start] + text[end : end + 1]
    if not called and text[start] != "+" and any(map(str.isalpha, beside)):  # 共415-555-2671元
        return None
    if text[start] == "(" and text.count("(", start, end) > text.count(")", start, end):  # closed later
        start += 1
    suspect, found = text[start:end], None
    if suspect.startswith(("+", "(+")):
        found = _international(suspect)
        found = None if found and QUANTITY.fullmatch(found) and not called else found
    elif called:
        found = _national(suspect, (*regions, *countries))
    if found:
        return start, start + len(found)
    for region in regions:
        form = FORMS[region].search(text, start, end + 4) if region in FORMS else None
        if form and (called or (_standing(form[0], region) == VALID and not ANY_NUMBERS.fullmatch(form[0]))):
            return form.span()
    return None


def _international(suspect: str) -> str | None:
    """Returns the longest valid number that a suspect begins with, else the longest possible one, else None."""
    possible = None
    for number in _beginnings(suspect):
        standing = _standing(number, None)
        if standing == VALID:
            return number
        if standing == POSSIBLE and possible is None:
            possible = number
    return possible


def _national(suspect: str, regions: Sequence[str]) -> str | None:
    """Returns the longest number that a suspect begins with and that is valid in one of the regions, or None."""
    for number in _beginnings(suspect):
        if SMALL_NUMBERS.fullmatch(number):
            continue
        if any(_is_whole(number, region) and _standing(number, region) == VALID for region in regions):
            return number
    return None


def _is_whole(number: str, region: str) -> bool:
    """Returns whether a short number has the 0 that begins numbers of its country: others are numbers of things."""
    digits = [int(character) for character in number if character.isdecimal()]
    return len(digits) >= 10 or digits[0] == 0 or prefix_of(region) != "0"


@functools.cache
def prefix_of(region: str) -> str | None:
    """Returns the digits that begin numbers within a country."""
    return phonenumbers.ndd_prefix_for_region(region, True)


def _beginnings(suspect: str) -> Iterator[str]:
    """Yields the prefixes of a suspect that end at a blank and have a plausible number of digits, longest first."""
    end = len(suspect)
    while end > 0:
        number = suspect[:end].rstrip(f"{_BLANKS}.()/-")
        digits = [character for character in number if character.isdecimal()]
        if len(digits) < MIN_DIGITS:
            return
        if len(digits) <= MAX_DIGITS and len(set(digits)) > 2:
            yield number
        end = max(suspect.rfind(blank, 0, end) for blank in _BLANKS)


def _standing(number: str, region: str | None) -> int:
    """Returns VALID if the numbering plan of its country code (or of `region` without one) assigns the number.

    POSSIBLE means only that the length fits: numbering plans grow.
    """
    try:
        parsed = phonenumbers.parse(number, region)
    except NumberParseException:
        return 0
    if phonenumbers.is_valid_number(parsed):
        return VALID
    return POSSIBLE if phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.IS_POSSIBLE else 0
