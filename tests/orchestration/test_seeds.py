"""CRIA_SEED: what it draws anew, and what stays."""

import dataclasses
import re
from collections.abc import Iterator

import pytest

from assets import STAGES
from orchestration import scales
from orchestration.scales.seeds import DRAWN_ANEW, STEP, shifted
from orchestration.stage import SCALE, settings


def seeds_of(value) -> Iterator[int]:
    if isinstance(value, tuple):
        for item in value:
            yield from seeds_of(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            part = getattr(value, field.name)
            yield from [part] if field.name == "seed" else seeds_of(part)


@pytest.mark.parametrize("name", list(scales.SCALES))
def test_another_run_shares_no_seed_and_nothing_but_seeds_changes(name):
    first, second = (shifted(scales.SCALES[name](), run) for run in (0, 1))
    assert first == scales.SCALES[name]()
    for field in dataclasses.fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        before, after = list(seeds_of(one)), list(seeds_of(other))
        if field.name in DRAWN_ANEW:
            assert before and after == [seed + STEP for seed in before] and max(before) < STEP
        else:
            assert one == other
        assert all(re.search(r"seed: \d+ → \d+$", line) for line in scales.difference(one, other))


def test_corpus_base_model_prompts_and_evaluation_stay(monkeypatch, tmp_path):
    monkeypatch.setenv("CRIA_STORE", str(tmp_path))
    monkeypatch.delenv("CRIA_RATINGS", raising=False)

    def recipes() -> dict:
        return {key: made.recipe(settings(SCALE, "laptop")) for key, made in STAGES.items() if made.axis == SCALE}

    before = recipes()
    monkeypatch.setenv("CRIA_SEED", "2")
    after = recipes()
    anew = {key for key in before if before[key] != after[key]}
    assert {"synthetic_requests", "sft_dialogues", "sft_model", "chat_model", "distilled_answers"} < anew
    assert all(made.key in anew for made in STAGES.values() if made.group.startswith("rlhf_v"))
    kept = {"mixture", "tokens", "base_model", "demonstrations", "prompts", "generations", "answer_rates", "win_rates"}
    assert not anew & kept


@pytest.mark.parametrize("stated", ["-1", "one", "1.5", ""])
def test_a_seed_that_is_no_number_is_refused(stated, monkeypatch):
    monkeypatch.setenv("CRIA_SEED", stated)
    with pytest.raises(ValueError, match="CRIA_SEED=.*: use a whole number"):
        scales.scale("tiny")
