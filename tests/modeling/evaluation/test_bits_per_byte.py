"""Bits per byte: every token paid once, exact floors, and figures that can be computed by hand."""

import json
import math
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from modeling.evaluation import bits_per_byte
from modeling.pretraining import tokenizer as tokenizers
from modeling.pretraining.tokenizer import document_tokens
from tests.modeling.toy_evaluation import RECIPE

WORDS = [
    "the",
    "river",
    "runs",
    "to",
    "the",
    "sea",
    "and",
    "the",
    "sky",
    "while",
    "stones",
    "stay",
    "where",
    "they",
    "are",
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model that gives every token the same probability: a head of zeros."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = tokenizers.train([" ".join(WORDS)] * 20, 400)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=16, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.lm_head.weight.data.zero_()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def text(number: int, words: int = 12) -> str:
    return " ".join(random.Random(number).choices(WORDS, k=words))


def write_mixture(folder):
    for part, count, start in (("train", 60, 0), ("heldout", 8, 1000)):
        rows = [
            {"id": f"{s}:{start + i}", "source": s, "text": text(start + i + len(s)), "epochs": 1.0}
            for s in "ab"
            for i in range(count)
        ]
        (folder / part).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / part / "0.parquet")
    return folder


@pytest.mark.parametrize("context", [2, 3, 4, 7, 16])
def test_windows_score_every_token_once_with_context(context):
    for length in range(2, 60):
        scored = []
        for begin, end, first in bits_per_byte.windows(length, context):
            assert 0 <= begin < first < end <= length
            assert end - begin <= context + 1  # inputs: all but the last
            assert begin == 0 or first - begin >= math.ceil(context / 2)  # tokens seen before the first that counts
            scored += range(first, end)
        assert scored == list(range(1, length))


def test_a_uniform_model_pays_log_of_its_vocabulary_for_each_token_and_the_end(base):
    model, tokenizer = bits_per_byte.load(base)
    texts = ["the sea", "the river runs to the sea and the sky " * 5]  # the second is longer than the context
    score = bits_per_byte.score_texts(model, tokenizer, texts)
    tokens = sum(len(tokenizer(t, add_special_tokens=False)["input_ids"]) + 1 for t in texts)
    assert score.tokens == tokens and score.bytes == sum(len(t.encode()) for t in texts)
    assert score.nats == pytest.approx(tokens * math.log(len(tokenizer)), rel=1e-3)
    assert score.bits_per_byte == pytest.approx(tokens * math.log2(len(tokenizer)) / score.bytes, rel=1e-3)


def test_windows_give_the_exact_likelihood_where_the_context_suffices():
    tokenizer = tokenizers.train([" ".join(WORDS)] * 20, 400)
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                         num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64)  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    texts = [text(1), text(2, 5), text(3, 20)]
    expected = []
    for one in texts:
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(one, add_special_tokens=False)["input_ids"],
                             tokenizer.eos_token_id]])  # fmt: skip
        with torch.no_grad():
            expected.append(float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1))
    score = bits_per_byte.score_texts(model, tokenizer, texts)
    assert score.nats_D == pytest.approx(expected, rel=5e-3)  # bfloat16
    assert score.nats == pytest.approx(sum(expected), rel=5e-3)


def test_documents_are_marked_as_the_vocabulary_does(base):
    tokenizer = AutoTokenizer.from_pretrained(base)
    assert document_tokens(tokenizer) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|endoftext|>"]})
    separator = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert document_tokens(tokenizer) == (separator, separator)


def test_compressors_learn_from_the_training_text():
    training = bits_per_byte.join([text(number, 40) for number in range(300)])
    known, fresh = bits_per_byte.join([text(7, 40)]), bytes(range(256)) * 2
    for size in (bits_per_byte.xz_bytes, lambda t, h: bits_per_byte.ppmd_bytes(t, h, 6)):
        assert size(training, known) < 0.5 * size(b"", known)
    # Bytes that nothing foretells cost about a byte each, the repeated half little.
    assert 220 < bits_per_byte.ppmd_bytes(training, fresh, 6) < 520


def test_ppmd_difference_agrees_with_compressing_twice():
    import pyppmd

    training = bits_per_byte.join([text(number, 30) for number in range(200)])
    heldout = bits_per_byte.join([text(number, 30) for number in range(900, 950)])

    def whole(data: bytes) -> int:
        encoder = pyppmd.Ppmd7Encoder(6, 16 << 20)
        return len(encoder.encode(data)) + len(encoder.flush())

    assert abs(bits_per_byte.ppmd_bytes(training, heldout, 6) - (whole(training + heldout) - whole(training))) <= 6


def test_stage_writes_what_it_says(base, tmp_path, log):
    out = tmp_path / "out"
    out.mkdir()
    inputs = {"mixture": write_mixture(tmp_path / "mixture"), "base_model": base, "initial_model": tmp_path / "none"}
    metrics = bits_per_byte.run(RECIPE, inputs, out, log)
    result = json.loads((out / "bits_per_byte.json").read_text())
    assert [row["source"] for row in result["sources"]] == ["a", "b"]
    row = result["sources"][0]
    assert row["documents"] == 8 and row["bits_per_byte"] == pytest.approx(row["nats"] / math.log(2) / row["bytes"])
    assert min(row["bits_per_byte"], row["xz"], row["ppmd6"], row["ppmd8"]) > 0
    documents = pq.read_table(out / "documents.parquet").to_pylist()
    assert len(documents) == 16 == sum(row["documents"] for row in result["sources"])
    assert len({row["text"] for row in documents}) == 8  # both sources hold the same texts
    weighted = sum(r["bits_per_byte"] * r["bytes"] for r in result["sources"]) / sum(
        r["bytes"] for r in result["sources"]
    )
    assert metrics["bits_per_byte"] == pytest.approx(weighted)
    assert metrics["sources_below_every_floor"] == 0  # a model that knows nothing beats no compressor
    assert "PPMd order 6" in (out / "report.md").read_text()
    assert (out / "plots" / "bits_per_byte.png").read_bytes().startswith(b"\x89PNG")
    first = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert bits_per_byte.run(RECIPE, inputs, out, log) == metrics
    assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == first


def test_no_heldout_documents_is_an_error(base, tmp_path, log):
    mixture = write_mixture(tmp_path / "mixture")
    schema = pq.read_schema(mixture / "heldout" / "0.parquet")
    pq.write_table(schema.empty_table(), mixture / "heldout" / "0.parquet")
    with pytest.raises(ValueError, match="heldout_share"):
        bits_per_byte.run(RECIPE, {"mixture": mixture, "base_model": base, "initial_model": base}, tmp_path, log)


def test_a_checkpoint_is_measured_beside_the_model_that_continued_from_it(base, tmp_path, log):
    inputs = {"mixture": write_mixture(tmp_path / "mixture"), "base_model": base, "initial_model": base}
    metrics = bits_per_byte.run(RECIPE, inputs, tmp_path, log)
    assert metrics["checkpoint"] == metrics["bits_per_byte"]
    assert all(row["checkpoint"] == row["bits_per_byte"] for row in metrics["by_source"])
    assert "the checkpoint it started from" in (tmp_path / "report.md").read_text()
