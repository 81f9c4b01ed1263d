"""Tokenizers of every kind that Llamas come with, over a vocabulary learned from a few texts."""

import json
from functools import lru_cache

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import LlamaTokenizer, PreTrainedTokenizerFast

from tests.modeling.core.chat_templates import FAMILIES, Family
from tests.modeling.core.test_dialog import DIALOGUES, TEXTS

BYTES = [f"<0x{value:02X}>" for value in range(256)]


@lru_cache
def learned(byte_level: bool) -> tuple[list[str], list[tuple[str, str]]]:
    """Pieces and merges of a byte pair encoding of a few texts, each piece in front of those that begin with it."""
    backend = Tokenizer(models.BPE())
    lines = pre_tokenizers.Split("\n", "isolated")  # as in SentencePiece's, no piece spans them
    blanks = pre_tokenizers.Sequence([lines, pre_tokenizers.Metaspace("▁", "always")])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(False) if byte_level else blanks
    alphabet = pre_tokenizers.ByteLevel.alphabet() if byte_level else []
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    turns = [message["content"] for messages in DIALOGUES for message in messages]
    backend.train_from_iterator([*TEXTS * 3, *turns, "[INST] [/INST] <<SYS>> <|user|> <|assistant|> </s>"], trainer)
    merges = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    return sorted(backend.get_vocab(), key=backend.get_vocab().get), merges


def vocabulary(family: Family, byte_level: bool) -> dict[str, int]:
    pieces, _ = learned(byte_level)
    return {name: n for n, name in enumerate(["<unk>", *family.control, *([] if byte_level else BYTES), *pieces])}


def named(family: Family) -> dict:
    others = [name for name in family.control if name not in (family.bos, family.eos)]
    return {"bos_token": family.bos, "eos_token": family.eos, "additional_special_tokens": others}


def metaspace(family: Family, **options) -> PreTrainedTokenizerFast:
    """SentencePiece's byte pair encoding as transformers 5 builds it for Llama 2 and TinyLlama."""
    return LlamaTokenizer(vocabulary(family, False), learned(False)[1], **named(family), **options)


def wrapped(backend: Tokenizer, family: Family, **flags) -> PreTrainedTokenizerFast:
    flags = {"normalized": False} | flags
    backend.add_special_tokens([AddedToken(name, special=True, **flags) for name in family.control])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{family.bos} $A", special_tokens=[(family.bos, backend.token_to_id(family.bos))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, **named(family))


def prepending(family: Family, **flags) -> PreTrainedTokenizerFast:
    """SentencePiece's byte pair encoding as Llama 2's tokenizer.json has it: a normalizer writes the blanks."""
    model = models.BPE(
        vocabulary(family, False), learned(False)[1], unk_token="<unk>", fuse_unk=True, byte_fallback=True
    )
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(steps)
    return wrapped(backend, family, **flags)


def byte_level(family: Family, prefix: bool = False, **flags) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE(vocabulary(family, True), learned(True)[1]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.decoder = decoders.ByteLevel()
    return wrapped(backend, family, **flags)


def unknown(family: Family) -> PreTrainedTokenizerFast:
    """Without byte fallback: a character that is no piece becomes `<unk>`, a special token."""
    backend = Tokenizer(models.BPE(vocabulary(family, False), learned(False)[1], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first")
    backend.decoder = decoders.Metaspace("▁", "first")
    tokenizer = wrapped(backend, family)
    tokenizer.add_special_tokens({"unk_token": "<unk>"})
    return tokenizer


def normalizing(family: Family) -> PreTrainedTokenizerFast:
    """Takes what looks like a control token for one: in full-width characters too."""
    backend = Tokenizer(models.BPE(vocabulary(family, True), learned(True)[1]))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return wrapped(backend, family, normalized=True)


def trimming(family: Family) -> PreTrainedTokenizerFast:
    """Leaves blanks out of the spans of its tokens."""
    tokenizer = byte_level(family)
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def not_special(family: Family) -> PreTrainedTokenizerFast:
    """Control tokens beside BOS and EOS are added tokens, but no special ones; and a run of blanks is a token."""
    backend = Tokenizer(models.BPE(vocabulary(family, True), learned(True)[1]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens([AddedToken(name, normalized=False) for name in (*family.control, "  ")])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=family.bos, eos_token=family.eos)


KINDS = {
    "metaspace first": lambda family: metaspace(family, legacy=False),
    "metaspace always": lambda family: metaspace(family, legacy=True),
    "metaspace never": lambda family: metaspace(family, add_prefix_space=False),
    "prepending normalizer": prepending,
    "control tokens take blanks": lambda family: prepending(family, rstrip=True),
    "byte level": byte_level,
    "byte level, prefix": lambda family: byte_level(family, prefix=True),
    "byte level, blanks taken": lambda family: byte_level(family, lstrip=True, rstrip=True),
    "byte level, trimmed spans": trimming,
    "byte level, normalizing": normalizing,
    "unknown characters": unknown,
    "not special": not_special,
}


@lru_cache
def made(name: str, kind: str) -> PreTrainedTokenizerFast:
    tokenizer = KINDS[kind](FAMILIES[name])
    tokenizer.chat_template = FAMILIES[name].template
    return tokenizer
