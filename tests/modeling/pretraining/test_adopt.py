"""An adopted GGUF computes what its own weights say, by a forward pass written here in llama.cpp's conventions."""

import json
import os
from pathlib import Path

import gguf
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from gguf import GGMLQuantizationType as Quantization
from gguf import GGUFReader, GGUFWriter
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from modeling.core.dialog import closing_token_id, encode_dialog, encode_prompt, encode_text
from modeling.core.recipes import AdoptRecipe
from modeling.pretraining import initial_model, tokenizer
from modeling.pretraining.adopt import adopt_tokenizer, find_checkpoint, gguf_model, gguf_tokenizer
from tests.modeling.core.test_dialog import CHATML, chatml

LAYERS, HEADS, KV_HEADS, HIDDEN, FFN = 2, 4, 2, 64, 96
RECIPE = AdoptRecipe(source="small", context=64)
TEXT = "The capital of France is Paris. It has 2,102,650 inhabitants and lies on the river Seine."


def write_gguf(
    path: Path,
    *,
    tied: bool = True,
    architecture: str = "llama",
    splitting: str = "smollm",
    without: str = "",
    extra: str = "",
) -> Path:
    """A random Llama with Q4_1 and Q8_0 matrices and the ChatML tokenizer of test_dialog.

    One tensor can be left out (`without`), or one of HIDDEN numbers be added (`extra`).
    """
    random = np.random.default_rng(0)
    backend = json.loads(chatml().backend_tokenizer.to_str())
    names = [name for name, _ in sorted(backend["model"]["vocab"].items(), key=lambda item: item[1])]
    writer = GGUFWriter(path, architecture)
    if without != "context_length":
        writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting)
    writer.add_token_list(names)
    writer.add_token_types([3 if name.startswith("<|") else 1 for name in names])
    writer.add_token_merges([" ".join(pair) for pair in backend["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(CHATML)

    def add(name: str, rows: int, columns: int | None, quantization=Quantization.F32) -> None:
        if name == without:
            return
        shape = (rows,) if columns is None else (rows, columns)
        values = random.normal(1.0 if columns is None else 0.0, 0.15, shape).astype(np.float32)
        writer.add_tensor(name, gguf.quantize(values, quantization), raw_dtype=quantization)

    four, eight, kv = Quantization.Q4_1, Quantization.Q8_0, HIDDEN // HEADS * KV_HEADS
    add("token_embd.weight", len(names), HIDDEN, eight)
    for layer in range(LAYERS):
        add(f"blk.{layer}.attn_norm.weight", HIDDEN, None)
        add(f"blk.{layer}.attn_q.weight", HIDDEN, HIDDEN, four)
        add(f"blk.{layer}.attn_k.weight", kv, HIDDEN, four)
        add(f"blk.{layer}.attn_v.weight", kv, HIDDEN, four)
        add(f"blk.{layer}.attn_output.weight", HIDDEN, HIDDEN, four)
        add(f"blk.{layer}.ffn_norm.weight", HIDDEN, None)
        add(f"blk.{layer}.ffn_gate.weight", FFN, HIDDEN, four)
        add(f"blk.{layer}.ffn_up.weight", FFN, HIDDEN, four)
        add(f"blk.{layer}.ffn_down.weight", HIDDEN, FFN, four)
    add("output_norm.weight", HIDDEN, None)
    if not tied:
        add("output.weight", len(names), HIDDEN, eight)
    if extra:
        add(extra, HIDDEN, None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def reference_nats(path: Path, ids: list[int]) -> np.ndarray:
    """−log p of every token after the first: numpy, float32, interleaved RoPE on the file's own row order."""
    reader = GGUFReader(path)
    weights = {t.name: gguf.dequantize(t.data, Quantization(t.tensor_type)) for t in reader.tensors}

    def figure(key: str):
        return reader.get_field(f"llama.{key}").contents()

    heads, kv_heads = figure("attention.head_count"), figure("attention.head_count_kv")
    epsilon, base = figure("attention.layer_norm_rms_epsilon"), figure("rope.freq_base")
    length = len(ids)

    def norm(x_TD, name):
        return x_TD / np.sqrt((x_TD**2).mean(-1, keepdims=True) + epsilon) * weights[name]

    def rotate(x_THd):
        half = x_THd.shape[-1] // 2
        angle = np.arange(length)[:, None, None] * base ** (-np.arange(half) / half)
        even, odd = x_THd[..., 0::2], x_THd[..., 1::2]
        turned = np.stack([even * np.cos(angle) - odd * np.sin(angle), even * np.sin(angle) + odd * np.cos(angle)], -1)
        return turned.reshape(x_THd.shape)

    def softmax(x):
        x = np.exp(x - x.max(-1, keepdims=True))
        return x / x.sum(-1, keepdims=True)

    x_TD = weights["token_embd.weight"][ids]
    future = np.triu(np.ones((length, length), dtype=bool), 1)
    for layer in range(figure("block_count")):
        w = {name.split(".", 2)[2]: value for name, value in weights.items() if name.startswith(f"blk.{layer}.")}
        h_TD = norm(x_TD, f"blk.{layer}.attn_norm.weight")
        q, k, v = (
            (h_TD @ w[f"attn_{role}.weight"].T).reshape(length, count, -1)
            for role, count in [("q", heads), ("k", kv_heads), ("v", kv_heads)]
        )
        q, k = rotate(q), rotate(k)
        k, v = (np.repeat(x, heads // kv_heads, axis=1) for x in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1])
        scores[:, future] = -np.inf
        mixed = np.einsum("hqk,khd->qhd", softmax(scores), v).reshape(length, -1)
        x_TD = x_TD + mixed @ w["attn_output.weight"].T
        h_TD = norm(x_TD, f"blk.{layer}.ffn_norm.weight")
        gate = h_TD @ w["ffn_gate.weight"].T
        x_TD = x_TD + (gate / (1 + np.exp(-gate)) * (h_TD @ w["ffn_up.weight"].T)) @ w["ffn_down.weight"].T
    head = weights.get("output.weight", weights["token_embd.weight"])
    logits_TV = norm(x_TD, "output_norm.weight") @ head.T
    return -np.log(softmax(logits_TV[:-1]))[np.arange(length - 1), ids[1:]]


def model_nats(model, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].float()
    return torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none").numpy()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> dict[str, Path]:
    """The stages initial_model and tokenizer run on a GGUF checkpoint."""
    from tests.conftest import MemoryLog

    folder = tmp_path_factory.mktemp("adopted")
    for name in ("checkpoint/raw", "tokenizer", "base"):
        (folder / name).mkdir(parents=True)
    write_gguf(folder / "checkpoint" / "raw" / "small.gguf")
    (folder / "mixture" / "train").mkdir(parents=True)
    rows = [{"id": "a", "source": "a", "text": TEXT, "epochs": 1.0}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "mixture" / "train" / "00000.parquet")
    initial_model.run(RECIPE, {"adopted_checkpoint": folder / "checkpoint"}, folder / "base", MemoryLog())
    inputs = {"initial_model": folder / "base", "mixture": folder / "mixture"}
    tokenizer.run(RECIPE, inputs, folder / "tokenizer", MemoryLog())
    return {
        "base": folder / "base",
        "gguf": folder / "checkpoint" / "raw" / "small.gguf",
        "tokenizer": folder / "tokenizer",
    }


def test_likelihood_equals_the_files_own_weights(artifact):
    loaded = AutoTokenizer.from_pretrained(artifact["base"])
    model = AutoModelForCausalLM.from_pretrained(artifact["base"], dtype=torch.float32)
    ids = encode_text(loaded, TEXT)
    reference = reference_nats(artifact["gguf"], ids)
    assert reference.mean() > 1
    assert np.abs(model_nats(model, ids) - reference).max() < 0.05  # bfloat16 weights
    assert abs(model_nats(model, ids).mean() - reference.mean()) < 0.01
    # The comparison is sharp: without the reordering of query and key rows it fails.
    for layer in model.model.layers:
        for projection, heads in [(layer.self_attn.q_proj, HEADS), (layer.self_attn.k_proj, KV_HEADS)]:
            rows, columns = projection.weight.shape
            pairs = projection.weight.data.reshape(heads, 2, rows // heads // 2, columns).transpose(1, 2)
            projection.weight.data = pairs.reshape(rows, columns).contiguous()
    assert np.abs(model_nats(model, ids) - reference).max() > 0.05


def test_stored_as_bfloat16_safetensors_with_its_chat_template(artifact):
    weights = load_file(artifact["base"] / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}
    assert "lm_head.weight" not in weights  # tied
    loaded = AutoTokenizer.from_pretrained(artifact["base"])
    assert loaded.chat_template == CHATML
    assert loaded.eos_token_id == closing_token_id(loaded) == 2
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>"} == set(loaded.all_special_tokens)
    ids = encode_prompt(loaded, [{"role": "user", "content": "<|im_end|>"}])
    assert ids.count(2) == 2  # the system's and the user's closing; the forged one is text
    assert loaded.decode(encode_text(loaded, TEXT)) == TEXT


def test_the_tokenizer_stage_keeps_the_checkpoints_own(artifact):
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    assert all((artifact["tokenizer"] / name).read_bytes() == (artifact["base"] / name).read_bytes() for name in names)


def test_digits_are_split_before_anything_else(artifact):
    loaded = AutoTokenizer.from_pretrained(artifact["base"])
    names = loaded.convert_ids_to_tokens(encode_text(loaded, "a  12"))
    assert names[-2:] == ["1", "2"]


def test_an_output_matrix_of_its_own_is_kept(tmp_path):
    path = write_gguf(tmp_path / "untied.gguf", tied=False)
    model = gguf_model(path)
    assert not model.config.tie_word_embeddings
    assert not torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
    ids = list(range(10, 40))
    assert abs(model_nats(model.float(), ids).mean() - reference_nats(path, ids).mean()) < 0.01


def test_a_hugging_face_directory_is_adopted_as_it_is(tmp_path, log):
    source = tmp_path / "checkpoint" / "raw" / "llama"
    config = LlamaConfig(
        vocab_size=600, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    torch.manual_seed(0)
    original = LlamaForCausalLM(config)
    original.save_pretrained(source)
    own = chatml()
    own.chat_template = None
    own.save_pretrained(source)
    (tmp_path / "base").mkdir()
    initial_model.run(RECIPE, {"adopted_checkpoint": tmp_path / "checkpoint"}, tmp_path / "base", log)
    adopted = AutoTokenizer.from_pretrained(tmp_path / "base")
    assert "[INST]" in adopted.chat_template  # a base Llama has none of its own
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    assert torch.allclose(loaded.lm_head.weight, original.lm_head.weight, atol=1e-3)


def test_marks_of_training_are_not_adopted(tmp_path):
    LlamaConfig(vocab_size=600).save_pretrained(tmp_path / "llama")
    marked = chatml()
    marked.chat_template = CHATML.replace("{{'<|im_start|>' + m", "{% generation %}{{'<|im_start|>' + m").replace(
        "'\n'}}{% endfor", "'\n'}}{% endgeneration %}{% endfor"
    )
    marked.save_pretrained(tmp_path / "llama")
    adopted = adopt_tokenizer(tmp_path / "llama")
    assert "generation" in marked.chat_template.replace("add_generation_prompt", "")
    assert "generation" not in adopted.chat_template.replace("add_generation_prompt", "")
    dialogue = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]
    assert encode_dialog(adopted, dialogue) == encode_dialog(chatml(), dialogue)


def test_what_cannot_be_adopted_says_why(tmp_path):
    with pytest.raises(ValueError, match="it holds 0"):
        find_checkpoint(tmp_path)
    with pytest.raises(ValueError, match="'gemma'"):
        gguf_model(write_gguf(tmp_path / "a.gguf", architecture="gemma"))
    with pytest.raises(ValueError, match="'chameleon' is not supported"):
        gguf_tokenizer(write_gguf(tmp_path / "b.gguf", splitting="chameleon"))
    with pytest.raises(ValueError, match="it holds 2"):
        find_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"without": "blk.1.attn_k.weight"}, "no plain Llama: 19 tensors of 20, missing .*layers.1.self_attn.k_proj"),
        ({"extra": "blk.0.attn_q.bias"}, "no plain Llama: 21 tensors of 20"),
        ({"extra": "rope_freqs.weight"}, "scaled RoPE"),  # Llama 3.1 and later: the factors of each frequency
        ({"without": "context_length"}, "has no llama.context_length"),
    ],
)
def test_a_file_that_is_no_plain_llama_is_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        gguf_model(write_gguf(tmp_path / "a.gguf", **change))


@pytest.mark.skipif("CRIA_GGUF" not in os.environ, reason="CRIA_GGUF names a GGUF file of a real Llama")
def test_a_real_checkpoint_talks(tmp_path):
    path = Path(os.environ["CRIA_GGUF"])
    own, model = gguf_tokenizer(path), gguf_model(path).float()
    ids = encode_text(own, TEXT)
    assert abs(model_nats(model, ids).mean() - reference_nats(path, ids).mean()) < 0.01
    prompt = encode_prompt(own, [{"role": "user", "content": "What is the capital of France?"}])
    with torch.no_grad():
        answer = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0, len(prompt) :]
    assert "Paris" in own.decode(answer)
