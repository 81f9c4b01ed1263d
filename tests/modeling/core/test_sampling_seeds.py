"""On vLLM every answer draws from a stream of its own. vLLM is not installed here: a stand-in draws by its rule of seeds."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from modeling.core import sampling
from modeling.core.recipes import SamplingRecipe

WARM = SamplingRecipe(temperature=1.0, top_p=1.0, max_new_tokens=4, seed=7)


class Engine:
    """Answers with the prompt's first id and the seed: sample j of a request draws from its seed + j, as in vLLM."""

    llm_engine = SimpleNamespace(model_config=SimpleNamespace(get_vocab_size=lambda: 8, max_model_len=64))

    def generate(self, requests, params):
        for request, one in zip(requests, params, strict=True):
            first = request["prompt_token_ids"][0]
            drawn = [SimpleNamespace(token_ids=[first, one.seed + j]) for j in range(getattr(one, "n", 1))]
            yield SimpleNamespace(outputs=drawn)


@pytest.fixture
def engine(monkeypatch):
    vllm = ModuleType("vllm")
    vllm.SamplingParams = SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setattr(sampling.dialog, "closing_token_id", lambda tokenizer: 0)
    return Engine()


def streams(engine, prompts, samples, seed):
    tokenizer = SimpleNamespace(get_vocab=lambda: {str(place): place for place in range(8)})
    asked = [[place, 1, 2] for place in range(prompts)]
    answers = sampling.generate_ids(engine, tokenizer, asked, WARM, samples, seed)
    assert [[answer[0] for answer in row] for row in answers] == [[place] * samples for place in range(prompts)]
    return [answer[1] for row in answers for answer in row]


def test_no_two_answers_share_a_stream(engine):
    """Neither within a call, nor between calls whose seeds follow each other, as those of two rounds do."""
    drawn = [stream for seed in (7, 8, 9) for stream in streams(engine, 50, 20, seed)]
    assert len(set(drawn)) == len(drawn) == 3 * 50 * 20
    assert all(0 <= stream < 2**63 for stream in drawn)


def test_a_seed_gives_the_same_streams_again(engine):
    assert streams(engine, 4, 3, 7) == streams(engine, 4, 3, 7)
