"""A tokenizer's control tokens, and the encoding of dialogues whose messages spell them out: as plain text.

Every control token has a code. Messages hold codes while the chat template is applied. A second swap then turns the
template's control tokens into codes and restores the messages' text. A copy of the tokenizer that knows its control
tokens only by their codes encodes the result. Other tokens are unchanged, and no message can produce a control token.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerBase

PRIVATE_USE = range(0xF0000, 0x10FFFE)  # more characters than a context holds


@dataclass(frozen=True)
class Controls:
    """The control tokens of a tokenizer: its special tokens, and other added tokens that its chat template writes."""

    names: dict[int, str]  # by id
    pattern: re.Pattern  # matches as the tokenizer does: leftmost, then longest

    def spelled(self, text: str) -> int:
        """The number of control tokens that the text spells out."""
        return len(self.pattern.findall(text))

    def swap(self, text: str, mark: str) -> str:
        """The text with control tokens replaced by their codes, and codes by their control tokens."""
        codes = {name: code(index, mark) for index, name in self.names.items()}

        def other(found: re.Match) -> str:
            return self.names[int(found[1])] if found[1] else codes[found[0]]

        return re.sub(f"{mark}([0-9]+){mark}|{self.pattern.pattern}", other, text)


@dataclass(frozen=True)
class Reading:
    """An encoded dialogue. If `mark` is set, control tokens are codes in `text`."""

    text: str
    ids: list[int]
    begins: list[int]  # index in `text` of each token's first character
    mark: str | None


def code(index: int, mark: str) -> str:
    """The code of the control token with this id."""
    return f"{mark}{index}{mark}"


def unused_mark(contents: Iterable[str]) -> str:
    """A private-use character that none of the texts contains."""
    taken = set().union(*contents)
    return next(chr(point) for point in PRIVATE_USE if chr(point) not in taken)


def controls(tokenizer: PreTrainedTokenizerBase) -> Controls:
    """The tokenizer's control tokens. Raises ValueError if it has no chat template or reports no token offsets."""
    return _controls(tokenizer, template(tokenizer))


def template(tokenizer: PreTrainedTokenizerBase) -> str:
    """The chat template. Raises ValueError if there is none."""
    if tokenizer.chat_template is None:
        raise ValueError("The tokenizer has no chat template: save one with it (tokenizer.chat_template)")
    return tokenizer.get_chat_template()


@lru_cache(maxsize=16)
def _controls(tokenizer: PreTrainedTokenizerBase, written: str) -> Controls:
    if not tokenizer.is_fast:
        raise ValueError(f"{type(tokenizer).__name__} does not say where tokens begin: save it as tokenizer.json")
    named = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    names = {
        index: added.content
        for index, added in tokenizer.added_tokens_decoder.items()
        # Some vocabularies hold runs of blanks as added tokens. They are text, although templates write them too.
        if added.special or index in named or (added.content.strip() and added.content in written)
    }
    if tokenizer.unk_token_id not in named:  # it stands for text that the vocabulary lacks
        names.pop(tokenizer.unk_token_id, None)
    longest = sorted(names.values(), key=len, reverse=True)
    return Controls(names, re.compile("|".join(map(re.escape, longest)) or "(?!)"))


def read(tokenizer: PreTrainedTokenizerBase, text: str) -> Reading:
    """Encodes the rendered text as `apply_chat_template` does."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    names = controls(tokenizer).names
    return Reading(
        text, encoded["input_ids"], _begins(text, encoded["input_ids"], encoded["offset_mapping"], names), None
    )


def read_coded(tokenizer: PreTrainedTokenizerBase, text: str, mark: str) -> Reading:
    """Encodes a rendered text whose control tokens are codes; a control token spelled out in it stays text.

    Raises ValueError if the tokenizer's model itself builds a control token from text.
    """
    theirs, names = tokenizer.backend_tokenizer, controls(tokenizer).names
    ours = Tokenizer(theirs.model)  # shared, not copied
    if theirs.normalizer is not None:
        ours.normalizer = theirs.normalizer
    if theirs.pre_tokenizer is not None:
        ours.pre_tokenizer = theirs.pre_tokenizer
    ids = {}
    for index, token in sorted(tokenizer.added_tokens_decoder.items()):
        name = code(index, mark) if index in names else token.content
        flags = {flag: getattr(token, flag) for flag in ("single_word", "lstrip", "rstrip", "normalized")}
        ours.add_tokens([AddedToken(name, **flags)])
        ids[ours.token_to_id(name)] = index
    encoded = ours.encode(text, add_special_tokens=False)
    for index in encoded.ids:
        if index not in ids and index in names:
            raise ValueError(
                f"The tokenizer makes its control token {names[index]!r} out of plain text: anybody could forge turns. "
                "Use a tokenizer whose model does not hold its control tokens as pieces"
            )
    read_ids = [ids.get(index, index) for index in encoded.ids]
    codes = {index: code(index, mark) for index in names}
    return Reading(text, read_ids, _begins(text, read_ids, encoded.offsets, codes), mark)


def _begins(text: str, ids: list[int], spans: list[tuple[int, int]], names: dict[int, str]) -> list[int]:
    # The span of a control token may include the blanks before it, but the token begins with its name. (A tokenizer
    # that normalizes text may match another spelling.)
    begins = [
        max(begin, text.find(names[index], begin, end)) if index in names else begin
        for index, (begin, end) in zip(ids, spans, strict=True)
    ]
    # Some tokenizers exclude blanks from spans: an all-blank token then has an empty span at its end.
    return [first - (begin == end) for first, (begin, end) in zip(begins, spans, strict=True)]
