"""Numbers of payment cards in a text, by scheme and check digit."""

import re
from collections.abc import Iterator

from data_cleaning.filters.scripts import WORD

HINT = r"\p{Nd}{4}[ -]?\p{Nd}{4}"  # \d matches the digits of all scripts in re, but only ASCII digits in RE2
NEAR = 24  # characters of context before a number
# Not inside a longer number, a price, a path or an address. The first digit comes before the look at what is before it:
# so matching passes over other characters fast.
FIRST, AFTER = rf"\d(?<![\d.,/@$€£%+-]\d)(?<!{WORD}\d)", rf"(?!{WORD}|[\d@%€$£]|[-./:,]\d)"
NUMBER = re.compile(rf"{FIRST}\d{{3}}(?:([ -]?)\d{{4}}\1\d{{4}}\1\d{{4}}|([ -]?)\d{{6}}\2\d{{4,5}}){AFTER}")
ANNOUNCED = re.compile(
    r"(?:(?:card|karte|kart|carte|tarjeta|carta|cart[ãa]o|карт[аы]|卡|カード)s?(?:nummer|号|番号は?)?"
    r"|\b(?:cc|pan|mc|visa|master ?card|amex|american express|discover|jcb|diners|maestro|unionpay))"
    r"(?: ?(?:no|nr|number|num|#|n°)\.?)?[\"'\s:：=]*$"
)


def card_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yields (start, end) of every card number."""
    for match in NUMBER.finditer(text):
        before = text[max(match.start() - NEAR, 0) : match.start()].lower()
        announced = ANNOUNCED.search(before) is not None
        if is_card(match[0], announced) and (announced or not before.endswith(("=", ":"))):
            yield match.span()


def is_card(number: str, announced: bool) -> bool:
    """Returns whether length and first digits fit a card scheme and the Luhn check digit is right (ISO/IEC 7812-1).

    UnionPay and Maestro count only if a word announces a card: tables have their numbers too.
    """
    digits = re.sub(r"\D", "", number)
    first = int(digits[:4])
    scheme = (
        (
            len(digits) == 16 and (4000 <= first < 5000 or 5100 <= first < 5600 or 2221 <= first <= 2720)
        )  # Visa, Mastercard
        or (len(digits) == 16 and (first == 6011 or 6440 <= first < 6600 or 3528 <= first <= 3589))  # Discover, JCB
        or (announced and len(digits) == 16 and (6200 <= first < 6300 or first in (5018, 5020, 5038, 6759)))
        or (len(digits) == 15 and first // 100 in (34, 37))  # American Express
        or (len(digits) == 14 and (3000 <= first <= 3059 or first // 100 in (36, 38)))  # Diners Club
    )
    return scheme and luhn(digits)


def luhn(digits: str) -> bool:
    """Returns whether the last digit is the Luhn check digit of the others."""
    doubled = [int(digit) for digit in reversed(digits)]
    doubled[1::2] = [2 * digit - 9 * (digit > 4) for digit in doubled[1::2]]
    return sum(doubled) % 10 == 0
