"""Reads an existing Llama checkpoint: a GGUF file or a Hugging Face directory.

transformers reads GGUF files; this module rejects those that it would silently misread. Weights become bfloat16, and
the tokenizer keeps the file's tokens, merges, control tokens and chat template.
"""

from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoTokenizer, GgufConfig, LlamaForCausalLM, PreTrainedTokenizerBase
from transformers.integrations.gguf import read_gguf_metadata

from modeling.core.dialog import LLAMA2_TEMPLATE, without_training_marks

# llama.cpp's names (tokenizer.ggml.pre) of the rules that split text before GPT-2's own rule does. For an unknown name
# transformers uses GPT-2's rule alone, which gives other ids for "a  12".
SPLITTING_RULES = {
    "gpt-2": [],
    "default": [],
    "smollm": [pre_tokenizers.Digits(individual_digits=True)],
}
# transformers fills in another model's value if one of these is missing.
REQUIRED = ("attention.head_count", "attention.layer_norm_rms_epsilon", "block_count", "context_length",
            "embedding_length", "feed_forward_length")  # fmt: skip


def find_checkpoint(folder: Path) -> Path:
    """The one .gguf file, else the one directory with a config.json, below `folder`.

    Raises ValueError unless there is exactly one.
    """
    found = sorted(folder.rglob("*.gguf")) or sorted(path.parent for path in folder.rglob("config.json"))
    if len(found) != 1:
        raise ValueError(
            f"{folder} must hold exactly one .gguf file or Hugging Face directory, it holds {len(found)}: "
            'check the entry with use = "checkpoint" in sources.toml'
        )
    return found[0]


def adopt_model(found: Path) -> LlamaForCausalLM:
    """The model of a checkpoint that `find_checkpoint` found, in bfloat16. Raises ValueError if it is no Llama."""
    return gguf_model(found) if found.suffix == ".gguf" else directory_model(found)


def adopt_tokenizer(found: Path) -> PreTrainedTokenizerBase:
    """The checkpoint's own tokenizer, its chat template without marks that only training uses.

    A tokenizer without a chat template (a base Llama) gets Llama 2's, whose tags are then plain text.
    """
    tokenizer = gguf_tokenizer(found) if found.suffix == ".gguf" else AutoTokenizer.from_pretrained(found)
    tokenizer.chat_template = without_training_marks(tokenizer.chat_template or LLAMA2_TEMPLATE)
    return tokenizer


def directory_model(folder: Path) -> LlamaForCausalLM:
    """The model of a Hugging Face directory with safetensors, in bfloat16. Raises ValueError if it is not a Llama."""
    config = AutoConfig.from_pretrained(folder)
    if config.model_type != "llama":
        raise ValueError(f"{folder} is a {config.model_type!r} model: only the Llama architecture can be adopted")
    return LlamaForCausalLM.from_pretrained(folder, use_safetensors=True, dtype=torch.bfloat16)


def gguf_model(path: Path) -> LlamaForCausalLM:
    """Weights of a GGUF file of Llama architecture, any quantisation, as bfloat16.

    Raises ValueError for another architecture, scaled RoPE, or tensors or metadata that do not form a Llama.
    """
    metadata, tensors = read_gguf_metadata(str(path))
    architecture = metadata["general.architecture"]
    if architecture != "llama":
        raise ValueError(f"The GGUF file holds a {architecture!r} model: only the Llama architecture can be adopted")
    if metadata.get("llama.rope.scaling.type", "none") != "none" or "rope_freqs.weight" in tensors:
        raise ValueError("GGUF files with scaled RoPE are not supported: adopt the model's Hugging Face directory")
    if absent := [name for name in REQUIRED if f"llama.{name}" not in metadata]:
        raise ValueError(f"{path.name} has no llama.{absent[0]}: it is damaged or not a Llama")
    model, loading = LlamaForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
        output_loading_info=True,
    )
    count = len(list(model.parameters()))
    if loading["missing_keys"] or len(tensors) != count:
        missing = sorted(loading["missing_keys"])
        raise ValueError(f"{path.name} is no plain Llama: {len(tensors)} tensors of {count}, missing {missing}")
    # The file stores it as float32: 9.999999747378752e-06 was 1e-5.
    model.config.rms_norm_eps = float(f"{model.config.rms_norm_eps:.6g}")
    return model


def gguf_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Byte-level BPE of a GGUF file with its chat template; every control token is a special token.

    Raises ValueError for another kind of tokenizer or an unknown splitting rule.
    """
    metadata, _ = read_gguf_metadata(str(path))
    kind, splitting = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre", "default")
    if kind != "gpt2" or splitting not in SPLITTING_RULES:
        raise ValueError(
            f"GGUF tokenizer {kind!r} with splitting rule {splitting!r} is not supported "
            f"(gpt2 with {', '.join(SPLITTING_RULES)} is): adopt the model's Hugging Face directory instead"
        )
    tokenizer = AutoTokenizer.from_pretrained(
        path.parent, gguf_file=path.name, padding_side="left", model_max_length=metadata["llama.context_length"]
    )
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Sequence([*SPLITTING_RULES[splitting], backend.pre_tokenizer])
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
