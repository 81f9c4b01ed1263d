"""Rules that check the form of an answer: sentences, lists, case, length, phrases, language.

Each takes the value of a constraint and the answer without outer spaces, which has at least one word.
"""

import re
from functools import cache

from modeling.dialogues import answer_rules, splits

Value = int | str

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
MOST_REPETITION = 0.3  # share of repeated word trigrams above which words do not count as said
LEAST_WORDS = 3  # an answer about which "no commas" or "under 20 words" says anything

_ABBREVIATION = re.compile(r"(?:\b(?:[A-Za-z]|Dr|Mr|Mrs|Ms|St|vs|etc|approx|No|Prof|Inc)|^\W*\d+)\.$")
_SENTENCE = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|\n+")
BULLET, NUMBERED = re.compile(r"^\s*[-*•]\s+(?=\S)"), re.compile(r"^\s*(\d+)[.)]\s+(?=\S)")

# Frequent function words by language, and those that French and Spanish share. Words that are also English are left out.
_STOP_WORDS = {
    "English": "the of and to is are was were it that this with for from by as at you your they have has be or an not can "
    "which these will here sure answer i my we our their its what in there but if when how",
    "French": "le les des du est et une dans pour qui il elle je vous nous sont avec sur au aux ce cette pas plus ne ou "
    "mais par comme être ont sa ses leur ces l d c j s n qu à où peut votre vos",
    "Spanish": "el los las del y es una por para con su sus como más pero lo al está este esta muy también o ser han hay "
    "puede cuando sobre entre usted yo él ella nos desde son",
    "Romance": "de la un en que se me tu",
}
LEAST_SHARE = 0.25  # of the words, in the language asked for; prose has 0.35 to 0.55
MOST_ENGLISH = 0.05  # of the words, in English; English prose has 0.35 and more


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text that hold a word. Abbreviations and list numbers end no sentence."""
    found, start = [], 0
    for end in _SENTENCE.finditer(text):
        if "\n" in end.group() or not _ABBREVIATION.search(text[start : end.end()]):
            found.append(text[start : end.end()])
            start = end.end()
    return [part.strip() for part in [*found, text[start:]] if WORD.search(part)]


def _finished(text: str) -> bool:
    return text.rstrip("\"'”’)] ").endswith((".", "!", "?", "…"))


def exact_sentences(count: Value, answer: str) -> bool:
    return len(sentences(answer)) == count and _finished(answer)


def list_of(marker: re.Pattern, count: Value, answer: str) -> bool:
    """Exactly `count` different items, which fill the answer up to one line before and one line after them."""
    lines = [line for line in answer.splitlines() if line.strip()]
    places = [place for place, line in enumerate(lines) if marker.match(line)]
    items = {splits.entity(marker.sub("", lines[place])) for place in places}
    if len(places) != count or len(items) != count or "" in items or len(lines) > len(places) + 2:
        return False
    return places[-1] - places[0] == len(places) - 1


def numbered(count: Value, answer: str) -> bool:
    numbers = [int(found[1]) for line in answer.splitlines() if (found := NUMBERED.match(line))]
    return numbers == list(range(1, int(count) + 1)) and list_of(NUMBERED, count, answer)


def lower(_: Value, answer: str) -> bool:
    return answer == answer.lower() and any(letter.isalpha() for letter in answer)


def upper(_: Value, answer: str) -> bool:
    return answer == answer.upper() and any(letter.isalpha() for letter in answer)


def below(count: Value, answer: str) -> bool:
    return LEAST_WORDS <= len(WORD.findall(answer)) < int(count)


def at_least(count: Value, answer: str) -> bool:
    said = [word.lower() for word in WORD.findall(answer)]
    found = answer_rules.trigrams(said)
    return len(said) >= int(count) and len(set(found)) >= (1 - MOST_REPETITION) * len(found)


def ends(phrase: Value, answer: str) -> bool:
    """The phrase as the last words and no quotation, after an answer."""
    before = answer.lower().removesuffix(str(phrase).lower())
    spoken = before != answer.lower() and not before.endswith(('"', "“", "'", "‘"))
    return spoken and len(WORD.findall(before)) >= LEAST_WORDS


def begins(word: Value, answer: str) -> bool:
    said = WORD.findall(answer)
    return len(said) > LEAST_WORDS and said[0].lower() == str(word).lower() and answer[0].isalpha()


def contains(word: Value, answer: str) -> bool:
    said = [each.lower() for each in WORD.findall(answer)]
    return len(said) > LEAST_WORDS and str(word) in said


def avoids(word: Value, answer: str) -> bool:
    said = [each.lower() for each in WORD.findall(answer)]
    return len(said) >= LEAST_WORDS and str(word) not in said


def no_commas(_: Value, answer: str) -> bool:
    return "," not in answer and len(WORD.findall(answer)) >= LEAST_WORDS


def quoted(_: Value, answer: str) -> bool:
    inside = answer[1:-1]
    return (answer[0], answer[-1]) in (('"', '"'), ("“", "”")) and bool(WORD.search(inside)) and '"' not in inside


def paragraphs(count: Value, answer: str) -> bool:
    found = [part for part in re.split(r"\n\s*\n", answer) if part.strip()]
    return len(found) == count and all(len(WORD.findall(part)) >= LEAST_WORDS for part in found)


def language(name: Value, answer: str) -> bool:
    """Function words of the language, hardly any English ones, and far more than of the other Romance language.

    No sentence has more English ones than its own: "Sure!" before an answer in French is not in French.
    """
    other = "Spanish" if name == "French" else "French"
    said = _letters(answer)
    own, foreign, english = (_count(said, language) for language in (str(name), other, "English"))
    varied = len(set(said) & _stop_words(str(name))) >= 2
    enough = varied and own + _count(said, "Romance") >= LEAST_SHARE * len(said)
    mixed = any(
        _count(words, "English") > _count(words, str(name)) + _count(words, "Romance")
        for words in map(_letters, sentences(answer))
    )
    return enough and own >= 3 * foreign and english <= MOST_ENGLISH * len(said) and not mixed


def _letters(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


def _count(said: list[str], language: str) -> int:
    return sum(word in _stop_words(language) for word in said)


@cache
def _stop_words(language: str) -> frozenset[str]:
    return frozenset(_STOP_WORDS[language].split())
