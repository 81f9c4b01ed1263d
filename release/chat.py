"""Streams the answers of a released version token by token; with a guard (release/guard.py), whole.

Answers to several people are generated together (modeling/core/continuous_batching.py). An answer's row is free as soon
as the caller stops reading, and the caller gets its errors.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from transformers import AutoTokenizer

from modeling.core import dialog, sampling
from modeling.core.continuous_batching import Place
from release import guard
from release.bundle import Version
from release.guard import Judge, Verdict
from release.loaded_models import Loaded

MAX_TEMPERATURE = 2.0
ANSWER_TOKENS = 256  # an evaluation may allow fewer to save time; a reader wants the end of a sentence
MAX_CHARACTERS = 20_000  # limit of a message or system prompt, checked before tokenization
MAX_MESSAGES = 400  # of a dialogue on the page, which shows all of them again with each word
ROOM_FOR_ANSWER = 4  # at least 1/4 of the context stays free for the answer, however long the dialogue
PATIENCE_S = 0.5  # how often a reader that waits looks whether the answer is still wanted
WITHHELD = "withheld"  # how an answer ended that the guard did not let through
UNFINISHED_CHARACTER = "\ufffd"  # stands for a character whose bytes are incomplete


@dataclass(frozen=True)
class Settings:
    temperature: float  # 0: greedy
    top_p: float
    max_new_tokens: int
    seed: int | None = None  # None: a new random seed for each answer

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise ValueError(f"temperature is {self.temperature}: choose 0 to {MAX_TEMPERATURE}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top-p is {self.top_p}: choose more than 0, at most 1")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}: choose at least 1")


@dataclass(frozen=True)
class Answer:
    """The answer generated so far."""

    text: str
    tokens: int
    prompt_tokens: int
    context: int
    dropped_turns: int  # earliest question-answer pairs of the dialogue, left out because they did not fit
    ended: str | None  # None until the end; then "closed" by the model, cut by "length" or "context", or WITHHELD
    waits: Place | None = None  # there is no new token: how long the request has to wait
    held: bool = False  # the text is held back until the guard has judged it
    verdict: Verdict | None = None  # of the guard, on what it judged last


def refusal(what: str, text: str) -> str | None:
    """Returns why a message or a system prompt is not read, or None."""
    if len(text) > MAX_CHARACTERS:
        return f"That {what} has {len(text):,} characters; the limit is {MAX_CHARACTERS:,}."
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can spell it, a tokenizer cannot read it
        return f"That {what} holds half a character: remove it."
    return None


def read_prompt(loaded: Loaded, messages: list[dict], max_new_tokens: int) -> tuple[list[int], int]:
    """Returns the token ids of the dialogue and the number of its earliest question-answer pairs that were left out.

    User input is encoded as plain text, even if it spells control tokens (modeling.core.dialog). Raises
    sampling.PromptTooLongError if the last message alone does not fit, ValueError if roles do not alternate.
    """
    limit = prompt_limit(sampling.context_length(loaded.model), max_new_tokens)
    shorter, dropped = latest(loaded.tokenizer, messages, limit)
    fitted = sampling.fit_prompt(loaded.tokenizer, shorter, limit)
    return fitted.ids, dropped + fitted.dropped_turns


def latest(tokenizer, messages: list[dict], limit: int) -> tuple[list[dict], int]:
    """Returns (the system prompt and the latest turns that fit, or the last one, how many earlier pairs are left out).

    Encodes a few times what fits, however long the dialogue is: fit_prompt alone would encode all of it for each pair.
    """
    turns = [message for message in messages if message["role"] != "system"]
    before, pairs = messages[: len(messages) - len(turns)], len(turns) // 2

    def with_pairs(number: int) -> list[dict]:
        return [*before, *turns[len(turns) - 1 - 2 * number :]]

    def fits(number: int) -> bool:
        return len(dialog.encode_prompt(tokenizer, with_pairs(number))) <= limit

    kept, beyond = 0, 1
    while beyond <= pairs and fits(beyond):
        kept, beyond = beyond, 2 * beyond
    beyond = min(beyond, pairs + 1)
    while beyond - kept > 1:
        middle = (kept + beyond) // 2
        kept, beyond = (middle, beyond) if fits(middle) else (kept, middle)
    return (with_pairs(kept), pairs - kept) if len(turns) % 2 else (messages, 0)


def prompt_limit(context: int, max_new_tokens: int) -> int:
    """Returns the most tokens that a prompt may take in a context."""
    return context - min(max_new_tokens, context // ROOM_FOR_ANSWER)


def has_room_for(version: Version, system: str, max_new_tokens: int) -> bool:
    """Whether a system prompt and one word after it fit. Raises OSError if the files of the version cannot be read."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "Hello"}]
    ids = dialog.encode_prompt(AutoTokenizer.from_pretrained(version.path), messages)
    return len(ids) <= prompt_limit(version.context, max_new_tokens)


def stream(loaded: Loaded, messages: list[dict], settings: Settings) -> Iterator[Answer]:
    """Yields the answer to a dialogue that ends with a user turn: one value per token, the last with `ended` set.

    A value with `waits` comes whenever there was no token for PATIENCE_S. Generation stops when the caller stops
    reading. Raises LineFullError if too many wait.
    """
    model, tokenizer = loaded.model, loaded.tokenizer
    ids, dropped = read_prompt(loaded, messages, settings.max_new_tokens)
    context = sampling.context_length(model)
    closing = dialog.closing_token_id(tokenizer)
    generator = torch.Generator()
    if settings.seed is None:
        generator.seed()
    else:
        generator.manual_seed(settings.seed)
    room = min(settings.max_new_tokens, context - len(ids))
    request = loaded.scheduler.submit(model, ids, settings.temperature, settings.top_p, room, closing, generator)
    written, text, ended = [], "", None
    try:
        for token in request.tokens(PATIENCE_S):
            if token is None:
                place = loaded.scheduler.place(request)
                yield Answer(text, len(written), len(ids), context, dropped, None, place)
                continue
            written.append(token)
            if token == closing:
                ended = "closed"
            elif len(written) == room:
                ended = "length" if room == settings.max_new_tokens else "context"
            decoded = dialog.decode_answer(tokenizer, written)
            if ended or not decoded.endswith(UNFINISHED_CHARACTER):
                text = decoded
            yield Answer(text, len(written), len(ids), context, dropped, ended)
            if ended:
                return
    finally:
        loaded.scheduler.cancel(request)


def guarded(judge: Judge | None, version: Version, messages: list[dict], answers: Iterator[Answer]) -> Iterator[Answer]:
    """Yields a version's answers to a dialogue: with a judge, no text before the last, and its line for what it withholds.

    Nothing is generated for a message that is withheld.
    """
    if judge is None:
        yield from answers
        return
    verdict = judge.message(messages)
    if verdict.withholds:
        last = Answer("", 0, 0, version.context, 0, None)
    else:
        with contextlib.closing(answers):  # frees its row before the judgement
            for last in answers:
                if last.ended:
                    break
                yield replace(last, text="", held=True)
        verdict = judge.answer(messages, last.text)
    if verdict.withholds:
        guard.log(verdict, version.name)
        last = replace(last, text=verdict.line, ended=WITHHELD)
    yield replace(last, verdict=verdict)
