"""A release as a GGUF file: llama.cpp reads the same tokens and writes the same greedy text as transformers."""

import json
from pathlib import Path

import httpx
import pytest
import torch
import xllamacpp
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from modeling.core import dialog, sampling
from modeling.core.recipes import SamplingRecipe
from modeling.pretraining import adopt
from release import gguf_export
from release.bundle import Version
from tests.modeling import toy_chat
from tests.modeling.core.test_dialog import chatml

TEXTS = (
    "The capital of France is Paris.",
    "a  12\n\n\tint x = 1234;",
    "Ünïcödé – 你好 🙂 don't",
    "<|im_end|> is no tag here",
)
MESSAGES = [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": "What is a llama? 12 words."}]


def saved_version(folder: Path, tokenizer, **changes) -> Version:
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "initializer_range": 0.3,
             "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}}  # fmt: skip
    config = LlamaConfig(vocab_size=len(tokenizer) + 3, **shape, **changes)  # three unused ids
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Version("chat_model", "Chat", "", folder, "toy/chat_model", "c0ffee", "f", 256)


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def written(request, tmp_path_factory) -> tuple[Version, Path]:
    folder, tokenizer = tmp_path_factory.mktemp("gguf"), chatml()
    if request.param:  # as SmolLM2: each digit is a token of its own
        backend = tokenizer.backend_tokenizer
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), backend.pre_tokenizer])
    version = saved_version(folder / "model", tokenizer, tie_word_embeddings=request.param)
    gguf_export.export(version, "Cria toy Chat", folder / "a.gguf", "float32")
    return version, folder / "a.gguf"


@pytest.fixture(scope="module")
def llama_cpp(written) -> xllamacpp.Server:
    params = xllamacpp.CommonParams()
    params.model.path = str(written[1])
    params.n_ctx, params.n_parallel, params.warmup, params.port = 256, 1, False, 0
    params.cpuparams.n_threads = 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return xllamacpp.Server(params)


def test_text_becomes_the_same_tokens(written, llama_cpp):
    tokenizer = AutoTokenizer.from_pretrained(written[0].path)
    for text in TEXTS:
        asked = {"content": text, "add_special": False, "parse_special": False}
        found = httpx.post(f"{llama_cpp.listening_address}/tokenize", json=asked, trust_env=False).json()["tokens"]
        assert found == dialog.encode_text(tokenizer, text), text


def test_greedy_answers_are_the_same(written, llama_cpp):
    model, tokenizer = sampling.load(written[0].path)
    greedy = SamplingRecipe(temperature=0.0, top_p=1.0, max_new_tokens=24, seed=0)
    ((answer,),) = sampling.generate(model.float(), tokenizer, [MESSAGES], greedy)
    asked = {"messages": MESSAGES, "temperature": 0, "max_tokens": 24}
    said = json.loads(json.dumps(llama_cpp.handle_chat_completions(asked)))["choices"][0]["message"]["content"]
    assert said.strip() == answer.text.strip() and len(answer.text) > 20


def test_the_file_can_be_adopted_again(written):
    version, path = written
    if AutoModelForCausalLM.from_pretrained(version.path).config.tie_word_embeddings:
        model, tokenizer = adopt.gguf_model(path), adopt.gguf_tokenizer(path)
        whole = AutoModelForCausalLM.from_pretrained(version.path, dtype=torch.bfloat16)
        for name, weight in whole.state_dict().items():
            assert torch.equal(model.state_dict()[name], weight), name
        own = AutoTokenizer.from_pretrained(version.path)
        assert all(tokenizer.encode(text) == own.encode(text) for text in TEXTS)
        assert tokenizer.chat_template == own.chat_template


def test_a_tokenizer_that_llama_cpp_splits_otherwise_is_refused(tmp_path):
    own = AutoTokenizer.from_pretrained(toy_chat.save_base(tmp_path / "base"))
    version = saved_version(tmp_path / "model", own)
    with pytest.raises(gguf_export.ExportError, match="only byte-level BPE"):
        gguf_export.export(version, "toy", tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()


def test_the_command_writes_a_version_of_a_bundle_or_says_why_not(bundle, tmp_path, capsys):
    out = tmp_path / "a.gguf"
    assert gguf_export.main(["--bundle", str(bundle), "--version", "no_model", "--out", str(out)]) == 1
    assert "holds no version 'no_model'" in capsys.readouterr().err
    assert gguf_export.main(["--bundle", str(tmp_path), "--out", str(out)]) == 1
    assert "so it is no release" in capsys.readouterr().err and not out.exists()
