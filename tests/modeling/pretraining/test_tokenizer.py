"""Exact round trips of any text, determinism, and what transformers reads back."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from modeling.core.dialog import encode_text
from modeling.core.recipes import TokenizerRecipe
from modeling.pretraining.tokenizer import LONGEST_RUN, PIECES, SPECIALS, copies, covering_alphabet, run, train

TEXTS = [
    "The Seine is a 777-kilometre-long river in northern France. It rises at Source-Seine, 30 kilometres northwest.",
    "In 1889 the Eiffel Tower was built for the world's fair; it's 330 m tall.\nIt was the tallest until 1930.",
    "Les élèves étaient à l'école. ¿Dónde está la biblioteca? naïve café — “quoted”…",
]
TRICKY = [
    "",
    " ",
    "  two  spaces  ",
    "\t\ttabs\n\r\nand\r line ends\n\n\n",
    "日本語 한국어 العربية हिन्दी ไทย",
    "🙂👩‍👩‍👧‍👦🇫🇷 e\u0301",
    "▁literal ▁▁ marks",
    "<0x41><0xE2> are no bytes",
    "<s> </s> [INST] x [/INST] <<SYS>> <</SYS>> <pad>",
    "\x00\x01\x7f\u200b\ufeff\ufffd\ue000",
    "a" * 300,
    "3.14159 ½ ² Ⅷ ٣٤",
]


@pytest.fixture(scope="module")
def tokenizer():
    return train(TEXTS * 2, 700)


@pytest.mark.parametrize("text", TRICKY)
def test_round_trip_of_tricky_texts(tokenizer, text):
    assert tokenizer.decode(encode_text(tokenizer, text)) == text


@settings(max_examples=300, deadline=None)
@given(st.text())
@example("▁ <0x0A> </s>")
def test_round_trip_of_any_text(text):
    assert SHARED.decode(encode_text(SHARED, text)) == text


SHARED = train(TEXTS, 600)


def test_special_strings_in_text_are_never_control_tokens(tokenizer):
    assert not set(encode_text(tokenizer, " ".join(SPECIALS))) & set(tokenizer.all_special_ids)


def test_every_digit_is_a_token(tokenizer):
    names = tokenizer.convert_ids_to_tokens(encode_text(tokenizer, "In 1889 330 ½"))
    assert [name for name in names if any(c.isnumeric() for c in name) and not name.startswith("<0x")] == list(
        "1889330"
    )
    assert not [
        name for name in tokenizer.get_vocab() if sum(map(str.isdigit, name)) > 1 and not name.startswith("<0x")
    ]


def test_unknown_characters_fall_back_to_bytes(tokenizer):
    names = tokenizer.convert_ids_to_tokens(encode_text(tokenizer, "日"))
    assert names == ["<0xE6>", "<0x97>", "<0xA5>"]


def test_common_words_are_whole_with_their_space(tokenizer):
    assert tokenizer.convert_ids_to_tokens(encode_text(tokenizer, " northern the")) == [" northern", " the"]


def test_sentences_begin_with_bos_only_when_asked(tokenizer):
    ids = encode_text(tokenizer, "the river")
    assert tokenizer("the river")["input_ids"] == [tokenizer.bos_token_id, *ids]
    assert tokenizer.decode([tokenizer.bos_token_id, *ids], skip_special_tokens=True) == "the river"


@pytest.mark.parametrize("character", [" ", "-", "a", "\n", "\u3000"])
def test_a_run_of_one_character_costs_learning_and_encoding_next_to_nothing(character):
    for length in (200_000, 1_000_000):
        run, begin = character * length, time.process_time()
        learnt = train([*TEXTS * 2, run], 700)
        assert learnt.decode(encode_text(learnt, run)) == run
        assert time.process_time() - begin < 20, (
            f"{length:,} characters"
        )  # 48 s and hours where learning sees one piece


def test_runs_of_usual_length_are_learnt_whole(monkeypatch):
    texts = [*TEXTS * 2, *[character * LONGEST_RUN for character in "= x\n"] * 3]
    learnt = train(texts, 700).backend_tokenizer.to_str()
    monkeypatch.setattr("modeling.pretraining.tokenizer.LEARNING_PIECES", PIECES)
    assert train(texts, 700).backend_tokenizer.to_str() == learnt


def test_vocabulary_has_the_size_asked_for_and_reserved_tokens_first():
    big = train([" ".join(TEXTS)] * 3, 700)
    assert len(big) <= 700
    assert big.convert_ids_to_tokens(list(range(len(SPECIALS)))) == list(SPECIALS)
    assert (big.bos_token_id, big.eos_token_id, big.pad_token_id) == (1, 2, 0)
    with pytest.raises(ValueError, match="at least 512"):
        train(TEXTS, 300)


def test_alphabet_covers_the_frequent_characters():
    alphabet = covering_alphabet(["a" * 100_000, "b" * 100_000, "漢"], limit=100)
    assert alphabet == ["a", "b"]
    assert covering_alphabet(["abcdef"], limit=4) == ["a", "b"]


def test_another_process_trains_the_same_bytes(tmp_path):
    code = (
        "import sys; from pathlib import Path; from tests.modeling.pretraining.test_tokenizer import TEXTS; "
        "from modeling.pretraining.tokenizer import train; train(TEXTS * 2, 700).save_pretrained(sys.argv[1])"
    )
    root = Path(__file__).resolve().parents[3]
    digests = []
    for number in range(2):
        folder = tmp_path / str(number)
        subprocess.run([sys.executable, "-c", code, str(folder)], cwd=root, check=True, env=_environment(number))
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())})
    assert digests[0] == digests[1]
    assert "tokenizer.json" in digests[0]


def _environment(seed: int) -> dict[str, str]:
    return {**os.environ, "PYTHONHASHSEED": str(seed + 1), "RAYON_NUM_THREADS": str(seed + 1)}


def write_mixture(folder: Path, rows: list[dict]) -> Path:
    (folder / "train").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "train" / "00000.parquet")
    return folder


def test_run_writes_a_tokenizer_that_transformers_loads(tmp_path, log):
    rows = [{"id": f"wiki:{n}", "source": "wiki", "text": text, "epochs": 2.0} for n, text in enumerate(TEXTS[:2])] + [
        {"id": "french:0", "source": "french", "text": TEXTS[2], "epochs": 1.0}
    ]
    mixture = write_mixture(tmp_path / "mixture", rows)
    out = tmp_path / "out"
    out.mkdir()
    metrics = run(TokenizerRecipe(vocab_size=600, training_bytes=10_000), {"mixture": mixture}, out, log)
    loaded = AutoTokenizer.from_pretrained(out)
    assert len(loaded) == metrics["vocab_size"] <= 600
    assert [row["source"] for row in metrics["sources"]] == ["french", "wiki"]
    for text in TRICKY + TEXTS:
        assert loaded.decode(encode_text(loaded, text)) == text
    assert loaded.chat_template and loaded.eos_token == "</s>"
    wiki = metrics["sources"][1]
    assert wiki["bytes"] == sum(len(text.encode()) for text in TEXTS[:2])
    assert wiki["bytes_per_token"] == pytest.approx(wiki["bytes"] / wiki["tokens"], abs=1e-3)


def test_fractional_epochs_take_a_hashed_share():
    counts = [copies(f"doc:{n}", 2.25) for n in range(4000)]
    assert set(counts) == {2, 3}
    assert sum(counts) / 4000 == pytest.approx(2.25, abs=0.03)
    assert [copies(f"doc:{n}", 0.0) for n in range(10)] == [0] * 10
    assert copies("doc:1", 3.0) == 3
