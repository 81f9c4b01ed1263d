"""Encodes dialogues as token ids and decodes answers, for every stage.

The tokenizer holds the chat template: Llama 2's format (Meta's generation.py) for own models, the checkpoint's own for
an adopted base. The ids are those of `apply_chat_template`, except that control tokens spelled out in a message stay
text: `[INST]` or `</s>` in a message cannot forge a turn. A template or tokenizer that prevents this raises
ValueError with the reason.
"""

import bisect
import re
from collections.abc import Sequence
from functools import lru_cache

import jinja2
from transformers import PreTrainedTokenizerBase

from modeling.core import control_tokens
from modeling.core.control_tokens import Reading, controls, template

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
{{- ' ' + message['content'] + ' ' + eos_token -}}
{%- else -%}
{{- raise_exception('Turns must alternate user, assistant, user, ... after an optional system message') -}}
{%- endif -%}
{%- endfor -%}"""

NOT_CLOSED = "The chat template must close every answer with the same control token of the tokenizer"
# transformers' tags around assistant text. They print nothing, and other template renderers do not know them.
TRAINING_MARK = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")


def without_training_marks(template: str) -> str:
    """The chat template with the same output in plain Jinja2: each mark becomes `if true`, which trims blanks alike."""
    return TRAINING_MARK.sub(lambda mark: f"{{%{mark[1]} {'endif' if mark[2] else 'if true'} {mark[3]}%}}", template)


def check_messages(messages: Sequence[dict], *, ends_with: str) -> None:
    """Raise ValueError unless contents are text and roles [system,] user, assistant, user, … up to `ends_with`."""
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

    The mask is 0 on an answer with "weight": 0, which is context only (paper 3.3), and on a token that begins before
    its answer. Raises ValueError if roles do not alternate, the last turn is not an answer, or the template does not
    show where answers begin and end.
    """
    check_messages(messages, ends_with="assistant")
    names, read = controls(tokenizer).names, _read(tokenizer, messages, False)
    mask = [0] * len(read.ids)
    closings = set()
    for place in (place for place, message in enumerate(messages) if is_learnt(message)):
        prompt = _render(tokenizer, messages[:place], True, read.mark)
        if not read.text.startswith(prompt):
            raise ValueError(
                f"The chat template changes the prompt once message {place} answers it: the model would train on "
                "prompts that it never gets at inference. Use a template that renders prompts as prefixes of dialogues"
            )
        first = bisect.bisect_left(read.begins, len(prompt))
        last = next((n for n in range(first, len(mask)) if read.ids[n] in names), None)
        closings.add(None if last is None else read.ids[last])
        if None in closings or len(closings) > 1:
            raise ValueError(NOT_CLOSED)
        mask[first : last + 1] = [1] * (last + 1 - first)
    return read.ids, mask


def is_learnt(message: dict) -> bool:
    """Whether the message is an answer to train on, not context only."""
    return message["role"] == "assistant" and message.get("weight") != 0


def with_answer(messages: Sequence[dict], answer: str) -> list[dict]:
    """The dialogue with this answer appended."""
    return [*messages, {"role": "assistant", "content": answer}]


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict]) -> list[int]:
    """Ids up to the place where the answer begins. Raises ValueError unless the last turn is the user's."""
    check_messages(messages, ends_with="user")
    return _read(tokenizer, messages, True).ids


def encode_opening(tokenizer: PreTrainedTokenizerBase) -> list[int] | None:
    """Ids of what the template writes before the first user message of a dialogue without a system prompt.

    None unless the closing token of answers also ends a user's message: a model would not end the message by it.
    """
    read = _read(tokenizer, [{"role": "user", "content": "\ue000"}], False)
    begin = read.text.index("\ue000")
    before = [index for index, at in zip(read.ids, read.begins, strict=True) if at < begin]
    after = next((index for index, at in zip(read.ids, read.begins, strict=True) if at > begin), None)
    return before if after == closing_token_id(tokenizer) else None


def closing_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Id of the control token that ends an answer (`</s>`, `<|im_end|>`)."""
    return _closing(tokenizer, template(tokenizer))


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


def check_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise ValueError, with the reason, unless dialogues with a system prompt and earlier turns can be encoded.

    One test dialogue spells out every control token, to detect a tokenizer that cannot encode them as text.
    """
    spelled = " ".join(controls(tokenizer).names.values())
    roles = ("system", "user", "assistant", "user", "assistant")
    encode_dialog(tokenizer, [{"role": role, "content": f"{role} {spelled}"} for role in roles])
    encode_dialog(tokenizer, [{"role": role, "content": role} for role in roles[1:]])


def _read(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict], prompt: bool) -> Reading:
    """Encodes the rendered messages; if `prompt`, up to the place where the next answer begins."""
    known, contents = controls(tokenizer), [message["content"] for message in messages]
    if not any(known.spelled(content) for content in contents):
        reading = control_tokens.read(tokenizer, _render(tokenizer, messages, prompt, None))
        # A tokenizer that normalizes text finds control tokens in other spellings too.
        if sum(index in known.names for index in reading.ids) <= known.spelled(reading.text):
            return reading
    mark = control_tokens.unused_mark(contents)
    return control_tokens.read_coded(tokenizer, _render(tokenizer, messages, prompt, mark), mark)


def _render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict], prompt: bool, mark: str | None) -> str:
    """The rendered text. With a mark, the template's control tokens are codes in it; those in messages stay text."""
    known = controls(tokenizer)
    if mark is not None:
        messages = [message | {"content": known.swap(message["content"], mark)} for message in messages]
    text = _apply(tokenizer, messages, prompt)
    roles = tuple(message["role"] for message in messages)
    if known.spelled(text) > _written(tokenizer, template(tokenizer), roles, prompt):
        raise ValueError("The chat template makes a control token out of what a message says: use another template")
    return text if mark is None else known.swap(text, mark)


def _apply(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict], prompt: bool) -> str:
    said = [{"role": message["role"], "content": message["content"]} for message in messages]
    try:
        return tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=prompt)
    except jinja2.TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise ValueError(f"The chat template refuses a dialogue of {roles}: {error}") from error


# The template is part of the cache keys because a tokenizer's template can change.


@lru_cache(maxsize=512)
def _written(tokenizer: PreTrainedTokenizerBase, written: str, roles: tuple[str, ...], prompt: bool) -> int:
    """The number of control tokens that the template itself writes for these roles.

    Raises ValueError if it drops or repeats a message, or writes no control token after an answer.
    """
    # Private-use characters: no template writes them itself.
    messages = [{"role": role, "content": f"\ue000{place}\ue001"} for place, role in enumerate(roles)]
    text = _apply(tokenizer, messages, prompt)
    found = [text.count(message["content"]) for message in messages]
    if set(found) != {1}:
        raise ValueError(
            f"The chat template must use each message's content exactly once; of {', '.join(roles)} it used {found}"
        )
    known = controls(tokenizer)
    for message in messages:
        after = text.partition(message["content"])[2].partition("\ue000")[0]
        if message["role"] == "assistant" and not known.spelled(after):
            raise ValueError(NOT_CLOSED)
    return known.spelled(text)


@lru_cache(maxsize=16)
def _closing(tokenizer: PreTrainedTokenizerBase, written: str) -> int:
    ids, mask = encode_dialog(tokenizer, [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}])
    return ids[len(mask) - 1 - mask[::-1].index(1)]
