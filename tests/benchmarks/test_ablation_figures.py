"""What the ablations compute: sizes, intervals, comparisons, the power law, the probe, and losses by position."""

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from benchmarks.ablations import attention, comparison, context, job, knowledge, lengths, training
from benchmarks.ablations.ablation import Figure, Place
from benchmarks.ablations.recipe import two_cores
from modeling.core.dialog import encode_text
from modeling.pretraining.model import count_parameters_on_meta
from modeling.pretraining.tokenizer import train as train_tokenizer
from tests.benchmarks.test_ablations import TOY

REAL = two_cores()
SHOWN = Figure("loss", "Loss", 2, 1, "", True)


def test_all_kinds_of_attention_have_the_same_size():
    counts = {
        name: count_parameters_on_meta(attention.training(REAL, kv_heads).model)
        for name, kv_heads in REAL.attention.kv_heads
    }
    assert counts["MHA"] > 1e6
    assert max(counts.values()) - min(counts.values()) < 0.001 * counts["MHA"]
    assert attention.widened(REAL.base.model, 8) == REAL.base.model


def test_the_interval_of_a_mean_and_what_it_says():
    three = comparison.mean([1.0, 2.0, 3.0])  # Student's t of two degrees of freedom: 4.303
    assert three.value == 2 and three.interval == pytest.approx(
        (2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)), abs=1e-3
    )
    assert three.verdict == comparison.SAME
    assert comparison.mean([1.9, 2.0, 2.1]).verdict == comparison.DIFFERS
    assert comparison.mean([2.0]).verdict == comparison.UNKNOWN
    assert comparison.mean([1.9, 2.0, 2.1]).text(SHOWN, "+") == "+2.00 (+1.75 to +2.25)"
    assert comparison.mean([2.0, 2.0]).text(SHOWN) == comparison.mean([2.0]).text(SHOWN) == "2.00"


def of_seeds(*losses: float) -> dict[int, dict]:
    return {seed: {"figures": {"loss": loss}} for seed, loss in enumerate(losses, 1)}


def test_settings_are_compared_seed_by_seed():
    records = {"short": of_seeds(1.0, 5.0, 9.0), "long": of_seeds(1.5, 5.52, 9.48), "none": of_seeds(1.0, 5.1, 8.9)}
    assert comparison.against_the_first((SHOWN,), records) == (
        "Loss: long against short: differs (+0.50 (+0.45 to +0.55)); "
        "none against short: no difference can be seen (+0.00 (-0.25 to +0.25))."
    )
    one = {"short": of_seeds(1.0), "long": {2: of_seeds(0, 1.0)[2]}}
    assert comparison.against_the_first((SHOWN,), one) == "There is nothing to compare yet."


def test_the_power_law_of_exact_losses():
    tokens = [100, 200, 400, 800]
    exponent, fit = lengths.power_law(tokens, [3 * count**-0.25 for count in tokens])
    assert exponent == pytest.approx(0.25) and fit == pytest.approx(1)
    records = {
        f"{count} tokens": {
            seed: {"figures": {"loss": (3 + seed / 100) * count**-0.25}, "metrics": {"tokens_seen": count}}
            for seed in (1, 2, 3)
        }
        for count in tokens
    }
    said = lengths.seen((SHOWN,), records)
    assert "b = 0.250, mean R² 1.000: its exponent differs from 0. 800 tokens against 400 tokens: differs" in said
    assert "needs three lengths" in lengths.seen((SHOWN,), dict(list(records.items())[:2]))


def test_what_a_text_says_of_its_title():
    text = "The Catcher in the Rye is a 1951 American coming-of-age novel by J. D. Salinger."
    assert knowledge.fact_of("The Catcher in the Rye", text, 4) == (
        "The Catcher in the Rye",
        "is",
        "a 1951 American coming-of-age",
    )
    assert (
        knowledge.fact_of("Christ (statue)", "A Christ was made of stone and soap.", 9)[2] == "made of stone and soap"
    )
    assert knowledge.fact_of("Mule", "The mule is a domestic equine hybrid.", 9) == (
        "The mule",
        "is",
        "a domestic equine hybrid",
    )
    born = "Gordon Sumner (born 2 October 1951), known as Sting, is an English musician and activist."
    assert knowledge.fact_of("Gordon Sumner", born, 4) == ("Gordon Sumner", "is", "an English musician and")
    assert knowledge.fact_of("Clown", "Clowns are people who perform.", 9) is None
    assert knowledge.fact_of("Clown", "A clown is fun.", 9) is None  # too short
    assert knowledge.fact_of("Delta Blues", "Delta Blues is a kind of blues music.", 9) is None  # it repeats the title
    assert knowledge.fact_of("", "It is a text without any title.", 9) is None


class Recalls(torch.nn.Module):
    """Knows facts by heart: after a subject, the tokens of its own fact are likely. A share of 0 knows nothing."""

    def __init__(self, tokenizer, asked, knows: float) -> None:
        super().__init__()
        self.config, self.device = SimpleNamespace(max_position_embeddings=64), torch.device("cpu")
        self.size, self.knows = len(tokenizer), knows
        self.facts = [
            (encode_text(tokenizer, one.subject)[0], encode_text(tokenizer, f" {one.choices[one.right]}"))
            for one in asked
        ]

    def forward(self, input_ids, use_cache):
        logits = torch.zeros(*input_ids.shape, self.size)
        for row, ids in enumerate(input_ids.tolist()):
            for subject, fact in self.facts:
                if ids[1] == subject:
                    logits[row, :, fact] = self.knows
        return SimpleNamespace(logits=logits)


def test_the_probe_tells_a_model_that_knows_from_one_that_does_not():
    subjects = ["Everest", "Nile", "Vienna", "Mars"]
    facts = ["a high mountain", "one long river", "some old city", "this red planet"]
    tokenizer = train_tokenizer([*(f"{one} is {fact}" for one, fact in zip(subjects, facts, strict=True))] * 9, 768)
    asked = [knowledge.Question(one, "is", tuple(facts), place) for place, one in enumerate(subjects)]
    assert knowledge.accuracy(Recalls(tokenizer, asked, 3.0), tokenizer, asked) == 1
    assert knowledge.accuracy(Recalls(tokenizer, asked, 0.0), tokenizer, asked) == 0  # a tie is no knowledge
    assert knowledge.confidence(Recalls(tokenizer, asked, 0.0), tokenizer, asked) == pytest.approx(1 / 4)
    assert knowledge.confidence(Recalls(tokenizer, asked, 3.0), tokenizer, asked) > 0.5


def test_losses_by_position_sum_to_the_loss_of_the_row():
    from modeling.evaluation.bits_per_byte import score_rows
    from modeling.pretraining.model import build

    model = build(replace(TOY.base.model, context=16), None, 1).eval()
    rows = [[(7 * place + row) % 700 for place in range(40)] for row in range(3)]
    found = context.by_position(model, rows, [16, 32])
    model.config.max_position_embeddings = 32
    assert 16 * (found[16] + found[32]) == pytest.approx(score_rows(model, [row[:33] for row in rows]).mean(), rel=1e-5)
    assert found[16] != pytest.approx(found[32], rel=1e-4)


def test_every_recorded_setting_has_a_file_of_its_own(tmp_path):
    place = Place("tiny", tmp_path)
    paths = [
        training.record_path(place, one.name, setting, 1) for one in job.ABLATIONS for setting in one.settings(REAL)
    ]
    assert len(set(paths)) == len(paths) == 3 + 2 + 2 + 5 + 3 + 2 + 6
    assert all(re.fullmatch(r"[\w-]+\.json", path.name) for path in paths)
