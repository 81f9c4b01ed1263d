"""Requests with a constraint on the answer's form that rules can check ("in one sentence", "in lower case").

They are a rater that no answer pleases by sounding good (as in IFEval, Zhou et al. 2023). A constraint is a kind and a
value, kept as JSON text such as {"kind": "sentences", "value": 1}. A hash chooses it.

Tests use other constraints than RL and the demonstrations: the kinds `upper_case`, `quoted` and `contains` occur in
tests alone; `lower_case`, `no_commas` in training alone; the others in both, with other values. All wordings differ.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from modeling.core import hashing, json_text
from modeling.dialogues import form_rules, splits
from modeling.dialogues.form_rules import WORD, Value

NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}


@dataclass(frozen=True)
class Kind:
    """One kind of constraint. The texts hold {value}; {word} is a number in letters, {s} is "s" after more than one."""

    obeyed: Callable[[Value, str], bool]
    system: str  # the constraint as a rule for a whole conversation
    training: tuple[str, ...]  # wordings in RL and demonstrations
    tests: tuple[str, ...]
    training_values: tuple[Value, ...]  # empty: the kind does not occur there
    test_values: tuple[Value, ...]

    def drawn(self, part: str) -> tuple[Value, ...]:
        return self.test_values if part == splits.TEST else self.training_values

    def wordings(self, part: str) -> tuple[str, ...]:
        return self.tests if part == splits.TEST else self.training


def constrained(question: str, key: str, part: str) -> tuple[str, str]:
    """The prompt with one constraint put into words before or after the question, and the constraint as JSON text.

    A hash of `key` decides. `part` is a part of the split (modeling.dialogues.splits).
    """
    constraint = choose(key, part)
    kind, value = _read(constraint)
    wordings = KINDS[kind].wordings(part)
    asked = _filled(wordings[hashing.mix("wording", key) % len(wordings)], value)
    if hashing.unit_hash("place", key) < 0.3:
        return f"{asked} {question}", constraint
    return f"{question}{' ' if question.rstrip().endswith(('.', '?', '!')) else chr(10)}{asked}", constraint


def choose(key: str, part: str, kinds: Sequence[str] = ()) -> str:
    """A constraint as JSON text, by a hash of `key`. Takes `kinds` alone if some are named.

    Raises ValueError if none of the named kinds occurs in the part.
    """
    possible = [name for name in KINDS if KINDS[name].drawn(part) and (not kinds or name in kinds)]
    if not possible:
        raise ValueError(f"none of the kinds {list(kinds)} occurs in {part}")
    kind = possible[hashing.mix("constraint", key) % len(possible)]
    values = KINDS[kind].drawn(part)
    return json_text.dumps({"kind": kind, "value": values[hashing.mix("value", key) % len(values)]})


def obeyed(constraint: str, answer: str) -> bool:
    """Whether the answer obeys. An empty answer and one that repeats the instruction do not."""
    kind, value = _read(constraint)
    if not WORD.search(answer) or any(said in f" {splits.entity(answer)} " for said in _instructions(kind, value)):
        return False
    return KINDS[kind].obeyed(value, answer.strip())


def system_text(constraint: str) -> str:
    """The constraint as an instruction for a whole conversation, such as "Always answer in lower case."."""
    kind, value = _read(constraint)
    return _filled(KINDS[kind].system, value)


def _read(constraint: str) -> tuple[str, Value]:
    read = json.loads(constraint)
    return read["kind"], read["value"]


def _filled(text: str, value: Value) -> str:
    return text.format(value=value, word=NUMBERS.get(value, value), s="" if value == 1 else "s")


@cache
def _instructions(kind: str, value: Value) -> tuple[str, ...]:
    """All forms of the instruction as words in lower case, with a space on both sides."""
    known = KINDS[kind]
    return tuple(f" {splits.entity(_filled(text, value))} " for text in (known.system, *known.training, *known.tests))


KINDS: dict[str, Kind] = {
    "sentences": Kind(
        form_rules.exact_sentences,
        "Always answer in exactly {word} sentence{s}.",
        (
            "Answer in exactly {word} sentence{s}.",
            "Use exactly {word} sentence{s}, no more.",
            "Please keep it to {word} sentence{s}.",
            "I want {word} sentence{s} and nothing else.",
            "In {word} sentence{s}, please.",
        ),
        ("Your reply must consist of {word} sentence{s}.", "Say it in {word} sentence{s}."),
        (1, 3, 4),
        (2,),
    ),
    "lower_case": Kind(
        form_rules.lower,
        "Always answer in lower case, without any capital letters.",
        (
            "Answer in lower case only.",
            "Do not use any capital letters in your answer.",
            "Write everything in small letters.",
            "No capital letters, please.",
        ),
        ("Every letter of your reply must be lower case.",),
        ("",),
        (),
    ),
    "upper_case": Kind(
        form_rules.upper,
        "Always answer in capital letters only.",
        ("Answer in capital letters only.",),
        ("Write your whole reply in capital letters.", "Reply in upper case."),
        (),
        ("",),
    ),
    "bullets": Kind(
        lambda count, answer: form_rules.list_of(form_rules.BULLET, count, answer),
        'Always answer with a list of {word} bullet points that begin with "-".',
        (
            "Answer with exactly {word} bullet points.",
            'Give a list of {word} points, each on a line that begins with "-".',
            "Give me {word} bullet points, please.",
            "List {word} things as bullet points.",
            "Format the answer as {word} bullets.",
        ),
        ("Reply as a bulleted list of {word} items.", "Use {word} bullet points."),
        (3, 5),
        (2, 4),
    ),
    "numbered": Kind(
        form_rules.numbered,
        "Always answer with a numbered list of {word} items.",
        (
            "Answer with a numbered list of {word} items.",
            "Number the points of your answer from 1 to {value}.",
            "Give me a numbered list with {word} points.",
            "List {word} things and number them.",
        ),
        ("Reply as a numbered list with {word} entries.",),
        (2, 5),
        (3, 4),
    ),
    "words_below": Kind(
        form_rules.below,
        "Always answer in fewer than {value} words.",
        (
            "Answer in fewer than {value} words.",
            "Use less than {value} words.",
            "Keep your answer below {value} words.",
            "Be brief: {value} words are the limit.",
            "Please write no more than {value} words.",
        ),
        ("Stay under {value} words.", "Your reply must have fewer than {value} words in all."),
        (20, 30, 50),
        (15, 25, 40),
    ),
    "words_at_least": Kind(
        form_rules.at_least,
        "Always answer in at least {value} words.",
        (
            "Answer in at least {value} words.",
            "Write no fewer than {value} words.",
            "I want a long answer of at least {value} words.",
            "Be detailed: use {value} words as a minimum.",
        ),
        ("Your reply must have {value} words or more.",),
        (30, 40, 60),
        (50,),
    ),
    "ends_with": Kind(
        form_rules.ends,
        'Always end your answer with the words "{value}"',
        (
            'End your answer with the words "{value}"',
            'Your last words must be "{value}"',
            'Finish with "{value}"',
            'At the end of your answer, say "{value}"',
            'Put "{value}" at the very end.',
        ),
        ('Close your reply with "{value}"',),
        (
            "I hope this helps.",
            "That is all.",
            "Have a good day!",
            "See you soon.",
            "What else can I do?",
            "Good luck!",
        ),
        ("Any other questions?", "Thanks for asking."),
    ),
    "begins_with": Kind(
        form_rules.begins,
        'Always begin your answer with the word "{value}".',
        (
            'Begin your answer with the word "{value}".',
            'The first word of your answer must be "{value}".',
            'Open with "{value}".',
            'Let your answer begin with "{value}".',
            'Say "{value}" first, then answer.',
        ),
        ('Start your reply with "{value}".',),
        ("Well", "Indeed", "Simply", "Overall", "Certainly", "Honestly", "Today"),
        ("Actually", "Basically"),
    ),
    "language": Kind(
        form_rules.language,
        "Always answer in {value}.",
        ("Answer in {value}.", "Please write your answer in {value}."),
        ("Reply in {value}, not in English.", "I only understand {value}."),
        ("French",),
        ("Spanish",),
    ),
    "contains": Kind(
        form_rules.contains,
        'Always use the word "{value}" in your answer.',
        ('Use the word "{value}" in your answer.',),
        ('Your reply must include the word "{value}".', 'Make use of the word "{value}".'),
        (),
        ("because", "example", "important", "usually"),
    ),
    "avoids": Kind(
        form_rules.avoids,
        'Never use the word "{value}" in an answer.',
        (
            'Do not use the word "{value}".',
            'Answer without the word "{value}".',
            'Avoid the word "{value}" in your answer.',
            'Leave out the word "{value}".',
        ),
        ('The word "{value}" must not occur in your reply.',),
        ("and", "can", "very", "is", "with"),
        ("also", "or"),
    ),
    "quoted": Kind(
        form_rules.quoted,
        "Always put your whole answer in double quotation marks.",
        ("Put your whole answer in double quotation marks.",),
        ("Wrap your entire reply in double quotation marks.",),
        (),
        ("",),
    ),
    "no_commas": Kind(
        form_rules.no_commas,
        "Never use a comma.",
        (
            "Do not use any commas.",
            "Answer without commas.",
            "Leave out all commas.",
            "Please use no commas.",
        ),
        ("No commas are allowed in your reply.",),
        ("",),
        (),
    ),
    "paragraphs": Kind(
        form_rules.paragraphs,
        "Always answer in {word} paragraphs with a blank line between them.",
        (
            "Answer in exactly {word} paragraphs.",
            "Write {word} paragraphs with a blank line between them.",
            "Give me {word} paragraphs.",
            "Split your answer into {word} paragraphs.",
        ),
        ("Your reply must have {word} paragraphs.",),
        (2,),
        (3,),
    ),
}

# Kinds that make sense on every turn of a conversation.
CONVERSATIONAL = (
    "language",
    "sentences",
    "lower_case",
    "words_below",
    "ends_with",
    "begins_with",
    "bullets",
)
