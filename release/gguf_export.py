"""Writes a version of a release as one GGUF file, for llama.cpp and the programs that are built on it.

    python -m release.gguf_export --bundle store/laptop/bundle --out cria.gguf

The file holds weights, tokenizer, control tokens and chat template. llama.cpp rotates neighbouring rows of a head in
pairs, transformers rows that are half a head apart, so rows of the query and key matrices change places. Norms stay
float32, as llama.cpp wants them.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from data_cleaning.files import replacing
from modeling.core import dialog
from modeling.core.sharding import Stored
from modeling.pretraining.adopt import SPLITTING_RULES
from release import bundle
from release.bundle import BundleError, Version

DTYPES = {"bfloat16": gguf.GGMLQuantizationType.BF16, "float32": gguf.GGMLQuantizationType.F32}
FILE_TYPES = {"bfloat16": gguf.LlamaFileType.MOSTLY_BF16, "float32": gguf.LlamaFileType.ALL_F32}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


class ExportError(ValueError):
    """GGUF cannot express this model or this tokenizer."""


def export(version: Version, name: str, out: Path, dtype: str = "bfloat16") -> None:
    """Write a version to `out`, its matrices in `dtype` (bfloat16 or float32). `name` is the model's name in the file.

    Raises ExportError for a tokenizer or positions that llama.cpp would compute otherwise.
    """
    config, tokenizer = AutoConfig.from_pretrained(version.path), AutoTokenizer.from_pretrained(version.path)
    splitting = splitting_rule(tokenizer)
    if config.model_type != "llama" or config.rope_parameters["rope_type"] != "default":
        raise ExportError(f"{version.title} is no Llama with plain RoPE: only those can be written")
    with replacing(out) as part:
        writer = gguf.GGUFWriter(part, "llama", use_temp_file=True)
        writer.add_name(name)
        writer.add_description(f"content {version.content}")
        writer.add_file_type(FILE_TYPES[dtype])
        add_shape(writer, config)
        add_tokenizer(writer, tokenizer, config.vocab_size, splitting)
        for place, values in tensors(version.path, config):
            kind = DTYPES[dtype] if values.ndim > 1 else DTYPES["float32"]
            writer.add_tensor(place, gguf.quantize(values, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def add_shape(writer: gguf.GGUFWriter, config: PreTrainedConfig) -> None:
    """Add what llama.cpp needs to build the network."""
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerBase, vocab_size: int, splitting: str) -> None:
    """Add tokens, merges, control tokens and chat template. Answers end at the dialogue's closing token."""
    added = {number: token.special for number, token in tokenizer.added_tokens_decoder.items()}
    names = {number: token for token, number in tokenizer.get_vocab().items()}
    kinds = [
        gguf.TokenType.UNUSED if number not in names
        else gguf.TokenType.CONTROL if added.get(number)
        else gguf.TokenType.USER_DEFINED if number in added
        else gguf.TokenType.NORMAL
        for number in range(vocab_size)
    ]  # fmt: skip
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting)
    writer.add_token_list([names.get(number, f"[PAD{number}]") for number in range(vocab_size)])
    writer.add_token_types(kinds)
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in merges])
    writer.add_eos_token_id(dialog.closing_token_id(tokenizer))
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)  # the chat template writes what stands before a dialogue
    writer.add_chat_template(tokenizer.chat_template)


def splitting_rule(tokenizer: PreTrainedTokenizerBase) -> str:
    """llama.cpp's name of the rule that splits text into words. Raises ExportError if it has none for this tokenizer."""
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    rule = spec["pre_tokenizer"] or {}
    *before, last = rule.get("pretokenizers", [rule])
    plain = spec["model"]["type"] == "BPE" and spec["normalizer"] is None and last == BYTE_LEVEL
    for name, rules in SPLITTING_RULES.items():
        if plain and before == [json.loads(one.__getstate__()) for one in rules]:
            return name
    raise ExportError(
        "llama.cpp would split this model's text into other tokens: only byte-level BPE with the rules "
        f"{', '.join(SPLITTING_RULES)} can be written, as an adopted checkpoint has it. Use transformers, or the chat's API"
    )


def tensors(folder: Path, config: PreTrainedConfig) -> Iterator[tuple[str, np.ndarray]]:
    """(llama.cpp's name of a weight, its values in float32 and in llama.cpp's order of rows), one at a time."""
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    stored = Stored(folder)
    for name in stored.files:
        values = stored(name).float().numpy()
        if name.endswith("q_proj.weight"):
            values = paired(values, config.num_attention_heads)
        elif name.endswith("k_proj.weight"):
            values = paired(values, config.num_key_value_heads)
        place = known.get_name(name, try_suffixes=(".weight",))
        if place is None:
            raise ExportError(f"GGUF has no place for the weight {name}")
        yield place, values


def paired(values: np.ndarray, heads: int) -> np.ndarray:
    """The rows of each head so that those which RoPE rotates together are neighbours. values: (heads × head_dim, hidden)."""
    return values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m release.gguf_export", description="A release as one GGUF file.")
    parser.add_argument("--bundle", type=Path, required=True, help="for example store/laptop/bundle")
    parser.add_argument("--version", help="for example sft_model; the final model without it")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    given = parser.parse_args(arguments)
    try:
        opened = bundle.read(given.bundle)
        version = opened.version(given.version or opened.offered[0].name)
        export(version, f"{opened.name} {opened.scale} {version.title}", given.out, given.dtype)
    except (BundleError, ExportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{version.title}: {given.out}, {given.out.stat().st_size / 1e6:,.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
