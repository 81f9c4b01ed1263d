"""Dialogues to token ids and back: the one place where a conversation meets a tokenizer.

The chat template comes from the tokenizer (own models: Llama 2's format, Meta's generation.py; an adopted
base brings its own). It is rendered once per sequence of roles with placeholders where the contents go. Control tokens
are looked up in the template's own text only; contents are encoded with every special string taken as plain text. So
nobody can forge a turn by writing `[INST]` or `</s>`, and ids equal those of `apply_chat_template` for all other contents.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

# `<s>[INST] <<SYS>>\n system \n<</SYS>>\n\n user [/INST] answer </s>`, the system prompt merged into the first user turn.
LLAMA2_TEMPLATE = """\
{%- if messages[0]['role'] == 'system' -%}
{%- set system = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' -%}
{%- set turns = messages[1:] -%}
{%- else -%}
{%- set system = '' -%}
{%- set turns = messages -%}
{%- endif -%}
{%- for message in turns -%}
{%- if message['role'] == 'user' and loop.index0 % 2 == 0 -%}
{{- bos_token + '[INST] ' + (system if loop.first else '') + message['content'] + ' [/INST]' -}}
{%- elif message['role'] == 'assistant' and loop.index0 % 2 == 1 -%}
{%- generation -%}{{- ' ' + message['content'] + ' ' + eos_token -}}{%- endgeneration -%}
{%- else -%}
{{- raise_exception('Turns must alternate user, assistant, user, ... after an optional system message') -}}
{%- endif -%}
{%- endfor -%}"""


@dataclass(frozen=True)
class Piece:
    """A part of a rendered template: exactly one of a control token, literal text, or the content of a message."""

    token: int | None
    text: str
    message: int | None
    answer: bool  # written by the assistant: its content, the template's text around it, its closing token


def check_messages(messages: Sequence[dict], *, ends_with: str) -> None:
    """Raise ValueError unless it is [system,] user, assistant, user, … with text contents, ending with that role."""
    turns = messages[1:] if messages and messages[0].get("role") == "system" else messages
    if not turns:
        raise ValueError("A dialogue needs at least one user turn")
    for place, message in enumerate(messages):
        if not isinstance(message.get("content"), str):
            raise ValueError(f"Message {place} has no text: content must be a string, not {message.get('content')!r}")
    for place, turn in enumerate(turns):
        wanted = ("user", "assistant")[place % 2]
        if turn.get("role") != wanted:
            raise ValueError(
                f"Turn {place} is by {turn.get('role')!r} where {wanted!r} was due: "
                "turns alternate user, assistant, user, … after an optional system message"
            )
    if turns[-1]["role"] != ends_with:
        raise ValueError(f"The dialogue ends with {turns[-1]['role']!r}; it must end with {ends_with!r} here")


def encode_dialog(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict]) -> tuple[list[int], list[int]]:
    """Ids of a whole dialogue and a mask of the same length: 1 on answers and their closing tokens, else 0.

    An answer whose message says "weight": 0 is context that is not learnt (paper 3.3): its mask is 0. Raises ValueError where
    roles do not alternate or the last turn is not an answer.
    """
    check_messages(messages, ends_with="assistant")
    return _encode(tokenizer, messages, generation_prompt=False)


def is_learnt(message: dict) -> bool:
    """Whether it is an answer to learn, not context only."""
    return message["role"] == "assistant" and message.get("weight") != 0


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict]) -> list[int]:
    """Ids up to the place where the answer begins. Raises ValueError unless the last turn is the user's."""
    check_messages(messages, ends_with="user")
    return _encode(tokenizer, messages, generation_prompt=True)[0]


def closing_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The control token that ends an answer (`</s>`, `<|im_end|>`)."""
    plan = _plan(tokenizer, tokenizer.chat_template, ("user", "assistant"), False)
    return next(piece.token for piece in plan if piece.answer and piece.token is not None)


def decode_answer(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Text of a generated answer: up to its closing token, without control tokens, stripped."""
    ids = list(ids)
    closing = closing_token_id(tokenizer)
    if closing in ids:
        ids = ids[: ids.index(closing)]
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip()


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids of plain text: no BOS, and strings that look like special tokens stay text."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def _encode(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict], generation_prompt: bool
) -> tuple[list[int], list[int]]:
    roles = tuple(message["role"] for message in messages)
    weights = iter([int(is_learnt(message)) for message in messages if message["role"] == "assistant"])
    answering, weight = False, 0
    ids: list[int] = []
    mask: list[int] = []
    text: list[str] = []  # neighbouring texts are encoded in one go, as apply_chat_template would
    starts: list[tuple[int, int]] = []  # character where each begins, and whether it is learnt
    length = 0

    def flush() -> None:
        nonlocal length
        if text:
            encoded = tokenizer(
                "".join(text), add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
            )
            ids.extend(encoded["input_ids"])
            for begin, _ in encoded["offset_mapping"]:
                mask.append(next(kept for start, kept in reversed(starts) if start <= begin))
        text.clear()
        starts.clear()
        length = 0

    for piece in _plan(tokenizer, tokenizer.chat_template, roles, generation_prompt):
        if piece.answer != answering:
            answering = piece.answer
            weight = next(weights) if answering else 0
        if piece.token is not None:
            flush()
            ids.append(piece.token)
            mask.append(weight)
            continue
        part = piece.text if piece.message is None else messages[piece.message]["content"]
        if part:
            text.append(part)
            starts.append((length, weight))
            length += len(part)
    flush()
    return ids, mask


@lru_cache(maxsize=512)
def _plan(
    tokenizer: PreTrainedTokenizerBase, template: str | None, roles: tuple[str, ...], generation_prompt: bool
) -> tuple[Piece, ...]:
    """The template rendered for these roles, cut into pieces. `template` only makes the cache see a changed one."""
    if template is None:
        raise ValueError("The tokenizer has no chat template: save one with it (tokenizer.chat_template)")
    rendered = _render(tokenizer, roles, generation_prompt)
    # An answer begins where the prompt for it would end, and ends with the first control token after its content.
    begins = [len(_render(tokenizer, roles[:n], True)) for n, role in enumerate(roles) if role == "assistant"]
    specials = {
        added.content: index for index, added in tokenizer.added_tokens_decoder.items()
    }  # every added token, as the backend would match them
    cutter = re.compile("|".join([r"\ue000(\d+)\ue001"] + [re.escape(s) for s in sorted(specials, key=len)[::-1]]))
    pieces: list[Piece] = []
    answer, seen_content, place = False, False, 0

    def literal(begin: int, end: int) -> None:
        nonlocal answer
        cuts = [b for b in begins if begin < b < end]
        for a, b in zip([begin, *cuts], [*cuts, end], strict=True):
            if a in begins:
                answer = True
            if a < b:
                pieces.append(Piece(None, rendered[a:b], None, answer))

    for match in cutter.finditer(rendered):
        literal(place, match.start())
        if match.start() in begins:
            answer = True
        if match.group(1) is not None:
            pieces.append(Piece(None, "", int(match.group(1)), answer))
            seen_content = seen_content or answer
        else:
            pieces.append(Piece(specials[match.group()], "", None, answer))
            if seen_content:
                answer, seen_content = False, False
        place = match.end()
    literal(place, len(rendered))
    found = [piece.message for piece in pieces if piece.message is not None]
    if sorted(found) != list(range(len(roles))):
        raise ValueError(f"The chat template must use each message's content exactly once; for {roles} it used {found}")
    if answer and not generation_prompt:
        raise ValueError("The chat template does not close an answer with a special token of the tokenizer")
    return tuple(pieces)


def _render(tokenizer: PreTrainedTokenizerBase, roles: tuple[str, ...], generation_prompt: bool) -> str:
    # Private-use characters: nothing a template would write itself.
    messages = [{"role": role, "content": f"\ue000{place}\ue001"} for place, role in enumerate(roles)]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation_prompt)
