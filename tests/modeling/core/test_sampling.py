"""Generation: the same tokens as transformers, the same draws whatever the batches, the right distribution."""

import dataclasses

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from modeling.core import batching, decoding, dialog, prefill, runtime, sampling
from modeling.core.recipes import SamplingRecipe
from tests.modeling import toy_chat

pytestmark = pytest.mark.trains

GREEDY = SamplingRecipe(temperature=0.0, top_p=1.0, max_new_tokens=12, seed=0)
HOT = SamplingRecipe(temperature=1.0, top_p=0.9, max_new_tokens=12, seed=7)


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    """A random model whose weights are scaled so that its choices vary, and whose closing token is not rare."""
    torch.set_num_threads(1)
    folder = toy_chat.save_base(tmp_path_factory.mktemp("base"))
    model, tokenizer = sampling.load_transformers(folder, torch.device("cpu")), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(6)
    return model, tokenizer


def prompts(tokenizer) -> list[list[int]]:
    messages = [toy_chat.dialogue(thing, "", "Be kind and wise." if place % 3 else "")[:-1]
                for place, thing in enumerate(toy_chat.THINGS)]  # fmt: skip
    return [dialog.encode_prompt(tokenizer, one) for one in messages]


@pytest.mark.parametrize("columns", [2, 32])  # the cache grows in the middle of an answer, or never
def test_greedy_equals_transformers(chat, monkeypatch, columns):
    monkeypatch.setattr(decoding, "COLUMNS", columns)
    model, tokenizer = chat
    mine = sampling.generate_ids(model, tokenizer, prompts(tokenizer), GREEDY)
    for ids, (answer,) in zip(prompts(tokenizer), mine, strict=True):
        theirs = model.generate(
            input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
            max_new_tokens=12, eos_token_id=dialog.closing_token_id(tokenizer), pad_token_id=0,
        )[0, len(ids):]  # fmt: skip
        assert answer == theirs.tolist()


def test_a_seed_gives_the_same_answers_however_rows_are_batched(chat, monkeypatch):
    model, tokenizer = chat
    together = sampling.generate_ids(model, tokenizer, prompts(tokenizer), HOT, samples=3)
    torch.manual_seed(99)  # the global generator plays no part
    monkeypatch.setattr(sampling, "CPU_TOKEN_BUDGET", 1)
    alone = sampling.generate_ids(model, tokenizer, prompts(tokenizer), HOT, samples=3)
    assert together == alone
    assert sampling.generate_ids(model, tokenizer, prompts(tokenizer), HOT, samples=3, seed=8) != together
    assert all(len({tuple(answer) for answer in row}) > 1 for row in together)


@pytest.mark.parametrize("alike", [0, 1, 7])
def test_the_common_beginning_of_prompts_changes_no_logit(chat, alike):
    """Prompts that share nothing, one token or seven; one of them is all of the beginning and one token."""
    model, _ = chat
    rests = [[11], [12, 13, 14, 15, 16], [17, 18]]
    prompts = [[*range(20, 20 + alike), *rest] for rest in rests]
    with torch.inference_mode():
        states, cache, mask = prefill.run_prompts(model, prompts, pad=0)
        logits = model.lm_head(states)
        alone = torch.stack([model(input_ids=torch.tensor([ids])).logits[0, -1] for ids in prompts])
    torch.testing.assert_close(logits, alone, atol=1e-3, rtol=1e-4)
    assert mask.sum(1).tolist() == [len(ids) for ids in prompts] and cache.get_seq_length() == alike + 5


@torch.inference_mode()
def test_prompts_of_unlike_length_share_no_padding(chat, monkeypatch):
    model, _ = chat
    prompts = [[20, 21, *range(30, 30 + length)] for length in (40, 3, 5, 41, 4, 1)]
    whole, joined, mask = prefill.run_prompts(model, prompts, pad=0)
    monkeypatch.setattr(batching, "CPU_TOKENS", 90)
    read = []
    with model.model.embed_tokens.register_forward_hook(lambda module, given, out: read.append(given[0].numel())):
        states, cache, parted = prefill.run_prompts(model, prompts, pad=0)
    assert read == [2, 4 * 5, 2 * 41] and torch.equal(mask, parted)
    torch.testing.assert_close(states, whole, atol=1e-3, rtol=1e-4)
    own = mask.bool()[:, None, :, None]
    for one, other in zip(cache.layers, joined.layers, strict=True):
        for name in ("keys", "values"):
            torch.testing.assert_close(
                *(getattr(layer, name).where(own, 0) for layer in (one, other)), atol=1e-3, rtol=1e-4
            )
    uniforms = torch.rand(len(prompts) * 2, GREEDY.max_new_tokens, 2)
    answers = decoding.answer_batch(model, prompts, uniforms, GREEDY, 2, closing=1, pad=0)
    monkeypatch.undo()
    assert answers == decoding.answer_batch(model, prompts, uniforms, GREEDY, 2, closing=1, pad=0)


def one_that_comes_early_and_late(answers) -> int:
    """The token whose first places in the answers differ most: as the closing token it ends some, at many lengths."""
    places: dict[int, set[int]] = {}
    for answer in (answer for row in answers for answer in row):
        for token in answer:
            places.setdefault(token, set()).add(answer.index(token))
    return max(places, key=lambda token: len(places[token]))


def test_answers_end_at_the_closing_token_and_finished_rows_disturb_nobody(chat, monkeypatch):
    model, tokenizer = chat
    closing = dialog.closing_token_id(tokenizer)
    stops = sampling.generate_ids(model, tokenizer, prompts(tokenizer), HOT, samples=8)
    common = one_that_comes_early_and_late(stops)  # rows then leave the batch at different steps
    monkeypatch.setattr(dialog, "closing_token_id", lambda _: common)
    early = sampling.generate_ids(model, tokenizer, prompts(tokenizer), HOT, samples=8)
    assert len({len(answer) for row in early for answer in row}) > 2
    for row, long_row in zip(early, stops, strict=True):
        for answer, long in zip(row, long_row, strict=True):
            assert common not in answer[:-1]
            assert answer[-1] == common or len(answer) == 12 or long[-1] == closing
            shared = min(len(answer), len(long))
            assert answer[:shared] == long[:shared]


def test_batches_hold_the_budget_and_every_prompt_once():
    groups = batching.batches([4, 5, 9, 30, 31], new_tokens=10, samples=2, budget=80)
    assert [place for group in groups for place in group] == [0, 1, 2, 3, 4]
    assert groups == [[0, 1], [2], [3], [4]]


def test_long_conversations_lose_their_earliest_turns_and_it_is_said(chat, log):
    model, tokenizer = chat
    turns = [message for one in toy_chat.dialogues() for message in one]
    messages = [{"role": "system", "content": "Be kind and wise."}, *turns, toy_chat.dialogue("star", "")[0]]
    fitted = sampling.fit_prompt(tokenizer, messages, 40)
    assert fitted.dropped_turns > 0 and len(fitted.ids) <= 40
    kept = [messages[0], *messages[1 + 2 * fitted.dropped_turns :]]
    assert fitted.ids == dialog.encode_prompt(tokenizer, kept)
    one_less = [messages[0], *messages[-1 + 2 * fitted.dropped_turns :]]
    assert len(dialog.encode_prompt(tokenizer, one_less)) > 40 or fitted.dropped_turns == 0
    answers = sampling.generate(model, tokenizer, [messages], GREEDY, log=log)
    assert isinstance(answers[0][0].text, str) and "lost" in log.lines[0]


def test_an_answer_says_whether_it_ended(chat, monkeypatch):
    """By the ids themselves: the closing token came, or the limit did."""
    model, tokenizer = chat
    prompts = [[{"role": "user", "content": f"The river {word}"}] for word in ("is", "was", "has", "the", "a", "of")]
    ids = [dialog.encode_prompt(tokenizer, messages) for messages in prompts]
    recipe = dataclasses.replace(GREEDY, temperature=1.5, max_new_tokens=8)
    closing = one_that_comes_early_and_late(sampling.generate_ids(model, tokenizer, ids, recipe, samples=20))
    monkeypatch.setattr(dialog, "closing_token_id", lambda _: closing)
    drawn = sampling.generate_ids(model, tokenizer, ids, recipe, samples=20)
    answers = sampling.generate(model, tokenizer, prompts, recipe, samples=20)
    ended = [[closing in one for one in row] for row in drawn]
    assert [[answer.ended for answer in row] for row in answers] == ended
    assert {flag for row in ended for flag in row} == {True, False}


def test_a_turn_that_cannot_fit_is_refused(chat):
    model, tokenizer = chat
    long = [{"role": "user", "content": "The river is blue. " * 30}]
    with pytest.raises(sampling.PromptTooLongError, match="shorten it"):
        sampling.generate(model, tokenizer, [long], GREEDY)
    with pytest.raises(sampling.PromptTooLongError, match="fit_prompt"):
        sampling.generate_ids(model, tokenizer, [[5] * 60], GREEDY)
    assert sampling.generate(model, tokenizer, [], GREEDY) == []


def test_generation_leaves_the_model_in_its_mode(chat):
    model, tokenizer = chat
    model.train()
    sampling.generate_ids(model, tokenizer, prompts(tokenizer)[:1], GREEDY)
    assert model.training
    model.eval()


def test_large_models_answer_in_bfloat16_and_small_ones_on_a_cpu_in_float32(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert sampling.generation_dtype(cpu, 2_000_000) == torch.float32
    assert sampling.generation_dtype(cuda, 2_000_000) == torch.bfloat16
    for pays, dtype in ((True, torch.bfloat16), (False, torch.float32)):  # a CPU without AVX-512 emulates bfloat16
        monkeypatch.setattr(runtime, "bfloat16_products", lambda where, pays=pays: pays)
        assert sampling.generation_dtype(cpu, 135_000_000) == dtype


def test_a_head_that_does_not_learn_is_not_copied_for_every_prompt():
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=20_000, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
                         num_attention_heads=2, max_position_embeddings=32)  # fmt: skip
    model = LlamaForCausalLM(config).bfloat16().eval().requires_grad_(False)
    prompts = [[number, *range(number, number + 8)] for number in range(1, 51)]
    first = dataclasses.replace(GREEDY, max_new_tokens=1)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        answers = decoding.answer_batch(model, prompts, torch.zeros(50, 1, 2), first, 1, closing=0, pad=0)
    allocated = sum(max(0, event.self_cpu_memory_usage) for event in profiled.key_averages())
    head_bytes = model.lm_head.weight.nbytes
    assert len(answers) == 50 and allocated < 10 * head_bytes, "fifty copies of the head"
