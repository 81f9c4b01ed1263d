"""Generation, scores and PPO on the accelerator, against the same in float32 on the CPU."""

import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from modeling.core import dialog, nucleus, runtime, sampling
from modeling.core.recipes import SamplingRecipe
from modeling.rlhf import scoring
from modeling.rlhf.ppo import losses, networks, rollout
from modeling.rlhf.ppo import stage as ppo
from modeling.rlhf.ppo import state as ppo_state
from tests.modeling import toy_rlhf

ASKED = [
    [{"role": "user", "content": f"Which colours do you see {when}? {n}"}] for n, when in enumerate(["now", "here"])
]


@pytest.fixture(scope="module")
def chat(world):
    return sampling.load_transformers(world["policy"]), AutoTokenizer.from_pretrained(world["policy"])


def test_weights_are_where_and_what_they_should_be(where, chat):
    model, _ = chat
    assert model.device.type == where.type
    assert model.dtype == (torch.bfloat16 if where.type == "cuda" else torch.float32)


def test_the_cache_gives_what_the_whole_sequence_gives(where, chat, world):
    """Greedy answers token by token: each is (within bf16's rounding) the likeliest by float32 without a cache."""
    model, tokenizer = chat
    prompts = [dialog.encode_prompt(tokenizer, messages) for messages in ASKED]
    exact = sampling.load_transformers(world["policy"], torch.device("cpu")).float()
    answers = sampling.generate_ids(model, tokenizer, prompts, SamplingRecipe(0.0, 1.0, 12, 0))
    for ids, (answer,) in zip(prompts, answers, strict=True):
        with torch.no_grad():
            logits_TV = exact(torch.tensor([ids + answer])).logits[0, len(ids) - 1 : -1]
        chosen_T = logits_TV.gather(1, torch.tensor(answer)[:, None])[:, 0]
        assert (logits_TV.amax(-1) - chosen_T).max() < 0.5


def test_one_seed_gives_one_answer(chat):
    model, tokenizer = chat
    recipe = SamplingRecipe(1.0, 0.9, 12, 3)
    first, again = (sampling.generate(model, tokenizer, ASKED, recipe, samples=8) for _ in range(2))
    assert first == again
    assert first != sampling.generate(model, tokenizer, ASKED, recipe, samples=8, seed=4)
    assert len({answer.text for row in first for answer in row}) > 4


def test_drawn_tokens_follow_the_distribution(where):
    logits_RV = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).expand(20_000, 4).to(where)
    uniforms_R2 = torch.rand(20_000, 2, generator=torch.Generator().manual_seed(0)).to(where)
    for top_p, wanted in ((1.0, [0.5, 0.3, 0.15, 0.05]), (0.75, [0.625, 0.375, 0.0, 0.0])):
        drawn = nucleus.sample_tokens(logits_RV, uniforms_R2, 1.0, top_p)
        shares = torch.bincount(drawn, minlength=4).cpu() / 20_000
        torch.testing.assert_close(shares, torch.tensor(wanted), atol=0.02, rtol=0)


def test_scores_are_those_of_the_cpu(world):
    model, tokenizer = scoring.load(world["helpfulness_reward_model"])
    dialogs = [
        [*messages, {"role": "assistant", "content": text}] for messages in ASKED for text in ("blue blue", "red")
    ]
    exact = AutoModelForSequenceClassification.from_pretrained(world["helpfulness_reward_model"], dtype=torch.float32)
    wanted = [
        exact(torch.tensor([scoring.encode(tokenizer, one, toy_rlhf.CONTEXT)[0]])).logits.item() for one in dialogs
    ]
    assert scoring.score(model, tokenizer, dialogs) == pytest.approx(wanted, abs=0.05 + 0.02 * max(map(abs, wanted)))


def test_the_free_memory_bounds_a_batch(chat):
    assert sampling.token_budget(chat[0]) >= 1000


def test_ppo_starts_with_ratio_one_and_improves_its_loss(where, world, log):
    loop = ppo.make_loop(toy_rlhf.recipe(), world, log)
    assert next(loop.policy.model.parameters()).device.type == where.type
    experience, figures = loop.rollout(1)
    assert all(torch.isfinite(tensor).all() for tensor in (experience.advantages_BT, experience.returns_BT))
    assert abs(figures["kl_token"]) < 0.05  # policy and reference are one network
    with torch.no_grad():
        for batch in loop.micro_batches(experience.prompts, experience.responses, range(loop.recipe.mini_batch)):
            part = (batch.rows, slice(batch.mask_BT.shape[1]))
            ratio_BT = (networks.policy_logprobs(loop.policy.model, batch) - experience.logp_BT[part]).exp()
            assert float(losses.masked_mean((ratio_BT - 1).abs(), batch.mask_BT)) < 0.02
    updated = loop.update(experience)
    assert all(value == value for value in updated.values())
    assert updated["policy_gradient_norm"] > 0 and updated["critic_gradient_norm"] > 0


def test_ppo_checkpoints_come_back_equal(world, tmp_path, log):
    loop = ppo.make_loop(toy_rlhf.recipe(), world, log)
    loop.update(loop.rollout(1)[0])
    ppo_state.save(tmp_path, ppo_state.Progress(iteration=1), loop.learners)
    ppo_state.save_best(tmp_path, 0, loop.policy.model)
    other = ppo.make_loop(toy_rlhf.recipe(), world, log)
    assert ppo_state.restore(tmp_path, other.learners).iteration == 1
    for ours, theirs in zip(loop.learners.values(), other.learners.values(), strict=True):
        for mine, restored in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
            assert torch.equal(mine, restored) and mine.device == restored.device
    loop.update(loop.rollout(2)[0])
    other.update(other.rollout(2)[0])  # the restored moments are used on the device


def test_a_whole_run_of_ppo(world, tmp_path, log):
    metrics = ppo.run(toy_rlhf.recipe(iterations=3), world, tmp_path, log)
    rows = [json.loads(line) for line in (tmp_path / "iterations.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == list(range(4))
    assert metrics["training_prompts"] == 60
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    prompts, _ = rollout.load_prompts(world["prompts"], "validation", tokenizer, toy_rlhf.CONTEXT)
    assert rollout.respond(sampling.load_transformers(tmp_path), tokenizer, prompts, toy_rlhf.recipe().sampling, 0)


def test_attention_of_changing_lengths_is_not_planned_anew_at_each():
    """cuDNN's attention takes milliseconds for each new shape: only pretraining, whose shape is one, may use it."""
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    with runtime.one_shape():
        assert torch.backends.cuda.cudnn_sdp_enabled()
    assert not torch.backends.cuda.cudnn_sdp_enabled()
