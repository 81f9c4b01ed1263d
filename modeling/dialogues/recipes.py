"""Questions about dishes with a short recipe as the answer, from a collection of recipes with ingredients and steps.

Only recipes that fit an answer as a whole are used: one without its last steps would be wrong.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable

from modeling.dialogues import splits

MOST_INGREDIENTS = 10
LEAST_WORDS, MOST_WORDS = 30, 90

_QUESTIONS = (
    "How do I make {dish}?",
    "How can I make {dish} at home?",
    "Can you give me a recipe for {dish}?",
    "I'd like to cook {dish}. What do I need and how do I do it?",
    "What is a simple recipe for {dish}?",
    "Tell me how to prepare {dish}, please.",
    "What goes into {dish}, and how is it made?",
    "We want to have {dish} for dinner. How do we make it?",
)
_AT_DINNER = 7  # the last question suits no drink, sauce or sweet: these get another one
_DINNER = re.compile(
    r"soup|stew|curry|chicken|beef|pork|fish|rice|pasta|salad|pizza|burger|casserole|noodle|egg|potato", re.I
)
_MARKUP = re.compile(r"[*#{}<>|\[\]_=]|http|file:|''", re.I)
# Recipes for a hundred people, and remarks that only their cookbook explains.
_ODD = re.compile(
    r"\bea\.|gallon|quarts|forbidden|\bOR\b|\b[1-9]\d+ (?:pounds|lbs?|oysters)\b|\blitte\b|~|of your choice, see"
)
_AMOUNT = re.compile(r"\s*\((?:(?:about |approx\.? )?[\d½⅓¼¾⅔⅛.,–-]+[^)]*|\s*)\)")  # in other units, or empty


def common_words(rows: Iterable[dict]) -> frozenset[str]:
    """The words of steps and ingredients that are no names: more often in lower case than capitalised in a sentence."""
    small: Counter[str] = Counter()
    large: Counter[str] = Counter()
    for row in rows:
        text = " ".join([*row["steps"], *row["ingredients"]])
        small.update(re.findall(r"\b[a-z][a-z-]*\b", text))
        large.update(word.lower() for word in re.findall(r"(?<=[a-z,;] )[A-Z][a-z-]+\b", text))
    return frozenset(word for word, count in small.items() if count > large[word])


def request(row: dict, common: frozenset[str]) -> tuple[str, str, str] | None:
    """(question, answer, dish) of a recipe, or None if it is too long, too short or full of markup.

    `common`: see `common_words`.
    """
    dish = re.sub(r"\s*\([^)]*\)|\s+[IVX]+$|^Cookbook:", "", _plain(row["title"])).strip(" '\"")
    ingredients = [_AMOUNT.sub("", _plain(one)).strip(" ,;.") for one in row["ingredients"]]
    steps = [_sentence(_plain(one)) for one in row["steps"]]
    texts = [dish, *ingredients, *steps]
    if (
        not 3 <= len(ingredients) <= MOST_INGREDIENTS
        or not all(texts)
        or any(_MARKUP.search(one) or _ODD.search(one) for one in texts)
    ):
        return None
    if any(one.endswith(":") or "optional" in one.lower() and len(one) > 60 for one in ingredients):
        return None  # headings of parts, and remarks
    dish = _inside_a_sentence(dish, common)
    draw = int(splits.unit(dish, "recipe") * len(_QUESTIONS))
    if draw == _AT_DINNER and not _DINNER.search(dish):
        draw = 0
    listed = len(steps) >= 3 and splits.unit(dish, "recipe form") < 0.5
    answer = _as_list(dish, ingredients, steps) if listed else _as_prose(dish, ingredients, steps)
    return (
        (_QUESTIONS[draw].format(dish=dish), answer, dish) if LEAST_WORDS <= len(answer.split()) <= MOST_WORDS else None
    )


def _as_list(dish: str, ingredients: list[str], steps: list[str]) -> str:
    lines = [f"For {dish} you need {_joined(ingredients)}.", *(f"{n}. {step}" for n, step in enumerate(steps, 1))]
    return "\n".join(lines)


def _as_prose(dish: str, ingredients: list[str], steps: list[str]) -> str:
    return f"To make {dish}, you need {_joined(ingredients)}. {' '.join(steps)}"


def _joined(items: list[str]) -> str:
    items = [one if one.split()[0].isupper() else one[:1].lower() + one[1:] for one in items]
    mark = "; " if any("," in one for one in items) else ", "
    return f"{mark.join(items[:-1])}{mark if mark == '; ' else ' '}and {items[-1]}"


def _sentence(text: str) -> str:
    return text if not text or text[-1] in ".!?" else f"{text.rstrip(',;:')}."


def _inside_a_sentence(dish: str, common: frozenset[str]) -> str:
    """The name in lower case, but for words that are names of a place or a person, or foreign."""
    return " ".join(word.lower() if word.lower() in common else word for word in dish.split())


def _plain(text: str) -> str:
    return " ".join(html.unescape(text).replace("\u00a0", " ").replace("’", "'").split())
