"""An existing Llama checkpoint in the place of the base model: a GGUF file or any Hugging Face directory.

GGUF weights are dequantised to bfloat16 and named as in transformers. llama.cpp rotates neighbouring pairs of a head's
dimensions where transformers rotates its two halves, so the rows of the query and key matrices are put back in order.
The tokenizer is rebuilt from the file's tokens, merges and chat template; its control tokens become special tokens.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader, TokenType, dequantize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from modeling.core.atomic_folders import filling
from modeling.core.dialog import LLAMA2_TEMPLATE
from modeling.core.recipes import AdoptRecipe

# llama.cpp's names of the splitting rules of byte-level BPE tokenizers (tokenizer.ggml.pre).
PRE_TOKENIZERS = {
    "gpt-2": [],
    "default": [],
    "smollm": [pre_tokenizers.Digits(individual_digits=True)],
}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def run(config: AdoptRecipe, inputs: dict[str, Path], out: Path, log: Any) -> dict:
    """Write the checkpoint as a Hugging Face directory in bfloat16. Inputs: adopted_checkpoint, tokenizer."""
    found = find_checkpoint(inputs["adopted_checkpoint"])
    log.info(f"Adopting {found.name} ({config.source})")
    model = gguf_model(found) if found.suffix == ".gguf" else directory_model(found)
    tokenizer = AutoTokenizer.from_pretrained(inputs["tokenizer"])
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(f"The tokenizer has {len(tokenizer)} tokens, the checkpoint {model.config.vocab_size}")
    with filling(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return {
        "source": config.source,
        "checkpoint": found.name,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "vocab_size": model.config.vocab_size,
        "context": model.config.max_position_embeddings,
    }


def find_checkpoint(folder: Path) -> Path:
    """The one .gguf file, or the one directory with a config.json, below `folder`; ValueError where it is not one."""
    found = sorted(folder.rglob("*.gguf")) or sorted(path.parent for path in folder.rglob("config.json"))
    if len(found) != 1:
        raise ValueError(
            f"{folder} must hold exactly one .gguf file or Hugging Face directory, it holds {len(found)}: "
            'check the entry with use = "checkpoint" in sources.toml'
        )
    return found[0]


def adopt_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The checkpoint's own tokenizer. One without a chat template (a base Llama) gets Llama 2's, its tags as text."""
    found = find_checkpoint(folder)
    tokenizer = gguf_tokenizer(found) if found.suffix == ".gguf" else AutoTokenizer.from_pretrained(found)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = LLAMA2_TEMPLATE
    return tokenizer


def directory_model(folder: Path) -> LlamaForCausalLM:
    """A Hugging Face directory of Llama architecture with safetensors, in bfloat16."""
    config = AutoConfig.from_pretrained(folder)
    if config.model_type != "llama":
        raise ValueError(f"{folder} is a {config.model_type!r} model: only the Llama architecture can be adopted")
    return LlamaForCausalLM.from_pretrained(folder, use_safetensors=True, dtype=torch.bfloat16)


def gguf_model(path: Path) -> LlamaForCausalLM:
    """Weights of a GGUF file of Llama architecture, any quantisation, as bfloat16."""
    reader = GGUFReader(path)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    config = gguf_config(reader, tied="output.weight" not in tensors)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    weights = {}
    for name, tensor in tensors.items():
        if name == "rope_freqs.weight":  # derived from rope_theta
            continue
        values = dequantize(tensor.data, GGMLQuantizationType(tensor.tensor_type)).astype(np.float32)
        kind = name.split(".")[-2]
        if kind in heads:
            values = unpermute(values, heads[kind])
        weights[transformers_name(name)] = torch.from_numpy(np.ascontiguousarray(values)).to(torch.bfloat16)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model = model.to(torch.bfloat16)
    model.to_empty(device="cpu")
    model.model.rotary_emb = type(model.model.rotary_emb)(config)  # its buffers are computed, not loaded
    missing, unexpected = model.load_state_dict(weights, strict=False)
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    if set(missing) - tied or unexpected:
        raise ValueError(f"{path.name} does not fit its own configuration: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model


def gguf_config(reader: GGUFReader, tied: bool) -> LlamaConfig:
    """The file's metadata as transformers' configuration. ValueError for another architecture."""
    architecture = _value(reader, "general.architecture")
    if architecture != "llama":
        raise ValueError(f"The GGUF file holds a {architecture!r} model: only the Llama architecture can be adopted")
    if _value(reader, "llama.rope.scaling.type", "none") != "none":
        raise ValueError("GGUF files with scaled RoPE are not supported: adopt the model's Hugging Face directory")
    heads = _value(reader, "llama.attention.head_count")
    hidden = _value(reader, "llama.embedding_length")
    return LlamaConfig(
        vocab_size=len(_value(reader, "tokenizer.ggml.tokens")),
        hidden_size=hidden,
        intermediate_size=_value(reader, "llama.feed_forward_length"),
        num_hidden_layers=_value(reader, "llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=_value(reader, "llama.attention.head_count_kv", heads),
        head_dim=_value(reader, "llama.attention.key_length", hidden // heads),
        max_position_embeddings=_value(reader, "llama.context_length"),
        rms_norm_eps=float(f"{_value(reader, 'llama.attention.layer_norm_rms_epsilon'):.6g}"),  # stored as float32
        rope_parameters={"rope_type": "default", "rope_theta": float(_value(reader, "llama.rope.freq_base", 10000.0))},
        tie_word_embeddings=tied,
        bos_token_id=_value(reader, "tokenizer.ggml.bos_token_id", None),
        eos_token_id=_value(reader, "tokenizer.ggml.eos_token_id", None),
        pad_token_id=_value(reader, "tokenizer.ggml.padding_token_id", None),
    )


def transformers_name(name: str) -> str:
    """`blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`."""
    parts = name.split(".")
    if parts[0] == "blk" and parts[2] in LAYER_NAMES:
        return f"model.layers.{parts[1]}.{LAYER_NAMES[parts[2]]}.{parts[3]}"
    if parts[0] in TOP_NAMES:
        return f"{TOP_NAMES[parts[0]]}.{parts[1]}"
    raise ValueError(f"Unknown tensor {name!r} in the GGUF file: it is no plain Llama")


def unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """(heads · dim, hidden) rows from llama.cpp's order (rotated pairs side by side) to transformers' (in two halves)."""
    rows, hidden = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, hidden).swapaxes(1, 2).reshape(rows, hidden)


def gguf_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """Byte-level BPE of a GGUF file with its chat template; every control token is a special token."""
    reader = GGUFReader(path)
    kind, splitting = _value(reader, "tokenizer.ggml.model"), _value(reader, "tokenizer.ggml.pre", "default")
    if kind != "gpt2" or splitting not in PRE_TOKENIZERS:
        raise ValueError(
            f"GGUF tokenizer {kind!r} with splitting rule {splitting!r} is not supported "
            f"(gpt2 with {', '.join(PRE_TOKENIZERS)} is): adopt the model's Hugging Face directory instead"
        )
    names, types = _value(reader, "tokenizer.ggml.tokens"), _value(reader, "tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in _value(reader, "tokenizer.ggml.merges")]
    backend = Tokenizer(models.BPE({name: index for index, name in enumerate(names)}, merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [*PRE_TOKENIZERS[splitting], pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    backend.decoder = decoders.ByteLevel()
    special = [name for name, kind in zip(names, types, strict=True) if kind == TokenType.CONTROL]
    added = [name for name, kind in zip(names, types, strict=True) if kind == TokenType.USER_DEFINED]
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    backend.add_tokens([AddedToken(name, normalized=False) for name in added])

    def name_of(role: str) -> str | None:
        index = _value(reader, f"tokenizer.ggml.{role}_token_id", None)
        return None if index is None else names[index]

    named = {
        "bos_token": name_of("bos"),
        "eos_token": name_of("eos"),
        "pad_token": name_of("padding") or name_of("eos"),
        "unk_token": name_of("unknown"),
    }
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **{role: name for role, name in named.items() if name is not None},
        additional_special_tokens=[name for name in special if name not in named.values()],
        clean_up_tokenization_spaces=False,
        model_max_length=_value(reader, "llama.context_length"),
        model_input_names=["input_ids", "attention_mask"],
        padding_side="left",
    )
    tokenizer.chat_template = _value(reader, "tokenizer.chat_template", None)
    return tokenizer


_REQUIRED = object()


def _value(reader: GGUFReader, key: str, default: Any = _REQUIRED) -> Any:
    field = reader.get_field(key)
    if field is None:
        if default is _REQUIRED:
            raise ValueError(f"The GGUF file has no {key}: it is damaged or no Llama")
        return default
    return field.contents()
