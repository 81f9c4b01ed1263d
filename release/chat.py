"""Streams the answers of a released version token by token.

The module samples in its own loop, not in `generate` with a streamer thread. Generation then stops when the caller
stops reading, and the caller gets its errors.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, DynamicCache

from modeling.core import dialog, nucleus, sampling
from release.bundle import BundleError, Version
from release.gallery import Gallery

MAX_TEMPERATURE = 2.0
ANSWER_TOKENS = 256  # an evaluation may allow fewer to save time; a reader wants the end of a sentence
MAX_CHARACTERS = 20_000  # limit of a message or system prompt, checked before tokenization
ROOM_FOR_ANSWER = 4  # at least 1/4 of the context stays free for the answer, however long the dialogue
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
    ended: str | None  # None until the end; then "closed" by the model or cut by "length" or "context"


@dataclass(frozen=True)
class Loaded:
    model: torch.nn.Module
    tokenizer: object


class Models:
    """The models that answer. Only those of the last question are in memory: the chat may run beside a training."""

    def __init__(self, gallery: Gallery) -> None:
        self.gallery = gallery
        self._loaded: dict[tuple[Path, str], Loaded] = {}  # by path and content
        self._lock = threading.Lock()

    def get(self, *names: str) -> list[Loaded]:
        """Returns the loaded versions as the gallery holds them now, and lets go of all others.

        Raises BundleError if the gallery lacks one or it was replaced while its files were being read, OSError if they
        cannot be read.
        """
        now = self.gallery.now()
        versions = [now.version(name) for name in names]
        keys = [(version.path, version.content) for version in versions]
        with self._lock:
            self._loaded = {key: loaded for key, loaded in self._loaded.items() if key in keys}
            sampling.free_memory()
            for version, key in zip(versions, keys, strict=True):
                if key in self._loaded:
                    continue
                loaded = load(version.path)
                if self.gallery.now().version(version.name).content != version.content:
                    raise BundleError(f"{version.title} was made anew while it was being read: send the message again")
                self._loaded[key] = loaded
            return [self._loaded[key] for key in keys]


def load(path: Path) -> Loaded:
    """Returns the model and tokenizer in `path`. Raises BundleError if the weights are damaged."""
    try:
        return Loaded(sampling.load_transformers(path), AutoTokenizer.from_pretrained(path))
    except SafetensorError as error:
        raise BundleError(
            f"the weights in {path} cannot be read ({error}): copy or materialize the bundle again"
        ) from error


def read_prompt(loaded: Loaded, messages: list[dict], max_new_tokens: int) -> tuple[list[int], int]:
    """Returns the token ids of the dialogue and the number of its earliest question-answer pairs that were left out.

    User input is encoded as plain text, even if it spells control tokens (modeling.core.dialog). Raises
    sampling.PromptTooLongError if the last message alone does not fit, ValueError if roles do not alternate.
    """
    limit = prompt_limit(sampling.context_length(loaded.model), max_new_tokens)
    fitted = sampling.fit_prompt(loaded.tokenizer, messages, limit)
    return fitted.ids, fitted.dropped_turns


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

    Generation stops when the caller stops reading.
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
    cache = DynamicCache(config=model.config)
    fresh, written, text, ended = ids, [], "", None
    while ended is None:
        with torch.inference_mode():
            inputs_BT = torch.tensor([fresh], device=model.device)
            logits_BV = model(input_ids=inputs_BT, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[
                :, -1
            ]
            uniforms_B2 = torch.rand((1, 2), generator=generator).to(model.device)
            token = int(nucleus.sample_tokens(logits_BV.float(), uniforms_B2, settings.temperature, settings.top_p))
        fresh = [token]
        written.append(token)
        if token == closing:
            ended = "closed"
        elif len(written) == room:
            ended = "length" if room == settings.max_new_tokens else "context"
        decoded = dialog.decode_answer(tokenizer, written)
        if ended or not decoded.endswith(UNFINISHED_CHARACTER):
            text = decoded
        yield Answer(text, len(written), len(ids), context, dropped, ended)
